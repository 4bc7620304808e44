"""What this distribution declares. Imports no torch."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_schedulers() -> list[Component]:
    def scheduler(name: str, target: str, summary: str, paper: str = "") -> Component:
        class_name = target.partition(":")[2]
        return Component(
            "scheduler",
            name,
            f"genzoo_schedulers.{target}",
            f"genzoo_schedulers.options:{class_name}Options",
            summary=summary,
            paper=paper,
            api="1.0",
        )

    return [
        scheduler("constant", "constant:Constant", "One factor at all times"),
        scheduler(
            "linear-warmup",
            "linear_warmup:LinearWarmup",
            "A straight line from 0 to 1 over the first epochs, then 1",
            "Bowman et al. 2016, Generating sentences from a continuous space",
        ),
        scheduler(
            "sigmoid",
            "sigmoid:Sigmoid",
            "A logistic curve from 0 to 1 over the first epochs, then 1",
            "Bowman et al. 2016, Generating sentences from a continuous space",
        ),
        scheduler(
            "cosine",
            "cosine:Cosine",
            "Half a cosine wave from 1 to 0 over the run; for the learning rate unless told",
            "Loshchilov and Hutter 2017, SGDR: stochastic gradient descent with warm restarts",
        ),
        scheduler(
            "cyclical",
            "cyclical:Cyclical",
            "Four cycles of a rise from 0 to 1 and a plateau",
            "Fu et al. 2019, Cyclical annealing schedule: a simple approach to mitigating KL vanishing",
        ),
        scheduler(
            "one-cycle",
            "one_cycle:OneCycle",
            "Up to a peak and down to almost 0, once in the run; for the learning rate unless told",
            "Smith and Topin 2018, Super-convergence: very fast training of neural networks",
        ),
    ]
