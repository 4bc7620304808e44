"""`adversarial-ae` and `vae-gan`: known answers of their critics and terms, whose weights they move, and runs."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import genzoo
from genzoo.distributions import DiagonalNormal, StandardNormal
from genzoo.errors import IncompatibleError
from genzoo.options import NoOptions
from genzoo.testing.reference import PlainModel, reference_parts
from genzoo.types import Batch, Context, ImageSpec
from genzoo_gan.adversarial_ae import AdversarialAE
from genzoo_gan.options import AdversarialAEOptions, VAEGANOptions
from genzoo_gan.vae_gan import VAEGAN

IMAGE = ImageSpec((1, 4, 4))
QUICK = {"data": "digits", "network": "mlp", "epochs": 1, "limit": 64, "progress": False}


def made(kind: type, options: object) -> tuple[nn.Module, PlainModel]:
    torch.manual_seed(0)
    model, objective = PlainModel(NoOptions(), reference_parts(IMAGE)), kind(options)
    objective.prepare(model, reference_parts(IMAGE))
    return objective, model


class Ratio(nn.Module):
    """log p(z) − log q(z) for p = N(0, I) and q = N(m, s² I), the optimal critic."""

    def __init__(self, mean: float, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([mean, scale]))

    def forward(self, z: Tensor) -> Tensor:
        mean, scale = self.weight.detach()
        p = StandardNormal((2,), dtype=z.dtype)
        q = DiagonalNormal(mean.expand(2), (2 * scale.log()).expand(2))
        return (p.log_prob(z) - q.log_prob(z))[..., None]


def test_the_optimal_critic_of_codes_reaches_the_divergence_of_two_normals() -> None:
    """Codes are N(1, 4 I) whatever the image: the critic's loss is 2 log 2 − 2 JS(p, q), here by quadrature."""
    objective, model = made(AdversarialAE, AdversarialAEOptions(critic=(8,)))
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.zero_()
        model.encoder[3].bias.copy_(torch.tensor([1.0, 1.0, 2 * math.log(2), 2 * math.log(2)]))
    objective.critic = Ratio(1.0, 2.0)
    torch.manual_seed(1)
    found = objective.step(model, Batch(torch.rand(200_000, 1, 4, 4)), Context(), "critic")
    axis = torch.linspace(-14, 16, 601, dtype=torch.float64)
    z = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
    cell = float(axis[1] - axis[0]) ** 2
    p = StandardNormal((2,), dtype=torch.float64).log_prob(z).exp()
    q = DiagonalNormal(torch.ones(2).double(), torch.full((2,), 2 * math.log(2)).double()).log_prob(z).exp()
    middle = (p + q) / 2
    divergence = float((p * (p / middle).log() + q * (q / middle).log()).nan_to_num().sum()) * cell / 2
    assert float(found.objective) == pytest.approx(2 * math.log(2) - 2 * divergence, abs=0.01)


def test_a_critic_that_cannot_tell_costs_gamma_log_two() -> None:
    objective, model = made(AdversarialAE, AdversarialAEOptions(gamma=3.0, critic=(8,)))
    with torch.no_grad():
        for parameter in objective.critic.parameters():
            parameter.zero_()
    batch = Batch(torch.rand(6, 1, 4, 4))
    found = objective.step(model, batch, Context(), "model")
    assert float(found.terms["codes_critic"].detach()) == pytest.approx(3 * math.log(2))
    assert set(found.terms) == {"distortion", "codes_critic"}, "the rate has no weight"
    critic = objective.step(model, batch, Context(), "critic")
    assert [float(value.detach()) for value in critic.report.values()] == pytest.approx([0.5, 0.5])


def test_codes_come_to_the_prior_with_the_critic_and_not_without() -> None:
    """How far mean and spread of codes are from N(0, I), after a short training from codes that are far off."""

    def off(gamma: float) -> float:
        objective, model = made(AdversarialAE, AdversarialAEOptions(gamma=gamma, critic=(32,)))
        with torch.no_grad():
            model.encoder[3].bias.copy_(torch.tensor([2.0, 2.0, -3.0, -3.0]))
        names, rates = [player.name for player in objective.players(model)], (2e-3, 1e-2)
        players = [
            torch.optim.Adam(player.parameters, lr=rate, betas=(0.5, 0.999))
            for player, rate in zip(objective.players(model), rates, strict=True)
        ]
        torch.manual_seed(2)
        batch = Batch(torch.rand(128, 1, 4, 4).round())
        for _ in range(300):
            for name, optimizer in zip(names, players, strict=True):
                optimizer.zero_grad()
                found = objective.step(model, batch, Context(), name).objective
                found.backward(inputs=optimizer.param_groups[0]["params"])
                optimizer.step()
        with torch.no_grad():
            codes = model.encode(batch, samples=20).latents[0].sample.flatten(0, 1)
        return float((codes.mean(0).square() + (codes.std(0).log()).square()).sum())

    assert off(20.0) < 0.1 < 1 < off(0.0)


def test_terms_of_vae_gan_by_hand() -> None:
    """With features that are the pixels and a critic of zeros, ½‖x − x̃‖² and two times log 2."""
    objective, model = made(VAEGAN, VAEGANOptions(features=16, adversary=0.5, beta=2.0))
    objective.body = nn.Flatten()
    with torch.no_grad():
        for parameter in (*objective.head.parameters(), *model.parameters()):
            parameter.zero_()
    image = torch.rand(6, 1, 4, 4)
    found = objective.step(model, Batch(image), Context(), "model")
    expected = 0.5 * (image - 0.5).square().flatten(1).sum(1).mean()
    assert float(found.terms["feature_distortion"].detach()) == pytest.approx(float(expected), rel=1e-5)
    assert float(found.terms["adversary"].detach()) == pytest.approx(0.5 * 2 * math.log(2))
    assert float(found.terms["rate"].detach()) == pytest.approx(0, abs=1e-6)
    assert float(found.report["distortion"].detach()) == pytest.approx(16 * math.log(2), rel=1e-5)
    critic = objective.step(model, Batch(image), Context(), "critic")
    assert float(critic.objective.detach()) == pytest.approx(3 * math.log(2))


def test_the_verdict_moves_the_decoder_alone_and_the_features_both() -> None:
    objective, model = made(VAEGAN, VAEGANOptions(features=8))
    found = objective.step(model, Batch(torch.rand(6, 1, 4, 4)), Context(), "model").terms
    encoder, decoder = list(model.encoder.parameters()), list(model.decoder.parameters())

    def reached(term: str, parameters: list[nn.Parameter]) -> bool:
        slopes = torch.autograd.grad(found[term], parameters, retain_graph=True, allow_unused=True)
        return any(slope is not None and bool(slope.abs().sum() > 0) for slope in slopes)

    assert [reached("adversary", part) for part in (encoder, decoder)] == [False, True]
    assert [reached("feature_distortion", part) for part in (encoder, decoder)] == [True, True]
    assert [reached("rate", part) for part in (encoder, decoder)] == [True, False]


@pytest.mark.parametrize("loss", ["adversarial-ae", "vae-gan"])
@pytest.mark.parametrize("model", ["vae", "cvae"])
def test_it_trains_and_draws(loss: str, model: str, tmp_path: Path) -> None:
    run = genzoo.run(model, loss=loss, viz=["samples", "reconstructions"], metrics="elbo", out=tmp_path, **QUICK)
    row = run.history[-1]["test"]
    assert {"distortion", "rate", "elbo"} <= set(row)
    assert row["elbo"] == pytest.approx(-(row["distortion"] + row["rate"]), rel=1e-4)
    assert {"samples.png", "reconstructions.png"} <= {path.name for path in run.folder.figures.iterdir()}
    assert run.sample(2, seed=1).shape == (2, 1, 8, 8)


@pytest.mark.parametrize(("loss", "model"), [("adversarial-ae", "vq-vae"), ("vae-gan", "vq-vae"), ("vae-gan", "gan")])
def test_models_that_do_not_fit_are_refused_by_name(loss: str, model: str, tmp_path: Path) -> None:
    with pytest.raises(IncompatibleError, match=loss):
        genzoo.run(model, loss=loss, out=tmp_path, **{k: v for k, v in QUICK.items() if k != "network"})
