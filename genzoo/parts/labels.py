"""Conditioning on labels: vectors, one-hot for classes, as planes beside an image and as numbers beside a latent."""

from __future__ import annotations

import torch
from torch import Tensor

from genzoo.errors import IncompatibleError, UsageError
from genzoo.interfaces.model import check_label
from genzoo.types import ImageSpec


def one_hot(label: Tensor, classes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """One-hot vectors of labels.

    Args:
        label: int64 ``[*]``, in [0, classes).
        classes: Number of classes.
        dtype: Of the result.

    Returns:
        ``[*, classes]``.

    Raises:
        UsageError: If a label is out of range; looked at on the CPU only, where it costs no synchronisation.

    Example:
        >>> one_hot(torch.tensor([2, 0]), 3)
        tensor([[0., 0., 1.],
                [1., 0., 0.]])
    """
    if label.device.type == "cpu" and label.numel() and not torch.compiler.is_compiling():
        least, greatest = (int(bound) for bound in label.aminmax())
        if least < 0 or greatest >= classes:
            raise UsageError(
                f"one_hot: label must be in [0, {classes}), got {least if least < 0 else greatest}.",
                f"Pass labels from 0 to {classes - 1}.",
            )
    return (label[..., None] == torch.arange(classes, device=label.device)).to(dtype)


def labels_used(name: str, conditional: bool, image: ImageSpec) -> int:
    """How many labels a part uses that may be conditional: the classes of the data, or 0.

    Args:
        name: Of the part.
        conditional: Whether it uses labels.
        image: What one image is.

    Raises:
        IncompatibleError: If it should use labels that the data has not.
    """
    if not conditional:
        return 0
    if not image.classes:
        raise IncompatibleError(f"{name}: the dataset must have labels, got one without.", "Leave conditional off.")
    return image.classes


def condition_size(image: ImageSpec) -> int:
    """How many numbers `condition` makes of a label; 0 where images have none."""
    return len(image.conditions) or image.classes or 0


def condition(label: Tensor | None, image: ImageSpec, dtype: torch.dtype = torch.float32) -> Tensor:
    """What a network reads of a label: the one-hot vector of a class, or the vector of conditions as it is.

    Args:
        label: int64 ``[*]``, or float ``[*, C]`` where the images have conditions.
        image: What one image is.
        dtype: Of the result.

    Returns:
        ``[*, condition_size(image)]``.

    Raises:
        UsageError: If there is no label, or it is none of these.
    """
    label = check_label(label, image)
    return label.to(dtype) if image.conditions else one_hot(label, image.classes or 0, dtype)


def append_planes(image: Tensor, vector: Tensor) -> Tensor:
    """Images with a vector beside them, each of its numbers spread over one plane.

    Args:
        image: ``[*, C, H, W]``.
        vector: ``[*, D]``, or with fewer leading dimensions, which are then repeated.

    Returns:
        ``[*, C + D, H, W]``.

    Raises:
        UsageError: If the leading dimensions do not fit.

    Example:
        >>> append_planes(torch.zeros(5, 1, 28, 28), one_hot(torch.arange(5), 10)).shape
        torch.Size([5, 11, 28, 28])

    References:
        Section 3.2.1 of Le Trung et al. 2026, *Variational Autoencoders: Theory, Implementation, and Conditional
        Extensions on MNIST*.
    """
    planes = _spread(vector, image.shape[:-3])[..., None, None]
    return torch.cat([image, planes.expand(*planes.shape[:-2], *image.shape[-2:]).to(image.dtype)], dim=-3)


def append_vector(latent: Tensor, vector: Tensor) -> Tensor:
    """Latent vectors with another vector behind them.

    Args:
        latent: ``[*, d]``.
        vector: ``[*, D]``, or with fewer leading dimensions, which are then repeated: labels ``[B]`` give ``[B, D]``,
            which serves K samples ``[K, B, d]``.

    Returns:
        ``[*, d + D]``.

    Raises:
        UsageError: If the leading dimensions do not fit.

    Example:
        >>> append_vector(torch.zeros(3, 5, 2), one_hot(torch.arange(5), 10)).shape
        torch.Size([3, 5, 12])
    """
    return torch.cat([latent, _spread(vector, latent.shape[:-1]).to(latent.dtype)], dim=-1)


def _spread(vector: Tensor, leading: torch.Size) -> Tensor:
    own = vector.shape[:-1]
    if tuple(leading[len(leading) - len(own) :]) != tuple(own) or len(own) > len(leading):
        raise UsageError(
            f"labels: label must have a shape that {list(leading)} ends in, got {list(own)}.",
            "Pass one label an image.",
        )
    return vector.expand(*leading, vector.shape[-1])
