"""The `mlp` network: dense layers between any two shapes."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

from genzoo.interfaces import Network
from genzoo.parts.activation import activation
from genzoo.types import Shape
from genzoo_networks.options import MLPOptions
from genzoo_networks.shapes import refuse_impossible


class GatedLinear(nn.Module):
    r"""A linear map times the sigmoid of another: :math:`(Wx + b) \odot \mathrm{sigmoid}(Vx + c)`.

    Args:
        inputs, outputs: Sizes of the last dimension.

    References:
        Dauphin et al. 2017, *Language Modeling with Gated Convolutional Networks*, equation 1.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.gate = nn.Linear(inputs, outputs)

    def forward(self, value: Tensor) -> Tensor:
        return self.linear(value) * self.gate(value).sigmoid()


class MLP(Network):
    """Dense layers; shapes of more than one dimension are flattened on the way in and restored on the way out.

    ``hidden=(200, 200), activation="tanh", initialisation="xavier"`` is the network of the IWAE,
    ``hidden=(300, 300), activation="gated", initialisation="he"`` that of the VampPrior.

    Batch normalisation makes the images of a training batch depend on each other, and wants more than one a batch; layer
    normalisation does neither.

    Args:
        options: Widths, activation, normalisation and start of the weights.

    Example:
        >>> import torch
        >>> MLP(MLPOptions()).decoder((2,), (1, 28, 28))(torch.zeros(5, 2)).shape
        torch.Size([5, 1, 28, 28])

    References:
        Burda et al. 2016, *Importance Weighted Autoencoders*, section 5; Tomczak and Welling 2018, *VAE with a
        VampPrior*, section 5.
    """

    offers = frozenset({"encoder", "decoder", "field"})
    options: MLPOptions

    def encoder(self, input: Shape, output: Shape) -> nn.Module:
        """See `Network.encoder`; any two shapes will do."""
        return self._body("encoder", input, self.options.hidden, output)

    def decoder(self, input: Shape, output: Shape) -> nn.Module:
        """See `Network.decoder`; any two shapes will do."""
        return self._body("decoder", input, self.options.hidden[::-1], output)

    def field(self, image: Shape, condition: Shape) -> nn.Module:
        """See `Network.field`; any shapes will do, both flattened side by side."""
        size = math.prod(image) + math.prod(condition)
        return Beside(self._body("field", (size,), self.options.hidden, image))

    def _body(self, what: str, input: Shape, hidden: tuple[int, ...], output: Shape) -> nn.Module:
        refuse_impossible("mlp", what, input, output)
        widths = (math.prod(input), *hidden)
        layers: list[nn.Module] = [nn.Flatten()] if len(input) > 1 else []
        for old, new in itertools.pairwise(widths):
            if self.options.activation == "gated":
                layers.append(GatedLinear(old, new))
            else:
                layers += [nn.Linear(old, new), *self._norm(new), activation(self.options.activation)]
        layers.append(nn.Linear(widths[-1], math.prod(output)))
        if len(output) > 1:
            layers.append(nn.Unflatten(1, output))
        body = nn.Sequential(*layers)
        if self.options.initialisation != "torch":
            body.apply(self._initialise)
        return body

    def _norm(self, width: int) -> list[nn.Module]:
        if self.options.norm == "none":
            return []
        return [nn.BatchNorm1d(width) if self.options.norm == "batch" else nn.LayerNorm(width)]

    def _initialise(self, module: nn.Module) -> None:
        if not isinstance(module, nn.Linear):
            return
        if self.options.initialisation == "xavier":
            nn.init.xavier_uniform_(module.weight)
        else:
            nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(module.bias)


class Beside(nn.Module):
    """A body over an image and a condition, flattened side by side.

    Args:
        body: From ``[B, D]``.
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, image: Tensor, condition: Tensor) -> Tensor:
        return self.body(torch.cat([image.flatten(1), condition.flatten(1)], 1))
