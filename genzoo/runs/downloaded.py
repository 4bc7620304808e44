"""Runs of the Hugging Face Hub, ``hf:USER/NAME`` or ``hf:USER/NAME@REVISION``. Imports no torch."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from genzoo.errors import UsageError
from genzoo.host import origin
from genzoo.runs.folder import RunFolder, is_run
from genzoo.text import one_line

PREFIX = "hf:"
FILES = ("config.toml", "run.json", "metrics.jsonl", "README.md", "checkpoints/**")
"""What is fetched of a repository; of other files nothing is."""

_NAME = re.compile(r"hf:(?P<repository>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>[\w./-]+))?")


def check_hub(what: str) -> None:
    """Refuse where huggingface_hub is missing.

    Raises:
        UsageError: With the command that installs it.
    """
    if find_spec("huggingface_hub") is None:
        raise UsageError(
            f"{what} needs huggingface_hub, which is not installed.", f"Install it: {origin.install('genzoo[hub]')}"
        )


def downloaded(name: str) -> RunFolder:
    """A run of the hub, fetched into its cache where it is not there yet.

    Weights are safetensors; no other kind of weights is fetched, and no code.

    Args:
        name: ``hf:USER/NAME``, with ``@`` and a branch, tag or commit where it is not the newest of the main branch.

    Raises:
        UsageError: If the name is no such name, the hub cannot be reached, or has no run of genzoo there.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise UsageError(f"run: a run of the hub must be hf:USER/NAME or hf:USER/NAME@REVISION, got {name!r}.")
    check_hub(f"run: {name}")
    from huggingface_hub import snapshot_download

    try:
        path = Path(snapshot_download(found["repository"], revision=found["revision"], allow_patterns=list(FILES)))
    except Exception as error:
        why = one_line(str(error).strip().partition("\n")[0])[:300]
        raise UsageError(
            f"run: {name} could not be fetched ({type(error).__name__}: {why}).",
            "See that the name is right and the hub can be reached; `hf auth login` opens private repositories.",
        ) from error
    if not is_run(path):
        raise UsageError(
            f"run: {name} must hold a run of genzoo, got a repository without run.json and config.toml.",
            "`genzoo export RUN --to hub-folder` makes one.",
        )
    return RunFolder(path)
