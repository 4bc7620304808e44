"""The `skip` network: every layer reads the input again."""

from __future__ import annotations

import math

from torch import Tensor, nn

from genzoo.errors import UsageError
from genzoo.interfaces import Network
from genzoo.types import Shape
from genzoo_skip.options import SkipOptions


class Skip(Network):
    r"""Layers that all read the input, so that a decoder has its latents at every depth.

    .. math:: h_{l + 1} = \mathrm{SiLU}(W_l h_l + V_l z), \qquad h_0 = 0

    Args:
        options: The width and the number of the hidden layers.

    References:
        Dieng et al. 2019, *Avoiding latent variable collapse with generative skip models*, section 3.
    """

    def __init__(self, options: SkipOptions) -> None:
        super().__init__(options)
        self._hidden, self._layers = options.hidden, options.layers

    def encoder(self, input: Shape, output: Shape) -> nn.Module:
        """See `Network.encoder`."""
        return self._body(input, output)

    def decoder(self, input: Shape, output: Shape) -> nn.Module:
        """See `Network.decoder`."""
        return self._body(input, output)

    def _body(self, input: Shape, output: Shape) -> nn.Module:
        if min(*input, *output) < 1:
            raise UsageError(f"skip: shapes must be positive, got {input} and {output}.")
        body = _Layers(math.prod(input), self._hidden, self._layers, math.prod(output))
        return nn.Sequential(nn.Flatten(), body, nn.Unflatten(1, output))


class _Layers(nn.Module):
    def __init__(self, width: int, hidden: int, layers: int, out: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, hidden)
        self.across = nn.ModuleList(nn.Linear(hidden, hidden, bias=False) for _ in range(layers - 1))
        self.skips = nn.ModuleList(nn.Linear(width, hidden) for _ in range(layers - 1))
        self.last = nn.Linear(hidden, out)

    def forward(self, z: Tensor) -> Tensor:
        value = nn.functional.silu(self.first(z))
        for across, skip in zip(self.across, self.skips, strict=True):
            value = nn.functional.silu(across(value) + skip(z))
        return self.last(value)
