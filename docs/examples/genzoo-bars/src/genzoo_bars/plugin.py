"""What this distribution declares; imports no torch."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_datasets() -> list[Component]:
    return [
        Component(
            kind="dataset",
            name="bars",
            target="genzoo_bars.bars:Bars",
            options="genzoo_bars.options:BarsOptions",
            summary="Bars over rows and columns, each there by itself",
            paper="Földiák 1990",
            api="1.1",
        ),
    ]
