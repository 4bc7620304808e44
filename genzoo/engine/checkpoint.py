"""Checkpoints that survive a crash at any moment: safetensors and JSON only, never pickle.

A checkpoint is a folder ``step-N`` with ``model.safetensors``, ``optimizer.safetensors``, ``state.json`` and, written
last, ``manifest.json`` with the size and SHA-256 of each. It is made in a staging folder beside its place, synced, and
renamed; only then does ``LAST`` name it, and only after that are older ones removed.
"""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from genzoo import storage
from genzoo.bounded import read_json, read_text
from genzoo.engine.checkpoint_shape import ManifestShape, StateShape
from genzoo.errors import CorruptError, UsageError
from genzoo.plain import spelled, unspelled

MANIFEST = "manifest.json"
LAST = "LAST"
BEST = "BEST"
FORMAT = 1
RETRIES = 20
"""How often a reader looks anew when the checkpoint it chose was removed by the run, which goes on."""

Optimizers = torch.optim.Optimizer | Mapping[str, torch.optim.Optimizer] | None
"""One optimizer, stored as ``optimizer.safetensors``, or several by the name of their file."""

_log = logging.getLogger("genzoo.checkpoint")
_STEP = re.compile(r"step-(\d+)")
_REPLACED = re.compile(r"\.replaced-(\d+)-[0-9a-f]+")


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
    files = {
        f"{name}.safetensors": _pack(module.state_dict()) for name, module in modules.items() if module is not None
    }
    if loss is not None and not loss.state_dict():
        del files["loss.safetensors"]
    scalars: dict[str, Any] = {"optimizer": {}, "tensors": {}}
    for name, each in _by_file(optimizer).items():
        packed, scalars[name] = _optimizer_state(each, _names(model, loss))
        scalars["tensors"][name] = len(packed)
        files[f"{name}.safetensors"] = _pack(packed)
    files |= {f"{name}.safetensors": _pack(more) for name, more in tensors.items()}
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


def prune(folder: Path, keep: int) -> None:
    """Remove all but the newest ``keep`` checkpoints, the one that ``BEST`` names, and leftovers of crashed saves."""
    best = _pointer(folder / BEST)
    last = _pointer(folder / LAST)
    steps = _steps(folder)
    for old in steps[: max(0, len(steps) - keep)]:
        if old.name not in {best, last}:
            storage.remove_folder(old)
    for stale in [*folder.glob(".staging-*"), *folder.glob(".replaced-*")]:
        storage.remove_folder(stale)


def verify(path: Path) -> dict[str, Any]:
    """The manifest of a checkpoint whose every file has the size and SHA-256 it states.

    Raises:
        CorruptError: If not, naming the file.
    """
    manifest = read_manifest(path)
    files = {name: (row["size"], row["sha256"]) for name, row in manifest["files"].items()}
    if (named := _step_of(path)) is not None and named != manifest["step"]:
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
    return bool(_steps(folder, replaced=True))


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
        candidates = list(reversed(_steps(folder, replaced=True)))
        preferred = _pointer(folder / BEST) if best else None
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
        place = folder / f"step-{_step_of(path)}"
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
    for pointer, target in ((LAST, newest), (BEST, best if state.get("best_step") else None)):
        if target is not None and _pointer(folder / pointer) != target.name and target.is_dir():
            storage.replace(folder / pointer, target.name.encode())


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
    _load_module(path / "model.safetensors", model)
    if loss is not None and (path / "loss.safetensors").exists():
        _load_module(path / "loss.safetensors", loss)
    load_optimizers(path, optimizer, model, loss)
    return read_state(path)


def load_optimizers(path: Path, optimizer: Optimizers, model: nn.Module, loss: nn.Module | None) -> None:
    """Load a checkpoint's optimizers, whose parameters are the model's and the loss's. See `load_checkpoint`.

    One of an earlier stage that the checkpoint has not stays as it is.
    """
    state = read_state(path)
    for name, each in _by_file(optimizer).items():
        file = path / f"{name}.safetensors"
        if name == "optimizer" or file.exists():
            _restore_optimizer(file, each, _names(model, loss), state)


def stored_tensors(path: Path, name: str) -> dict[str, Tensor]:
    """Tensors that a checkpoint keeps beside modules and optimizers, none where it does not. See `save_checkpoint`."""
    file = path / f"{name}.safetensors"
    return read_tensors(file) if file.exists() else {}


def read_tensors(path: Path, shapes: Mapping[str, torch.Size] | None = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file, their names and shapes checked against ``shapes`` before any is allocated.

    Raises:
        CorruptError: If the file is no safetensors file (a pickle, say), or its names or shapes differ.
    """
    if path.suffix != ".safetensors":
        raise CorruptError(
            f"checkpoint: {path.name} must be a .safetensors file; others may run code when read and are refused unread."
        )
    with _sound(path), safe_open(path, framework="pt") as file:  # pyright: ignore[reportUnknownVariableType, reportArgumentType]
        names: set[str] = set(file.keys())
        if shapes is not None:
            _check_names(path, names, set(shapes))
            for name, shape in shapes.items():
                found = tuple(file.get_slice(name).get_shape())
                if found != tuple(shape):
                    raise CorruptError(
                        f"checkpoint: {path.name}: {name} must have shape {list(shape)}, got {list(found)}."
                    )
        return {name: file.get_tensor(name) for name in names}


def _load_module(path: Path, module: nn.Module) -> None:
    own = module.state_dict()
    found = read_tensors(path, {name: tensor.shape for name, tensor in own.items()})
    for name, tensor in found.items():
        if tensor.dtype != own[name].dtype:
            raise CorruptError(f"checkpoint: {path.name}: {name} must be {own[name].dtype}, got {tensor.dtype}.")
    for name in dict(module.named_parameters()).keys() & found.keys():
        _refuse_nan(path, name, found[name])
    module.load_state_dict(found)


def _check_names(path: Path, found: set[str], wanted: set[str]) -> None:
    if found != wanted:
        missing, extra = sorted(wanted - found)[:3], sorted(found - wanted)[:3]
        raise CorruptError(
            f"checkpoint: {path.name} is of another model: missing {', '.join(missing) or 'nothing'}, "
            f"unexpected {', '.join(extra) or 'nothing'}."
        )


def _pack(tensors: Mapping[str, Tensor]) -> bytes:
    """The tensors as a safetensors file; those that share memory, such as tied weights, each with a copy of its own."""
    packed: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        own = tensor.detach().to("cpu").contiguous()
        if own.untyped_storage().data_ptr() in seen:
            own = own.clone()
        seen.add(own.untyped_storage().data_ptr())
        packed[name] = own
    return save(packed)


def _manifest(step: int, staged: Path, files: Mapping[str, bytes], identity: Mapping[str, Any] | None) -> bytes:
    rows = {name: {"size": len(data), "sha256": storage.sha256(staged / name)} for name, data in files.items()}
    whose = {} if identity is None else {"identity": identity}
    return json.dumps({"format": FORMAT, "step": step, **whose, "files": rows}, indent=2).encode()


def _by_file(optimizer: Optimizers) -> Mapping[str, torch.optim.Optimizer]:
    if optimizer is None:
        return {}
    return {"optimizer": optimizer} if isinstance(optimizer, torch.optim.Optimizer) else optimizer


def _names(model: nn.Module, loss: nn.Module | None) -> dict[nn.Parameter, str]:
    names = {parameter: f"model.{name}" for name, parameter in model.named_parameters()}
    if loss is not None:
        names.update({parameter: f"loss.{name}" for name, parameter in loss.named_parameters()})
    return names


def _optimizer_state(
    optimizer: torch.optim.Optimizer, names: Mapping[nn.Parameter, str]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, Any] = {}
    for parameter, values in optimizer.state.items():
        for key, value in values.items():
            full = f"{names[parameter]}/{key}"  # pyright: ignore[reportArgumentType]
            if isinstance(value, Tensor):
                tensors[full] = value
            elif value is not None:
                scalars[full] = value
    return tensors, scalars


def _restore_optimizer(
    path: Path, optimizer: torch.optim.Optimizer, names: Mapping[nn.Parameter, str], state: Mapping[str, Any]
) -> None:
    """Put the tensors of ``path``, and the numbers that ``state`` keeps under its name, back into an optimizer."""
    by_name = {name: parameter for parameter, name in names.items()}
    on_device = bool(optimizer.defaults.get("fused") or optimizer.defaults.get("capturable"))
    optimizer.state.clear()
    stored = read_tensors(path, _optimizer_shapes(path, by_name))
    count = state.get("tensors", {}).get(path.stem)
    if count is None and not isinstance(optimizer, torch.optim.SGD) and state["step"] > 0 and not state.get("prior"):
        count = max(len(stored), 1)  # Of an earlier release, which did not say how many there are.
    if count not in (None, len(stored)):
        raise CorruptError(f"checkpoint: {path.name} must hold {count} tensors, got {len(stored)}.")
    for full, value in {**stored, **state.get(path.stem, {})}.items():
        name, _, key = full.rpartition("/")
        if name not in by_name:
            raise CorruptError(f"checkpoint: {path.name} is of another model: unexpected {name}.")
        parameter = by_name[name]
        _check_kept(path, full, value, parameter)
        moves = isinstance(value, Tensor) and (value.shape == parameter.shape or on_device)
        optimizer.state[parameter][key] = _like(value, parameter) if moves else value


def _check_kept(path: Path, name: str, value: Any, parameter: nn.Parameter) -> None:
    """Refuse what no step leaves: moments of another dtype, NaN, and counts below zero."""
    if not isinstance(value, Tensor):
        value = torch.as_tensor(value, dtype=torch.float64)
    elif value.dim() and value.dtype != parameter.dtype:
        raise CorruptError(f"checkpoint: {path.name}: {name} must be {parameter.dtype}, got {value.dtype}.")
    _refuse_nan(path, name, value)
    if name.endswith("/step") and bool((value < 0).any()):
        raise CorruptError(f"checkpoint: {path.name}: {name} must be at least 0, got {float(value.min()):g}.")


def _refuse_nan(path: Path, name: str, value: Tensor) -> None:
    if bool(value.isnan().any()):
        raise CorruptError(f"checkpoint: {path.name}: {name} must be numbers, and holds NaN.")


def _optimizer_shapes(path: Path, parameters: Mapping[str, nn.Parameter]) -> dict[str, torch.Size]:
    """The shape of each stored tensor: its parameter's, or none for a count such as Adam's step."""
    shapes: dict[str, torch.Size] = {}
    for full, shape in _stored_shapes(path).items():
        parameter = parameters.get(full.rpartition("/")[0])
        if parameter is not None:
            shapes[full] = parameter.shape if shape else torch.Size()
    return shapes


def _stored_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    with _sound(path), safe_open(path, framework="pt") as file:  # pyright: ignore[reportUnknownVariableType, reportArgumentType]
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


@contextmanager
def _sound(path: Path) -> Generator[None]:
    try:
        yield
    except (SafetensorError, OSError, ValueError, OverflowError, MemoryError) as error:
        raise CorruptError(f"checkpoint: {path.name} is not a sound safetensors file: {error}.") from None


def _like(value: Tensor, parameter: nn.Parameter) -> Tensor:
    """The stored tensor in the parameter's memory format, on its device."""
    if value.shape != parameter.shape:
        return value.to(parameter.device)
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def _steps(folder: Path, *, replaced: bool = False) -> list[Path]:
    """Checkpoints by step; with ``replaced``, also those that a crash left between being replaced and removed."""
    found = [(int(match[1]), 1, path) for path in folder.glob("step-*") if (match := _STEP.fullmatch(path.name))]
    if replaced:
        hidden = folder.glob(".replaced-*")
        found += [(int(match[1]), 0, path) for path in hidden if (match := _REPLACED.fullmatch(path.name))]
    return [path for _, _, path in sorted(found)]


def _is_sound(path: Path) -> bool:
    try:
        verify(path)
    except CorruptError:
        return False
    return True


def _step_of(path: Path) -> int | None:
    match = _STEP.fullmatch(path.name) or _REPLACED.fullmatch(path.name)
    return int(match[1]) if match else None


def _pointer(path: Path) -> str | None:
    try:
        return read_text(path, most=200).strip() or None
    except CorruptError:
        return None


def _remove_quietly(path: Path) -> None:
    import shutil

    shutil.rmtree(path, ignore_errors=True)
