"""The mixture's density is torch's own, also where components are narrow and far off."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily

from genzoo.distributions import DiagonalNormal
from genzoo_vampprior.mixture import DiagonalNormalMixture


def pair(log_variance: float, dtype: torch.dtype) -> tuple[MixtureSameFamily, MixtureSameFamily, torch.Tensor]:
    torch.manual_seed(3)
    components = DiagonalNormal(3 * torch.randn(7, 4, dtype=dtype), log_variance + torch.randn(7, 4, dtype=dtype))
    weights = Categorical(logits=torch.randn(7, dtype=dtype))
    mean = components.mean[torch.randint(7, (5, 6))]
    latents = mean + components.stddev.mean() * torch.randn(5, 6, 4, dtype=dtype)
    return (
        MixtureSameFamily(weights, components, validate_args=False),
        DiagonalNormalMixture(weights, components),
        latents,
    )


@pytest.mark.parametrize("log_variance", [0.0, -6.0, -12.0])
def test_the_density_is_torchs(log_variance: float) -> None:
    reference, ours, z = pair(log_variance, torch.float64)
    torch.testing.assert_close(ours.log_prob(z), reference.log_prob(z), rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("log_variance", [0.0, -6.0, -12.0])
def test_narrow_components_lose_no_digits_in_float32(log_variance: float) -> None:
    reference, ours, z = pair(log_variance, torch.float32)
    got = ours.log_prob(z)
    assert got.dtype is torch.float32
    torch.testing.assert_close(got, reference.log_prob(z), rtol=1e-4, atol=1e-3)


def test_gradients_reach_weights_components_and_latents() -> None:
    results: list[list[torch.Tensor]] = []
    for kind in (MixtureSameFamily, DiagonalNormalMixture):
        torch.manual_seed(0)
        leaves = [torch.randn(shape, dtype=torch.float64).requires_grad_() for shape in [(3, 2), (3, 2), (3,), (5, 2)]]
        mean, log_variance, logits, z = leaves
        mixture = kind(Categorical(logits=logits), DiagonalNormal(mean, log_variance))
        mixture.log_prob(z).sum().backward()
        results.append([leaf.grad for leaf in leaves if leaf.grad is not None])
    assert len(results[0]) == len(results[1]) == 4
    for expected, got in zip(*results, strict=True):
        torch.testing.assert_close(got, expected)
