"""A device that computes on the CPU and refuses what CUDA refuses, for a rehearsal where there is no CUDA device.

Its tensors say that they lie on ``apart:0``. An operation that mixes them with the CPU's raises, as it would on CUDA; so
does ``.numpy()``. What makes the processor wait for a device (``.item()``, a copy, a boolean mask) raises while `waiting`
forbids it. Random numbers come from the CPU's generator. What the kernels of CUDA compute, and in which order they sum,
only a device can tell.

Importing this module registers the device for the whole process, so it is imported in a process of its own.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "apart"
PLACE = f"{NAME}:0"
aten = torch.ops.aten

CROSSES = {aten._to_copy.default, aten.copy_.default}
"""Operations whose arguments may lie on two devices."""
INDEXES = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
"""Those that read a tensor of the device by indices that may lie on the CPU, but not the other way round."""
WAITS = {
    aten._local_scalar_dense.default,
    aten.equal.default,
    aten.masked_select.default,
    aten.nonzero.default,
    aten._unique2.default,
    aten.unique_dim.default,
    aten.repeat_interleave.Tensor,
}
"""Those whose result, or its shape, the processor must know."""

_may_wait = [True]


class ApartTensor(Tensor):
    """A tensor on the device, around one on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> ApartTensor:
        made = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=PLACE,
        )
        made.held = held
        return made

    def __repr__(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return f"{self.held!r} on {PLACE}"

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["held"], None

    @staticmethod
    def __tensor_unflatten__(inner: Mapping[str, Tensor], _meta: Any, _size: Any, _stride: Any) -> ApartTensor:
        return ApartTensor(inner["held"])

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatched(func, args, kwargs or {})


class Operations(TorchDispatchMode):
    """Takes what makes a tensor on the device without reading one."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatched(func, args, kwargs or {})


class Literals(TorchFunctionMode):
    """Takes tensors that are made of Python's numbers, which would pass by a dispatch mode; they are copied from the CPU."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in {torch.tensor, torch.as_tensor} and kwargs.get("device") is not None:
            place = kwargs.pop("device")
            return func(*args, **kwargs).to(place)
        if func is Tensor.new_tensor:
            own, values = args
            return torch.tensor(values, dtype=kwargs.get("dtype", own.dtype)).to(own.device)
        if func in {Tensor.__getitem__, Tensor.__setitem__} and isinstance(args[1], list):
            args = (args[0], torch.tensor(args[1]), *args[2:])
        return func(*args, **kwargs)


@contextmanager
def entered() -> Generator[None]:
    """A block in which tensors can be made on the device."""
    with Operations(), Literals():
        yield


def dispatched(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """An operation, computed on the CPU and refused where CUDA would refuse it."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    theirs = [tensor for tensor in tensors if not isinstance(tensor, ApartTensor)]
    from_here = len(theirs) < len(tensors)
    if from_here and theirs:
        _refuse_mixture(func, tensors, theirs)
    to_here = from_here if func is not aten.copy_.default else isinstance(args[0], ApartTensor)
    if kwargs.get("device") is not None:
        wanted = torch.device(kwargs["device"])
        to_here = wanted.type == NAME
        kwargs = {**kwargs, "device": torch.device("cpu") if to_here else wanted}
    crosses = func in CROSSES and tensors and bool(from_here and not theirs) != to_here
    by_mask = func in INDEXES and any(tensor.dtype == torch.bool for tensor in tensors[1:])
    if not _may_wait[0] and ((func in WAITS and from_here) or crosses or by_mask):
        raise RuntimeError(f"called a synchronizing operation: {func}")
    held_args, held_kwargs = tree_map_only(ApartTensor, lambda tensor: tensor.held, (args, kwargs))
    result = func(*held_args, **held_kwargs)
    if not to_here:
        return result
    result = tree_map_only(Tensor, ApartTensor, result)
    return return_and_correct_aliasing(func, args, kwargs, result) if from_here else result


def _refuse_mixture(func: Any, tensors: list[Tensor], theirs: list[Tensor]) -> None:
    if func in CROSSES:
        return
    if func in INDEXES:
        if not isinstance(tensors[0], ApartTensor):
            raise RuntimeError(f"{func}: indices should be on the same device as the indexed tensor (cpu)")
        return
    # A number on the CPU may stand for itself in what works number by number.
    if torch.Tag.pointwise in func.tags and not any(tensor.dim() for tensor in theirs):
        return
    raise RuntimeError(
        f"{func}: expected all tensors to be on the same device, got {[list(tensor.shape) for tensor in theirs]} on the CPU"
    )


def may_wait(allowed: bool) -> None:
    """Whether the processor may wait for the device from now on."""
    _may_wait[0] = allowed


class _Module:
    """What torch asks of a device's module."""

    def is_initialized(self) -> bool:
        return True

    def is_available(self) -> bool:
        return True

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        pass

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


_setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
_library = torch.library.Library("_", "IMPL")
_library.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")  # autocast changes nothing here
