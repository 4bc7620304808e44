"""The residual network: any side, its options, and what its blocks compute."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from genzoo.errors import UsageError
from genzoo_networks.blocks import Attention
from genzoo_networks.options import ResNetOptions
from genzoo_networks.resnet import Excitation, Residual, ResNet


def network(**options: Any) -> ResNet:
    return ResNet(ResNetOptions.model_validate({"channels": (8, 16, 16), **options}))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [(8, 8), (9, 13), (28, 28), (31, 17), (64, 64), (1, 5), (256, 256)])
def test_any_side_is_encoded_and_decoded(channels: int, side: tuple[int, int]) -> None:
    image = (channels, *side)
    assert network().encoder(image, (5,))(torch.zeros(2, *image)).shape == (2, 5)
    assert network().decoder((5,), image)(torch.zeros(2, 5)).shape == (2, *image)


@pytest.mark.parametrize(
    ("side", "latent"), [((28, 28), (7, 7)), ((28, 28), (14, 14)), ((28, 28), (28, 28)), ((9, 5), (3, 2))]
)
def test_a_map_is_reached_by_halving(side: tuple[int, int], latent: tuple[int, int]) -> None:
    image, shape = (3, *side), (6, *latent)
    assert network().encoder(image, shape)(torch.zeros(2, *image)).shape == (2, *shape)
    assert network().decoder(shape, image)(torch.zeros(2, *shape)).shape == (2, *image)


@pytest.mark.parametrize(("image", "latent"), [((1, 28, 28), (6, 5, 5)), ((784,), (2,)), ((1, 28, 28), (6, 7))])
def test_shapes_that_cannot_be_served_are_refused(image: tuple[int, ...], latent: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="resnet: encoder must"):
        network().encoder(image, latent)
    with pytest.raises(UsageError, match="resnet: decoder must"):
        network().decoder(latent, image)


def test_attention_is_where_it_was_asked_for() -> None:
    for body in (
        network(attention=(7, 14)).encoder((1, 28, 28), (2,)),
        network(attention=(7, 14)).decoder((2,), (1, 28, 28)),
    ):
        places = [place for place, module in enumerate(body.children()) if isinstance(module, Attention)]
        assert len(places) == 2
        assert all(isinstance(list(body.children())[place - 1], Residual) for place in places)
    with pytest.raises(UsageError, match="sides that are reached, 4, 7, 14 for images of 28×28, got 28"):
        network(attention=(7, 28)).encoder((1, 28, 28), (2,))


def test_attention_lets_far_pixels_see_each_other() -> None:
    def seen(**options: Any) -> int:
        body = network(channels=(8,), norm="none", **options).encoder((1, 32, 32), (1, 16, 16))
        image = torch.rand(1, 1, 32, 32, requires_grad=True)
        body(image)[0, 0, 0, 0].backward()
        assert image.grad is not None
        return int((image.grad != 0).sum())

    assert seen() < 200
    assert seen(attention=(16,)) == 1024


def test_blocks_norm_and_excitation_are_what_they_are_called() -> None:
    def count(kind: type[nn.Module], **options: Any) -> int:
        return sum(isinstance(module, kind) for module in network(**options).encoder((1, 28, 28), (2,)).modules())

    assert [count(Residual, blocks=number) for number in (1, 2, 5)] == [3, 6, 15]
    assert [count(Excitation, excitation=on) for on in (False, True)] == [0, 3]
    assert [count(nn.BatchNorm2d, norm=norm) for norm in ("batch", "group", "none")] == [7, 0, 0]
    assert [count(nn.GroupNorm, norm=norm) for norm in ("batch", "group", "none")] == [0, 7, 0]


def test_an_excitation_weighs_each_channel_by_a_number_of_its_image() -> None:
    torch.manual_seed(0)
    image = torch.rand(3, 8, 4, 5) + 0.1
    weights = Excitation(8)(image) / image
    assert torch.allclose(weights, weights[..., :1, :1].expand_as(weights), atol=1e-6)
    assert ((weights > 0) & (weights < 1)).all()
    assert not torch.allclose(weights[0], weights[1])
    expected = Excitation(8)
    for layer in expected.gate:
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
    assert torch.allclose(expected(image), image / 2)  # the sigmoid of 0


def test_a_deep_network_begins_near_its_skips() -> None:
    torch.manual_seed(0)
    shallow, deep = (network(blocks=number, norm="none") for number in (1, 24))
    image = torch.rand(16, 1, 28, 28)
    spread = [float(body.encoder((1, 28, 28), (6, 4, 4))(image).detach().std()) for body in (shallow, deep)]
    assert spread[1] < 3 * spread[0]


def test_without_batch_normalisation_images_do_not_depend_on_each_other() -> None:
    torch.manual_seed(0)
    body = network(excitation=True, attention=(7,)).encoder((1, 28, 28), (3,)).train()
    images = torch.rand(4, 1, 28, 28)
    assert torch.allclose(body(images)[:1], body(images[:1]), atol=1e-5)
