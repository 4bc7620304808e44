"""What this distribution declares; imports no torch."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_likelihoods() -> list[Component]:
    return [
        Component(
            kind="likelihood",
            name="discretised-logistic",
            target="genzoo_discretised_logistic.discretised_logistic:DiscretisedLogistic",
            options="genzoo_discretised_logistic.options:DiscretisedLogisticOptions",
            summary="The mass of each grey level under a logistic density",
            paper="Salimans et al. 2017",
            api="1.1",
        ),
    ]
