"""What critic and generator minimise in each game, and the gradient penalty; scores are the critic's output ``[B]``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Game = Literal["non-saturating", "hinge", "wgan-gp"]


def critic_terms(game: Game, real: Tensor, generated: Tensor, smoothing: float = 0.0) -> Mapping[str, Tensor]:
    r"""What the critic minimises, as two terms, the one of real and the one of generated images.

    .. math::
        \begin{array}{lll}
        \text{non-saturating} & -\mathbb E \log \sigma(D(x)) & -\mathbb E \log(1 - \sigma(D(g(z)))) \\
        \text{hinge} & \mathbb E \max(0, 1 - D(x)) & \mathbb E \max(0, 1 + D(g(z))) \\
        \text{wgan-gp} & -\mathbb E\, D(x) & \mathbb E\, D(g(z))
        \end{array}

    The least values of their sum, over all critics, are 2 log 2 − 2 JS(p, q), 2 − 2 TV(p, q) and, over 1-Lipschitz critics,
    −W₁(p, q).

    Args:
        game: Which one.
        real, generated: Scores ``[B]``.
        smoothing: Real images count as real by one minus this; in the non-saturating game alone.

    Example:
        >>> sum(critic_terms("hinge", torch.tensor([2.0, 0.0]), torch.tensor([-3.0, 0.5])).values())
        tensor(1.2500)
    """
    if game == "hinge":
        return {"real": F.relu(1 - real).mean(), "generated": F.relu(1 + generated).mean()}
    if game == "wgan-gp":
        return {"real": -real.mean(), "generated": generated.mean()}
    smoothed = (1 - smoothing) * F.softplus(-real) + smoothing * F.softplus(real)
    return {"real": smoothed.mean(), "generated": F.softplus(generated).mean()}


def generator_objective(game: Game, generated: Tensor) -> Tensor:
    """What the generator minimises: −E log σ(D(g(z))) in the non-saturating game, −E D(g(z)) in the others.

    Example:
        >>> generator_objective("hinge", torch.tensor([2.0, 0.0]))
        tensor(-1.)
    """
    return F.softplus(-generated).mean() if game == "non-saturating" else -generated.mean()


def gradient_penalty(scores: Callable[[Tensor], Tensor], real: Tensor, generated: Tensor) -> Tensor:
    r"""How far the critic's gradient is from norm 1, :math:`\mathbb E\,(\|\nabla_{\hat x} D(\hat x)\|_2 - 1)^2`.

    Each :math:`\hat x` is drawn evenly on the line between a real and a generated image.

    Args:
        scores: The critic, from images ``[B, C, H, W]`` to ``[B]``, each of its own image alone.
        real, generated: Images ``[B, C, H, W]``.

    Returns:
        ``[]``, with gradients to the critic's parameters.

    Example:
        >>> weight = torch.tensor([3.0, 4.0])
        >>> gradient_penalty(lambda x: (x.flatten(1) * weight).sum(1), torch.zeros(2, 1, 1, 2), torch.ones(2, 1, 1, 2))
        tensor(16.)

    References:
        Gulrajani et al. 2017, Improved Training of Wasserstein GANs, equation 3 and algorithm 1.
    """
    share = torch.rand(len(real), 1, 1, 1, dtype=real.dtype, device=real.device)
    between = (share * real + (1 - share) * generated).detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(scores(between).sum(), between, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - 1).square().mean()
