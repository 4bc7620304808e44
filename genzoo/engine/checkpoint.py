"""Checkpoints that survive a crash at any moment: safetensors and JSON only, never pickle.

A checkpoint is a folder ``step-N`` with ``model.safetensors``, ``optimizer.safetensors``, ``state.json`` and, written
last, ``manifest.json`` with the size and SHA-256 of each. It is made in a staging folder beside its place, synced, and
renamed; only then does ``LAST`` name it, and only after that are older ones removed.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from genzoo import storage
from genzoo.bounded import read_json
from genzoo.engine.checkpoint_folder import BEST, LAST, pointer, step_of, steps_in
from genzoo.engine.checkpoint_shape import ManifestShape, StateShape
from genzoo.engine.tensor_files import (
    Optimizers,
    by_file,
    load_module,
    optimizer_state,
    pack,
    parameter_names,
    restore_optimizer,
)
from genzoo.errors import CorruptError, UsageError
from genzoo.plain import spelled, unspelled

MANIFEST = "manifest.json"
FORMAT = 1
RETRIES = 20
"""Retries when a running job removes the checkpoint between choosing and reading it."""

_log = logging.getLogger("genzoo.checkpoint")


def save_checkpoint(
    folder: Path,
    step: int,
    model: nn.Module,
    optimizer: Optimizers,
    loss: nn.Module | None,
    state: Mapping[str, Any],
    tensors: Mapping[str, Mapping[str, Tensor]] = MappingProxyType({}),
    *,
    identity: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``folder/step-N`` by the protocol above and point ``LAST`` at it.

    Args:
        folder: The run's ``checkpoints`` folder.
        step: Optimizer steps taken; a later checkpoint must have more, for the newest is the one of most steps.
        model: Its state dict is stored.
        optimizer: Its tensors are stored beside the model's, under the names of the parameters; or several by file name.
        loss: Its state dict is stored if it has one.
        state: JSON-able; what `load_checkpoint` gives back.
        tensors: File name → more tensors by name, such as averaged weights.
        identity: Which run the checkpoint is of, for the manifest; see `genzoo.runs.identity`.

    Returns:
        The checkpoint's folder.

    Raises:
        StorageError: If the disk refuses; the checkpoints there are stay as they are.
    """
    final = folder / f"step-{step}"
    staged = folder / f".staging-{step}-{uuid.uuid4().hex[:8]}"
    modules = {"model": model, "loss": loss}
    files = {f"{name}.safetensors": pack(module.state_dict()) for name, module in modules.items() if module is not None}
    if loss is not None and not loss.state_dict():
        del files["loss.safetensors"]
    scalars: dict[str, Any] = {"optimizer": {}, "tensors": {}}
    for name, each in by_file(optimizer).items():
        packed, scalars[name] = optimizer_state(each, parameter_names(model, loss))
        scalars["tensors"][name] = len(packed)
        files[f"{name}.safetensors"] = pack(packed)
    files |= {f"{name}.safetensors": pack(more) for name, more in tensors.items()}
    files["state.json"] = json.dumps(spelled({"step": step, **scalars, **state}), allow_nan=False).encode()
    storage.make_folder(staged)
    try:
        for name, data in files.items():
            storage.write_new(staged / name, data)
        storage.write_new(staged / MANIFEST, _manifest(step, staged, files, identity))
        storage.sync_folder(staged)
        if final.exists():
            # It is of the same step but an earlier moment, or damaged; `find` sees it until the new one is in place.
            storage.rename(final, folder / f".replaced-{step}-{uuid.uuid4().hex[:8]}")
        storage.rename(staged, final)
    except BaseException:
        _remove_quietly(staged)
        raise
    storage.replace(folder / LAST, final.name.encode())
    return final


def verify(path: Path) -> dict[str, Any]:
    """The manifest of a checkpoint whose every file has the size and SHA-256 it states.

    Raises:
        CorruptError: If not, naming the file.
    """
    manifest = read_manifest(path)
    files = {name: (row["size"], row["sha256"]) for name, row in manifest["files"].items()}
    if (named := step_of(path)) is not None and named != manifest["step"]:
        raise CorruptError(f"checkpoint: {path.name} has the manifest of step {manifest['step']}.")
    for name in {"model.safetensors", "state.json", *files}:
        file = path / name
        if name not in files or not file.is_file():
            raise CorruptError(f"checkpoint: {path.name}/{name} is missing.")
        size, digest = files[name]
        try:
            differs = file.stat().st_size != size or storage.sha256(file) != digest
        except OSError as error:
            raise CorruptError(f"checkpoint: {path.name}/{name} cannot be read ({error.strerror or error}).") from None
        if differs:
            raise CorruptError(f"checkpoint: {path.name}/{name} differs from its manifest.")
    return manifest


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a checkpoint; its files are not looked at. See `genzoo.engine.checkpoint_shape`.

    Raises:
        CorruptError: If it is none.
        UsageError: If it was written by a newer genzoo.
    """
    try:
        manifest = read_json(path / MANIFEST, ManifestShape)
    except CorruptError as error:
        raise CorruptError(f"checkpoint: {path.name} has no readable manifest ({error.message}).") from None
    if manifest.get("format", FORMAT) > FORMAT:
        raise UsageError(
            f"checkpoint: format of {path.name} must be at most {FORMAT}, got {manifest['format']}.",
            "Install a newer genzoo to read it.",
        )
    return manifest


def has_checkpoint(folder: Path) -> bool:
    """Whether there is any, intact or not."""
    return bool(steps_in(folder, replaced=True))


def find(folder: Path, *, best: bool = False, warn: Callable[[str], None] = _log.warning) -> Path | None:
    """The newest checkpoint that verifies (or the best one), None where there is none at all.

    Args:
        folder: The run's ``checkpoints`` folder.
        best: Prefer the one that ``BEST`` names.
        warn: Told of each checkpoint that is passed over because it is damaged.

    Raises:
        CorruptError: If there are checkpoints and none verifies.
    """
    candidates: list[Path] = []
    for _ in range(RETRIES):
        candidates = list(reversed(steps_in(folder, replaced=True)))
        preferred = pointer(folder / BEST) if best else None
        candidates.sort(key=lambda path: path.name != preferred)
        for path in candidates:
            try:
                verify(path)
            except CorruptError as error:
                if not path.exists():
                    break  # The run went on and removed it, so there are newer ones.
                if not path.name.startswith("."):
                    warn(f"{error.message} Falling back to an older checkpoint.")
            else:
                return path
        else:
            break
    if candidates:
        raise CorruptError(
            f"checkpoint: none of the {len(candidates)} checkpoints in {folder} is intact.",
            "Nothing was deleted; start a new run with `genzoo run --recipe` and this run's config.toml.",
        )
    return None


def clear_leftovers(folder: Path) -> None:
    """Finish or remove what saves left behind whose process was killed. Nobody else may work on the run meanwhile.

    Args:
        folder: The run's ``checkpoints`` folder.
    """
    for path in folder.glob(".staging-*"):
        storage.remove_folder(path)
    for path in folder.glob(".replaced-*"):
        place = folder / f"step-{step_of(path)}"
        if not place.exists():
            storage.rename(path, place)
        elif _is_sound(place):
            storage.remove_folder(path)
    storage.remove_leftovers(folder)


def mend_pointers(folder: Path, newest: Path, state: Mapping[str, Any]) -> None:
    """Let ``LAST`` and ``BEST`` name what they should, which a crash between their writes leaves undone.

    Args:
        folder: The run's ``checkpoints`` folder.
        newest: The checkpoint that the run is resumed from.
        state: Of it; it knows the best one.
    """
    best = folder / f"step-{state.get('best_step', 0)}"
    for name, target in ((LAST, newest), (BEST, best if state.get("best_step") else None)):
        if target is not None and pointer(folder / name) != target.name and target.is_dir():
            storage.replace(folder / name, target.name.encode())


def read_state(path: Path) -> dict[str, Any]:
    """The state of a checkpoint that `verify` accepts.

    Raises:
        CorruptError: If it is none: a negative count, say, or a loss that is NaN.
    """
    return unspelled(read_json(path / "state.json", StateShape))


def load_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: Optimizers = None,
    loss: nn.Module | None = None,
) -> dict[str, Any]:
    """Load a checkpoint, one that `find` or `verify` accepts, into objects of the same shapes and return its state.

    Args:
        path: The checkpoint.
        model: Takes its weights.
        optimizer: Takes its tensors; or several by file name.
        loss: Takes its state where there is any.

    Raises:
        CorruptError: If a file is no safetensors file, has other names, shapes or dtypes, or holds NaN.
    """
    load_module(path / "model.safetensors", model)
    if loss is not None and (path / "loss.safetensors").exists():
        load_module(path / "loss.safetensors", loss)
    load_optimizers(path, optimizer, model, loss)
    return read_state(path)


def load_optimizers(path: Path, optimizer: Optimizers, model: nn.Module, loss: nn.Module | None) -> None:
    """Load a checkpoint's optimizers, whose parameters are the model's and the loss's. See `load_checkpoint`.

    One of an earlier stage that the checkpoint has not stays as it is.
    """
    state = read_state(path)
    for name, each in by_file(optimizer).items():
        file = path / f"{name}.safetensors"
        if name == "optimizer" or file.exists():
            restore_optimizer(file, each, parameter_names(model, loss), state)


def _manifest(step: int, staged: Path, files: Mapping[str, bytes], identity: Mapping[str, Any] | None) -> bytes:
    rows = {name: {"size": len(data), "sha256": storage.sha256(staged / name)} for name, data in files.items()}
    whose = {} if identity is None else {"identity": identity}
    return json.dumps({"format": FORMAT, "step": step, **whose, "files": rows}, indent=2).encode()


def _is_sound(path: Path) -> bool:
    try:
        verify(path)
    except CorruptError:
        return False
    return True


def _remove_quietly(path: Path) -> None:
    import shutil

    shutil.rmtree(path, ignore_errors=True)
