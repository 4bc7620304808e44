"""What this distribution declares; imports no torch."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_metrics() -> list[Component]:
    return [
        Component(
            kind="metric",
            name="mutual-information",
            target="genzoo_mutual_information.mutual_information:MutualInformation",
            options="genzoo_mutual_information.options:MutualInformationOptions",
            summary="What the code says about the image, of the rate",
            paper="Hoffman and Johnson 2016",
            api="1.1",
        ),
    ]
