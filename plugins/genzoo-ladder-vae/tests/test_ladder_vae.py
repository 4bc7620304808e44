"""The ladder VAE: its merge by hand, its levels, its bounds, and that it learns."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from genzoo import estimators
from genzoo.distributions import DiagonalNormal
from genzoo.errors import UsageError
from genzoo.findings import Evidence, LevelUse, Margin
from genzoo.testing.reference import PlainLoss, reference_parts
from genzoo.types import Batch, ImageSpec
from genzoo_ladder_vae.ladder import LadderVAE
from genzoo_ladder_vae.merge import merge
from genzoo_ladder_vae.options import LadderOptions

IMAGE = ImageSpec((1, 4, 4))
BOTH = pytest.mark.parametrize("inference", ["top-down", "bottom-up"])


def make(dims: tuple[int, ...] = (2, 3), inference: str = "top-down") -> LadderVAE:
    torch.manual_seed(0)
    options = LadderOptions(latent_dims=dims, widths=(8,) * len(dims), inference=inference)
    return LadderVAE(options, reference_parts(IMAGE)).double()


def images(n: int = 5) -> Batch:
    return Batch(torch.rand(n, *IMAGE.shape, dtype=torch.float64))


def test_merge_by_hand() -> None:
    image = DiagonalNormal(torch.tensor([1.0]).double(), torch.tensor([0.25]).double().log())
    above = DiagonalNormal(torch.tensor([-2.0]).double(), torch.tensor([0.5]).double().log())
    merged = merge(image, above)
    # Precisions 4 and 2: variance 1/6, mean (4·1 + 2·(−2)) / 6.
    assert merged.variance.item() == pytest.approx(1 / 6)
    assert merged.mean.item() == pytest.approx(0, abs=1e-12)


def test_merge_is_the_product_of_densities() -> None:
    torch.manual_seed(0)
    image, above = (DiagonalNormal(torch.randn(3).double(), torch.randn(3).double()) for _ in range(2))
    z = torch.randn(7, 3).double()
    difference = merge(image, above).log_prob(z) - image.log_prob(z) - above.log_prob(z)
    torch.testing.assert_close(difference, difference[:1].expand(7))


def test_merge_stays_finite_at_extremes() -> None:
    image = DiagonalNormal(torch.ones(2), torch.tensor([-200.0, 200.0]))
    merged = merge(image, DiagonalNormal(torch.zeros(2), torch.zeros(2)))
    torch.testing.assert_close(merged.mean, torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(merged.log_variance, torch.tensor([-200.0, 0.0]))


@BOTH
def test_shapes_of_three_levels_with_samples(inference: str) -> None:
    model = make((2, 3, 4), inference)
    output = model(images(), samples=6)
    assert [tuple(latent.sample.shape) for latent in output.latents] == [(6, 5, 2), (6, 5, 3), (6, 5, 4)]
    assert output.likelihood.batch_shape == (6, 5)
    assert all(rate.value.shape == (6, 5) for rate in estimators.rates(output.latents))
    assert estimators.log_weights(output, images().image).shape == (6, 5)


def test_top_down_posterior_is_the_merge_with_the_level_above() -> None:
    model = make()
    batch = images()
    top, lower = model.encode(batch, samples=2).latents
    mean, log_variance = model.heads[0](model.first(model.encoder(batch.image))).chunk(2, -1)
    prior = lower.prior
    precision = (-log_variance).exp() + 1 / prior.variance
    torch.testing.assert_close(lower.posterior.variance, 1 / precision)
    expected = (mean * (-log_variance).exp() + prior.mean / prior.variance) / precision
    torch.testing.assert_close(lower.posterior.mean, expected)
    torch.testing.assert_close(model.down[0](top.sample).chunk(2, -1)[0], prior.mean)


@BOTH
def test_rates_agree_with_log_weights_in_expectation(inference: str) -> None:
    model = make(inference=inference)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.3)
        output = model(images(2), samples=40_000)
        for latent, rate in zip(output.latents, estimators.rates(output.latents), strict=True):
            gap = rate.value - estimators.log_ratio(latent)
            error = gap.std(0) / 40_000**0.5
            assert (gap.mean(0).abs() <= 4 * error + 1e-9).all()
            assert error.max() < 0.05


def test_which_rates_are_exact() -> None:
    for inference, expected in (("top-down", [True, True, True]), ("bottom-up", [True, False, False])):
        latents = make((2, 3, 4), inference).encode(images()).latents
        assert [rate.exact for rate in estimators.rates(latents)] == expected
        assert (estimators.rate_per_dimension(latents[1]) is None) == (inference == "bottom-up")


def test_lower_prior_draws_and_means() -> None:
    model = make()
    z = torch.randn(4, 2, dtype=torch.float64)
    mean = model.down[0](z).chunk(2, -1)[0]
    expected = model.decode([z, mean]).mean
    torch.testing.assert_close(model.decode([z], mean=True).mean, expected)
    assert not torch.allclose(model.decode([z]).mean, expected)


@BOTH
def test_gradient_reaches_every_parameter(inference: str) -> None:
    model = make((2, 3, 4), inference)
    batch = images()
    PlainLoss(LadderOptions())(model(batch), batch).objective.backward()
    dead = [name for name, p in model.named_parameters() if p.grad is None or p.grad.abs().sum() == 0]
    assert not dead


@BOTH
def test_top_posterior_for_a_prior_made_of_it(inference: str) -> None:
    posterior = make(inference=inference)._posterior_of(images().image)
    assert posterior.batch_shape == (5,)
    assert posterior.event_shape == (2,)


def test_samples_are_seeded_images() -> None:
    model = make()
    first, again = model.sample(3, seed=1), model.sample(3, seed=1)
    assert first.shape == (3, *IMAGE.shape)
    assert torch.equal(first, again)


@pytest.mark.parametrize(("norm", "kind"), [("none", None), ("layer", nn.LayerNorm), ("batch", nn.BatchNorm1d)])
def test_every_hidden_layer_is_normalised_as_asked(norm: str, kind: type[nn.Module] | None) -> None:
    model = LadderVAE(LadderOptions(latent_dims=(2, 3), widths=(8, 8), norm=norm), reference_parts(IMAGE))
    norms = [m for m in model.modules() if isinstance(m, (nn.LayerNorm, nn.BatchNorm1d))]
    # Two on the way up, two on the way down, and one of the features that the network makes.
    assert [type(m) for m in norms] == ([] if kind is None else [kind] * 5)


@pytest.mark.parametrize(("norm", "alone"), [("layer", True), ("batch", False)])
def test_layer_normalisation_alone_leaves_images_independent(norm: str, alone: bool) -> None:
    torch.manual_seed(0)
    model = LadderVAE(LadderOptions(latent_dims=(2, 3), widths=(8, 8), norm=norm), reference_parts(IMAGE)).double()
    batch = images(6)
    whole, part = (model.encode(Batch(images)).latents[0].posterior.mean for images in (batch.image, batch.image[:3]))
    assert torch.allclose(whole[:3], part) == alone


def test_wrong_number_of_latents_and_widths() -> None:
    with pytest.raises(UsageError, match="1 to 2 levels"):
        make().decode([])
    with pytest.raises(ValueError, match="one number a level"):
        LadderOptions(latent_dims=(2, 3, 4))


def test_state_round_trip() -> None:
    model, other = make(), make()
    with torch.no_grad():
        next(other.parameters()).zero_()
    other.load_state_dict(model.state_dict())
    assert torch.equal(model.sample(2, seed=0), other.sample(2, seed=0))


@BOTH
def test_overfits_a_few_images(inference: str) -> None:
    torch.manual_seed(0)
    model = make((2, 4), inference).float()
    batch = Batch((torch.rand(6, *IMAGE.shape) > 0.5).float())
    loss = PlainLoss(LadderOptions())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        terms = loss(model(batch), batch)
        terms.objective.backward()
        optimizer.step()
    # Naming one of six images costs log 6 = 1.8 nats; an untrained model needs about 16·log 2 = 11.
    assert terms.objective.item() < 6
    assert len(terms.rates) == 2


def test_closed_form_rate_is_a_sum_over_dimensions() -> None:
    lower = make().encode(images()).latents[1]
    q, p = lower.posterior, lower.prior
    expected = kl_divergence(Normal(q.mean, q.stddev), Normal(p.mean, p.stddev)).sum(-1)
    torch.testing.assert_close(estimators.rate(lower).value, expected)


@pytest.mark.parametrize(
    ("norm", "dead", "remedies"), [("none", True, ["--model.norm layer"]), ("none", False, []), ("layer", True, [])]
)
def test_a_dead_level_without_normalisation_has_a_cause(norm: str, dead: bool, remedies: list[str]) -> None:
    options = LadderOptions(latent_dims=(2, 3), widths=(8, 8), norm=norm)
    model = LadderVAE(options, reference_parts(IMAGE))
    levels = (LevelUse(2, 0.0 if dead else 2.0, in_use=0 if dead else 2), LevelUse(3, 9.0, in_use=3))
    found = model.diagnose(Evidence(distortion=10.0, rate=9.0, levels=levels, use=Margin(20.0, 1.0)))
    assert [finding.remedy for finding in found] == remedies
