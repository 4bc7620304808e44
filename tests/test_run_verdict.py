"""What a run says of its model when it ends: how its evidence is measured, what core finds in it, and how it is said."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import genzoo
from genzoo.distributions import DiagonalNormal, StandardNormal
from genzoo.findings import Evidence, Finding, LevelUse, Margin
from genzoo.interfaces import Dataset, RunView
from genzoo.options import NoOptions
from genzoo.parts.baseline import constant_output
from genzoo.randomness import seeded
from genzoo.testing.reference import BernoulliPixels
from genzoo.training import closing
from genzoo.training.drawn import Drawn, coverage, density_findings, drawn_findings, pixels_alone
from genzoo.training.evidence import decode_in_ways, gather, leading, levels_in_use
from genzoo.training.verdict import core_findings, paragraph
from genzoo.types import Batch, Capability, Encoding, ImageSpec, Latent, LatentSpec, ModelOutput, Split
from genzoo_likelihoods.gaussian import Gaussian
from genzoo_likelihoods.options import GaussianOptions
from genzoo_losses.elbo import Elbo
from genzoo_losses.geco import Geco
from genzoo_losses.options import ElboOptions, GecoOptions

SPEC = ImageSpec((1, 2, 2), classes=3)


# The units and codes of a level.


class Copying:
    """A unit that says what the image is and one of noise, and a lower level that copies a sample of both."""

    levels = (LatentSpec((2,)), LatentSpec((2,)))
    capabilities = frozenset({Capability.REAL_LATENT, Capability.HIERARCHICAL})

    def encode(self, batch: Batch, *, samples: int = 1) -> Encoding:
        mean = torch.stack([batch.image.flatten(1).mean(1), torch.zeros(len(batch))], 1)
        top = DiagonalNormal(mean, torch.zeros_like(mean))
        sample = top.rsample((samples,))
        below = DiagonalNormal(sample, torch.zeros_like(sample))
        prior = StandardNormal((2,))
        return Encoding((Latent(top, prior, sample), Latent(below, prior, below.rsample())))


def test_noise_from_another_level_is_no_unit_in_use() -> None:
    with seeded(0):
        model: Any = Copying()
        levels = levels_in_use(model, Batch(torch.randn(1000, 1, 1, 1)), [0.3, 0.7])
    assert levels == (
        LevelUse(2, 0.3, in_use=1, active=1, images=1000),
        LevelUse(2, 0.7, in_use=1, active=1, images=1000),
    )


class Scaled:
    """One unit that copies the image's brightness and one of noise, both multiplied by a scale."""

    levels = (LatentSpec((2,)),)
    capabilities = frozenset({Capability.REAL_LATENT})

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def encode(self, batch: Batch, *, samples: int = 1) -> Encoding:
        mean = self.scale * torch.stack([batch.image.flatten(1).mean(1), torch.zeros(len(batch))], 1)
        log_variance = torch.full_like(mean, math.log(0.01 * self.scale**2))
        posterior = DiagonalNormal(mean, log_variance)
        prior = DiagonalNormal(torch.zeros(2), torch.full((2,), 2 * math.log(self.scale)))
        return Encoding((Latent(posterior, prior, posterior.rsample((samples,))),))


@pytest.mark.parametrize("scale", [1e-4, 0.05, 1.0, 1e3])
def test_units_in_use_do_not_change_when_latents_are_rescaled(scale: float) -> None:
    with seeded(0):
        model: Any = Scaled(scale)
        (level,) = levels_in_use(model, Batch(torch.randn(500, 1, 1, 1)))
    assert level.in_use == 1
    assert level.active == (1 if scale >= 1 else 0)
    assert level.rate == pytest.approx(0.5 * (1 + 2 * 0.01 - 2 - 2 * math.log(0.01)), rel=0.1)


class Picking:
    """One place that takes code 0 for dark images and 2 for bright ones, of four codes."""

    levels = (LatentSpec((1,), categories=4),)
    capabilities = frozenset({Capability.CATEGORICAL_LATENT, Capability.DETERMINISTIC_POSTERIOR})

    def encode(self, batch: Batch, *, samples: int = 1) -> Encoding:
        codes = 2 * (batch.image.flatten(1).mean(1, keepdim=True) > 0).long()
        prior: Any = None
        return Encoding((Latent(prior, prior, codes.expand(samples, -1, -1)),))


def test_codes_are_counted() -> None:
    model: Any = Picking()
    batch = Batch(torch.tensor([-1.0, -1.0, 1.0, 1.0]).reshape(4, 1, 1, 1))
    (level,) = levels_in_use(model, batch, [0.7])
    assert (level.used, level.codes, level.images, level.in_use) == (2, 4, 4, None)
    assert level.perplexity == pytest.approx(2)
    assert level.varies
    (one,) = levels_in_use(model, batch[:2], [0.7])
    assert not one.varies


# What the decoder loses without its latents, and without its label.


class Decoding:
    """Decodes the image from a latent that copies it, dims it by the label, or does neither."""

    capabilities = frozenset({Capability.REAL_LATENT, Capability.CONDITIONAL})
    levels = (LatentSpec((4,)),)
    image = SPEC

    def __init__(self, *, latents: bool, labels: bool) -> None:
        self.latents, self.labels = latents, labels
        self.likelihood = BernoulliPixels(NoOptions())

    def __call__(self, batch: Batch) -> ModelOutput:
        mean = 4 * (2 * batch.image.flatten(1) - 1)
        posterior = DiagonalNormal(mean, torch.full_like(mean, -6.0))
        latent = Latent(posterior, StandardNormal((4,)), posterior.rsample((1,)))
        return ModelOutput((latent,), self.decode([latent.sample], batch.label))

    def decode(self, latents: list[Tensor], label: Tensor | None) -> Any:
        raw = latents[0] if self.latents else torch.zeros_like(latents[0])
        if self.labels and label is not None:
            raw = raw + 2.0 * (label[:, None] - 1)
        return self.likelihood(raw.unflatten(-1, (1, 2, 2)))


def decoded(*, latents: bool = True, labels: bool = False) -> Any:
    with seeded(0):
        label = torch.randint(0, 3, (300,))
        brightness = (torch.rand(300, 1, 2, 2) < (0.2 + 0.3 * label)[:, None, None, None]).float()
        model: Any = Decoding(latents=latents, labels=labels)
        return decode_in_ways(model, Batch(brightness, label), torch.zeros(1, 2, 2))


def test_a_decoder_loses_by_the_latents_of_another_image_what_it_reads_of_them() -> None:
    assert (decoded().swapped - decoded().own).mean() > 3
    ignoring = decoded(latents=False)
    assert torch.equal(ignoring.swapped, ignoring.own)
    assert decoded().constant.mean() == pytest.approx(4 * math.log(2))


def test_a_decoder_loses_by_a_wrong_label_what_it_reads_of_it() -> None:
    assert (decoded(latents=False, labels=True).wrong - decoded(latents=False, labels=True).own).mean() > 0.5
    assert torch.equal(decoded().wrong, decoded().own)


def test_the_constant_image_of_a_bernoulli_is_the_smoothed_mean_image() -> None:
    with seeded(1):
        images = (torch.rand(50, 1, 4, 4) < 0.3).float()
    likelihood = BernoulliPixels(NoOptions())
    raw = constant_output(likelihood, images, ImageSpec((1, 4, 4)))
    want = (images.sum(0) + images.mean()) / 51
    assert torch.allclose(raw.sigmoid(), want, atol=1e-4)


class Plain(Dataset):
    spec = SPEC  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    def split(self, name: str) -> Split:
        raise NotImplementedError


def view_of(model: Any, images: Tensor, label: Tensor | None = None) -> RunView:
    model.parameters = model.buffers = lambda: iter(())
    splits = {"train": Split(images, label), "test": Split(images, label)}
    return RunView("a model", model, Plain(NoOptions()), splits)


def test_images_that_are_all_alike_are_seen() -> None:
    model: Any = Decoding(latents=True, labels=False)
    model.encode = lambda batch, samples=1: Encoding(model(batch).latents)
    label = torch.zeros(20, dtype=torch.int64)
    with seeded(0):
        same = gather(view_of(model, torch.full((20, 1, 2, 2), 0.3), label), None, None)
        different = gather(view_of(model, torch.rand(20, 1, 2, 2), label), None, None)
    assert same.alike
    assert not different.alike
    assert paragraph(core_findings(same)).startswith(
        "All images are the same, so there is nothing for the latents to say."
    )
    assert not same.starved


def test_the_evidence_does_not_depend_on_the_order_of_the_images() -> None:
    # Sorted by class, the next image is of the same class: a decoder of classes would seem to need no latents.
    model: Any = Decoding(latents=True, labels=False)
    model.encode = lambda batch, samples=1: Encoding(model(batch).latents)
    images = torch.cat([torch.zeros(200, 1, 2, 2), torch.ones(200, 1, 2, 2)])
    with seeded(0):
        found = gather(view_of(model, images, torch.zeros(400, dtype=torch.int64)), None, None)
    assert found.use is not None
    assert found.use.mean > 3


# What core finds.

HEALTHY = Evidence(
    distortion=142.0,
    rate=6.6,
    levels=(LevelUse(2, 6.6, in_use=2, active=2, images=1000),),
    pixels=784,
    images=1000,
    steps=14_000,
    epochs=30,
    baseline=206.2,
    floor=45.5,
    spread=40.0,
    gain=Margin(64.0, 0.8),
    train_gain=Margin(66.0, 0.8),
    use=Margin(90.0, 2.0),
    train_use=Margin(92.0, 2.0),
    trend=0.1,
    quantities={"beta": 1.0},
)
DEAD = replace(
    HEALTHY,
    distortion=206.3,
    rate=0.003,
    levels=(LevelUse(2, 0.003, in_use=0, active=0, images=1000),),
    gain=Margin(-0.1, 0.02),
    train_gain=Margin(-0.1, 0.02),
    use=Margin(0.0, 0.001),
    train_use=Margin(0.0, 0.001),
)


def told(evidence: Evidence) -> str:
    return paragraph(core_findings(evidence))


def severities(evidence: Evidence) -> set[str]:
    return {finding.severity for finding in core_findings(evidence)}


def test_a_healthy_model() -> None:
    assert told(HEALTHY) == (
        "The latents are in use: the rate is 6.60 nats per image, 2 of 2 latent units in use, and decoding the latents of "
        "another image costs 90.00 nats. Distortion 142.00, elbo -148.60; the best constant image has a distortion of "
        "206.20, a perfect one of 45.50."
    )
    assert severities(HEALTHY) == {"good"}


def test_small_latents_are_no_collapse() -> None:
    small = replace(HEALTHY, rate=20.0, levels=(LevelUse(4, 20.0, in_use=4, active=0, images=1000),))
    assert told(small).startswith(
        "The latents are in use: the rate is 20.00 nats per image, 4 of 4 latent units in use"
    )
    assert not small.starved


def test_a_rate_of_nothing_is_no_collapse_where_the_decoder_needs_the_latents() -> None:
    # As under a prior that knows the label, of which alone the latents speak.
    spoken = replace(HEALTHY, rate=0.02, levels=(LevelUse(4, 0.02, in_use=4, active=4, images=1000),))
    assert told(spoken).startswith("The latents are in use: the rate is 0.02 nats")


@pytest.mark.parametrize("active", [0, 2])
def test_a_collapse(active: int) -> None:
    text = told(replace(DEAD, levels=(LevelUse(2, 0.003, in_use=0, active=active, images=1000),)))
    assert text.startswith("The posterior has collapsed: the rate is 0.003 nats per image, 0 of 2 latent units in use")
    assert "the best constant image has a distortion of 206.20" in text
    assert severities(DEAD) == {"fault"}
    assert DEAD.starved


@pytest.mark.parametrize("rate", [0.8, 20.0])
def test_a_rate_that_buys_nothing_is_no_use(rate: float) -> None:
    # Of free bits, a capacity, or a posterior that is the same for every image and far from the prior.
    level = LevelUse(16, rate, in_use=0, active=0, images=1000)
    assert told(replace(DEAD, rate=rate, levels=(level,))).startswith("The posterior has collapsed")
    told_apart = replace(DEAD, rate=20.0, levels=(replace(level, rate=20.0, in_use=5),))
    assert told(told_apart).startswith("The decoder ignores its latents: the rate is 20.00 nats per image, 5 of 16")


def test_worse_than_a_constant_image_is_neither_healthy_nor_a_collapse() -> None:
    garbage = replace(
        HEALTHY,
        distortion=228.3,
        rate=0.8,
        gain=Margin(-22.0, 0.5),
        train_gain=Margin(-22.0, 0.5),
        use=Margin(0.4, 0.1),
    )
    text = told(garbage)
    assert text.startswith("The model is not trained: its distortion of 228.30 nats per image lies above the 206.20 of")
    assert not any(word in text for word in ("in use", "collapsed", "healthy"))
    assert text.endswith("Try more --epochs or another --lr.")
    assert "fault" in severities(garbage)
    assert "not trained yet" in told(replace(garbage, steps=30, epochs=1))


@pytest.mark.parametrize("nats", [-3000.0, 0.0, 1e5])
def test_nothing_changes_when_a_constant_is_added_to_the_density(nats: float) -> None:
    # A density may be above 1 and its distortion below 0, as for a Gaussian of a small scale.
    def moved(evidence: Evidence) -> Evidence:
        assert evidence.baseline is not None
        assert evidence.floor is not None
        numbers = (evidence.distortion + nats, evidence.baseline + nats, evidence.floor + nats)
        return replace(evidence, distortion=numbers[0], baseline=numbers[1], floor=numbers[2])

    for evidence in (HEALTHY, DEAD):
        assert [finding.severity for finding in core_findings(moved(evidence))] == [
            f.severity for f in core_findings(evidence)
        ]
        assert told(moved(evidence)).split(":")[0] == told(evidence).split(":")[0]


def test_without_a_least_distortion_the_spread_over_images_is_the_measure() -> None:
    # A decoder that ignores its latents and is not at its own optimum yet has collapsed all the same.
    density = replace(DEAD, distortion=-102.7, baseline=-110.0, floor=None, spread=40.0, gain=Margin(-7.3, 1.0))
    assert told(density).startswith("The posterior has collapsed")
    garbage = replace(density, distortion=60.0, gain=Margin(-170.0, 1.0))
    assert told(garbage).startswith("The model is not trained")


def test_hardly_any_use_is_told() -> None:
    few = Margin(1.2, 0.1)
    weak = replace(HEALTHY, distortion=205.0, rate=0.8, gain=few, train_gain=few, use=Margin(1.6, 0.1))
    assert told(weak).startswith("The latents are hardly in use: the rate is 0.80 nats")
    assert weak.starved
    assert severities(weak) == {"fault"}


def test_overfitting_is_told_by_the_gap_of_train_and_test() -> None:
    over = replace(HEALTHY, distortion=165.0, gain=Margin(41.0, 0.8), train_gain=Margin(120.0, 3.0))
    text = told(over)
    assert text.startswith("The model is over-fitted: against the best constant image it gains 120.0 nats on training")
    assert "66% of that is missing" in text
    assert "--holdout" in text
    assert "fault" in severities(over)
    worse = replace(over, distortion=300.0, gain=Margin(-94.0, 5.0))
    assert "all of that is missing" in told(worse)
    assert "is not trained" not in told(worse)
    for harmless in (
        replace(HEALTHY, gain=Margin(60.0, 0.8), train_gain=Margin(66.0, 0.8)),
        replace(HEALTHY, gain=Margin(40.0, 15.0), train_gain=Margin(66.0, 15.0)),
        replace(HEALTHY, gain=Margin(40.0, math.inf)),
        replace(DEAD, gain=Margin(-3.0, 0.1), train_gain=Margin(0.5, 0.01)),
    ):
        assert "over-fitted" not in told(harmless)


def test_a_quick_look_is_not_called_a_collapse() -> None:
    early = replace(DEAD, steps=32, epochs=2)
    text = told(early)
    assert text.startswith("The latents are not in use yet")
    assert "32 steps are too few" in text
    assert "Try" not in text
    assert not early.starved
    assert told(replace(DEAD, steps=300, epochs=30)).startswith("The posterior has collapsed")


def test_an_ignored_label_is_told() -> None:
    assert "label" not in told(replace(HEALTHY, label_use=Margin(30.0, 1.0)))
    ignored = replace(HEALTHY, label_use=Margin(0.02, 0.03))
    assert "The label is ignored: decoding with a wrong one costs 0.02 nats." in told(ignored)
    assert "fault" in severities(ignored)
    # What is left of the decoder's first weights moves an image a little, whatever the label says.
    assert "The label is hardly read: decoding with a wrong one costs 1.40 nats." in told(
        replace(HEALTHY, label_use=Margin(1.4, 0.1))
    )


def test_a_total_above_the_constant_images_is_told() -> None:
    assert "The latents cost more than they save: the total of 312.00 nats" in told(replace(HEALTHY, rate=170.0))
    assert "cost more" not in told(HEALTHY)


def test_training_that_is_not_over_is_told() -> None:
    assert "The last epoch still gained 9.00 nats of elbo; train longer." in told(replace(HEALTHY, trend=9.0))
    assert "One epoch is seldom enough" in told(replace(HEALTHY, trend=None, epochs=1))
    assert "One epoch is seldom enough" in told(replace(HEALTHY, trend=None, epochs=1, steps=300))
    assert "train longer" not in told(HEALTHY)
    assert "train longer" not in told(replace(HEALTHY, trend=9.0, gain=Margin(20.0, 0.8)))


def test_a_likelihood_under_which_images_hardly_differ_is_named() -> None:
    flat = replace(DEAD, baseline=1700.3, floor=1700.1, distortion=1700.3)
    assert flat.flat
    assert not DEAD.flat
    assert "Under this likelihood images differ by 0.20 nats at most." in told(flat)


def test_test_images_of_another_kind_are_named_and_nothing_else_is_judged() -> None:
    other = replace(
        HEALTHY, distortion=520.0, baseline=500.0, train_baseline=206.0, train_spread=40.0, gain=Margin(-20.0, 1.0)
    )
    text = told(other)
    assert text.startswith("The test images are unlike the training images")
    assert "distortion of 206.00 on training images, which it is made of, and of 500.00 on test images" in text
    assert not any(word in text for word in ("not trained", "over-fitted", "in use", "--epochs"))
    assert not other.starved
    for alike in (
        replace(HEALTHY, train_baseline=205.0, train_spread=40.0),
        replace(HEALTHY, baseline=260.0, train_baseline=205.0, train_spread=40.0),
        replace(other, images=5),
        replace(other, train_baseline=None),
    ):
        assert "unlike" not in told(alike)


def test_noise_leaves_nothing_to_the_latents() -> None:
    noise = replace(DEAD, leading=1.1)
    text = told(noise)
    assert text.startswith("The posterior has collapsed")
    assert "No direction of the pixels varies more than another, as in noise" in text
    assert severities(noise) == {"note"}
    assert not noise.starved
    assert replace(DEAD, leading=8.0).starved
    assert not replace(HEALTHY, leading=1.1).noise


@pytest.mark.parametrize("kind", ["noise", "brightness", "stripes"])
def test_the_leading_direction_of_noise_varies_as_any_other(kind: str) -> None:
    with seeded(0):
        images = torch.rand(1000, 1, 8, 8)
        if kind == "brightness":
            images = 0.2 * images + 0.8 * torch.rand(1000, 1, 1, 1)
        elif kind == "stripes":
            images = 0.5 * images + 0.5 * torch.rand(1000, 1, 1, 8)
        found = leading(images[:500], images[500:])
    assert found is not None
    assert (found < 1.5) == (kind == "noise")
    assert found > 4 or kind == "noise"
    assert leading(images[:500, :, :2, :2], images[500:, :, :2, :2]) is None
    assert leading(images[:20], images[20:]) is None


def test_a_label_that_says_everything_leaves_nothing_to_the_latents() -> None:
    said = replace(DEAD, distortion=46.0, gain=Margin(160.2, 1.0), label_use=Margin(170.0, 2.0))
    text = told(said)
    assert text.startswith("The latents are not in use, and nothing is left for them to say: the label alone says all")
    assert "Try" not in text
    assert severities(said) == {"note"}
    assert not said.starved
    some = replace(DEAD, distortion=150.0, gain=Margin(56.2, 1.0), label_use=Margin(60.0, 2.0))
    assert told(some).startswith("The posterior has collapsed")
    assert some.starved


def test_a_difference_within_two_standard_errors_is_no_use() -> None:
    few = replace(HEALTHY, use=Margin(0.7, 0.4), train_use=Margin(-0.1, 0.2))
    assert not few.used
    assert replace(few, use=Margin(0.9, 0.4)).used
    assert replace(few, train_use=Margin(0.5, 0.2)).used


@pytest.mark.parametrize(
    ("steps", "epochs", "early"), [(100, 20, True), (199, 600, True), (300, 5, True), (300, 20, False)]
)
def test_few_steps_are_few_however_many_epochs_they_make(steps: int, epochs: int, early: bool) -> None:
    run = replace(DEAD, steps=steps, epochs=epochs)
    assert run.early == early
    assert told(run).startswith("The latents are not in use yet" if early else "The posterior has collapsed")


def test_a_posterior_far_from_the_prior_that_says_nothing_is_told_with_the_learning_rate() -> None:
    far = replace(DEAD, rate=36.0, levels=(LevelUse(8, 36.0, in_use=0, images=1000),))
    assert "The posterior is the same for every image, and far from the prior. Try a lower --lr." in told(far)
    assert "far from" not in told(DEAD)


# What losses and likelihoods add.


def added(part: Any, evidence: Evidence) -> str:
    return paragraph(part.diagnose(evidence))


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (142.5, "The target of 142.5 nats is reached."),
        (100.0, "The target of 100 nats is not reached. Try more --epochs or a higher --loss.target."),
        (180.0, "The distortion lies below the target of 180 nats; the weight still falls."),
        (
            20.0,
            "lies below the 45.50 of a perfect decoder: the weight only grows. Try a higher --loss.target, such as 143.",
        ),
        (230.0, "needs no latents: the best constant image has 206.20. Try a lower --loss.target."),
    ],
)
def test_geco_says_what_became_of_its_target(target: float, says: str) -> None:
    assert added(Geco(GecoOptions(target=target)), HEALTHY).endswith(says)


def test_losses_say_what_makes_the_latents_cost_more_than_they_save() -> None:
    spent = replace(HEALTHY, rate=170.0)
    assert "Try" not in added(Elbo(ElboOptions()), spent)
    free = Elbo(ElboOptions(free_bits=200.0))
    assert "200 nats of rate cost nothing" in added(free, spent)
    assert added(free, spent).endswith("Try fewer free bits (--loss.free-bits 20).")
    by_dimension = Elbo(ElboOptions(free_bits=90.0, free_bits_per="dimension"))
    assert "180 nats of rate cost nothing" in added(by_dimension, spent)
    assert "cost nothing" not in added(Elbo(ElboOptions(free_bits=0.5)), spent)
    low = replace(spent, quantities={"beta": 0.1})
    assert added(Elbo(ElboOptions()), low).endswith(
        "so that more of it is spent than it saves. Try a higher --loss.beta."
    )
    rising = replace(low, settled={"beta": 200.0})
    assert "β has come to 0.1 only: its schedule takes 200 epochs." in added(Elbo(ElboOptions()), rising)
    assert "higher --loss.beta" not in added(Elbo(ElboOptions()), rising)


def test_a_scale_that_fits_no_error_is_a_fault_with_the_best_one() -> None:
    narrow = replace(HEALTHY, squared_error=0.02, levels=HEALTHY.levels)
    text = added(Gaussian(GaussianOptions(scale=0.001)), narrow)
    assert "for these errors 0.1414 would be best, by" in text
    assert text.endswith("Try --likelihood.scale 0.14 or --likelihood.learn optimal.")
    assert "Try" not in added(Gaussian(GaussianOptions(scale=0.1)), narrow)
    assert "Try" not in added(Gaussian(GaussianOptions(scale=0.001)), replace(narrow, steps=20, epochs=1))


# Generators that do not encode.


def samples(spread: float = 0.98, covered: float = 0.9, expected: float = 0.95, steps: int = 5000) -> str:
    return paragraph(drawn_findings(Drawn(500, spread, 0.01, covered, expected, steps, 20)))


def test_samples_are_judged_beside_real_images() -> None:
    assert samples().startswith("The samples are spread like the data: 500 samples have 0.98 times the variance")
    assert "near to 90% of these, where training images are near to 95%" in samples()
    assert samples(covered=0.5).startswith("The samples miss a part of the data")
    assert samples(covered=0.1).startswith("The samples look unlike the data")
    assert samples(0.3, 0.1).startswith("The samples are all of a few kinds")
    assert samples(0.001, 0.02).startswith("The model draws one image, all but, whatever its latents are")
    assert samples(0.001, 0.02, steps=20).startswith("The samples cannot be judged yet, after 20 steps")
    assert samples(expected=0.0).startswith("The samples cannot be judged by their distance in pixels")


@pytest.mark.parametrize("kind", ["the same", "another draw", "one image", "two kinds", "noise"])
def test_coverage_tells_samples_of_all_kinds_from_those_of_few(kind: str) -> None:
    with seeded(0):
        centres = torch.randn(10, 20) * 5
        images, other = (centres[torch.arange(400) % 10] + torch.randn(400, 20) for _ in range(2))
        made = {
            "the same": images,
            "another draw": other,
            "one image": images[:1].expand(400, -1),
            "two kinds": centres[torch.arange(400) % 2] + torch.randn(400, 20),
            "noise": torch.randn(400, 20) * 5,
        }[kind]
        found = coverage(images, made)
    least, most = {"the same": (1, 1), "another draw": (0.9, 1), "one image": (0, 0.03), "two kinds": (0.1, 0.25)}.get(
        kind, (0, 0.1)
    )
    assert least <= found <= most


@pytest.mark.parametrize(
    ("elbo", "step", "density", "says"),
    [
        (-3.0, 5000, "exact", "The model knows more than single pixels: it takes 3.00 nats"),
        (-3.0, 5000, "bound", "The model knows more than single pixels: it takes at most 3.00 nats"),
        (-90.0, 5000, "exact", "The model is not trained: it takes 90.00 nats"),
        (-90.0, 20, "exact", "The model is not trained yet: it takes 90.00 nats"),
    ],
)
def test_a_model_of_pixels_is_judged_beside_single_pixels(elbo: float, step: int, density: str, says: str) -> None:
    spec = ImageSpec((1, 2, 2), classes=3, levels=4)
    model: Any = Decoding(latents=True, labels=False)
    model.capabilities = model.capabilities | {Capability.DETERMINISTIC_POSTERIOR}
    model.prior = SimpleNamespace(density=density)
    model.image = spec
    with seeded(0):
        view = view_of(model, torch.randint(0, 4, (500, 1, 2, 2)) / 3, torch.zeros(500, dtype=torch.int64))
    text = paragraph(density_findings(view, {"step": step, "epoch": 1, "test": {"elbo": elbo}}))
    assert text.startswith(says)
    assert "where pixels drawn each by itself take 5.5" in text  # 4 log 4 = 5.55
    assert density_findings(view, {"step": step, "test": {"nll": 3.0}}) == []
    model.image = replace(spec, levels=None)
    assert density_findings(view, {"step": step, "test": {"elbo": elbo}}) == []


def test_single_pixels_take_the_entropy_of_their_own_frequencies() -> None:
    with seeded(0):
        images = (torch.rand(4000, 1, 2, 3) < 0.2).float()
    found = pixels_alone(images[:2000], images[2000:], 2)
    assert found == pytest.approx(-6 * (0.2 * math.log(0.2) + 0.8 * math.log(0.8)), rel=0.03)


# Codes and levels.

CODES = LevelUse(49, 49 * 1.25, codes=128, used=97, entropy=math.log(80.0), images=1000)
VQ = replace(HEALTHY, distortion=48.47, rate=49 * 1.25, levels=(CODES,))


def test_codes_in_use() -> None:
    assert told(VQ).startswith(
        "The latents are in use: the rate is 61.25 nats per image, 97 of 128 codes occur in 1000 images, perplexity 80.0, "
        "and decoding the latents of another image costs 90.00 nats."
    )


def test_a_collapsed_codebook_is_told() -> None:
    one = replace(DEAD, levels=(replace(CODES, used=1, entropy=0.0),))
    assert told(one).startswith("The codebook has collapsed: 1 of 128 codes occur in 1000 images, perplexity 1.0")
    early = told(replace(one, steps=5, epochs=1))
    assert "5 steps are too few" in early
    assert "collapsed" not in early


def test_a_decoder_that_ignores_varied_codes_is_told() -> None:
    ignoring = replace(DEAD, rate=49 * 4.85, levels=(CODES,))
    assert told(ignoring).startswith(
        "The decoder ignores its latents: the rate is 237.65 nats per image, 97 of 128 codes"
    )


@pytest.mark.parametrize(
    ("used", "perplexity", "images", "dead"), [(20, 18, 1000, True), (100, 70, 1000, False), (20, 18, 5, False)]
)
def test_codes_that_never_occur_are_dead(used: int, perplexity: float, images: int, dead: bool) -> None:
    some = replace(VQ, levels=(replace(CODES, used=used, entropy=math.log(perplexity), images=images),))
    assert ("Most codes are dead" in told(some)) == dead


def test_idle_codes_are_told() -> None:
    few = replace(VQ, levels=(replace(CODES, used=9, entropy=math.log(5.0)),))
    assert "Most codes are dead: 119 of 128 never occur." in told(few)
    assert "fault" in severities(few)
    assert "5 steps are too few to tell whether they stay so" in told(replace(few, steps=5, epochs=1))


UPPER, LOWER = LevelUse(50, 3.0, in_use=5, images=1000), LevelUse(100, 22.0, in_use=25, images=1000)
LADDER = replace(HEALTHY, rate=25.0, levels=(UPPER, LOWER))


def test_each_level_is_told() -> None:
    text = told(LADDER)
    assert "the rate is 25.00 nats per image, 30 of 150 latent units in use" in text
    assert text.endswith(" Level 1, the top: 3.00 nats, 5 of 50 units; level 2: 22.00 nats, 25 of 100 units.")
    assert not LADDER.starved


@pytest.mark.parametrize(
    "dead", [replace(UPPER, in_use=0), replace(UPPER, rate=0.01), replace(UPPER, rate=0.5, in_use=0)]
)
def test_a_dead_level_is_named(dead: LevelUse) -> None:
    upper = replace(LADDER, levels=(dead, LOWER))
    assert told(upper).endswith("Level 1, the top, is dead: the model does without.")
    assert upper.starved
    assert "Level 2 is dead" in told(replace(LADDER, levels=(LOWER, dead)))
    early = told(replace(upper, steps=5, epochs=1))
    assert "Level 1, the top, is not in use yet; 5 steps are too few" in early
    assert "dead" not in early


def test_all_levels_dead_is_a_collapse() -> None:
    both = (replace(UPPER, rate=0.0, in_use=0), replace(LOWER, rate=0.01, in_use=0))
    text = told(replace(DEAD, rate=0.01, levels=both))
    assert text.startswith(
        "The posterior has collapsed: the rate is 0.010 nats per image, 0 of 150 latent units in use"
    )
    assert "dead" not in text


def test_units_left_over_are_told_without_blame() -> None:
    wide = replace(HEALTHY, levels=(LevelUse(200, 25.0, in_use=21, images=1000),))
    assert "21 of 200 latent units in use" in told(wide)
    assert "The other 179 say nothing of the image, which costs no rate." in told(wide)
    assert severities(wide) == {"good"}


def test_a_rate_of_rounding_errors_below_zero_is_printed_as_none() -> None:
    assert "the rate is 0.000 nats" in told(replace(DEAD, rate=-1e-7))


def test_the_reports_range_is_quoted_for_its_healthy_set_up_only() -> None:
    healthy = paragraph(core_findings(HEALTHY, report_setup=True))
    assert healthy.endswith("Distortion is 21.5 times the rate, within the 10 to 50 that the report calls healthy.")
    garbage = replace(HEALTHY, distortion=228.0, rate=7.0, gain=Margin(-22.0, 0.5))
    assert "report" not in paragraph(core_findings(garbage, report_setup=True))
    assert "report" not in paragraph(core_findings(DEAD, report_setup=True))
    assert "report" not in told(HEALTHY)


# Words, and whole runs.


def test_remedies_stand_in_the_last_sentence_once_each() -> None:
    found = [
        Finding("fault", "One.", "a"),
        Finding("note", "", "b"),
        Finding("note", "Two.", "a"),
        Finding("good", "", "c"),
    ]
    assert paragraph(found) == "One. Two. Try a, b, or c."
    assert paragraph([Finding("good", "Fine.")]) == "Fine."
    assert paragraph([]) == ""


SMALL: dict[str, Any] = {"epochs": 1, "limit": 32, "batch_size": 16, "device": "cpu", "progress": False}


@pytest.mark.parametrize("model", ["vq-vae", "ladder-vae"])
def test_a_run_tells_of_its_own_latents(model: str, tmp_path: Path) -> None:
    options = {"codes": 8, "code_dim": 4} if model == "vq-vae" else {"latent_dims": (2, 3), "widths": (8, 8)}
    prior = ("autoregressive", {"width": 8, "layers": 2, "epochs": 1}) if model == "vq-vae" else None
    run = genzoo.run((model, options), data="digits", prior=prior, out=tmp_path, **SMALL)
    assert "2 steps are" in run.verdict
    assert "Try" not in run.verdict
    texts = [finding["text"] for finding in run.record["findings"]]
    assert all(text in run.verdict for text in texts)


def test_a_part_that_cannot_be_judged_costs_its_judgement_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> Evidence:
        raise ZeroDivisionError("nothing to divide by")

    monkeypatch.setattr(closing, "gather", broken)
    run = genzoo.run(("vae", {"latent_dim": 2}), data="digits", network=("mlp", {"hidden": [8]}), out=tmp_path, **SMALL)
    assert run.record["status"] == "finished"
    assert run.verdict == "The verdict is incomplete: ZeroDivisionError: nothing to divide by."
