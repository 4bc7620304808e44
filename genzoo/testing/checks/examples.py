"""The check that the examples in a component's docstrings are true."""

from __future__ import annotations

import doctest
import sys

from genzoo.randomness import seeded
from genzoo.testing.checking import EVERY_KIND, CheckFailure, check
from genzoo.testing.subject import Subject

_FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def _examples(subject: Subject) -> list[doctest.DocTest]:
    module = sys.modules.get(subject.cls.__module__)
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = finder.find(subject.cls, subject.cls.__name__, module=module, globs=dict(vars(module)) if module else None)
    return [item for item in found if item.examples]


@check(
    "examples-run",
    *EVERY_KIND,
    why="The example is what readers copy first; one that is not true shows that nobody ran it.",
    mend="Run `python -m doctest` on the module, and correct the example or the code.",
    applies=lambda subject: None if _examples(subject) else "its docstrings have no examples",
)
def examples_run(subject: Subject) -> None:
    """The examples in the docstrings of the class give what they show."""
    for item in _examples(subject):
        said: list[str] = []
        runner = doctest.DocTestRunner(optionflags=_FLAGS, verbose=False)
        with seeded(0):
            result = runner.run(item, out=said.append)
        if result.failed:
            lines = [line.strip() for line in "".join(said).splitlines() if line.strip()]
            told = " ".join(lines[lines.index("Failed example:") :] if "Failed example:" in lines else lines)
            raise CheckFailure(f"the examples of {item.name} to give what they show", told[:300])
