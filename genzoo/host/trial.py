"""Each declaration imported in a process of its own, which may end, crash or hang without taking anything with it.

`genzoo.host.guard` protects a command from what Python code can undo; this finds the rest, and names who it was. Importing
this module imports no torch.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterable
from importlib.metadata import EntryPoint
from pathlib import Path

from genzoo.host.discovery import Discovery, Problem, distribution_of, intrusive
from genzoo.host.guard import Guard, end_beside_threads

SECONDS = 20.0
"""A declaration that takes longer than this to import, or its process to end afterwards, counts as one that never does."""

_FATAL = (
    "Remove it: pip uninstall {0}. No other genzoo command is safe from it until then; GENZOO_LOAD_PLUGINS, set to the "
    "distributions that may be loaded, keeps it out."
)
_AT_ONCE = 4
_CHILD = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from genzoo.host.trial import child; child(*sys.argv[2:])"
)


def try_declarations(points: Iterable[EntryPoint], seconds: float = SECONDS) -> dict[tuple[str, str], list[Problem]]:
    """Import declarations, each in a process of its own.

    Args:
        points: Their entry points.
        seconds: Time limit of each.

    Returns:
        (distribution, entry point) → its problems, for those that have any. A problem of the kind ``fatal`` tells of a
        declaration that must not be imported in this process.
    """
    from concurrent.futures import ThreadPoolExecutor

    points = list(points)
    with ThreadPoolExecutor(min(_AT_ONCE, os.cpu_count() or 1)) as pool:
        results = pool.map(lambda point: _try(point, seconds), points)
        return {
            (distribution_of(point)[0], point.name): found
            for point, found in zip(points, results, strict=True)
            if found
        }


def child(file: str, distribution: str, version: str, name: str, value: str, group: str) -> None:
    """What the child process does: import one declaration, and write into ``file`` what it changed."""
    write = Path(file).write_text
    with Guard() as guard:
        found = Discovery(guard)
        found.load(EntryPoint(name, value, group), (distribution, version), None)
        found.finish()
    write(json.dumps([item.cause for item in found.problems if item.kind == "intrusive"]), encoding="utf-8")
    end_beside_threads(0)


def _try(point: EntryPoint, seconds: float) -> list[Problem]:
    import subprocess  # here and above, since the child needs neither
    import tempfile

    distribution, version = distribution_of(point)
    with tempfile.TemporaryDirectory(prefix="genzoo-") as folder:
        file = Path(folder, "found.json")
        words = [str(file), distribution, version, point.name, point.value, point.group]
        ended = ""
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-c", _CHILD, json.dumps(sys.path), *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=seconds,
                check=False,
            )
            if done.returncode:
                ended = f"ended the process with {_code(done.returncode)}"
        except subprocess.TimeoutExpired:
            ended = f"did not return within {seconds:g} s"
        try:
            changes = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            changes = []
            ended = ended or "ended the process with exit code 0"
        else:
            ended = ended and ended.replace("did not return", "let the process not end")
    problems = [
        Problem(point.name, distribution, version, cause, "intrusive", intrusive(distribution)) for cause in changes
    ]
    if ended:
        cause = f"importing {point.value} {ended}"
        problems.append(Problem(point.name, distribution, version, cause, "fatal", _FATAL.format(distribution)))
    return problems


def _code(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"the signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
