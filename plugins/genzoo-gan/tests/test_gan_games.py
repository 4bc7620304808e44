"""The games: their values against known answers, the gradient penalty, turns, refusals, and runs of conditional GANs."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import genzoo
from genzoo.errors import IncompatibleError, UsageError
from genzoo.interfaces import LatentGenerator
from genzoo.options import NoOptions
from genzoo.testing.reference import PlainGenerator, reference_parts
from genzoo.types import Batch, Context, ImageSpec
from genzoo_gan.adversarial import Adversarial
from genzoo_gan.games import critic_terms, generator_objective, gradient_penalty
from genzoo_gan.options import AdversarialOptions

P, Q = (3 / 8, 4 / 8, 1 / 8), (1 / 8, 2 / 8, 5 / 8)
"""Two densities on three points; batches of eight hold them exactly."""
GAMES = ("non-saturating", "hinge", "wgan-gp")
IMAGE = ImageSpec((1, 4, 4))
QUICK = {"data": "digits", "network": "mlp", "epochs": 1, "limit": 64, "progress": False}


def scores_of(table: Tensor, density: tuple[float, ...]) -> Tensor:
    """The critic's scores of a batch of eight images with that density."""
    return table.repeat_interleave(torch.tensor([round(8 * mass) for mass in density]))


def value(game: str, table: Tensor) -> Tensor:
    return torch.stack(list(critic_terms(game, scores_of(table, P), scores_of(table, Q)).values())).sum()  # type: ignore[arg-type]


def best(game: str) -> Tensor:
    """The optimal critic in closed form. On a line, 0 – 1 – 2, with slopes of one for Wasserstein's."""
    p, q = torch.tensor(P, dtype=torch.float64), torch.tensor(Q, dtype=torch.float64)
    if game == "non-saturating":
        return (p / q).log()
    return (p - q).sign() if game == "hinge" else torch.tensor([0.0, -1.0, -2.0], dtype=torch.float64)


def known(game: str) -> float:
    """The game's value from divergences."""
    p, q = torch.tensor(P, dtype=torch.float64), torch.tensor(Q, dtype=torch.float64)
    if game == "non-saturating":
        middle = (p + q) / 2
        divergence = (p * (p / middle).log() + q * (q / middle).log()).sum() / 2
        return float(2 * math.log(2) - 2 * divergence)
    if game == "hinge":
        return float(2 - (p - q).abs().sum())
    return -float((p - q).cumsum(0)[:-1].abs().sum())  # the earth mover's distance on a line


@pytest.mark.parametrize("game", GAMES)
def test_the_optimal_critic_reaches_the_divergence_of_two_known_densities(game: str) -> None:
    table = best(game)
    assert float(value(game, table)) == pytest.approx(known(game), abs=1e-12)
    draw = torch.Generator().manual_seed(0)
    for _ in range(200):
        other = table + 0.5 * torch.randn(3, generator=draw, dtype=torch.float64)
        if game == "wgan-gp":
            other = other.clone()
            other[1] = other[0] + (other[1] - other[0]).clamp(-1, 1)
            other[2] = other[1] + (other[2] - other[1]).clamp(-1, 1)
        assert float(value(game, other)) >= known(game) - 1e-12


def test_hinge_and_wasserstein_by_hand() -> None:
    real, generated = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-2.0, 0.0, 1.0])
    hinge = critic_terms("hinge", real, generated)
    assert float(hinge["real"]) == pytest.approx((0 + 0.5 + 2) / 3)
    assert float(hinge["generated"]) == pytest.approx((0 + 1 + 2) / 3)
    wasserstein = critic_terms("wgan-gp", real, generated)
    assert float(wasserstein["real"]) == pytest.approx(-0.5)
    assert float(wasserstein["generated"]) == pytest.approx(-1 / 3)
    for game in ("hinge", "wgan-gp"):
        assert float(generator_objective(game, generated)) == pytest.approx(1 / 3)
    assert float(generator_objective("non-saturating", torch.zeros(3))) == pytest.approx(math.log(2))


def test_smoothing_moves_the_best_score_of_real_images_to_its_log_odds() -> None:
    real = torch.tensor([math.log(0.9 / 0.1)], dtype=torch.float64, requires_grad=True)
    critic_terms("non-saturating", real, torch.zeros(1, dtype=torch.float64), smoothing=0.1)["real"].backward()
    assert real.grad is not None
    assert float(real.grad) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("scale", [0.25, 1.0, 3.0])
def test_the_penalty_of_a_linear_critic_is_the_square_of_its_norm_less_one(scale: float) -> None:
    direction = torch.randn(16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weight = (scale * direction / direction.norm()).requires_grad_(True)
    real, generated = torch.rand(5, 1, 4, 4, dtype=torch.float64), torch.rand(5, 1, 4, 4, dtype=torch.float64)
    found = gradient_penalty(lambda image: image.flatten(1) @ weight, real, generated)
    assert float(found.detach()) == pytest.approx((scale - 1) ** 2, abs=1e-12)
    (slope,) = torch.autograd.grad(found, weight)
    assert torch.allclose(slope, 2 * (scale - 1) * direction / direction.norm(), atol=1e-12)


def test_the_penalty_looks_between_each_real_and_generated_image() -> None:
    seen: list[Tensor] = []

    def scores(image: Tensor) -> Tensor:
        seen.append(image.detach())
        return image.square().flatten(1).sum(1)

    real, generated = torch.zeros(64, 1, 2, 2), torch.ones(64, 1, 2, 2)
    torch.manual_seed(0)
    found = gradient_penalty(scores, real, generated)
    share = seen[0][:, 0, 0, 0]
    assert torch.equal(seen[0], share[:, None, None, None].expand_as(seen[0]))
    assert 0 <= share.min() < 0.1
    assert 0.9 < share.max() <= 1
    assert float(found.detach()) == pytest.approx(float((4 * share - 1).square().mean()), rel=1e-5)


def game_of(**options: object) -> tuple[Adversarial, LatentGenerator]:
    torch.manual_seed(0)
    model, objective = (
        PlainGenerator(NoOptions(), reference_parts(IMAGE)),
        Adversarial(AdversarialOptions.model_validate(options)),
    )
    objective.prepare(model, reference_parts(IMAGE))
    return objective, model


def test_the_penalty_is_a_weighted_term_of_the_critic_in_training_alone() -> None:
    objective, model = game_of(game="wgan-gp", penalty=3.0)
    objective.critic = nn.Sequential(nn.Flatten(), nn.Linear(16, 1))
    weight = objective.critic[1].weight
    terms = objective.step(model, Batch(torch.rand(6, 1, 4, 4)), Context(), "critic")
    assert float(terms.terms["penalty"].detach()) == pytest.approx(
        3 * float((weight.detach().norm() - 1) ** 2), rel=1e-5
    )
    with torch.no_grad():
        found = objective.evaluate(model, Batch(torch.rand(6, 1, 4, 4)), Context())
    assert set(found.terms) == {"real", "generated"}
    report = found.report
    assert float(found.objective) == pytest.approx(float(report["critic_generated"] - report["critic_real"]), rel=1e-5)


@pytest.mark.parametrize(
    ("game", "unit"), [("non-saturating", "probability"), ("hinge", "score"), ("wgan-gp", "score")]
)
def test_reports_name_their_unit(game: str, unit: str) -> None:
    objective, _ = game_of(game=game)
    assert {report.unit for report in objective.reports} == {unit}


@pytest.mark.parametrize("game", GAMES)
def test_a_trained_critic_tells_bright_from_dark_and_the_generator_follows(game: str) -> None:
    """Images are bright; after a short training so are samples, in every game."""
    options = {"game": game, "lr": 1e-2, "critic_lr": 1e-2, "beta1": 0.0, "beta2": 0.9}
    objective, model = game_of(**options)
    players = {
        player.name: torch.optim.Adam(player.parameters, lr=1e-2, betas=player.betas)
        for player in objective.players(model)
    }
    torch.manual_seed(1)
    before = float(model.sample(200, seed=0).mean())
    for _ in range(120):
        bright = Batch(0.9 + 0.1 * torch.rand(32, 1, 4, 4))
        for name, optimizer in players.items():
            optimizer.zero_grad()
            objective.step(model, bright, Context(), name).objective.backward(
                inputs=list(optimizer.param_groups[0]["params"])
            )
            optimizer.step()
    assert before < 0.7
    assert float(model.sample(200, seed=0).mean()) > 0.8


def test_the_generator_takes_part_in_every_so_many_steps() -> None:
    objective, model = game_of(critic_steps=5)
    assert [player.every for player in objective.players(model)] == [1, 5]


def test_options_of_another_game_are_refused() -> None:
    for options in ({"penalty": 1.0}, {"game": "hinge", "smoothing": 0.1}):
        with pytest.raises(ValueError, match=r"acts in the game (wgan-gp|non-saturating) alone"):
            AdversarialOptions.model_validate(options)


def test_wgan_gp_refuses_batch_normalisation_in_its_critic_by_name(tmp_path: Path) -> None:
    network = ("conv", {"channels": [8], "norm": "batch"})
    with pytest.raises(IncompatibleError, match="critic of wgan-gp must be without batch normalisation"):
        genzoo.run("wgan-gp", out=tmp_path, **QUICK | {"network": network})
    assert not list(tmp_path.rglob("run.json"))


@pytest.mark.parametrize("name", ["gan", "wgan-gp"])
def test_a_conditional_gan_draws_what_it_is_asked_for(name: str, tmp_path: Path) -> None:
    figures = ["samples", "class-swap", "class-grid"]
    run = genzoo.run((name, {"conditional": True, "latent_dim": 3}), viz=figures, out=tmp_path, **QUICK)
    assert {f"{figure}.png" for figure in figures} <= {path.name for path in run.folder.figures.iterdir()}
    one, two = run.sample(4, label=3, seed=1), run.sample(4, label=7, seed=1)
    assert one.shape == (4, 1, 8, 8)
    assert not torch.equal(torch.as_tensor(one), torch.as_tensor(two))


@pytest.mark.parametrize("figure", ["class-swap", "class-grid"])
def test_class_figures_of_an_unconditional_gan_are_refused_before_training(figure: str, tmp_path: Path) -> None:
    with pytest.raises((IncompatibleError, UsageError), match=rf"{figure}.*conditional"):
        genzoo.run("gan", viz=figure, out=tmp_path, **QUICK)
    assert not list(tmp_path.rglob("run.json"))


@pytest.mark.parametrize("figure", ["reconstructions", "style-transfer"])
def test_figures_that_need_an_encoder_are_refused_before_training(figure: str, tmp_path: Path) -> None:
    with pytest.raises((IncompatibleError, UsageError), match=rf"{figure}.*a model that encodes and decodes"):
        genzoo.run(("gan", {"conditional": True}), viz=figure, out=tmp_path, **QUICK)
    assert not list(tmp_path.rglob("run.json"))
