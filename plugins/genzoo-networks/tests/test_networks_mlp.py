"""The mlp network: shapes, widths, gates and the start of its weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from genzoo.errors import UsageError
from genzoo_networks.mlp import MLP, GatedLinear
from genzoo_networks.options import MLPOptions


def linears(module: nn.Module) -> list[nn.Linear]:
    return [m for m in module.modules() if isinstance(m, nn.Linear)]


@pytest.mark.parametrize(
    ("input", "output"),
    [((1, 28, 28), (4,)), ((2,), (3, 8, 8)), ((50,), (100,)), ((3, 8, 8), (16, 2, 2)), ((16, 2, 2), (3, 8, 8))],
)
def test_any_two_shapes(input: tuple[int, ...], output: tuple[int, ...]) -> None:
    network = MLP(MLPOptions(hidden=(16, 8)))
    assert network.encoder(input, output)(torch.zeros(5, *input)).shape == (5, *output)
    assert network.decoder(input, output)(torch.zeros(5, *input)).shape == (5, *output)


def test_the_decoder_mirrors_the_encoder() -> None:
    network = MLP(MLPOptions(hidden=(512, 256)))
    encoder, decoder = linears(network.encoder((1, 28, 28), (4,))), linears(network.decoder((2,), (1, 28, 28)))
    assert [(m.in_features, m.out_features) for m in encoder] == [(784, 512), (512, 256), (256, 4)]
    assert [(m.in_features, m.out_features) for m in decoder] == [(2, 256), (256, 512), (512, 784)]


def test_no_hidden_layer_is_a_linear_map() -> None:
    body = MLP(MLPOptions(hidden=())).encoder((1, 4, 4), (3,)).double()
    a, b = torch.randn(2, 5, 1, 4, 4, dtype=torch.float64)
    zero = torch.zeros_like(a)
    torch.testing.assert_close(body(a + b) + body(zero), body(a) + body(b))


def test_a_gated_layer_is_a_product() -> None:
    torch.manual_seed(0)
    layer = GatedLinear(6, 3).double()
    x = torch.randn(4, 6, dtype=torch.float64)
    linear = x @ layer.linear.weight.T + layer.linear.bias
    gate = 1 / (1 + (-(x @ layer.gate.weight.T + layer.gate.bias)).exp())
    torch.testing.assert_close(layer(x), linear * gate)


def test_gated_bodies_have_gates_but_in_the_last_layer() -> None:
    body = MLP(MLPOptions(hidden=(30, 30), activation="gated")).encoder((1, 28, 28), (4,))
    assert [type(m).__name__ for m in body] == ["Flatten", "GatedLinear", "GatedLinear", "Linear"]


@pytest.mark.parametrize(("start", "deviation"), [("xavier", math.sqrt(2 / 700)), ("he", math.sqrt(2 / 400))])
def test_the_weights_start_as_named(start: str, deviation: float) -> None:
    torch.manual_seed(0)
    body = MLP(MLPOptions(hidden=(400, 300), initialisation=start)).encoder((400,), (4,))
    middle = linears(body)[1]
    assert middle.weight.std().item() == pytest.approx(deviation, rel=0.02)
    assert middle.bias.abs().max() == 0


@pytest.mark.parametrize("shape", [(), (0, 8, 8), (4, -1)])
def test_impossible_shapes_are_refused_by_name(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="mlp: decoder must have shapes of whole numbers from 1"):
        MLP(MLPOptions()).decoder((2,), shape)


@pytest.mark.parametrize(("norm", "kind"), [("batch", nn.BatchNorm1d), ("layer", nn.LayerNorm)])
def test_a_normalisation_stands_before_every_activation_of_a_hidden_layer(norm: str, kind: type[nn.Module]) -> None:
    body = MLP(MLPOptions(hidden=(16, 8), norm=norm)).encoder((2,), (4,))
    assert [type(m) for m in body.children()] == [nn.Linear, kind, nn.ReLU] * 2 + [nn.Linear]


def test_layer_normalisation_leaves_images_independent() -> None:
    images = torch.randn(5, 2)
    layer, batch = (MLP(MLPOptions(hidden=(16,), norm=norm)).encoder((2,), (4,)) for norm in ("layer", "batch"))
    torch.testing.assert_close(layer(images)[:2], layer(images[:2]))
    assert not torch.allclose(batch(images)[:2], batch(images[:2]))


def test_gates_are_not_normalised() -> None:
    with pytest.raises(ValueError, match="norm must be none with gated layers, got batch"):
        MLPOptions(activation="gated", norm="batch")
