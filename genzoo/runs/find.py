"""Runs by path, by ``last`` or by ``zoo:NAME``. Imports no torch."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from genzoo import storage
from genzoo.bounded import user_path
from genzoo.errors import CorruptError, GenzooError, UsageError
from genzoo.host import origin
from genzoo.host.plugin_host import InstalledResource, host
from genzoo.runs.downloaded import PREFIX, downloaded
from genzoo.runs.folder import RunFolder, is_run, lacks_recipe, open_run, without_recipe

_log = logging.getLogger("genzoo.run")

RUNS_VARIABLE = "GENZOO_RUNS"
"""Environment variable that names the folder of runs, instead of ``runs``."""


def runs_root(out: str | Path | None = None) -> Path:
    """The folder of runs: ``out``, else the environment's, else ``runs``; ``~`` is the home folder.

    Raises:
        UsageError: If no system takes such a name, or there is no such home folder.
    """
    given = str(out or os.environ.get(RUNS_VARIABLE) or "runs")
    absolute = user_path(given, "run: the folder of runs")
    return absolute if given.startswith("~") else Path(given)


def all_runs(root: Path) -> Iterator[RunFolder]:
    """The runs below a folder, oldest first by name; those that lost their config.toml among them."""
    found = [path.parent for path in root.glob("*/*/run.json") if is_run(path.parent) or lacks_recipe(path.parent)]
    for path in sorted(found, key=lambda path: path.name):
        yield RunFolder(path)


def elsewhere(name: str) -> str | None:
    """NAME of ``zoo:NAME`` and ``hf:USER/NAME``, runs that are not the user's own; None for another name."""
    for prefix in ("zoo:", PREFIX):
        if name.startswith(prefix):
            return name.removeprefix(prefix).partition("@")[0].rpartition("/")[2]
    return None


def find_run(name: str, root: Path | None = None, *, changes: bool = False) -> RunFolder:
    """A run by folder, ``last``, the name (or a unique part of the name) of its folder, ``zoo:NAME`` or ``hf:USER/NAME``.

    Args:
        name: The run.
        root: Folder of runs.
        changes: Whether the run is to be changed. Then ``last`` is the newest run also where that is damaged; otherwise
            it is the newest one that can be read.

    Raises:
        UsageError: If there is none, or the part of a name fits several.
        PluginError: If no plugin ships the ``zoo:`` run.
        CorruptError: If it names a pickle, which is refused unread.
    """
    if name.startswith(PREFIX):
        return downloaded(name)
    if name.startswith("zoo:"):
        return _shipped(host().resource("run", name.removeprefix("zoo:")))
    if Path(name).suffix in {".pt", ".pth", ".pkl", ".ckpt", ".bin"}:
        raise CorruptError(
            f"run: {name} is not a run folder but a file of a kind that may hold pickled code, which genzoo never reads.",
            "Name a run folder; see `genzoo runs list`.",
        )
    root = root or runs_root()
    if is_run(Path(name)):
        return RunFolder(Path(name))
    if lacks_recipe(Path(name)):
        raise without_recipe(Path(name))
    runs = list(all_runs(root))
    if name == "last":
        if not runs:
            raise UsageError(f"run: there is no run in {root}.", "Start one with `genzoo run vae`.")
        return runs[-1] if changes else _newest_readable(runs)
    found = [run for run in runs if name and name in run.path.name]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"run: {name!r} fits {len(found)} runs in {root}.", "Give more of the name.")
    raise UsageError(f"run: {name!r} is no run folder.", f"See `genzoo runs list`; the runs looked at are in {root}.")


def _newest_readable(runs: list[RunFolder]) -> RunFolder:
    for run in reversed(runs):
        try:
            run.record()
        except GenzooError as error:
            _log.warning("%s It is passed over as the last run.", error.message)
        else:
            return run
    return runs[-1]


def _shipped(resource: InstalledResource) -> RunFolder:
    """A run that a plugin ships, if its checkpoint's manifest is the one that the plugin declares.

    Raises:
        CorruptError: If it is not.
    """
    run = open_run(resource.path)
    manifests = list(run.checkpoints.glob("step-*/manifest.json"))
    stated = resource.resource.sha256
    if len(manifests) != 1 or (stated and storage.sha256(manifests[0]) != stated):
        raise CorruptError(
            f"run: the weights of {resource.label} are not those that it declares.",
            f"Reinstall it: {origin.reinstall(resource.distribution)}",
        )
    return RunFolder(run.path, vouched=bool(stated))
