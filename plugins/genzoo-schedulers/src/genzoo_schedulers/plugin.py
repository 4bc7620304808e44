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
        )

    return [
        scheduler("constant", "constant:Constant", "One factor at all times"),
        scheduler(
            "linear-warmup",
            "linear_warmup:LinearWarmup",
            "A straight line from 0 to 1 over the first epochs, then 1",
            "Bowman et al. 2016, Generating sentences from a continuous space",
        ),
    ]
