"""Runs by path, by ``last`` or by ``zoo:NAME``. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from genzoo.errors import UsageError
from genzoo.host import host
from genzoo.runs.folder import RunFolder, is_run, open_run

RUNS_VARIABLE = "GENZOO_RUNS"
"""Environment variable that names the folder of runs, instead of ``runs``."""


def runs_root(out: str | Path | None = None) -> Path:
    """The folder of runs: ``out``, else the environment's, else ``runs``."""
    return Path(out or os.environ.get(RUNS_VARIABLE) or "runs")


def all_runs(root: Path) -> Iterator[RunFolder]:
    """The runs below a folder, oldest first by name."""
    found = [path.parent for path in root.glob("*/*/run.json") if is_run(path.parent)]
    for path in sorted(found, key=lambda path: path.name):
        yield RunFolder(path)


def find_run(name: str, root: Path | None = None) -> RunFolder:
    """A run by folder, by ``last``, by the name (or a unique part of the name) of its folder, or by ``zoo:NAME``.

    Raises:
        UsageError: If there is none, or the part of a name fits several.
        PluginError: If no plugin ships the ``zoo:`` run.
    """
    if name.startswith("zoo:"):
        return open_run(host().resource("run", name.removeprefix("zoo:")).path)
    root = root or runs_root()
    if is_run(Path(name)):
        return RunFolder(Path(name))
    runs = list(all_runs(root))
    if name == "last":
        if not runs:
            raise UsageError(f"run: there is no run in {root}.", "Start one with `genzoo run vae`.")
        return runs[-1]
    found = [run for run in runs if name and name in run.path.name]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"run: {name!r} fits {len(found)} runs in {root}.", "Give more of the name.")
    raise UsageError(f"run: {name!r} is no run folder.", f"See `genzoo runs list`; the runs looked at are in {root}.")
