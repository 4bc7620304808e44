"""From a network's raw output to a diagonal normal, the posterior of most variational autoencoders."""

from __future__ import annotations

from torch import Tensor

from genzoo.distributions import DiagonalNormal
from genzoo.errors import UsageError


def diagonal_normal(raw: Tensor, event_dims: int = 1) -> DiagonalNormal:
    r"""The diagonal normal whose mean and log-variance are the two halves of a network's output.

    .. math:: \mathcal N(\mu, \mathrm{diag}\,e^{\ell}), \qquad (\mu, \ell) = \mathrm{raw}

    Both halves are taken to float32 first (float64 stays), so that the rate and the draw are exact to float32 when the
    network ran in bfloat16. The log-variance ℓ is not clamped: a clamp has no gradient outside its range, and the
    engine stops a run whose loss is not finite before the optimizer sees it.

    Args:
        raw: ``[*, 2d]``, or ``[*, 2D, h, w]`` with ``event_dims=3``: the first half of the first event dimension is
            the mean, the second half the log-variance.
        event_dims: How many trailing dimensions make one event.

    Returns:
        Batch ``[*]``, event ``[d]`` or ``[D, h, w]``.

    Raises:
        UsageError: If the dimension to split is odd or absent.

    Example:
        >>> import torch
        >>> posterior = diagonal_normal(torch.zeros(5, 4))
        >>> posterior.batch_shape, posterior.event_shape
        (torch.Size([5]), torch.Size([2]))

    References:
        Kingma and Welling 2014, *Auto-Encoding Variational Bayes*, equation 9.
    """
    if raw.dim() < event_dims or raw.shape[-event_dims] % 2:
        raise UsageError(
            f"diagonal_normal: raw must have an even size at dimension {-event_dims}, got {list(raw.shape)}.",
            "Ask the network for twice the latent's size.",
        )
    mean, log_variance = (raw.float() if raw.dtype.itemsize < 4 else raw).chunk(2, dim=-event_dims)
    return DiagonalNormal(mean, log_variance, event_dims)
