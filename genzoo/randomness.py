"""Seeds that derive from one another, and a scope that leaves the user's random state as it was.

Distributions of torch take no generator, so the default generator is seeded instead and put back afterwards.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

_MASK = (1 << 64) - 1


def derive(seed: int, *stream: int | str) -> int:
    """A 63-bit seed for a stream of randomness, a pure function of its arguments.

    Mixes with SplitMix64 (Steele et al. 2014), so that neighbouring seeds and steps are unrelated. Of a name the first
    eight bytes count: names that begin alike share a stream.

    Example:
        >>> derive(0, "noise", 1) == derive(0, "noise", 1), derive(0, "noise", 1) == derive(0, "noise", 2)
        (True, False)
    """
    state = _mix(seed & _MASK)
    for part in stream:
        word = int.from_bytes(part.encode()[:8].ljust(8, b"\0"), "little") if isinstance(part, str) else part
        state = _mix(state ^ _mix(word & _MASK))
    return state >> 1


def _mix(value: int) -> int:
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


@contextmanager
def seeded(seed: int | None) -> Generator[None]:
    """Run a block under a seed of torch's default generators and restore their state afterwards.

    Args:
        seed: The seed, or None to leave the generators alone.
    """
    import torch

    if seed is None:
        yield
        return
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        reseed(seed)
        yield


def reseed(seed: int) -> None:
    """Seed torch's default generators, as `torch.manual_seed` does where each device is in use.

    For a device that no one has used yet ``torch.manual_seed`` notes who asked, stack and all, which takes longer than
    a small model's forward pass; this is for the training loop, which seeds every step.
    """
    import torch

    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)
