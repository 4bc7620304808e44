"""Values per image that metrics leave beside run.json, as ``metrics/KEY.npz``, and the paired difference of two runs.

The file holds ``value`` (float64), ``index`` (int64, the place in the split) and ``image`` (int64, a fingerprint of the
image as it was measured). Images are paired by their fingerprint, so that neither subsets nor orders can mix them up.
"""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genzoo import storage
from genzoo.bounded import UNREADABLE_ZIP, reason, refuse_large_arrays
from genzoo.errors import CorruptError
from genzoo.runs.folder import RunFolder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ARRAYS = {"value": "float64", "index": "int64", "image": "int64"}


def keep(results: Mapping[str, Any], run: RunFolder) -> dict[str, Any]:
    """Write the values per image of fresh results, and return the results as run.json has them.

    Raises:
        StorageError: If a file cannot be written.
    """
    kept: dict[str, Any] = {}
    for key, result in results.items():
        kept[key] = dict(result)
        if "per_image" in result:
            kept[key]["per_image"] = _write(run, key, result["per_image"])
    return kept


def _write(run: RunFolder, key: str, values: Any) -> str:
    import numpy as np

    folder = run.path / "metrics"
    if not folder.is_dir():
        storage.make_folder(folder)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, **{name: getattr(values, name).cpu().numpy().astype(kind) for name, kind in _ARRAYS.items()}
    )
    storage.replace(folder / f"{key}.npz", buffer.getvalue())
    return f"metrics/{key}.npz"


def has_values(run: RunFolder, key: str) -> bool:
    """Whether a run has the values per image of a metric."""
    named = isinstance(run.record().get("metrics", {}).get(key, {}).get("per_image"), str)
    return named and (run.path / "metrics" / f"{key}.npz").is_file()


def read(run: RunFolder, key: str) -> dict[str, NDArray[Any]] | None:
    """``value``, ``index`` and ``image`` of a metric's images, None where the run has none.

    Raises:
        CorruptError: If the file is there and cannot be read.
    """
    if not has_values(run, key):
        return None
    import numpy as np

    # The name comes from the key and not from the record, which might name any file.
    path = run.path / "metrics" / f"{key}.npz"
    try:
        # From memory, since numpy leaves a damaged file open.
        data = path.read_bytes()
        refuse_large_arrays(data)
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            found = {name: stored[name] for name in _ARRAYS}
    except UNREADABLE_ZIP as error:
        raise CorruptError(
            f"run: {path} cannot be read: {reason(error)}.", "Measure it again with `genzoo eval`."
        ) from None
    sizes = {array.shape for array in found.values()}
    if (
        len(sizes) != 1
        or len(next(iter(sizes))) != 1
        or any(found[name].dtype != kind for name, kind in _ARRAYS.items())
    ):
        raise CorruptError(f"run: {path} must hold three arrays of one length.", "Measure it again with `genzoo eval`.")
    return found


@dataclass(frozen=True)
class Paired:
    """How much larger a metric is in one run than in another, on the same images.

    Args:
        mean: Mean over images of the first run's value less the second's.
        standard_error: Of that mean, over images; infinite for one image.
        images: How many images both runs have.
        of: How many each has.
    """

    mean: float
    standard_error: float
    images: int
    of: tuple[int, int]

    @property
    def all_images(self) -> bool:
        """Whether both runs have these images and no others."""
        return self.of == (self.images, self.images)


def paired(first: RunFolder, second: RunFolder, key: str) -> Paired | None:
    """The difference of a metric between two runs, image by image; None where one has no values per image, or no image
    is measured in both."""
    one, other = read(first, key), read(second, key)
    if one is None or other is None:
        return None
    import numpy as np

    ours, theirs = _numbered(one["image"]), _numbered(other["image"])
    both = [(ours[name], theirs[name]) for name in ours if name in theirs]
    if not both:
        return None
    rows, columns = (np.array(side) for side in zip(*both, strict=True))
    apart = one["value"][rows] - other["value"][columns]
    count = len(apart)
    error = float(apart.std(ddof=1)) / math.sqrt(count) if count > 1 else math.inf
    return Paired(float(apart.mean()), error, count, (len(ours), len(theirs)))


def _numbered(images: NDArray[np.int64]) -> dict[tuple[int, int], int]:
    """(fingerprint, how often it came before) → row, so that equal images are paired in the order that they have."""
    seen: Counter[int] = Counter()
    rows: dict[tuple[int, int], int] = {}
    for row, image in enumerate(images.tolist()):
        rows[image, seen[image]] = row
        seen[image] += 1
    return rows
