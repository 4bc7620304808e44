"""The β-VAE: what it declares, and its loss against the elbo's β."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Independent, Normal

from genzoo.distributions import DiagonalNormal, StandardNormal
from genzoo.types import Batch, Context, Kind, Latent, ModelOutput
from genzoo_beta_vae import plugin
from genzoo_beta_vae.normalised_elbo import NormalisedElbo
from genzoo_beta_vae.options import NormalisedElboOptions


def output_of(batch: Batch, latent_dim: int) -> ModelOutput:
    torch.manual_seed(0)
    posterior = DiagonalNormal(torch.randn(len(batch), latent_dim), torch.randn(len(batch), latent_dim))
    latent = Latent(posterior, StandardNormal((latent_dim,)), posterior.rsample(torch.Size([1])))
    return ModelOutput((latent,), Independent(Normal(torch.zeros(1, *batch.image.shape), 1.0), 3))


def test_the_model_is_the_vae_with_another_weight() -> None:
    (model,) = plugin.genzoo_models()
    assert (model.kind, model.name, model.base) == (Kind.MODEL, "beta-vae", "vae")
    assert model.companions == {"loss": ("elbo", {"beta": 4})}


@pytest.mark.parametrize(("side", "latent_dim"), [(28, 2), (28, 10), (64, 10)])
def test_the_normalised_weight_is_latent_over_image_size(side: int, latent_dim: int) -> None:
    batch = Batch(torch.rand(5, 1, side, side))
    result = NormalisedElbo(NormalisedElboOptions(beta=4 * latent_dim / side**2))(output_of(batch, latent_dim), batch)
    torch.testing.assert_close(result.objective, result.distortion + 4 * result.rate)
    torch.testing.assert_close(sum(result.terms.values()), result.objective)


def test_a_scheduler_drives_the_normalised_weight() -> None:
    batch = Batch(torch.rand(5, 1, 8, 8))
    loss = NormalisedElbo(NormalisedElboOptions(beta=0.5))
    assert loss.quantities == {"beta": 0.5}
    result = loss(output_of(batch, 2), batch, Context({"beta": 0.25}))
    torch.testing.assert_close(result.terms["rate"], 0.25 * 32 * result.rate)
