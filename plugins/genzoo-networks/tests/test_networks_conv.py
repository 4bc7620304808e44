"""The conv network: the report's tables layer by layer, other sides, spatial maps, refusals."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from genzoo.errors import UsageError
from genzoo_networks.conv import Conv
from genzoo_networks.options import ConvOptions


def shapes(module: nn.Sequential, value: torch.Tensor) -> list[tuple[str, list[int]]]:
    """Each layer's class and output shape, without the batch."""
    rows: list[tuple[str, list[int]]] = []
    for layer in module:
        value = layer(value)
        rows.append((type(layer).__name__, list(value.shape[1:])))
    return rows


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_encoder_is_table_1() -> None:
    encoder = Conv(ConvOptions()).encoder((1, 28, 28), (4,))
    assert shapes(encoder, torch.zeros(2, 1, 28, 28)) == [
        ("Conv2d", [32, 14, 14]),
        ("ReLU", [32, 14, 14]),
        ("Conv2d", [64, 7, 7]),
        ("ReLU", [64, 7, 7]),
        ("Conv2d", [128, 4, 4]),
        ("ReLU", [128, 4, 4]),
        ("Flatten", [2048]),
        ("Linear", [4]),
    ]
    convolutions = [layer for layer in encoder if isinstance(layer, nn.Conv2d)]
    assert [(c.kernel_size, c.stride) for c in convolutions] == [((4, 4), (2, 2)), ((4, 4), (2, 2)), ((3, 3), (2, 2))]
    assert parameters(encoder) == (16 + 1) * 32 + (16 * 32 + 1) * 64 + (9 * 64 + 1) * 128 + 2 * (2048 + 1) * 2


def test_decoder_is_table_2() -> None:
    decoder = Conv(ConvOptions()).decoder((2,), (1, 28, 28))
    assert shapes(decoder, torch.zeros(2, 2)) == [
        ("Linear", [2048]),
        ("ReLU", [2048]),
        ("Unflatten", [128, 4, 4]),
        ("Upsample2d", [64, 7, 7]),
        ("ReLU", [64, 7, 7]),
        ("Upsample2d", [32, 14, 14]),
        ("ReLU", [32, 14, 14]),
        ("Upsample2d", [1, 28, 28]),
    ]
    convolutions = [layer for layer in decoder if isinstance(layer, nn.ConvTranspose2d)]
    assert [(c.kernel_size, c.stride) for c in convolutions] == [((3, 3), (2, 2)), ((4, 4), (2, 2)), ((4, 4), (2, 2))]
    assert parameters(decoder) == 3 * 2048 + 9 * 128 * 64 + 64 + 16 * 64 * 32 + 32 + 16 * 32 + 1


def test_the_conditional_report_network_has_ten_more_planes() -> None:
    network = Conv(ConvOptions())
    extra = parameters(network.encoder((11, 28, 28), (4,))) - parameters(network.encoder((1, 28, 28), (4,)))
    assert extra == 10 * 16 * 32
    assert parameters(network.decoder((12,), (1, 28, 28))) - parameters(network.decoder((2,), (1, 28, 28))) == 10 * 2048


@pytest.mark.parametrize("side", [1, 5, 8, 28, 32, 63, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_side_comes_back(side: int, channels: int) -> None:
    network = Conv(ConvOptions(channels=(4, 8, 8)))
    code = network.encoder((channels + 2, side, side), (6,))(torch.zeros(2, channels + 2, side, side))
    assert code.shape == (2, 6)
    assert network.decoder((6,), (channels, side, side))(code).shape == (2, channels, side, side)


def test_an_oblong_image_comes_back() -> None:
    network = Conv(ConvOptions(channels=(4, 8)))
    assert network.encoder((1, 9, 20), (3,))(torch.zeros(2, 1, 9, 20)).shape == (2, 3)
    assert network.decoder((3,), (2, 9, 20))(torch.zeros(2, 3)).shape == (2, 2, 9, 20)


@pytest.mark.parametrize(("side", "map_side"), [(28, 28), (28, 14), (28, 7), (28, 4), (32, 8), (64, 8), (8, 2)])
def test_a_map_of_features_at_every_level(side: int, map_side: int) -> None:
    network = Conv(ConvOptions(channels=(4, 8, 8)))
    code = network.encoder((3, side, side), (16, map_side, map_side))(torch.zeros(2, 3, side, side))
    assert code.shape == (2, 16, map_side, map_side)
    assert network.decoder((16, map_side, map_side), (3, side, side))(code).shape == (2, 3, side, side)


def test_a_map_of_another_side_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"encoder must have a map of side 28×28 or 14×14 or 7×7 or 4×4 .* got 5×5"):
        Conv(ConvOptions()).encoder((1, 28, 28), (16, 5, 5))


def test_two_vectors_are_refused_by_name() -> None:
    with pytest.raises(UsageError, match="decoder must go between an image"):
        Conv(ConvOptions()).decoder((2,), (5,))


def test_hidden_layers_stand_mirrored_next_to_the_latent() -> None:
    network = Conv(ConvOptions(hidden=(256, 64)))
    encoder = [m for m in network.encoder((1, 28, 28), (4,)) if isinstance(m, nn.Linear)]
    decoder = [m for m in network.decoder((2,), (1, 28, 28)) if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in encoder] == [(2048, 256), (256, 64), (64, 4)]
    assert [(m.in_features, m.out_features) for m in decoder] == [(2, 64), (64, 256), (256, 2048)]


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_normalisation_follows_all_but_the_last_convolution(norm: str) -> None:
    network = Conv(ConvOptions(norm=norm, channels=(8, 12)))
    kinds = (nn.BatchNorm2d, nn.GroupNorm)
    assert sum(isinstance(m, kinds) for m in network.encoder((1, 8, 8), (4,))) == 2
    decoder = network.decoder((2,), (1, 8, 8))
    assert sum(isinstance(m, kinds) for m in decoder) == 1
    assert decoder(torch.zeros(3, 2)).shape == (3, 1, 8, 8)


def test_channels_last_changes_no_value() -> None:
    torch.manual_seed(0)
    network = Conv(ConvOptions(channels=(4, 8, 8)))
    encoder, decoder = network.encoder((1, 28, 28), (4,)).double(), network.decoder((4,), (1, 28, 28)).double()
    image = torch.rand(3, 1, 28, 28, dtype=torch.float64)
    expected = decoder(encoder(image))
    last = torch.channels_last
    actual = decoder.to(memory_format=last)(encoder.to(memory_format=last)(image.to(memory_format=last)))
    torch.testing.assert_close(actual, expected)


def test_builds_and_runs_on_meta() -> None:
    network = Conv(ConvOptions())
    with torch.device("meta"):
        out = network.decoder((2,), (1, 28, 28))(network.encoder((1, 28, 28), (2,))(torch.zeros(2, 1, 28, 28)))
    assert out.device.type == "meta"
    assert out.shape == (2, 1, 28, 28)


def test_weights_start_by_he_keep_the_size_of_signals() -> None:
    torch.manual_seed(0)
    plain, he = Conv(ConvOptions(initialisation="torch")), Conv(ConvOptions(initialisation="he"))

    def size(network: Conv) -> float:
        body = network.decoder((2,), (1, 28, 28))
        with torch.no_grad():
            return body[:-1](torch.randn(200, 2)).square().mean().item()

    assert 0.3 < size(he) < 3, "the mean square after every hidden layer stays near that of the input"
    assert size(plain) < 0.1 * size(he)
    assert all(not layer.bias.any() for layer in he.encoder((1, 28, 28), (4,)) if hasattr(layer, "bias"))


def test_weights_start_by_glorot_in_every_layer_and_biases_at_zero() -> None:
    torch.manual_seed(0)
    network = Conv(ConvOptions())
    bodies = network.encoder((1, 28, 28), (4,)), network.decoder((2,), (1, 28, 28))
    layers = [layer for body in bodies for layer in body if hasattr(layer, "weight")]
    assert len(layers) == 8
    for layer in layers:
        taps = math.prod(layer.weight.shape[2:])
        bound = math.sqrt(6 / ((layer.weight.shape[0] + layer.weight.shape[1]) * taps))
        assert 0.95 * bound < layer.weight.abs().max() <= bound
        assert not layer.bias.any()
