"""What this distribution declares; imports no torch."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_schedulers() -> list[Component]:
    return [
        Component(
            kind="scheduler",
            name="staircase",
            target="genzoo_staircase.staircase:Staircase",
            options="genzoo_staircase.options:StaircaseOptions",
            summary="Rises from 0 to 1 in equal steps",
            paper="",
            api="1.1",
        ),
    ]
