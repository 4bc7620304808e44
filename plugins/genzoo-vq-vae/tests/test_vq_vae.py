"""The VQ-VAE: codebook by hand, straight-through gradient, revival, rate, and that it learns."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from genzoo import estimators
from genzoo.findings import Evidence, LevelUse, Margin
from genzoo.parts.point_mass import PointMass
from genzoo.testing.reference import PlainLoss, reference_parts
from genzoo.types import Batch, ImageSpec
from genzoo_vq_vae.codebook import Codebook, perplexity
from genzoo_vq_vae.options import VQVAEOptions
from genzoo_vq_vae.vq_vae import VQVAE

IMAGE = ImageSpec((1, 8, 8))
KINDS = pytest.mark.parametrize("kind", ["ema", "gradient"])


def make(**options: object) -> VQVAE:
    torch.manual_seed(0)
    model = VQVAE(VQVAEOptions(**{"codes": 6, "code_dim": 3, **options}), reference_parts(IMAGE)).double()
    with torch.no_grad():
        model.codebook.vectors.copy_(torch.randn(model.codebook.vectors.shape))
    return model


def images(n: int = 5) -> Batch:
    return Batch(torch.rand(n, *IMAGE.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64))


def book(**options: object) -> Codebook:
    codebook = Codebook(3, 2, **{"decay": 0.5, "revive_below": 0.0, "learned": False, **options}).double()
    with torch.no_grad():
        codebook.vectors.copy_(torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 9.0]]))
    return codebook


def vectors(*rows: tuple[float, float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_nearest_by_brute_force() -> None:
    model = make()
    encoded = torch.randn(4, 7, 3, dtype=torch.float64)
    expected = torch.cdist(encoded.flatten(0, 1), model.codebook.vectors).argmin(1).reshape(4, 7)
    assert torch.equal(model.codebook.nearest(encoded), expected)


def test_running_means_by_hand() -> None:
    codebook = book()
    codebook.update(vectors((1, 1), (3, 1), (5, 0)), torch.tensor([0, 0, 1]))
    # N = 0.5·(2, 1, 0), m = 0.5·((4, 2), (5, 0), 0): the means of the batch, and code 2 stays.
    torch.testing.assert_close(codebook.vectors, vectors((2, 1), (5, 0), (0, 9)))
    codebook.update(vectors((6, 1)), torch.tensor([0]))
    # N = (0.5 + 0.5, 0.25, 0), m_0 = 0.5·(2, 1) + 0.5·(6, 1) = (4, 1).
    torch.testing.assert_close(codebook.counts, torch.tensor([1.0, 0.25, 0.0]).double())
    torch.testing.assert_close(codebook.vectors, vectors((4, 1), (5, 0), (0, 9)))


def test_vectors_that_are_not_finite_change_nothing() -> None:
    codebook = book(revive_below=0.5)
    before = {name: value.clone() for name, value in codebook.state_dict().items()}
    codebook.update(vectors((1, float("nan"))), torch.tensor([0]))
    assert all(torch.equal(value, before[name]) for name, value in codebook.state_dict().items())


@pytest.mark.parametrize("learned", [False, True])
def test_dead_codes_move_to_encodings_and_live_ones_stay(learned: bool) -> None:
    torch.manual_seed(0)
    codebook = book(revive_below=0.2, learned=learned)
    encoded = vectors((1, 1), (1, 1), (3, 0), (3, 0))
    codebook.update(encoded, torch.tensor([0, 0, 1, 1]))
    expected = vectors((0, 0), (4, 0)) if learned else vectors((1, 1), (3, 0))
    torch.testing.assert_close(codebook.vectors[:2].detach(), expected)
    assert any(torch.equal(codebook.vectors[2].detach(), row) for row in encoded)
    # It counts as used as much as the mean code, and so is not revived again at once.
    assert codebook.counts[2] == pytest.approx(2 / 3)
    moved = codebook.vectors[2].detach().clone()
    codebook.update(encoded, torch.tensor([0, 0, 1, 1]))
    assert torch.equal(codebook.vectors[2].detach(), moved)


def test_perplexity_of_known_counts() -> None:
    assert perplexity(torch.tensor([3.0, 0.0])).item() == pytest.approx(1)
    assert perplexity(torch.full((7,), 2.0)).item() == pytest.approx(7)


def test_shapes_with_samples() -> None:
    model = make()
    output = model(images(), samples=3)
    latent = output.latents[0]
    assert model.levels[0].shape == (2, 2)
    assert latent.sample.shape == (3, 5, 2, 2)
    assert latent.to_decoder.shape == (3, 5, 3, 2, 2)
    assert output.likelihood.batch_shape == (3, 5)
    assert not latent.sample.is_floating_point()
    assert {name: tuple(value.shape) for name, value in output.auxiliary.items()} == {"commitment": (5,)}
    assert estimators.log_weights(output, images().image).isfinite().all()


def test_rate_is_exact_and_log_k_a_code_under_a_uniform_prior() -> None:
    rate = estimators.rate(make()(images(), samples=2).latents[0])
    assert rate.exact
    torch.testing.assert_close(rate.value, torch.full((2, 5), 4 * math.log(6)), check_dtype=False)


def test_codes_and_their_vectors_decode_alike() -> None:
    model = make()
    latent = model.encode(images()).latents[0]
    torch.testing.assert_close(model.decode([latent.sample]).mean, model.decode([latent.to_decoder]).mean)
    assert model.sample(3, seed=0).shape == (3, *IMAGE.shape)


@KINDS
def test_gradient_passes_straight_through(kind: str) -> None:
    model = make(codebook=kind)
    batch = images()
    raw = model.encoder(batch.image).detach().requires_grad_()
    model.encoder.forward = lambda image: raw
    output = model(batch)
    (through,) = torch.autograd.grad(estimators.distortion(output, batch.image).sum(), raw, retain_graph=True)
    codes = output.latents[0].sample[0]
    surrogate = model.codebook.lookup(codes).movedim(-1, -3).detach().requires_grad_()
    direct = -model.decode([surrogate]).log_prob(batch.image).sum()
    torch.testing.assert_close(through, torch.autograd.grad(direct, surrogate)[0])


def test_terms_of_the_two_sides_go_to_their_sides() -> None:
    model = make(codebook="gradient", commitment=0.5)
    encoding = model.encode(images())
    encoded, codes = encoding.state["encoded"], encoding.latents[0].sample[0]
    mean_square = (encoded - model.codebook.vectors.detach()[codes]).square().mean((1, 2, 3))
    torch.testing.assert_close(encoding.auxiliary["commitment"], 0.5 * 64 * mean_square)
    torch.testing.assert_close(encoding.auxiliary["codebook"], 64 * mean_square)
    own = torch.autograd.grad(
        encoding.auxiliary["commitment"].sum(), [model.codebook.vectors], retain_graph=True, allow_unused=True
    )
    assert own == (None,)
    parameters = list(model.encoder.parameters())
    assert all(
        g is None for g in torch.autograd.grad(encoding.auxiliary["codebook"].sum(), parameters, allow_unused=True)
    )


@KINDS
def test_gradient_reaches_every_parameter(kind: str) -> None:
    model = make(codebook=kind)
    batch = images()
    PlainLoss(VQVAEOptions())(model(batch), batch).objective.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    assert isinstance(model.codebook.vectors, torch.nn.Parameter) == (kind == "gradient")


def test_state_reports_perplexity_and_usage() -> None:
    model = make()
    encoding = model.encode(images())
    counts = torch.bincount(encoding.latents[0].sample.flatten(), minlength=6)
    assert encoding.state["usage"].item() == pytest.approx((counts > 0).double().mean().item())
    assert encoding.state["perplexity"].item() == pytest.approx(perplexity(counts.double()).item(), rel=1e-5)
    assert not any(value.requires_grad for value in encoding.state.values())


def test_point_mass() -> None:
    q = PointMass(torch.tensor([[[0, 1], [2, 2]]]), 2)
    assert torch.equal(q.sample((3,)), q.codes.expand(3, 1, 2, 2))
    assert torch.equal(q.entropy(), torch.zeros(1))
    other = torch.tensor([[[0, 1], [2, 1]]])
    assert q.log_prob(torch.stack([q.codes, other])).tolist() == [[0.0], [-math.inf]]
    assert q.expand((4,)).batch_shape == (4,)


@KINDS
def test_overfits_a_few_images_with_all_codes_alive(kind: str) -> None:
    torch.manual_seed(0)
    model = make(codebook=kind, codes=8, code_dim=4).float()
    batch = Batch((torch.rand(6, *IMAGE.shape) > 0.5).float())
    loss = PlainLoss(VQVAEOptions())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(250):
        optimizer.zero_grad()
        output = model(batch)
        terms = loss(output, batch)
        terms.objective.backward()
        optimizer.step()
        model.after_step(output)
    # Untrained, 64 binary pixels cost 64·log 2 = 44.
    assert terms.distortion.item() < 15
    assert output.state["usage"].item() > 0.7


def test_state_round_trip_includes_the_running_means() -> None:
    model, other, batch = make(), make(), images()
    model.after_step(model(batch))
    other.load_state_dict(model.state_dict())
    torch.manual_seed(4)
    model.after_step(model(batch))
    torch.manual_seed(4)
    other.after_step(other(batch))
    assert torch.equal(model.codebook.vectors, other.codebook.vectors)
    assert torch.equal(model.sample(2, seed=0), other.sample(2, seed=0))


def judged(evidence: Evidence, **options: object) -> tuple[str, list[str]]:
    found = make(**options).diagnose(evidence)
    return " ".join(finding.text for finding in found), [finding.remedy for finding in found if finding.remedy]


def codes_of(entropy: float, spent: float, use: float = 20.0) -> Evidence:
    level = LevelUse(4, 4 * spent, codes=6, used=3, entropy=entropy, images=100)
    return Evidence(distortion=30.0, rate=4 * spent, levels=(level,), use=Margin(use, 0.1))


def test_the_rate_of_a_uniform_prior_says_nothing_of_the_codes() -> None:
    text, remedies = judged(codes_of(math.log(5), math.log(6)))
    assert text.startswith("The prior is uniform, 1.79 nats per code")
    assert not remedies
    text, _ = judged(codes_of(math.log(5), 1.25))
    assert "The prior spends 1.25 nats on each of an image's 4 codes, where their own frequencies take 1.61." in text


def test_a_codebook_is_mended_with_what_the_model_has() -> None:
    collapsed = codes_of(0.0, math.log(6), use=0.0)
    few = ["--model.revive-below 0.05", "fewer codes (--model.codes 3)", "a lower --lr"]
    assert judged(collapsed, codebook="gradient", revive_below=0.0)[1] == ["--model.codebook ema", *few]
    assert judged(collapsed, revive_below=0.1)[1] == ["--model.revive-below 0.2", *few[1:]]
    assert judged(collapsed, codes=2)[1] == ["--model.revive-below 0.1", "a lower --lr"]
