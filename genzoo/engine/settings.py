"""What the machine does well: device, precision, memory format and fused arithmetic, chosen once and recorded."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from genzoo.engine.arithmetic import full_float32, repeatable
from genzoo.errors import UsageError
from genzoo.recipe import TrainOptions


@dataclass(frozen=True)
class Settings:
    """How the training step runs.

    Args:
        device: Such as ``"cpu"`` or ``"cuda:0"``.
        precision: ``"fp32"`` or ``"bf16"`` (autocast of the model; the loss and all metrics stay in float32).
        channels_last: Memory format of images and convolution weights.
        compile: Whether the model is compiled.
        threads: Threads of torch on the CPU.
        processes: How many processes train together.
        cuda_graphs: Whether steps are replayed as CUDA graphs where that is sound; see `genzoo.engine.static_steps`.
    """

    device: str
    precision: str
    channels_last: bool
    compile: bool
    threads: int
    processes: int = 1
    cuda_graphs: bool = False

    def record(self) -> dict[str, Any]:
        return {**asdict(self), "torch": torch.__version__}

    @contextmanager
    def autocast(self) -> Generator[None]:
        """Autocast of the training step. In float32 a caller's is turned off; where there is none, nothing is done, since
        entering one takes a part of a small model's step.
        """
        device, wanted = self.device.split(":")[0], self.precision == "bf16"
        if not wanted and not torch.is_autocast_enabled(device):
            yield
            return
        with torch.autocast(device, torch.bfloat16, enabled=wanted):
            yield

    @contextmanager
    def fast_arithmetic(self) -> Generator[None]:
        """The arithmetic of training: denormal numbers are zero, and on CUDA each sum has one order and float32 is not
        TensorFloat-32. All is put back.
        """
        tiny = torch.tensor(1e-40)
        was_flushing = bool((tiny * 1.0).item() == 0)
        torch.set_flush_denormal(True)
        try:
            with ExitStack() as stack:
                if self.device.startswith("cuda"):
                    stack.enter_context(repeatable())
                    if self.precision == "fp32":
                        stack.enter_context(full_float32())
                yield
        finally:
            torch.set_flush_denormal(was_flushing)


def choose(train: TrainOptions, model: nn.Module) -> Settings:
    """The settings for a model on this machine.

    bfloat16 is chosen where the processor multiplies it natively; channels_last where there are convolutions, but for
    float32 on CUDA, whose kernels are slower so (benchmarks/RESULTS.md).

    Raises:
        UsageError: If the device asked for is absent.
    """
    device = _device(train.device)
    precision = train.precision
    if precision == "auto":
        precision = "bf16" if _multiplies_bfloat16(device) else "fp32"
    convolves = any(isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)) for m in model.modules())
    channels_last = convolves and not (device.startswith("cuda") and precision == "fp32")
    graphs = train.cuda_graphs and device.startswith("cuda") and not train.compile
    return Settings(device, precision, channels_last, train.compile, torch.get_num_threads(), cuda_graphs=graphs)


def _device(wanted: str) -> str:
    if wanted == "auto":
        if torch.cuda.is_available():
            return "cuda:0"
        return "cpu"
    if wanted.startswith("cuda"):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        index = int(wanted.partition(":")[2] or 0)
        if index >= count:
            raise UsageError(
                f"run: --device must be a device of this machine, got {wanted}; torch sees {count} CUDA devices.",
                "Leave --device out, or choose cpu.",
            )
        return f"cuda:{index}"
    if wanted == "mps" and not torch.backends.mps.is_available():
        raise UsageError("run: --device must be a device of this machine, got mps, which torch does not see.")
    return wanted


def _multiplies_bfloat16(device: str) -> bool:
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())  # pyright: ignore[reportPrivateUsage]
    return False
