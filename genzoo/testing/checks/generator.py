"""Checks of generators that are no `Model`: images from latents, without an encoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genzoo.errors import UsageError
from genzoo.interfaces import LatentGenerator
from genzoo.testing.checking import CheckFailure, NotApplicable, check, expect
from genzoo.testing.modules import is_conditional
from genzoo.testing.subject import Subject
from genzoo.types import Kind

MODEL = Kind.MODEL


def built(subject: Subject) -> Any:
    """The generator in eval mode, gradients off, its weights moved from their start so that images differ."""
    model = subject.build().eval().requires_grad_(False)
    draw = torch.Generator().manual_seed(4)
    for parameter in model.parameters():
        parameter.add_(0.2 * torch.randn(parameter.shape, generator=draw))
    return model


def _without_latents(subject: Subject) -> str | None:
    return None if issubclass(subject.cls, LatentGenerator) else "it makes images without latents"


def labels(model: Any, n: int) -> Tensor | None:
    """Labels for a conditional generator, None for another."""
    return torch.arange(n) % 3 if is_conditional(model) else None


@check(
    "generates-images",
    MODEL,
    why="Figures and metrics take images [N, C, H, W] in [0, 1] from every generator.",
    mend="Let `generate` put out the image's shape, through a sigmoid or another map to [0, 1].",
)
def generates_images(subject: Subject) -> None:
    """`generate` and `sample` give finite images of the data's shape in [0, 1], for one and for several."""
    model = built(subject)
    for n in (1, 5):
        made = {"sample": model.sample(n, labels(model, n))}
        if isinstance(model, LatentGenerator):
            made["generate"] = model.generate([3 * model.sample_top(n, labels(model, n))], labels(model, n))
        for name, image in made.items():
            want = (n, *model.image.shape)
            expect(tuple(image.shape) == want, f"{name} to give {list(want)}", list(image.shape))
            least, greatest = float(image.min()), float(image.max())
            expect(least >= 0 and greatest <= 1, f"{name} to give values in [0, 1]", f"{least:.3g} to {greatest:.3g}")


@check(
    "every-latent-is-used",
    MODEL,
    why="A traversal along a dimension that the generator does not read shows nothing, and no error.",
    mend="Feed the whole latent to the network.",
    applies=lambda subject: _without_latents(subject),
)
def every_latent_is_used(subject: Subject) -> None:
    """Each latent dimension changes the image."""
    model = built(subject)
    latents = model.sample_top(2, labels(model, 2))
    plain = model.generate([latents], labels(model, 2))
    for dimension in range(latents[0].numel()):
        moved = latents.clone().flatten(1)
        moved[:, dimension] = moved[:, dimension] + 2 if moved.is_floating_point() else (moved[:, dimension] + 1) % 2
        image = model.generate([moved.reshape(latents.shape)], labels(model, 2))
        expect(not torch.equal(image, plain), f"dimension {dimension} to change the image", "the same image")


@check(
    "label-chooses-the-image",
    MODEL,
    why="Class figures of a generator that ignores its label show one class, called by ten names.",
    mend="Give the label to the network, beside the latent; refuse a missing one with a UsageError.",
    applies=lambda subject: (
        _without_latents(subject) or (None if is_conditional(subject.build()) else "it is not conditional")
    ),
)
def label_chooses_the_image(subject: Subject) -> None:
    """Every pair of labels gives other images for one latent, and a missing label is refused."""
    model = built(subject)
    latents = model.sample_top(1, labels(model, 1)).expand(3, *model.levels[0].shape)
    made = model.generate([latents], torch.arange(3))
    for a, b in ((0, 1), (0, 2), (1, 2)):
        # Rows of one product may differ in their last bits.
        same = torch.allclose(made[a], made[b], rtol=0, atol=1e-6)
        expect(not same, f"labels {a} and {b} to give other images", "the same image")
    for name, call in (
        ("generate", lambda: model.generate([latents], None)),
        ("sample", lambda: model.sample(2, None)),
    ):
        try:
            call()
        except UsageError:
            continue
        raise CheckFailure(f"{name} without a label to be refused with a UsageError", "no refusal")


@check(
    "generated-sample-repeats",
    MODEL,
    why="Figures and numbers are made from seeded samples; without a seed, sampling twice must not give one image.",
    mend="Draw from torch's default generator only, within `genzoo.randomness.seeded(seed)`.",
)
def generated_sample_repeats(subject: Subject) -> None:
    """`sample` repeats under a seed, puts the random state back, and differs under another seed and without one."""
    model = built(subject)
    given = labels(model, 4)
    state = torch.get_rng_state()
    first = model.sample(4, given, seed=1)
    expect(torch.equal(torch.get_rng_state(), state), "the random state to be put back", "another state")
    expect(torch.equal(model.sample(4, given, seed=1), first), "one seed to give one sample", "another sample")
    expect(not torch.equal(model.sample(4, given, seed=2), first), "another seed to differ", "the same sample")
    free = model.sample(4, given)
    expect(not torch.equal(model.sample(4, given), free), "two samples without a seed to differ", "the same sample")


@check(
    "generator-keeps-its-prior",
    MODEL,
    why="A user's choice of prior must show, and a learned prior must be trained.",
    mend="Build the prior with parts.prior(levels[0]) and keep it as `prior`.",
    applies=lambda subject: _without_latents(subject),
)
def generator_keeps_its_prior(subject: Subject) -> None:
    """Its prior is the one that it was given, over its top level."""
    model = subject.build()
    from genzoo.testing.reference import PlainPrior

    expect(isinstance(model.prior, PlainPrior), "the prior of its parts", type(model.prior).__name__)
    found, want = model.prior.latent, model.levels[0]
    expect(found == want, f"a prior over {want}", found)


@check(
    "images-are-not-clipped",
    MODEL,
    why="A map to [-1, 1] that is clamped to [0, 1] is black on half of its range, without a gradient.",
    mend="Map to [0, 1] by a sigmoid, or by (tanh(x) + 1) / 2; do not clamp.",
)
def images_are_not_clipped(subject: Subject) -> None:
    """At the start, no more than a quarter of the pixels of generated images are exactly 0 or 1."""
    model = subject.build().eval().requires_grad_(False)
    image = model.sample(16, labels(model, 16), seed=1)
    if len(image.unique()) <= 4:
        raise NotApplicable("its images are of few grey levels")
    share = float(((image == 0) | (image == 1)).float().mean())
    expect(share <= 0.25, "at most a quarter of the pixels at 0 or 1 at the start", f"{share:.0%}")
