"""Asks the probe: one process with torch and one without, started when first needed and shared by all components.

Where a process must not be forked once torch is loaded, each request has a process of its own.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

FORKS = hasattr(os, "fork") and sys.platform != "darwin"
"""Whether the probe answers from forked children. Windows has no fork; on macOS a fork after torch may hang or crash."""

_processes: dict[bool, subprocess.Popen[str]] = {}


def ask(task: str, *, torch: bool, **request: Any) -> dict[str, Any]:
    """What the probe found.

    Args:
        task: One of `genzoo.testing.probe.TASKS`.
        torch: Whether to ask the process that has imported torch.
        request: What the task needs.
    """
    process = _process(torch)
    with tempfile.TemporaryDirectory(prefix="genzoo-probe-") as folder:
        answer = Path(folder) / "answer.json"
        line = json.dumps({"task": task, "answer": str(answer), "path": sys.path, **request})
        assert process.stdin
        assert process.stdout
        process.stdin.write(line + "\n")
        process.stdin.flush()
        process.stdout.readline()
        if not FORKS:
            _end(_processes.pop(torch))
        if not answer.exists():
            return {"error": "the process ended without an answer"}
        return json.loads(answer.read_text(encoding="utf-8"))


def start() -> None:
    """Start the slow one of the two in the background, so that it is ready when it is needed."""
    _process(True)


def _process(torch: bool) -> subprocess.Popen[str]:
    running = _processes.get(torch)
    if running is None or running.poll() is not None:
        # -P: a file of the current folder that is called json.py is not json.
        command = [sys.executable, "-P", "-W", "ignore", "-m", "genzoo.testing.probe"]
        command += [*(["--torch"] if torch else []), *([] if FORKS else ["--once"])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(item for item in sys.path if item)}
        running = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, encoding="utf-8"
        )
        _processes[torch] = running
    return running


@atexit.register
def stop() -> None:
    """End both processes."""
    for process in _processes.values():
        _end(process)
    _processes.clear()


def _end(process: subprocess.Popen[str]) -> None:
    if process.stdin:
        process.stdin.close()
    if process.stdout:
        process.stdout.close()
    try:
        process.wait(timeout=2)
    except subprocess.TimeoutExpired:  # still importing
        process.kill()
        process.wait()
