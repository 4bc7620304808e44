"""The MNIST dataset."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from genzoo.errors import UsageError
from genzoo.parts.idx import read_idx
from genzoo.parts.pixels import PixelDataset
from genzoo.types import ImageSpec, Split
from genzoo_mnist.fixed import find_files, read_files
from genzoo_mnist.options import MnistOptions

DATA = Path(__file__).parent / "data"
"""The folder of the embedded files."""

SHA256 = {
    "train-images-idx3-ubyte.gz": "0b367032e93c5d0cea0925647cfdb18614af8ee15f83e6f2fc2ad904a6835971",
    "train-labels-idx1-ubyte.gz": "1787548bbe0bff1ec2ecdc0ef292b02df999e2d1a6002d27500982c652b17203",
    "t10k-images-idx3-ubyte.gz": "1a1a05eab793c14bb050b398624a11b0ffd1a2953baed553b1b9bd079e2a20be",
    "t10k-labels-idx1-ubyte.gz": "b91679a0acfe4ba0e50a2437a903084cba1f5f92592b016a25a7dfd00455798b",
}
"""The checksum of each embedded file as it is stored."""

_FILES = {"train": ("train", 60_000), "test": ("t10k", 10_000)}


class Mnist(PixelDataset):
    """Handwritten digits: 60,000 training and 10,000 test images, 28×28 and grey, in ten classes.

    Made by Yann LeCun and Corinna Cortes from NIST Special Databases 3 and 1, and commonly distributed under
    CC BY-SA 3.0. The four IDX files come with this package; their checksums are verified before they are parsed.

    With ``binarize = "fixed"`` the images are those that Larochelle binarized, read from files that you have: 50,000
    training and 10,000 validation images, in that order, as the training split, and 10,000 test images. They have no labels.

    Raises:
        UsageError: If ``fixed`` is given without ``binarize = "fixed"`` or the other way round, or its files are not there.
        CorruptError: If a file does not hold as many binary images as it should.

    Example:
        >>> from genzoo_mnist.options import MnistOptions
        >>> test = Mnist(MnistOptions()).split("test")
        >>> tuple(test.images.shape), test.labels[:3].tolist()
        ((10000, 1, 28, 28), [7, 2, 1])

    References:
        Larochelle and Murray 2011, *The Neural Autoregressive Distribution Estimator*, for the fixed binarization.
        LeCun, Bottou, Bengio and Haffner 1998, *Gradient-based learning applied to document recognition*.
    """

    judge_accuracy = 0.99
    licence = "CC-BY-SA-3.0"

    def __init__(self, options: MnistOptions) -> None:
        super().__init__(options)
        self._fixed = find_files(options.fixed) if options.binarize == "fixed" else None
        if options.fixed and self._fixed is None:
            raise UsageError(
                f"mnist: fixed must be given with binarize = fixed alone, got binarize = {options.binarize}.",
                "Add --data.binarize fixed, or leave --data.fixed out.",
            )

    @property
    def stored_spec(self) -> ImageSpec:
        """See `PixelDataset.stored_spec`."""
        return ImageSpec((1, 28, 28), classes=None if self._fixed else 10)

    def read(self, name: str) -> Split:
        """See `PixelDataset.read`."""
        if self._fixed:
            return read_files(self._fixed, name)
        prefix, count = _FILES[name]
        images = _read(f"{prefix}-images-idx3-ubyte.gz", (count, 28, 28))
        labels = _read(f"{prefix}-labels-idx1-ubyte.gz", (count,))
        return Split(images.unsqueeze(1), labels.to(torch.int64))


def _read(file: str, shape: tuple[int, ...]) -> Tensor:
    return read_idx(
        DATA / file,
        f"sha256:{SHA256[file]}",
        shape,
        name="mnist",
        hint="Install genzoo-mnist again, from where it was installed.",
    )
