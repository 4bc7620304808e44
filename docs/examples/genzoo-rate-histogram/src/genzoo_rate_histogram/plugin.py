"""What this distribution declares; imports no torch."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_visualizers() -> list[Component]:
    return [
        Component(
            kind="visualizer",
            name="rate-histogram",
            target="genzoo_rate_histogram.rate_histogram:RateHistogram",
            options="genzoo_rate_histogram.options:RateHistogramOptions",
            summary="How many nats each image's code costs",
            paper="",
            api="1.1",
        ),
    ]
