"""The importance-weighted objective on a linear-Gaussian model whose likelihood is known."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.distributions import Categorical, Independent, MultivariateNormal, Normal

from genzoo.distributions import DiagonalNormal, StandardNormal
from genzoo.errors import IncompatibleError
from genzoo.randomness import seeded
from genzoo.types import Batch, Capability, Latent, ModelOutput
from genzoo_iwae.iwae import ImportanceWeighted
from genzoo_iwae.options import ImportanceWeightedOptions

PIXELS, LATENTS, NOISE = 6, 2, 0.5


class Linear:
    """x = Wz + noise; q(z|x) = N(Ax, diag s²) with A and s to be learned."""

    def __init__(self) -> None:
        with seeded(0):
            self.decoder = torch.randn(PIXELS, LATENTS, dtype=torch.float64).requires_grad_()
            self.encoder = (0.2 * torch.randn(LATENTS, PIXELS, dtype=torch.float64)).requires_grad_()
            self.log_variance = torch.full((LATENTS,), -1.0, dtype=torch.float64, requires_grad=True)
            self.image = torch.randn(4, 1, 2, 3, dtype=torch.float64)

    def __call__(self, samples: int) -> ModelOutput:
        mean = self.image.flatten(1) @ self.encoder.T
        posterior = DiagonalNormal(mean, self.log_variance.expand_as(mean))
        z = posterior.rsample((samples,))
        likelihood = Independent(Normal((z @ self.decoder.T).reshape(samples, -1, 1, 2, 3), NOISE), 3)
        return ModelOutput((Latent(posterior, StandardNormal((LATENTS,), dtype=torch.float64), z),), likelihood)

    def log_likelihood(self) -> Tensor:
        covariance = self.decoder @ self.decoder.T + NOISE**2 * torch.eye(PIXELS, dtype=torch.float64)
        return MultivariateNormal(torch.zeros(PIXELS, dtype=torch.float64), covariance).log_prob(self.image.flatten(1))

    def make_exact(self) -> None:
        """Set q to the true posterior, which is diagonal for orthogonal columns of W."""
        with torch.no_grad():
            self.decoder.copy_(torch.linalg.qr(self.decoder).Q * torch.tensor([2.0, 0.7]))
            precision = 1 + (self.decoder**2).sum(0) / NOISE**2
            self.encoder.copy_(self.decoder.T / NOISE**2 / precision[:, None])
            self.log_variance.copy_(-precision.log())


def loss(samples: int, gradient: str = "plain") -> ImportanceWeighted:
    return ImportanceWeighted(ImportanceWeightedOptions.model_validate({"samples": samples, "gradient": gradient}))


@pytest.mark.parametrize("gradient", ["plain", "dreg"])
@pytest.mark.parametrize("samples", [1, 5])
def test_value_is_equation_8_and_terms_sum_to_it(samples: int, gradient: str) -> None:
    model = Linear()
    with seeded(1):
        output = model(samples)
    found = loss(samples, gradient)(output, Batch(model.image))
    latent = output.latents[0]
    expected = torch.zeros((), dtype=torch.float64)
    for i in range(4):
        weights = []
        for k in range(samples):
            z = latent.sample[k, i]
            log_p_x = Normal(model.decoder @ z, NOISE).log_prob(model.image[i].flatten()).sum()
            log_q = Normal(latent.posterior.mean[i], latent.posterior.stddev[i]).log_prob(z).sum()
            weights.append((log_p_x + Normal(0.0, 1.0).log_prob(z).sum() - log_q).exp())
        expected = expected - torch.stack(weights).mean().log() / 4
    assert found.objective.item() == pytest.approx(expected.item(), rel=1e-10)
    assert set(found.terms) == {"distortion", "rate", "importance_gain"}
    assert sum(found.terms.values()).item() == pytest.approx(found.objective.item(), rel=1e-12)
    assert found.terms["distortion"].item() == pytest.approx(found.distortion.item())
    assert found.terms["rate"].item() == pytest.approx(found.rate.item())


def test_more_samples_tighten_the_bound_up_to_the_likelihood() -> None:
    model = Linear()
    truth = -model.log_likelihood().mean().item()
    found = []
    for samples in (1, 10, 5000):
        with seeded(2), torch.no_grad():
            values = [loss(samples)(model(samples), Batch(model.image)).objective for _ in range(2000 // samples + 1)]
        found.append(torch.stack(values).mean().item())
    assert found[0] > found[1] > found[2]
    assert found[2] == pytest.approx(truth, abs=0.15)
    assert found[2] > truth - 0.05


def test_weights_are_constant_at_the_exact_posterior() -> None:
    model = Linear()
    model.make_exact()
    with seeded(3):
        found = loss(3)(model(3), Batch(model.image))
    assert found.objective.item() == pytest.approx(-model.log_likelihood().mean().item(), rel=1e-12)


def test_plain_gradient_is_the_finite_difference_of_the_value() -> None:
    model = Linear()
    batch = Batch(model.image)

    def value(step: float) -> Tensor:
        with torch.no_grad():
            model.encoder[0, 1] += step
        with seeded(4):
            result = loss(4)(model(4), batch).objective
        with torch.no_grad():
            model.encoder[0, 1] -= step
        return result

    value(0.0).backward()
    expected = (value(1e-5) - value(-1e-5)).item() / 2e-5
    assert model.encoder.grad is not None
    assert model.encoder.grad[0, 1].item() == pytest.approx(expected, rel=1e-6)


def gradients(gradient: str, draws: int, samples: int = 3) -> dict[str, Tensor]:
    model = Linear()
    found: dict[str, list[Tensor]] = {"encoder": [], "log_variance": [], "decoder": []}
    with seeded(5):
        for _ in range(draws):
            objective = loss(samples, gradient)(model(samples), Batch(model.image)).objective
            leaves = [getattr(model, name) for name in found]
            for name, value in zip(found, torch.autograd.grad(objective, leaves), strict=True):
                found[name].append(value)
    return {name: torch.stack(values) for name, values in found.items()}


def test_doubly_reparameterised_gradient_has_the_plain_mean() -> None:
    draws = 3000
    plain, doubly = gradients("plain", draws), gradients("dreg", draws)
    for name in ("encoder", "log_variance"):
        error = ((plain[name].var(0) + doubly[name].var(0)) / draws).sqrt()
        assert ((plain[name].mean(0) - doubly[name].mean(0)).abs() < 4.5 * error).all(), name
        assert not torch.allclose(plain[name][0], doubly[name][0])
    torch.testing.assert_close(plain["decoder"], doubly["decoder"])


def test_doubly_reparameterised_gradient_vanishes_at_the_exact_posterior_and_the_plain_one_does_not() -> None:
    model = Linear()
    model.make_exact()
    norms = {}
    for gradient in ("plain", "dreg"):
        with seeded(6):
            objective = loss(3, gradient)(model(3), Batch(model.image)).objective
        grads = torch.autograd.grad(objective, [model.encoder, model.log_variance])
        norms[gradient] = math.sqrt(sum(grad.square().sum().item() for grad in grads))
    assert norms["dreg"] < 1e-12
    assert norms["plain"] > 1e-2


def test_auxiliary_terms_of_the_model_are_added() -> None:
    model = Linear()
    with seeded(7):
        output = model(2)
    plain = loss(2)(output, Batch(model.image)).objective
    extra = ModelOutput(output.latents, output.likelihood, {"codebook": torch.full((4,), 3.0)})
    assert (loss(2)(extra, Batch(model.image)).objective - plain).item() == pytest.approx(3.0)


def test_what_does_not_fit_is_declared_and_refused() -> None:
    assert Capability.REAL_LATENT in loss(2).requires
    assert Capability.DETERMINISTIC_POSTERIOR in loss(2).forbids
    assert Capability.ONE_LEVEL not in loss(2).requires
    assert Capability.ONE_LEVEL in loss(2, "dreg").requires
    model = Linear()
    output = model(2)
    two = ModelOutput(output.latents * 2, output.likelihood)
    assert loss(2)(two, Batch(model.image)).objective.isfinite()
    with pytest.raises(IncompatibleError, match="one level of latents, got 2"):
        loss(2, "dreg")(two, Batch(model.image))
    code = Latent(Categorical(torch.ones(4, 3)), Categorical(torch.ones(3)), torch.zeros(2, 4, dtype=torch.int64))
    with pytest.raises(IncompatibleError, match="diagonal normal posterior, got Categorical"):
        loss(2, "dreg")(ModelOutput((code,), output.likelihood), Batch(model.image))


def test_doubly_reparameterised_gradient_refuses_a_compiled_model() -> None:
    model = Linear()
    image = model.image.flatten(1)

    @torch.compile(backend="aot_eager")
    def forward(encoder: Tensor, decoder: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean = image @ encoder.T
        z = mean + noise
        return mean, z, z @ decoder.T

    mean, z, raw = forward(model.encoder, model.decoder, torch.randn(2, 4, LATENTS, dtype=torch.float64))
    latent = Latent(DiagonalNormal(mean, torch.zeros_like(mean)), StandardNormal((LATENTS,), dtype=torch.float64), z)
    output = ModelOutput((latent,), Independent(Normal(raw.reshape(2, -1, 1, 2, 3), NOISE), 3))
    assert loss(2)(output, Batch(model.image)).objective.isfinite()
    with pytest.raises(IncompatibleError, match="not compiled"):
        loss(2, "dreg")(output, Batch(model.image))


@pytest.mark.parametrize("samples", [0, -1])
def test_samples_must_be_positive(samples: int) -> None:
    with pytest.raises(ValidationError, match="samples"):
        ImportanceWeightedOptions(samples=samples)
