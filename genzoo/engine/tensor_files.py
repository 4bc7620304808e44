"""Tensors of modules and optimizers as safetensors files, refused where they are not what the objects take."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from genzoo.errors import CorruptError

Optimizers = torch.optim.Optimizer | Mapping[str, torch.optim.Optimizer] | None
"""One optimizer, stored as ``optimizer.safetensors``, or several by the name of their file."""


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


def load_module(path: Path, module: nn.Module) -> None:
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


def pack(tensors: Mapping[str, Tensor]) -> bytes:
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


def by_file(optimizer: Optimizers) -> Mapping[str, torch.optim.Optimizer]:
    if optimizer is None:
        return {}
    return {"optimizer": optimizer} if isinstance(optimizer, torch.optim.Optimizer) else optimizer


def parameter_names(model: nn.Module, loss: nn.Module | None) -> dict[nn.Parameter, str]:
    names = {parameter: f"model.{name}" for name, parameter in model.named_parameters()}
    if loss is not None:
        names.update({parameter: f"loss.{name}" for name, parameter in loss.named_parameters()})
    return names


def optimizer_state(
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


def restore_optimizer(
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
