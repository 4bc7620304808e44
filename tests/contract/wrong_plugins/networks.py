"""Wrong networks."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import nn

from genzoo.errors import UsageError
from genzoo.testing.reference import PlainNetwork
from wrong_plugins.ledger import right, wrong


class Checked(PlainNetwork):
    """The reference network, which refuses empty shapes."""

    def _body(self, input, output):
        if min(*input, *output) < 1:
            raise UsageError(f"network: shapes must be positive, got {input} and {output}.")
        return super()._body(input, output)


@wrong("bodies-are-modules", also=())
class ReturnsAFunction(Checked):
    """Its decoder is a function."""

    def decoder(self, input, output):
        return _Callable(super().decoder(input, output))


class _Callable:
    def __init__(self, module):
        self.module = module

    def __call__(self, x):
        return self.module(x)

    def __getattr__(self, name):
        return getattr(self.__dict__["module"], name)


@wrong("holds-no-parameters", also=("spawn-picklable",))
class SharesItsBodies(Checked):
    """It makes one body a shape and hands it out again."""

    def __init__(self, options):
        super().__init__(options)
        self.made = {}

    def _body(self, input, output):
        if (input, output) not in self.made:
            self.made[input, output] = super()._body(input, output)
        return self.made[input, output]


@wrong("image-sizes", also=("reads-every-input",), defect="image size hard-coded")
class KnowsOneSize(Checked):
    """Its images have 64 pixels, whatever is asked for."""

    def encoder(self, input, output):
        return super().encoder(
            (1, 8, 8) if len(input) == 3 and len(output) == 1 and min(*input, *output) > 0 else input, output
        )


@wrong("maps-served-or-refused")
class MapsAreVectors(Checked):
    """Asked for a map of features it gives a vector."""

    def encoder(self, input, output):
        return super().encoder(input, output if len(output) == 1 else (math.prod(output),))


@wrong("impossible-shapes-refused")
class TakesEmptyShapes(PlainNetwork):
    """It makes a layer of no outputs."""

    def _body(self, input, output):
        return super()._body((max(1, input[0]), *input[1:]), tuple(max(1, size) for size in output))


@wrong("output-is-raw")
class EndsInASigmoid(Checked):
    """Its decoder ends in a sigmoid."""

    def decoder(self, input, output):
        return nn.Sequential(super().decoder(input, output), nn.Sigmoid())


class _DropsARow(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        if x.dim() == 4:
            keep = torch.ones_like(x)
            keep[..., -1, :] = 0
            x = x * keep
        return self.body(x)


@wrong("reads-every-input")
class DropsTheLastRow(Checked):
    """Its encoder does not see the last row."""

    def encoder(self, input, output):
        return _DropsARow(super().encoder(input, output))


class _Centres(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return self.body(x - x.mean(0, keepdim=True) if len(x) > 1 else x)


@wrong("images-independent")
class CentresItsBatch(Checked):
    """It subtracts the mean of the batch."""

    def encoder(self, input, output):
        return _Centres(super().encoder(input, output))


class _Scaled(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return 1e-4 * self.body(x)


@wrong("learns", also=("output-is-raw",))
class HardlyMoves(Checked):
    """Its decoder is scaled down until it cannot learn."""

    def decoder(self, input, output):
        return _Scaled(super().decoder(input, output))


class _Branches(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return self.body(x * 0.5 if x.device.type != "meta" and float(x.mean()) > 100 else x)


@wrong("exports")
class BranchesOnAValue(Checked):
    """Its encoder branches on the value of a tensor."""

    def encoder(self, input, output):
        return _Branches(super().encoder(input, output))


class _HeadFirst(nn.Module):
    def __init__(self, input, output):
        super().__init__()
        self.output = output
        self.head = nn.Linear(16, math.prod(output))
        self.trunk = nn.Sequential(
            nn.Flatten(), nn.Linear(math.prod(input), 16), nn.Tanh(), nn.LayerNorm(16), nn.Sigmoid()
        )

    def forward(self, x):
        return self.head(self.trunk(x)).unflatten(1, self.output)


class Hidden(Checked):
    """Hidden layers of the widths given."""

    def _body(self, input, output):
        super()._body(input, output)
        sizes = (math.prod(input), *self.widths(), math.prod(output))
        layers = [nn.Flatten()]
        for old, new in pairwise(sizes):
            layers += [nn.Linear(old, new), nn.Tanh()]
        return nn.Sequential(*layers[:-1], nn.Unflatten(1, output))

    def widths(self):
        return self.options.widths


@wrong("options-take-effect", options="wrong_plugins.right:Widths", says="item 2")
class ReadsTheFirstWidth(Hidden):
    """It takes its first width for all of its layers."""

    def widths(self):
        return [self.options.widths[0]] * len(self.options.widths)


@right(options="wrong_plugins.right:Widths")
class HiddenLayers(Hidden):
    """Hidden layers of any widths."""


@right()
class HeadFirst(Checked):
    """Its last layer is registered first."""

    def _body(self, input, output):
        super()._body(input, output)
        return _HeadFirst(input, output)


@right()
class PlainBodies(Checked):
    """The reference network."""
