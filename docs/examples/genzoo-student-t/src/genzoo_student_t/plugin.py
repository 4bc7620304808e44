"""What this distribution declares; imports no torch."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_priors() -> list[Component]:
    return [
        Component(
            kind="prior",
            name="student-t",
            target="genzoo_student_t.student_t:StudentTPrior",
            options="genzoo_student_t.options:StudentTOptions",
            summary="A product of Student-t distributions",
            paper="Mathieu et al. 2019",
            api="1.1",
        ),
    ]
