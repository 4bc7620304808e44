"""Numbers of the pages from ``results/*.csv``: ``python docs/measured.py`` writes them, ``--check`` only compares.

A page holds what is to be written as a comment, and what was written below it:

    <!-- results
    | VAE, seed 1 | {{ report-vae/1 test.distortion }} | {{ report-vae/1 -test.elbo }} |
    -->
    | VAE, seed 1 | 136.62 | 143.21 |
    <!-- /results -->

Between the braces stand operands, numbers, ``+ - * /`` and parentheses. An operand is a recipe, ``/`` and a seed where only
one is meant, and a column (``results/README.md``) with ``-`` before it for its negative. An operand by itself becomes
mean ± standard deviation where there are several seeds; within arithmetic it is the mean. ``min``, ``max``, ``sd`` or
``count`` before it asks for that of the seeds instead. After ``|`` may follow a format of Python's, ``.2f`` if there is
none; whole numbers and text stay as they are.
"""

from __future__ import annotations

import csv
import re
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"

BLOCK = re.compile(r"^<!-- results\n(.*?)^-->\n(.*?)^<!-- /results -->$", re.M | re.S)
MARK = re.compile(r"^ *<!-- */?results\b", re.M)
EXPRESSION = re.compile(r"\{\{(.*?)\}\}", re.S)
OPERAND = re.compile(
    r"(?:\b(?P<of>min|max|sd|count) )?\b(?P<recipe>[a-z][a-z0-9.-]*)(?:/(?P<seed>\d+))?"
    r" (?P<sign>-?)(?P<column>[a-z][\w.@-]*)"
)
ARITHMETIC = re.compile(r"[\s\d.e+*/()-]+")
OF = {"min": min, "max": max, "sd": statistics.stdev, "count": len, None: statistics.fmean}

Rows = Sequence[Mapping[str, str]]


class MeasuredError(Exception):
    """A block or an expression that cannot be written."""


def read(folder: Path = RESULTS) -> list[dict[str, str]]:
    """The rows of every CSV file of a folder."""
    rows: list[dict[str, str]] = []
    for file in sorted(folder.glob("*.csv")):
        with file.open(encoding="utf-8", newline="") as text:
            rows += csv.DictReader(text)
    return rows


def rendered(page: str, rows: Rows) -> str:
    """A page with what its blocks say now.

    Raises:
        MeasuredError: If a block does not open and close as it should, or an expression cannot be evaluated.
    """
    if len(MARK.findall(page)) != 2 * len(BLOCK.findall(page)):
        raise MeasuredError(
            "a block must have `<!-- results`, `-->` and `<!-- /results -->`, each on a line of its own"
        )

    def block(match: re.Match[str]) -> str:
        template = match[1]
        if not EXPRESSION.search(template):
            raise MeasuredError(f"a block must take a number from results/, got {template.strip()[:60]!r}")
        text = EXPRESSION.sub(lambda each: evaluate(" ".join(each[1].split()), rows), template)
        return f"<!-- results\n{template}-->\n{text}<!-- /results -->"

    return BLOCK.sub(block, page)


def evaluate(expression: str, rows: Rows) -> str:
    """The text of one expression.

    Raises:
        MeasuredError: If it names what there is not, a number that is not known, or is no arithmetic.
    """
    source, bar, wanted = (part.strip() for part in expression.partition("|"))
    style = wanted if bar else ".2f"
    alone = OPERAND.fullmatch(source)
    try:
        if alone is not None and not alone["of"]:
            cells = found(alone, rows)
            if len(set(cells)) == 1 and not bar and not alone["sign"] and not re.fullmatch(r"-?\d+[.e].*", cells[0]):
                return cells[0]
            values = numbers(alone, rows)
            if len(values) > 1:
                return signed(f"{statistics.fmean(values):{style}} ± {statistics.stdev(values):{style}}")
        sums = OPERAND.sub(lambda match: f"({OF[match['of']](numbers(match, rows))!r})", source)
        if not ARITHMETIC.fullmatch(sums):
            raise MeasuredError(f"it has what is neither a recipe with a column nor arithmetic, {sums!r}")
        return signed(f"{eval(sums, {'__builtins__': {}}):{style}}")
    except (
        MeasuredError,
        SyntaxError,
        NameError,
        TypeError,
        ArithmeticError,
        ValueError,
        statistics.StatisticsError,
    ) as error:
        raise MeasuredError(f"{{{{ {expression} }}}} cannot be written: {error}") from None


def signed(text: str) -> str:
    """A number with the minus sign of print."""
    return "−" + text[1:] if text.startswith("-") else text


def numbers(operand: re.Match[str], rows: Rows) -> list[float]:
    """The number of each seed."""
    return [-float(cell) if operand["sign"] else float(cell) for cell in found(operand, rows)]


def found(operand: re.Match[str], rows: Rows) -> list[str]:
    """The cell of each seed."""
    recipe, seed, column = operand["recipe"], operand["seed"], operand["column"]
    mine = [row for row in rows if row["recipe"] == recipe and seed in (None, row["seed"])]
    if not mine:
        raise MeasuredError(f"results/ has no row of {recipe}" + (f", seed {seed}" if seed else ""))
    cells = [row.get(column, "") for row in mine]
    if "" in cells:
        raise MeasuredError(f"results/ does not know {column} of {recipe}, seed {mine[cells.index('')]['seed']}")
    return cells


def pages() -> list[Path]:
    """The pages that have blocks."""
    every = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("plugins/*/README.md")]
    return [page for page in sorted(every) if MARK.search(page.read_text(encoding="utf-8"))]


def main(*, check: bool) -> None:
    """Write every page, or with ``check`` exit with the names of those that are stale."""
    rows, stale = read(), []
    for page in pages():
        text = page.read_text(encoding="utf-8")
        try:
            now = rendered(text, rows)
        except MeasuredError as error:
            sys.exit(f"{page.relative_to(ROOT)}: {error}.")
        if now != text:
            stale.append(str(page.relative_to(ROOT)))
            if not check:
                page.write_text(now, encoding="utf-8")
    if check and stale:
        sys.exit(f"{', '.join(stale)}: not what results/ says; run `python docs/measured.py`.")


if __name__ == "__main__":
    main(check="--check" in sys.argv[1:])
