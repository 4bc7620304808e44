"""Checks of models: shapes, batches, refusals, samples."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genzoo.errors import UsageError
from genzoo.randomness import seeded
from genzoo.testing.bench import COLOUR, GREY, ODD, USUAL, batch
from genzoo.testing.building import train
from genzoo.testing.checking import CheckFailure, check, expect
from genzoo.testing.modules import is_conditional
from genzoo.testing.subject import Subject
from genzoo.types import Batch, Kind

MODEL = Kind.MODEL


def built(subject: Subject, **where: Any) -> Any:
    """The model in eval mode, gradients off."""
    return subject.build(**where).eval().requires_grad_(False)


def labels(model: Any, n: int) -> Tensor | None:
    """Labels for a conditional model, None for another."""
    return torch.arange(n) % 3 if is_conditional(model) else None


def top_samples(model: Any, n: int, seed: int = 0) -> Tensor:
    """Draws of the prior of the top level, ``[n, *event]``."""
    with seeded(seed):
        prior = model.prior_of_top(labels(model, n))
        return prior.sample(torch.Size() if prior.batch_shape else torch.Size([n]))


@check(
    "output-shapes",
    MODEL,
    why="Losses, metrics and visualizers rely on [K, B, *event] everywhere.",
    mend="Lead every tensor with samples and images; squeeze nothing, so that a batch of one keeps its dimension.",
)
def output_shapes(subject: Subject) -> None:
    """For one image and for odd batches, latents, posteriors and likelihood have the shapes of the interface."""
    model = built(subject)
    for n, samples in ((1, 1), (3, 1), (5, 2), (1, 3)):
        output = model(batch(model.image, n), samples=samples)
        expect(len(output.latents) == len(model.levels), f"{len(model.levels)} latents", len(output.latents))
        for level, latent in zip(model.levels, output.latents, strict=True):
            want = (samples, n, *level.shape)
            expect(tuple(latent.sample.shape) == want, f"a sample {list(want)}", list(latent.sample.shape))
            batch_shape = tuple(latent.posterior.batch_shape)
            expect(batch_shape in {(n,), (samples, n)}, f"a posterior of batch {[n]}", list(batch_shape))
        for what, got, want in (
            ("batch", output.likelihood.batch_shape, (samples, n)),
            ("event", output.likelihood.event_shape, model.image.shape),
        ):
            expect(tuple(got) == tuple(want), f"a likelihood of {what} {list(want)}", list(got))
        for name, term in output.auxiliary.items():
            expect(term.shape[-1:] == (n,), f"auxiliary {name} with one value an image, [{n}]", list(term.shape))


@check(
    "prior-of-top-shape",
    MODEL,
    why="`genzoo sample` draws from the prior of the top level.",
    mend="Build the prior with parts.prior(levels[0]), levels being top first.",
)
def prior_of_top_shape(subject: Subject) -> None:
    """The prior of the top level has the event of the top level."""
    model = built(subject)
    found = tuple(model.prior_of_top(labels(model, 3)).event_shape)
    expect(found == model.levels[0].shape, f"an event {list(model.levels[0].shape)}", list(found))


@check(
    "image-sizes",
    MODEL,
    why="A size written into the code is the commonest request for help with libraries of this field.",
    mend="Take every size from parts.image; refuse what cannot be served with a UsageError that names the shape.",
)
def image_sizes(subject: Subject) -> None:
    """It serves grey and colour images, small and odd ones, or refuses them by name."""
    for spec in (GREY, COLOUR, ODD, USUAL):
        try:
            model = built(subject, image=spec)
            output = model(batch(spec, 2))
        except UsageError as error:
            expect(any(char.isdigit() for char in str(error)), f"the refusal of {spec.shape} to name a shape", error)
            continue
        except Exception as error:
            raise CheckFailure(f"images {list(spec.shape)} to work or to be refused", f"{error}") from error
        expect(tuple(output.likelihood.event_shape) == spec.shape, spec.shape, output.likelihood.event_shape)


@check(
    "wrong-shape-refused",
    MODEL,
    why="Images of another size that pass, or fail deep in a layer, cost an afternoon.",
    mend="Call self.check_batch(batch) first in encode.",
)
def wrong_shape_refused(subject: Subject) -> None:
    """Images of another shape are refused, by their shape."""
    model = built(subject)
    channels, height, width = model.image.shape
    for shape in ((channels + 1, height, width), (channels, height + 1, width), (channels, height // 2, width * 2)):
        wrong = Batch(torch.rand(2, *shape), labels(model, 2))
        try:
            model(wrong)
        except UsageError as error:
            expect(str(shape[1]) in str(error), "the shape in the refusal", error)
            continue
        except Exception as error:
            raise CheckFailure(f"a UsageError for images {list(shape)}", f"{type(error).__name__}: {error}") from error
        raise CheckFailure(f"a UsageError for images {list(shape)}", "they were accepted")


def _top(model: Any, data: Batch) -> Any:
    return model.encode(data).latents[0].posterior


def _log_q(model: Any, data: Batch, z: Tensor) -> Tensor:
    return _top(model, data).log_prob(z)


@check(
    "permutation-equivariant",
    MODEL,
    why="The order of images in a batch is chance; a model that reads it mixes up its own training data.",
    mend="Look for reshapes that mix batch and other dimensions, and for index arithmetic over the batch.",
)
def permutation_equivariant(subject: Subject) -> None:
    """Images in another order give the same posteriors in that order, and latents the same images."""
    model = built(subject).double()
    data = batch(model.image, 5, dtype=torch.float64)
    order = torch.tensor([3, 0, 4, 1, 2])
    z = model.encode(data).latents[0].sample[0]
    moved = _log_q(model, data[order], z[order])
    expect(torch.allclose(_log_q(model, data, z)[order], moved), "log q(z|x) moved with the images", "another")
    kept, shown = data.label, None
    first = _mean(model, z, kept)
    shown = _mean(model, z[order], None if kept is None else kept[order])
    expect(torch.allclose(first[order], shown), "decoded images moved with the latents", "others")


def _mean(model: Any, z: Tensor, label: Tensor | None) -> Tensor:
    return model.decode([z], label if is_conditional(model) else None, mean=True).mean


@check(
    "images-independent",
    MODEL,
    why="An evaluation that depends on which images share a batch cannot be repeated with another batch size.",
    mend="Use no statistic over the batch in eval mode; group or layer normalisation instead of batch statistics.",
)
def images_independent(subject: Subject) -> None:
    """In eval mode an image's posterior and decoding do not depend on the rest of its batch."""
    model = built(subject).double()
    data = batch(model.image, 5, dtype=torch.float64)
    z = model.encode(data).latents[0].sample[0]
    alone, together = _log_q(model, data[:2], z[:2]), _log_q(model, data, z)[:2]
    expect(torch.allclose(alone, together), "the same log q(z|x) in a smaller batch", f"{alone} and {together}")
    label = data.label
    alone = _mean(model, z[:2], None if label is None else label[:2])
    expect(torch.allclose(alone, _mean(model, z, label)[:2]), "the same decoding in a smaller batch", "another")


@check(
    "leading-dimensions",
    MODEL,
    why="Importance sampling decodes [K, B] latents at once, traversals grids of them.",
    mend="Flatten the leading dimensions before the decoder and restore them after: genzoo.parts has a helper.",
)
def leading_dimensions(subject: Subject) -> None:
    """Latents with several leading dimensions decode as the same latents in one."""
    model = built(subject).double()
    z = top_samples(model, 6).double() if model.levels[0].categories is None else top_samples(model, 6)
    label = torch.arange(6) % 3
    flat = _mean(model, z, label)
    grid = model.decode([z.unflatten(0, (1, 6))], label if is_conditional(model) else None, mean=True)
    expect(tuple(grid.batch_shape) == (1, 6), "a batch [1, 6]", list(grid.batch_shape))
    expect(torch.allclose(grid.mean.flatten(0, 1), flat), "the same images", "others")


@check(
    "mean-decoding-repeats",
    MODEL,
    why="Traversals and interpolations compare decoded images; noise in them looks like structure.",
    mend="With mean=True use the mean of every lower level in place of a draw.",
)
def mean_decoding_repeats(subject: Subject) -> None:
    """Decoded with mean=True, the same latents give the same images."""
    model = built(subject)
    z = top_samples(model, 4)
    label = torch.arange(4) % 3
    with seeded(1):
        first = _mean(model, z, label)
    with seeded(2):
        second = _mean(model, z, label)
    expect(torch.equal(first, second), "the same images twice", "others")


@check(
    "sample-shape-and-range",
    MODEL,
    why="Figures and image files expect pixels in [0, 1].",
    mend="Leave `sample` to the base class, or clamp what it returns.",
)
def sample_shape_and_range(subject: Subject) -> None:
    """`sample` returns n images with pixels in [0, 1], as means and as draws."""
    model = built(subject)
    for n, mean in ((1, True), (4, True), (3, False)):
        found = model.sample(n, labels(model, n), seed=0, mean=mean)
        expect(tuple(found.shape) == (n, *model.image.shape), [n, *model.image.shape], list(found.shape))
        expect(bool(found.isfinite().all()), "finite pixels", "inf or nan")
        expect(float(found.min()) >= 0 and float(found.max()) <= 1, "pixels in [0, 1]", f"{found.min()}…{found.max()}")


@check(
    "sample-repeats-under-seed",
    MODEL,
    why="`genzoo sample --seed` promises the same images again, and other ones under another seed.",
    mend="Draw from the default generator; seed nothing in `sample` but with genzoo.randomness.seeded(seed).",
)
def sample_repeats_under_seed(subject: Subject) -> None:
    """`sample` repeats under a seed, differs under another, and leaves the global state alone."""
    model = built(subject)
    train(model.requires_grad_(True), steps=1)
    before = torch.get_rng_state()
    first, again, other = (model.sample(4, labels(model, 4), seed=seed, mean=False) for seed in (1, 1, 2))
    kept = torch.equal(torch.get_rng_state(), before)
    expect(kept, "the global random state as it was after `sample` with a seed", "another")
    expect(torch.equal(first, again), "the same images under the same seed", "others")
    expect(not torch.equal(first, other), "other images under another seed", "the same")


@check(
    "empty-sample-refused",
    MODEL,
    why="An empty grid fails later, in a figure, with an error about axes.",
    mend="Leave `sample` to the base class, or raise a UsageError for n below 1.",
)
def empty_sample_refused(subject: Subject) -> None:
    """`sample` refuses to draw no image."""
    model = built(subject)
    try:
        model.sample(0, labels(model, 0))
    except UsageError:
        return
    raise CheckFailure("a UsageError for n = 0", "it was accepted")
