"""The walk-throughs: their commands run as printed, and the steps and lines that they claim are counted."""

from __future__ import annotations

import difflib
import doctest
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

from genzoo.scaffold import render
from genzoo.types import Kind

ROOT = Path(__file__).parent.parent
BETA_VAE = ROOT / "plugins/genzoo-beta-vae"
MOST_COMMANDS = 4
QUICK = {"--limit": "64", "--epochs": "1", "--out": "runs"}
"""What a training command takes in the test, where the page says nothing else."""


def files_of(folder: Path) -> dict[str, str]:
    """The files of a distribution that its author wrote: path → text."""
    found = [folder / "pyproject.toml", *sorted(folder.glob("src/*/*.py"))]
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in found}


def own_metadata() -> str:
    """The scaffold's pyproject with what the β-VAE's author must say in it; the rest of the plugin's own is one command's,
    for all distributions of this repository (`tools/distributions.py`)."""
    project = tomllib.loads((BETA_VAE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    dependencies = ", ".join(f'"{name}"' for name in project["dependencies"])
    made = scaffold(Kind.MODEL, "beta-vae")["pyproject.toml"]
    made = re.sub(r"^description = .*$", f'description = "{project["description"]}"', made, flags=re.M)
    return re.sub(r"^dependencies = .*$", f"dependencies = [{dependencies}]", made, flags=re.M)


def derived() -> dict[str, str]:
    """What the β-VAE's distribution holds before it gets a loss of its own."""
    files = files_of(BETA_VAE)
    declaration = files["src/genzoo_beta_vae/plugin.py"]
    kept = {
        "src/genzoo_beta_vae/__init__.py": files["src/genzoo_beta_vae/__init__.py"],
        "pyproject.toml": own_metadata(),
    }
    return kept | {"src/genzoo_beta_vae/plugin.py": declaration[: declaration.rindex("@hookimpl")]}


def scaffold(kind: Kind, name: str) -> dict[str, str]:
    """What `genzoo new` makes."""
    return render(kind, name)


@dataclass(frozen=True)
class Walk:
    """A walk-through.

    Args:
        page: Its page.
        row: How the row of its table starts that says how many lines it takes.
        before: The files at its start.
        after: Those of them that its author wrote or changed, at its end.
        most: How many lines that may take; None where no promise is made.
    """

    page: str
    row: str
    before: dict[str, str]
    after: dict[str, str]
    most: int | None

    @property
    def text(self) -> str:
        return (ROOT / "docs" / self.page).read_text(encoding="utf-8")


WALKS = [
    Walk("write-a-plugin.md", "the β-VAE, derived", scaffold(Kind.MODEL, "beta-vae"), derived(), 30),
    Walk(
        "write-a-plugin.md",
        "the normalised loss, one step further",
        derived(),
        files_of(BETA_VAE) | {"pyproject.toml": own_metadata()},
        None,
    ),
    Walk(
        "write-a-scheduler.md",
        "the staircase",
        scaffold(Kind.SCHEDULER, "staircase"),
        files_of(ROOT / "docs/examples/genzoo-staircase"),
        20,
    ),
    Walk(
        "write-a-visualizer.md",
        "the histogram",
        scaffold(Kind.VISUALIZER, "rate-histogram"),
        files_of(ROOT / "docs/examples/genzoo-rate-histogram"),
        30,
    ),
    Walk(
        "write-a-loss.md",
        "the DIP-VAE's loss",
        scaffold(Kind.LOSS, "dip-vae"),
        files_of(ROOT / "docs/examples/genzoo-dip-vae"),
        100,
    ),
    Walk(
        "write-a-prior.md",
        "the Student-t prior",
        scaffold(Kind.PRIOR, "student-t"),
        files_of(ROOT / "docs/examples/genzoo-student-t"),
        100,
    ),
    Walk(
        "write-a-likelihood.md",
        "the discretised logistic",
        scaffold(Kind.LIKELIHOOD, "discretised-logistic"),
        files_of(ROOT / "docs/examples/genzoo-discretised-logistic"),
        100,
    ),
    Walk(
        "write-a-network.md",
        "the skip network",
        scaffold(Kind.NETWORK, "skip"),
        files_of(ROOT / "docs/examples/genzoo-skip"),
        100,
    ),
    Walk(
        "write-a-dataset.md",
        "the bars",
        scaffold(Kind.DATASET, "bars"),
        files_of(ROOT / "docs/examples/genzoo-bars"),
        100,
    ),
    Walk(
        "write-a-metric.md",
        "the mutual information",
        scaffold(Kind.METRIC, "mutual-information"),
        files_of(ROOT / "docs/examples/genzoo-mutual-information"),
        100,
    ),
]


def written(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """The lines that somebody wrote to get from one to the other; docstrings count, blank lines and comments do not."""
    lines: list[str] = []
    for path, text in after.items():
        old, new = before.get(path, "").splitlines(), text.splitlines()
        for tag, _, _, start, end in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
            lines += new[start:end] if tag in {"replace", "insert"} else []
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def commands(page: str) -> list[str]:
    """The commands of a page's shell blocks, in order."""
    blocks = re.findall(r"^```bash\n(.*?)^```", page, re.M | re.S)
    return [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


def to_a_run(page: str) -> list[str]:
    """The commands from `genzoo new` to the first `genzoo run`."""
    lines = commands(page)
    start = next(place for place, line in enumerate(lines) if line.startswith("genzoo new "))
    end = next(place for place, line in enumerate(lines) if line.startswith("genzoo run "))
    return lines[start : end + 1]


@pytest.mark.parametrize("walk", WALKS, ids=lambda walk: walk.row)
def test_the_lines_and_commands_are_as_many_as_the_page_says(walk: Walk) -> None:
    said = re.search(rf"^\| {re.escape(walk.row)} \| (\d+) \| (\d+) \|$", walk.text, re.M)
    assert said is not None, f"{walk.page} has no row '| {walk.row} | COMMANDS | LINES |'"
    lines = written(walk.before, walk.after)
    assert int(said[2]) == len(lines), "\n".join(lines)
    assert walk.most is None or len(lines) <= walk.most
    assert int(said[1]) <= MOST_COMMANDS
    if walk.most is not None:
        assert int(said[1]) == len(to_a_run(walk.text))


def test_only_what_differs_counts_as_written() -> None:
    old = {"a.py": "one\ntwo\n"}
    assert written(old, {"a.py": "one\n\n# why\ntwo and more\n", "b.py": '"""New."""\n'}) == [
        "two and more",
        '"""New."""',
    ]


def test_an_example_changes_only_what_it_must() -> None:
    for walk in WALKS[2:]:
        assert set(walk.after) <= set(walk.before), "an example is what `genzoo new` made, filled in"
        assert walk.after["pyproject.toml"] == walk.before["pyproject.toml"]


def test_the_example_in_a_docstring_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "docs/examples/genzoo-staircase/src")
    result = doctest.testmod(import_module("genzoo_staircase.staircase"))
    assert result.attempted
    assert not result.failed


@pytest.mark.slow
@pytest.mark.parametrize("walk", [WALKS[0], *WALKS[2:]], ids=lambda walk: walk.page)
def test_the_commands_run_as_printed(walk: Walk, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    made = commands(walk.text)[0].split()[3]
    for line in commands(walk.text):
        words = shlex.split(line)
        if words[0] != "pip" and made not in re.split("[ =]", line):
            continue
        if words[0] == "pip":
            (folder,) = tmp_path.glob("genzoo-*")
            assert words == ["pip", "install", "-e", folder.name]
            fill_in(folder, walk)
            # Beside the installed packages, so that the environment of the tests stays as it is.
            options = ["--quiet", "--no-deps", "--no-build-isolation", "--target", str(tmp_path / "site")]
            command = ["pip", "install", *options, f"./{folder.name}"]
        else:
            quick = QUICK if words[1] == "run" else {}
            command = [*words, *(word for flag, value in quick.items() if flag not in words for word in (flag, value))]
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
            encoding="utf-8",
        )
        assert done.returncode == 0, done.stdout + done.stderr


def fill_in(folder: Path, walk: Walk) -> None:
    """Puts what the page shows into what `genzoo new` made, under the name that the page gives it."""
    official = next(path.split("/")[1] for path in walk.after if path.startswith("src/"))
    package = folder.name.replace("-", "_")
    names = {official: package, official.removeprefix("genzoo_").replace("_", "-"): folder.name.removeprefix("genzoo-")}
    for path, text in walk.after.items():
        if path == "pyproject.toml":
            continue
        for old, new in names.items():
            text = text.replace(f'"{old}', f'"{new}')
        (folder / path.replace(official, package)).write_text(text, encoding="utf-8")
