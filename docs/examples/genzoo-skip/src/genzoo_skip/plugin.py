"""What this distribution declares; imports no torch."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_networks() -> list[Component]:
    return [
        Component(
            kind="network",
            name="skip",
            target="genzoo_skip.skip:Skip",
            options="genzoo_skip.options:SkipOptions",
            summary="Layers that all read the input",
            paper="Dieng et al. 2019",
            api="1.1",
        ),
    ]
