"""Checks that a model has the capabilities it declares, and no others."""

from __future__ import annotations

import torch

from genzoo.distributions import factors
from genzoo.errors import UsageError
from genzoo.estimators import rate
from genzoo.randomness import seeded
from genzoo.testing.bench import batch
from genzoo.testing.building import train
from genzoo.testing.checking import CheckFailure, NotApplicable, check, expect
from genzoo.testing.checks.model import MODEL, built, top_samples
from genzoo.testing.modules import is_conditional, states
from genzoo.testing.subject import Subject
from genzoo.types import Batch, Capability

Cap = Capability
_DRAWS = 1500


@check(
    "capabilities-true",
    MODEL,
    why="The composer joins models, losses and visualizers by these words alone.",
    mend="Declare real-latent or categorical-latent, one-level or hierarchical, as `levels` has it.",
)
def capabilities_true(subject: Subject) -> None:
    """The declared kind and number of latents are those of `levels`."""
    model = built(subject)
    unknown = {word for word in model.capabilities if ":" not in word} - set(Cap)
    expect(not unknown, "capabilities that genzoo knows", f"{', '.join(sorted(unknown))}")
    real = all(level.categories is None for level in model.levels)
    codes = all(level.categories is not None for level in model.levels)
    truth = {
        Cap.REAL_LATENT: real,
        Cap.CATEGORICAL_LATENT: codes,
        Cap.ONE_LEVEL: len(model.levels) == 1,
        Cap.HIERARCHICAL: len(model.levels) > 1,
    }
    for capability, holds in truth.items():
        declared = capability in model.capabilities
        said = f"{capability} {'declared' if holds else 'not declared'}, with levels {model.levels}"
        expect(declared == holds, said, "declared" if declared else "not declared")


@check(
    "codes-in-range",
    MODEL,
    why="Codes index embeddings and priors; a real number or one too large fails there.",
    mend="Sample integers from 0 to categories - 1.",
    applies=lambda subject: None if Cap.CATEGORICAL_LATENT in subject.capabilities else "its latents are real",
)
def codes_in_range(subject: Subject) -> None:
    """Categorical samples are integers below the number of categories."""
    model = built(subject)
    for level, latent in zip(model.levels, model.encode(batch(model.image, 6)).latents, strict=True):
        expect(latent.sample.dtype == torch.int64, "int64 codes", latent.sample.dtype)
        top = int(latent.sample.max())
        expect(int(latent.sample.min()) >= 0 and top < (level.categories or 0), f"codes below {level.categories}", top)


@check(
    "factorised-posterior-true",
    MODEL,
    why="Losses and metrics that need one distribution a dimension trust this capability.",
    mend="Return a DiagonalNormal or an Independent over scalar distributions, or do not declare factorised-posterior.",
    applies=lambda subject: (
        None if Cap.FACTORISED_POSTERIOR in subject.capabilities else "it does not declare factorised-posterior"
    ),
)
def factorised_posterior_true(subject: Subject) -> None:
    """log q(z|x) is the sum of its marginals'."""
    model = built(subject)
    for latent in model.encode(batch(model.image, 4)).latents:
        marginals = factors(latent.posterior)
        if marginals is None:
            raise CheckFailure("a posterior that factorises", type(latent.posterior).__name__)
        each = marginals.log_prob(latent.sample)
        total = each.flatten(2).sum(-1)
        expect(torch.allclose(total, latent.posterior.log_prob(latent.sample), atol=1e-4), "the sum", "another value")


@check(
    "stochasticity-as-declared",
    MODEL,
    why="Importance sampling says nothing of a deterministic posterior, and a stochastic one that repeats is none.",
    mend="Declare deterministic-posterior when q(z|x) is one point; otherwise draw a fresh sample for each k, with rsample.",
)
def stochasticity_as_declared(subject: Subject) -> None:
    """Samples of one image differ, unless deterministic-posterior is declared, and then agree."""
    model = built(subject)
    sample = model.encode(batch(model.image, 8), samples=4).latents[0].sample
    same = bool((sample[:1] == sample).all())
    if Cap.DETERMINISTIC_POSTERIOR in model.capabilities:
        expect(same, "one sample, since deterministic-posterior is declared", "several")
    else:
        expect(not same, "samples that differ, since deterministic-posterior is not declared", "the same one each time")


@check(
    "samples-follow-posterior",
    MODEL,
    why="The rate and every bound compare the sample with q(z|x); drawn from anything else they are wrong, silently.",
    mend="Draw with posterior.rsample(); with σ = exp(½ log σ²), not exp(log σ²).",
    applies=lambda subject: (
        "its posterior is deterministic" if Cap.DETERMINISTIC_POSTERIOR in subject.capabilities else None
    ),
)
def samples_follow_posterior(subject: Subject) -> None:
    """Samples have the log-density that q(z|x) expects of its own draws: at the start, moved from it, and trained.

    At the start log σ² is about 0, where σ² and σ are the same. Eight images of 1500 seeded samples each are held to 6.5
    standard errors: a right model fails with a probability below 1e-8.
    """
    for state, model in states(subject):
        data = batch(model.image, 8)
        with torch.no_grad(), seeded(1):
            latents = model.encode(data, samples=_DRAWS).latents
            for level, latent in enumerate(latents):
                posterior = latent.posterior
                got = posterior.log_prob(latent.sample)
                shape = torch.Size([] if len(posterior.batch_shape) == 2 else [_DRAWS])
                own = posterior.log_prob(posterior.sample(shape))
                gap = got.mean(0) - own.mean(0)
                error = ((got.var(0) + own.var(0)) / _DRAWS).sqrt() + 1e-4
                worst = float((gap / error).abs().max())
                said = f"log q(z|x) of level {level}, {state}, within 6.5 standard errors of its own draws'"
                expect(worst < 6.5, said, f"{worst:.1f}")


@check(
    "rate-not-negative",
    MODEL,
    why="A KL divergence with the wrong sign or formula rewards a posterior that runs away from the prior.",
    mend="Keep KL(q ‖ p) in this order; check a registered KL against log q − log p at samples.",
)
def rate_not_negative(subject: Subject) -> None:
    """The mean rate of each level is not negative, but for 4 standard errors where it is estimated."""
    model = subject.build()
    train(model, steps=3)
    with torch.no_grad(), seeded(1):
        for level, latent in enumerate(model.encode(batch(model.image, 8), samples=64).latents):
            found = rate(latent)
            least = -1e-4 if found.exact else -4 * float(found.value.std() / found.value.numel() ** 0.5)
            mean = float(found.value.mean())
            expect(mean >= least, f"a rate of level {level} of {least:.3g} nats or more", f"{mean:.4g}")


@check(
    "latents-reach-images",
    MODEL,
    why="A decoder that ignores its latents learns the mean image, and every code, traversal and sample means nothing.",
    mend="Feed the latents to the decoder; look for a slice, a mask or a zero that drops them.",
)
def latents_reach_images(subject: Subject) -> None:
    """Other latents decode as other images."""
    model = subject.build()
    train(model, steps=3)
    with torch.no_grad():
        z = top_samples(model, 8)
        label = torch.zeros(len(z), dtype=torch.int64) if is_conditional(model) else None
        images = model.decode([z], label, mean=True).mean
    if bool((z == z[:1]).all()):
        raise NotApplicable("its prior has one point")
    expect(not bool((images == images[:1]).all()), "images that differ for latents that differ", "the same image")


@check(
    "label-as-declared",
    MODEL,
    why="A conditional model whose label changes nothing draws every class alike; an undeclared one breaks without labels.",
    mend="Feed the label to the decoder and declare conditional; or do neither.",
)
def label_as_declared(subject: Subject) -> None:
    """The label changes what is decoded if, and only if, conditional is declared."""
    model = subject.build()
    train(model, steps=3)
    z = top_samples(model, 4)
    with torch.no_grad():
        seen = [model.decode([z], torch.full((4,), label), mean=True).mean for label in range(3)]
        if not is_conditional(model):
            seen.append(model.decode([z], None, mean=True).mean)
    if is_conditional(model):
        for a, b in ((0, 1), (0, 2), (1, 2)):
            same = torch.equal(seen[a], seen[b])
            expect(not same, f"other images for labels {a} and {b}, since conditional is declared", "the same")
    else:
        changed = not all(torch.equal(seen[0], item) for item in seen[1:])
        expect(not changed, "the same images for any label, since conditional is not declared", "others")


@check(
    "bad-label-refused",
    MODEL,
    why="A missing label, or one of the wrong type, that passes trains a model that nobody asked for.",
    mend="Call genzoo.interfaces.model.check_label(label, self.image) in decode, or self.check_batch(batch) in encode.",
    applies=lambda subject: None if Cap.CONDITIONAL in subject.capabilities else "it is not conditional",
)
def bad_label_refused(subject: Subject) -> None:
    """A label that is missing, not an integer, or out of range is refused."""
    model = built(subject)
    image = batch(model.image, 2).image
    for label in (None, torch.tensor([0.0, 1.0]), torch.tensor([0, 3]), torch.tensor([-1, 0])):
        try:
            model(Batch(image, label))
        except UsageError:
            continue
        except Exception as error:
            if label is not None and not label.is_floating_point():
                continue  # out of range: any refusal will do, since a check of values would wait for the device
            raise CheckFailure(f"a UsageError for label {label}", f"{type(error).__name__}: {error}") from error
        raise CheckFailure(f"label {label} to be refused", "it was accepted")
