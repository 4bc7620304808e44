"""Running a module that knows one batch dimension over any leading dimensions."""

from __future__ import annotations

from torch import Tensor, nn

from genzoo.errors import UsageError
from genzoo.types import Shape


def over_leading(module: nn.Module, value: Tensor, event: Shape) -> Tensor:
    """A module of ``[N, *event]`` applied to ``[*, *event]``: leading dimensions are flattened and put back.

    Args:
        module: From ``[N, *event]`` to ``[N, *out]``.
        value: ``[*, *event]``, with any number of leading dimensions, also none.
        event: The shape of one input.

    Returns:
        ``[*, *out]``.

    Raises:
        UsageError: If ``value`` does not end in ``event``.

    Example:
        >>> import torch
        >>> over_leading(nn.Linear(2, 7), torch.zeros(3, 5, 2), (2,)).shape
        torch.Size([3, 5, 7])
    """
    split = value.dim() - len(event)
    if split < 0 or tuple(value.shape[split:]) != tuple(event):
        raise UsageError(
            f"decode: latent must be [*, {', '.join(map(str, event))}], got {list(value.shape)}.",
            "Pass latents of the model's own shape.",
        )
    out = module(value.reshape(-1, *event))
    return out.reshape(*value.shape[:split], *out.shape[1:])
