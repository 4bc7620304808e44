"""The codebook: nearest codes, running means, and codes that come back to life."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.amp.autocast_mode import is_autocast_available
from torch.nn import functional as F


class Codebook(nn.Module):
    r"""K vectors that encodings are rounded to.

    With running means (equations 6 to 8), a code e_k is the mean of what it stood for, older uses counting less:

    .. math:: N_k \leftarrow \gamma N_k + (1-\gamma) n_k, \qquad m_k \leftarrow \gamma m_k + (1-\gamma) \sum z, \qquad
        e_k = m_k / N_k

    Args:
        codes: K.
        dim: D.
        decay: γ.
        revive_below: A code whose N_k falls below this fraction of the mean of N is moved to an encoding of the batch.
        learned: The codes are a parameter that a gradient moves, and the running means are left out.

    References:
        van den Oord et al. 2017, Neural Discrete Representation Learning, section 3.2 and appendix A.1.

    Differs from the paper: N and m start at zero, so that their ratio is unbiased from the first step, and a code that was
    never used stays where it is; codes that fall out of use are revived.
    """

    counts: Tensor
    sums: Tensor

    def __init__(self, codes: int, dim: int, *, decay: float, revive_below: float, learned: bool) -> None:
        super().__init__()
        self.decay, self.revive_below = decay, revive_below
        start = (2 * torch.rand(codes, dim) - 1) / codes
        if learned:
            self.vectors: Tensor = nn.Parameter(start)
        else:
            self.register_buffer("vectors", start)
            self.register_buffer("sums", torch.zeros(codes, dim))
        self.learned = learned
        self.register_buffer("counts", torch.zeros(codes))

    def nearest(self, encoded: Tensor) -> Tensor:
        """The nearest code of each vector: int64 ``[*]`` for ``[*, D]``."""
        vectors = self.vectors.detach()
        device = encoded.device.type
        exact = torch.autocast(device, enabled=False) if is_autocast_available(device) else nullcontext()
        with exact:
            # ‖z − e‖² without ‖z‖², which all codes share.
            distance = torch.addmm(vectors.square().sum(1), encoded.detach().flatten(0, -2), vectors.T, alpha=-2)
        return distance.argmin(1).reshape(encoded.shape[:-1])

    def lookup(self, codes: Tensor) -> Tensor:
        """The vectors ``[*, D]`` of codes ``[*]``."""
        return F.embedding(codes, self.vectors)

    def count(self, codes: Tensor) -> Tensor:
        """How often each code occurs in codes of any shape, float ``[K]``."""
        flat = codes.flatten()
        # Whole numbers below 2²⁴ add up exactly in any order, so that a GPU's result repeats.
        ones = torch.ones((), device=codes.device).expand_as(flat)
        return torch.zeros(len(self.vectors), device=codes.device).index_add_(0, flat, ones)

    @torch.no_grad()
    def update(self, encoded: Tensor, codes: Tensor) -> None:
        """Move running means and revive codes, from vectors ``[N, D]`` and their codes ``[N]``.

        Vectors that are not finite change nothing. Among several processes all see the sums over all of them.
        """
        # A product in place of scattered sums, whose order, and so whose rounding, a GPU does not repeat.
        chosen = F.one_hot(codes, len(self.vectors)).to(encoded.dtype)
        used, total = summed(self.count(codes).to(encoded.dtype)), summed(chosen.T @ encoded)
        sound = torch.isfinite(total).all()
        counts = torch.lerp(used, self.counts, self.decay)
        vectors = self.vectors
        if not self.learned:
            sums = torch.lerp(total, self.sums, self.decay)
            vectors = torch.where(counts[:, None] > 1e-6, sums / counts[:, None].clamp_min(1e-6), vectors)
        if self.revive_below:
            mean = counts.mean()
            dead = counts < self.revive_below * mean
            rows = torch.randint(len(encoded), (len(dead),), device=encoded.device)
            vectors = torch.where(dead[:, None], from_first(encoded[rows]), vectors)
            counts = torch.where(dead, mean, counts)
            if not self.learned:
                sums = torch.where(dead[:, None], vectors * mean, sums)
        self.counts.copy_(torch.where(sound, counts, self.counts))
        self.vectors.copy_(torch.where(sound, vectors, self.vectors))
        if not self.learned:
            self.sums.copy_(torch.where(sound, sums, self.sums))


def summed(value: Tensor) -> Tensor:
    """The sum over all processes; the value itself in a run of one."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(value)
    return value


def from_first(value: Tensor) -> Tensor:
    """The value that the first process has; the value itself in a run of one."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.broadcast(value, 0)
    return value


def perplexity(counts: Tensor) -> Tensor:
    r"""exp of the entropy of codes' frequencies, :math:`\exp(-\sum_k p_k \log p_k)`, from counts ``[K]``: 1 to K.

    Example:
        >>> round(perplexity(torch.tensor([5.0, 5.0, 0.0])).item(), 6)
        2.0
    """
    return torch.special.entr(counts / counts.sum()).sum().exp()
