"""Checks of what a metric's numbers are: what their names say, of all images, of this model and these data."""

from __future__ import annotations

import contextlib
import math
import re
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from genzoo.errors import UsageError
from genzoo.interfaces import Model, RunView
from genzoo.randomness import seeded
from genzoo.testing.bench import View, history, reference_model
from genzoo.testing.building import difference, extreme_views, first_view, views_for
from genzoo.testing.checking import CheckFailure, NotApplicable, check, expect
from genzoo.testing.checks.metric import METRIC, QUANTITIES, evaluate, promised
from genzoo.testing.reference import PlainModel, TwoLevelModel
from genzoo.testing.subject import Subject
from genzoo.testing.watching import watched, with_split
from genzoo.types import Split

_DRAWS = 200
_ERROR = re.compile(r"(^|.*[-_])(se|standard[-_]error)")


def _truth(view: RunView) -> dict[str, tuple[float, float]]:
    """Each quantity of a run over its test images, with the standard error that one sample per image would have."""
    from genzoo import estimators
    from genzoo.testing import oracle

    batch = view.batch()
    with torch.no_grad(), seeded(11):
        output = view.model(batch, samples=_DRAWS)
    distortion = oracle.distortion(output, batch.image)
    rates = [oracle.rate(latent).expand(_DRAWS, len(batch)) for latent in output.latents]
    sampled = sum(estimators.log_ratio(latent).double() for latent in output.latents)
    rate = torch.stack(rates).sum(0)

    def of(exact: Tensor, spread: Tensor) -> tuple[float, float]:
        # The mean of 200 draws has an error of its own, a fourteenth of that of one.
        return float(exact.mean()), float((spread.var(0).sum() * (1 + 1 / _DRAWS)).sqrt() / len(batch))

    return {
        "distortion": of(distortion, distortion),
        "rate": of(rate, sampled + 0 * rate if isinstance(sampled, Tensor) else rate),
        "elbo": of(-(distortion + rate), distortion + sampled),
    }


def _nll(view: RunView) -> float:
    """−log p(x) of the test images of a model with a two-dimensional latent, by a grid."""
    from genzoo.testing import oracle
    from genzoo.types import ModelOutput

    batch = view.batch()
    axis = torch.linspace(-5, 5, 61)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 1, 2)
    volume = 2 * math.log(float(axis[1] - axis[0]))
    with torch.no_grad():
        prior = view.model.prior_of_top().log_prob(grid[:, 0]).double()
        likelihood = view.model.decode([grid.expand(-1, len(batch), 2)])
        logs = -oracle.distortion(ModelOutput((), likelihood), batch.image) + prior[:, None] + volume
    return float(-logs.logsumexp(0).mean())


@check(
    "estimates-what-it-says",
    METRIC,
    why="A number called rate, distortion, elbo or nll is compared across models and papers by that name.",
    mend="Compute it with genzoo.estimators, or give it another name; `estimates` says what a number of another name is.",
)
def estimates_what_it_says(subject: Subject) -> None:
    """Numbers named, or declared in `estimates`, as distortion, rate, elbo or nll are those of the test images.

    Held to the kit's own computation with 200 samples per image, to 6 standard errors of one sample per image: a right one
    fails with a probability below 1e-8. An nll lies between the integral over the latent and the negative elbo.
    """
    metric = subject.build()
    unknown = set(metric.estimates.values()) - set(QUANTITIES)
    expect(not unknown, f"`estimates` to name {', '.join(QUANTITIES)}", ", ".join(sorted(unknown)))
    done = False
    for view, wide in _plain_views(metric):
        found = evaluate(metric, view)
        names = promised(metric, subject, found)
        # Of narrow posteriors the rate is large beside the noise of sampling; of wide ones a bound is loose.
        names = {name: what for name, what in names.items() if (what == "nll") == wide}
        truth = _truth(view) if names else {}
        for name, what in names.items():
            value = float(found[name])
            shown = f"number {name!r}" if name else "its number"
            done = True
            if what != "nll":
                want, error = truth[what]
                slack = 6 * error + 1e-3 * max(1.0, abs(want))
                expect(
                    abs(value - want) <= slack, f"{shown}, a {what} of {want:.5g} to within {slack:.2g}", f"{value:.5g}"
                )
                continue
            elbo, error = truth["elbo"]
            high = -elbo + 6 * error + 0.1
            low = _nll(view) - 0.1 - 3 * error if isinstance(view.model, PlainModel) else -math.inf
            expect(low <= value <= high, f"{shown}, an nll from {low:.5g} to {high:.5g}", f"{value:.5g}")
    if not done:
        raise NotApplicable("it says of no number that it is a distortion, rate, elbo or nll")


def _plain_views(metric: Any) -> list[tuple[RunView, bool]]:
    """Runs that the metric takes, each with whether its posteriors are wide."""
    found: list[tuple[RunView, bool]] = []
    for model, wide in ((_narrow(PlainModel), False), (_narrow(TwoLevelModel), False), (reference_model(seed=2), True)):
        if not metric.requires <= model.capabilities or metric.forbids & model.capabilities:
            continue
        view = View.of(model)
        try:
            metric.check(view.model, view.dataset.spec)
        except UsageError:
            continue
        found.append((view, wide))
    return found


def _narrow(kind: type[Model]) -> Model:
    """A reference model whose posteriors are narrow, so that its rate is large beside the noise of sampling."""
    model: Any = reference_model(kind, seed=2, sharpen=2.0)
    bias = model.encoder[3].bias
    places = slice(2, 4) if kind is PlainModel else torch.tensor([2, 3, 7, 8, 9])
    with torch.no_grad():
        bias[places] -= 4.0
    return model


def _test(view: RunView, split: Split) -> RunView:
    return replace(view, splits={**view.splits, "test": split})


@check(
    "errors-shrink-with-images",
    METRIC,
    why="A standard error that is the spread over images, or not divided by their number, makes every difference chance.",
    mend="Divide the standard deviation over images by the square root of their number.",
)
def errors_shrink_with_images(subject: Subject) -> None:
    """A number called a standard error (`-se`) shrinks by about √2 where each test image is there twice.

    The median over three seeds must shrink to between 0.55 and 0.93, for errors that hold the noise of samples too.
    """
    metric = subject.build()
    view = first_view(metric, subject)
    found = evaluate(metric, view)
    names = [name for name in found if _ERROR.fullmatch(name)]
    if not names:
        raise NotApplicable("it gives no standard error")
    split = view.split("test")
    doubled = _test(view, split.select(torch.arange(2 * len(split)) % len(split)))
    pairs = [(evaluate(metric, view, seed), evaluate(metric, doubled, seed)) for seed in (3, 4, 5)]
    for name in names:
        share = sorted(float(twice[name]) / max(float(once[name]), 1e-12) for once, twice in pairs)[1]
        good = 0.55 <= share <= 0.93 or found[name] == 0
        expect(good, f"{name} smaller by √2 for the images twice over", f"{share:.2f} times as large")


@check(
    "per-image-values-fit",
    METRIC,
    why="Runs are compared image by image; values that are not those of the number decide something else.",
    mend="Give PerImage the values whose mean is the metric's own number, each beside its image's place in the split.",
)
def per_image_values_fit(subject: Subject) -> None:
    """Values per image have the metric's own number as their mean, and are those of the images named."""
    from genzoo.interfaces.measurement import fingerprints

    metric = subject.build()
    view = first_view(metric, subject)
    with torch.no_grad(), seeded(3):
        found: Any = metric.evaluate(view)
    each = getattr(found, "per_image", None)
    if each is None:
        raise NotApplicable("it gives no values per image")
    mean, own = float(each.value.mean()), float(found.get("", next(iter(found.values()))))
    expect(abs(mean - own) <= 1e-4 * max(1.0, abs(own)), f"values with the mean {own:.6g}", f"{mean:.6g}")
    images = view.split("test").batch().image
    if bool((each.index < len(images)).all()):
        seen = fingerprints(view.dataset.transform(images[each.index], training=False))
        expect(torch.equal(seen, each.image), "fingerprints of the images at `index`", "others")
    split = view.split("test")
    place = int(each.index[len(each.index) // 2])
    spoilt = split.images.clone()
    spoilt[place] = 1 - spoilt[place]
    if place < len(split):
        with torch.no_grad(), seeded(3):
            other: Any = metric.evaluate(_test(view, replace(split, images=spoilt)))
        moved = (other.per_image.value - each.value).abs()
        own_place = int(moved.argmax())
        said = f"the value of image {place} to change most where that image is another"
        expect(int(each.index[own_place]) == place, said, f"that of image {int(each.index[own_place])}")


@check(
    "depends-on-the-model",
    METRIC,
    why="A number that is the same for every model measures the data, or a model that was kept from an earlier call.",
    mend="Read run.model, and keep nothing between calls.",
)
def depends_on_the_model(subject: Subject) -> None:
    """With another model and all else the same, a number changes, for one of several other models at least."""
    metric = subject.build()
    with contextlib.suppress(NotApplicable, UsageError):
        best, worst = (dict(evaluate(metric, item)) for item in extreme_views(metric))
        if difference(best, worst) is not None:
            return
    view = first_view(metric, subject)
    first, kind = evaluate(metric, view), type(view.model)
    for seed, sharpen in ((1, 3.0), (2, 0.3), (3, 8.0), (4, 20.0)):
        other = replace(view, model=reference_model(kind, view.image, seed, sharpen))
        if difference(dict(first), dict(evaluate(metric, other))) is not None:
            return
    others = views_for(metric, subject)[1:]
    if any(difference(dict(first), dict(evaluate(metric, other))) is not None for other in others):
        return  # such as a count of parameters, which is that of a kind of model
    seen, read = watched(view)
    evaluate(metric, seen)
    other = evaluate(metric, replace(view, history=[{**row, "epoch": at} for at, row in enumerate(history(7, 3.0), 2)]))
    if not read and difference(dict(first), dict(other)) is not None:
        raise NotApplicable("it measures the history of the run")
    raise CheckFailure("another number for another model", "the same ones for five models")


@check(
    "images-twice-over",
    METRIC,
    why="A number that grows with the number of images is a sum, and compares splits of one size alone.",
    mend="Take the mean over images.",
    applies=lambda subject: None if re.search("nat|bit", subject.cls.unit) else "it is no mean over images",
)
def images_twice_over(subject: Subject) -> None:
    """Each test image twice over leaves its own number, but for 5 per cent and the noise of sampling."""
    metric = subject.build()
    view = first_view(metric, subject)
    split = view.split("test")
    own = [float(_own(evaluate(metric, view, seed))) for seed in (1, 2, 3)]
    twice = float(_own(evaluate(metric, _test(view, split.select(torch.arange(2 * len(split)) % len(split))), 4)))
    mean = sum(own) / 3
    slack = 4 * (max(own) - min(own)) + 0.05 * abs(mean) + 0.05
    expect(abs(twice - mean) <= slack, f"{mean:.5g} to within {slack:.2g} for each image twice", f"{twice:.5g}")


def _own(found: dict[str, float]) -> float:
    return found.get("", next(iter(found.values())))


@check(
    "every-number-in-its-bounds",
    METRIC,
    why="Tables sort and scale numbers by their bounds; one that leaves them under a name of its own is as wrong.",
    mend="Give a number that is no score of this kind its own unit by a `Measurement`, or correct it.",
    applies=lambda subject: None if subject.cls.bounds == (0, 1) else "it is no score from 0 to 1",
)
def every_number_in_its_bounds(subject: Subject) -> None:
    """Of a score from 0 to 1, each number without a unit of its own is within the bounds too."""
    metric = subject.build()
    for view in views_for(metric, subject):
        try:
            with torch.no_grad(), seeded(3):
                found: Any = metric.evaluate(view)
        except UsageError:
            continue
        units = getattr(found, "units", {})
        for name, value in found.items():
            if not units.get(name, metric.unit):
                expect(-1e-6 <= value <= 1 + 1e-6, f"{name!r} from 0 to 1", value)


@check(
    "last-images-count",
    METRIC,
    why="A number over the first batch alone is another one than that over the split which its protocol names.",
    mend="Go over run.batches, or say in `images` how many are drawn; take no first batch alone.",
    applies=lambda subject: "it may render its own images" if subject.cls.needs_factors else None,
)
def last_images_count(subject: Subject) -> None:
    """Where test images are read at all, other images in the last third of the split change a number."""
    metric = subject.build()
    view = first_view(metric, subject)
    split = view.split("test")
    last = split.images.clone()
    last[2 * len(last) // 3 :] = 1 - last[2 * len(last) // 3 :]
    plain = dict(evaluate(metric, view))
    if difference(plain, dict(evaluate(metric, _test(view, replace(split, images=1 - split.images))))) is None:
        raise NotApplicable("other test images leave its numbers as they are")
    changed = difference(plain, dict(evaluate(metric, _test(view, replace(split, images=last)))))
    expect(changed is not None, "another number for other images in the last third of the test split", "the same ones")


@check(
    "every-split-counts",
    METRIC,
    why="A classifier that is fitted and scored on one split knows the answers, and its score is that of every model.",
    mend="Fit on the one split and score on the other; or leave a split that is not needed out of `reads`.",
    applies=lambda subject: (
        "it may render its own images"
        if subject.cls.needs_factors
        else None
        if subject.build().reads
        else "it does not state `reads`"
    ),
)
def every_split_counts(subject: Subject) -> None:
    """Other images, or other labels, in any split of `reads` change a number, for one of several models at least."""
    metric = subject.build()
    views = [first_view(metric, subject), *views_for(metric, subject)[1:]]
    with contextlib.suppress(NotApplicable):
        views += list(extreme_views(metric))[::-1]
    for name in sorted(metric.reads):
        changed, asked = False, 0
        for view in views:
            split = view.splits[name]
            images = torch.rand(split.images.shape, generator=torch.Generator().manual_seed(4)).to(split.images.dtype)
            one = split.images[:1].expand_as(split.images).clone()  # a count of what varies is another one of these
            others = [replace(split, images=item) for item in (images, 1 - split.images, one)]
            if split.labels is not None:
                others.append(replace(split, labels=split.labels.flip(0)))
            try:
                plain = dict(evaluate(metric, view))
                made = [dict(evaluate(metric, with_split(view, name, item))) for item in others]
            except UsageError:
                continue
            asked += 1
            changed = any(difference(plain, item) is not None for item in made)
            if changed:
                break
        expect(changed or not asked, f"another number for other images of {name}", "the same one")
