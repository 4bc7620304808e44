"""What a metric may return beside plain numbers: their units, what was done, and the value of each image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from genzoo.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class PerImage:
    """A metric's own number, image by image, so that two runs can be compared on the same images.

    Args:
        value: float64 ``[N]``; the mean is the metric's number.
        index: int64 ``[N]``, the place of each image in the split that was measured.
        image: int64 ``[N]``, `fingerprints` of the images as they were measured.

    Raises:
        UsageError: If the three are not of one length N ≥ 1.
    """

    value: Tensor
    index: Tensor
    image: Tensor

    def __post_init__(self) -> None:
        shapes = [list(part.shape) for part in (self.value, self.index, self.image)]
        if shapes != [[len(self.value)]] * 3 or not len(self.value):
            raise UsageError(f"metric: value, index and image must each be [N] with N ≥ 1, got {shapes}.")


class Measurement(dict[str, float]):
    """Numbers of a metric by name, with what belongs to them.

    Args:
        numbers: By name; the empty name is the metric's own.
        units: By name, of the numbers whose unit is not the metric's: ``""`` for a share, a score or a correlation.
        protocol: What was done, one line, instead of the metric's `Metric.protocol`: ``"2000 of 10000 test images"``.
        warnings: Sentences that have to be read with the numbers.
        per_image: The metric's own number, image by image.

    Raises:
        UsageError: If a unit is given for a number that is not there.

    Example:
        >>> found = Measurement({"": 97.1, "samples": 200}, units={"samples": "samples"}, protocol="K = 200")
        >>> found[""], found.units["samples"]
        (97.1, 'samples')
    """

    def __init__(
        self,
        numbers: Mapping[str, float],
        *,
        units: Mapping[str, str] | None = None,
        protocol: str = "",
        warnings: Sequence[str] = (),
        per_image: PerImage | None = None,
    ) -> None:
        super().__init__(numbers)
        self.units = dict(units or {})
        self.protocol = protocol
        self.warnings = tuple(warnings)
        self.per_image = per_image
        if unknown := self.units.keys() - self.keys():
            raise UsageError(f"metric: units must be of numbers that are measured, got {sorted(unknown)}.")


def fingerprints(images: Tensor) -> Tensor:
    """A 64-bit hash of each image's values, the same on every device, to tell whether two runs saw the same images.

    Args:
        images: ``[B, *]``, as they were measured.

    Returns:
        int64 ``[B]`` on the CPU.

    Example:
        >>> import torch
        >>> one = fingerprints(torch.zeros(2, 1, 4, 4))
        >>> bool(one[0] == one[1]), bool(one[0] == fingerprints(torch.ones(1, 1, 4, 4))[0])
        (True, False)
    """
    import torch

    rows: Iterable[bytes] = (row.tobytes() for row in images.detach().cpu().float().flatten(1).numpy())
    return torch.tensor([int.from_bytes(blake2b(row, digest_size=8).digest(), "little", signed=True) for row in rows])
