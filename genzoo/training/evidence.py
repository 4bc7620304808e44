"""What a trained model is judged by, measured on its own images. See `genzoo.findings`."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genzoo import estimators
from genzoo.compose.schedule import Schedule
from genzoo.findings import Evidence, LevelUse, Margin
from genzoo.interfaces.model import Model
from genzoo.interfaces.scheduler import Progress
from genzoo.interfaces.view import RunView
from genzoo.parts.baseline import constant_output
from genzoo.types import Batch, Capability, Latent, LatentSpec

IMAGES = 1000
"""Images of each split that the comparisons are made on, at most."""

VALUES = 2**22
"""Pixel values of a split that are looked at, at most: fewer images where they are large."""

CHUNK = 250
"""Images in one batch."""

SAMPLES = 20
"""Posterior samples that a level's mean is averaged over where it depends on samples of another level."""


@dataclass(frozen=True)
class Decoded:
    """Distortions of the same images, each ``[N]`` in nats, decoded in several ways.

    Args:
        own: From a sample of the image's own posterior.
        swapped: From the latents of another image; None for a single image.
        wrong: With a wrong label; None for an unconditional model.
        constant: From the raw output that is the same for all images.
        squared: Mean over pixels of (x − mean)²; None where the likelihood has no mean.
    """

    own: Tensor
    swapped: Tensor | None
    wrong: Tensor | None
    constant: Tensor
    squared: Tensor | None


def gather(view: RunView, row: Mapping[str, Any] | None, schedule: Schedule | None, *, epochs: int = 1) -> Evidence:
    """The evidence on a trained model. Called at rest; see `genzoo.training.draw.at_rest`.

    Args:
        view: Of the run, with its history.
        row: The last epoch's row, whose distortion and rate are over all test images; None takes measured ones.
        schedule: Of the run, for the values of its quantities at the end.
        epochs: Of the run.
    """
    model = view.model
    batches = {name: _images(view, name) for name in ("train", "test") if view.splits.get(name)}
    seen = batches["train"] if "train" in batches else batches["test"]
    raw = constant_output(model.likelihood, seen.image, model.image)
    decoded = {name: decode_in_ways(model, batch, raw) for name, batch in batches.items()}
    of = "test" if "test" in batches else "train"
    judged, batch = decoded[of], batches[of]
    train = decoded.get("train") if of == "test" else None
    numbers: Mapping[str, Any] = (row.get("test") or row.get("train") or {}) if row else {}
    levels = levels_in_use(model, batch, numbers.get("rates"))
    floor = model.likelihood.least_distortion(batch.image)
    return Evidence(
        distortion=float(numbers.get("distortion", judged.own.mean())),
        rate=float(numbers.get("rate", sum(level.rate for level in levels))),
        levels=levels,
        pixels=model.image.pixels,
        images=len(batch),
        steps=row.get("step") if row else None,
        epochs=row.get("epoch") if row else None,
        baseline=float(judged.constant.mean()),
        floor=None if floor is None else float(floor.mean()),
        train_baseline=None if train is None else float(train.constant.mean()),
        train_spread=0.0 if train is None else float(train.constant.std(correction=0)),
        spread=float(judged.constant.std(correction=0)),
        leading=leading(seen.image, batch.image) if seen is not batch else None,
        alike=bool((seen.image == seen.image[:1]).all()) and bool((batch.image == seen.image[:1]).all()),
        gain=_margin(judged.constant - judged.own),
        train_gain=None if train is None else _margin(train.constant - train.own),
        use=None if judged.swapped is None else _margin(judged.swapped - judged.own),
        train_use=None if train is None or train.swapped is None else _margin(train.swapped - train.own),
        label_use=None if judged.wrong is None else _margin(judged.wrong - judged.own),
        squared_error=None if judged.squared is None else float(judged.squared.mean()),
        trend=_trend(view.history),
        quantities=dict((row or {}).get("quantities") or ({} if schedule is None else schedule.configured)),
        settled={} if schedule is None else _settled(schedule, row or {}, epochs),
    )


def decode_in_ways(model: Model, batch: Batch, constant: Tensor) -> Decoded:
    """Decode images from their own latents, from another image's, with a wrong label and from nothing at all.

    Another image is the next of the batch in an order at random, so that data sorted by class is no trap.

    Args:
        model: In eval mode.
        batch: Images, with labels for a conditional model.
        constant: Raw output ``[channels, H, W]``.
    """
    order = torch.randperm(len(batch), device="cpu").to(batch.image.device)
    found: list[tuple[Tensor | None, ...]] = []
    for start in range(0, len(batch), CHUNK):
        part = batch[order[start : start + CHUNK]]
        output = model(part)
        inputs = [latent.to_decoder for latent in output.latents]
        own = estimators.distortion(output, part.image)[0]
        swapped = wrong = squared = None
        if len(part) > 1:
            others = model.decode([latent.roll(1, 1) for latent in inputs], part.label)
            swapped = -others.log_prob(part.image)[0]
        classes = model.image.classes or 0
        if Capability.CONDITIONAL in model.capabilities and part.label is not None and classes > 1:
            label = (part.label + torch.randint(1, classes, part.label.shape, device=part.label.device)) % classes
            wrong = -model.decode(inputs, label).log_prob(part.image)[0]
        with contextlib.suppress(NotImplementedError):
            squared = (output.likelihood.mean[0] - part.image).square().flatten(1).mean(1)
        alone = -model.likelihood(constant.unsqueeze(0)).log_prob(part.image)
        found.append((own, swapped, wrong, alone, squared))
    columns = list(zip(*found, strict=True))

    def joined(column: int) -> Tensor | None:
        parts = [value.double() for value in columns[column] if value is not None]
        return torch.cat(parts) if len(parts) == len(columns[column]) else None

    own, swapped, wrong, alone, squared = (joined(column) for column in range(5))
    assert own is not None
    assert alone is not None
    return Decoded(own, swapped, wrong, alone, squared)


def leading(train: Tensor, test: Tensor) -> float | None:
    """How many times as much test images vary along the training images' leading direction as along an average one.

    Args:
        train: ``[N, C, H, W]``; ``test`` likewise.

    Returns:
        About 1 for noise; None for fewer than 50 images or 16 pixels.
    """
    pixels = train[0].numel()
    if min(len(train), len(test)) < 50 or pixels < 16:
        return None
    seen, other = (images.flatten(1).double().cpu() for images in (train, test))
    _, _, directions = torch.pca_lowrank(seen, q=min(8, pixels, len(seen)))
    average = other.var(0).sum() / pixels
    return float((other @ directions[:, 0]).var() / average) if average > 0 else None


def levels_in_use(model: Model, batch: Batch, rates: Sequence[float] | None = None) -> tuple[LevelUse, ...]:
    """How many latent units of each level vary with the image, or which codes occur; top first.

    Args:
        model: In eval mode.
        batch: Images, with labels for a conditional model.
        rates: Of each level; None measures them.
    """
    # The means of a level may depend on samples of another: other samples leave out the noise of the first.
    several = len(model.levels) > 1
    parts = [batch[start : start + CHUNK] for start in range(0, len(batch), CHUNK)]
    first = [model.encode(part, samples=SAMPLES if several else 1).latents for part in parts]
    again = [model.encode(part, samples=SAMPLES).latents for part in parts] if several else first
    found: list[LevelUse] = []
    for number, spec in enumerate(model.levels):
        one, other = [latents[number] for latents in first], [latents[number] for latents in again]
        rate = rates[number] if rates else float(torch.cat([_rate(latent) for latent in one]).mean())
        found.append(_use(spec, one, other if several else None, rate))
    return tuple(found)


def _use(spec: LatentSpec, latents: Sequence[Latent], again: Sequence[Latent] | None, rate: float) -> LevelUse:
    images = sum(latent.sample.shape[1] for latent in latents)
    if spec.categories is not None:
        codes = torch.cat([latent.sample[0].flatten() for latent in latents])
        counts = torch.bincount(codes, minlength=spec.categories).double()
        shares = counts / counts.sum()
        entropy = float(-torch.xlogy(shares, shares).sum())
        used = int((counts > 0).sum())
        return LevelUse(spec.size, rate, codes=spec.categories, used=used, entropy=entropy, images=images)
    try:
        means, others = _means(latents), None if again is None else _means(again)
    except NotImplementedError:
        return LevelUse(spec.size, rate, images=images)
    if images < 2:
        return LevelUse(spec.size, rate, images=images)
    samples = torch.cat([latent.sample.flatten(2) for latent in latents], 1)
    return LevelUse(
        spec.size,
        rate,
        in_use=int((estimators.unit_signals(means, samples, again=others) > estimators.IN_USE).sum()),
        active=int(estimators.active_units(means, again=others).sum()),
        images=images,
    )


def _rate(latent: Latent) -> Tensor:
    return estimators.rate(latent).value.mean(0)


def _means(latents: Sequence[Latent]) -> Tensor:
    """E_q[z|x], ``[N, D]``, averaged over the samples of other levels that it depends on."""
    return torch.cat([latent.posterior.mean.expand_as(latent.sample).mean(0).flatten(1) for latent in latents])


def _images(view: RunView, split: str) -> Batch:
    """Images of a split at random, by the view's seed."""
    return view.shuffled(max(1, min(IMAGES, VALUES // view.image.pixels)), split)


def _margin(values: Tensor) -> Margin:
    error = float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.inf
    return Margin(float(values.mean()), error)


def _trend(history: Sequence[Mapping[str, Any]]) -> float | None:
    """By how much the elbo rose per epoch between the last two epochs that were evaluated."""
    rows = [row for row in history if row.get("test")] or [row for row in history if row.get("train")]
    if len(rows) < 2:
        return None
    before, last = rows[-2], rows[-1]
    elbos = [(row.get("test") or row["train"]).get("elbo") for row in (before, last)]
    if None in elbos or last["epoch"] == before["epoch"]:
        return None
    return (elbos[1] - elbos[0]) / (last["epoch"] - before["epoch"])


def _settled(schedule: Schedule, row: Mapping[str, Any], epochs: int) -> dict[str, float]:
    """When each schedule that settles has done so, in epochs."""
    epoch, step = max(1, row.get("epoch") or 1), max(1, row.get("step") or 1)
    end = Progress(epoch, step - 1, max(1, step // epoch), max(epoch, epochs))
    found: dict[str, float] = {}
    for slot, schedulers in schedule.schedulers.items():
        settled = [after for after in (s.settled_after(end) for s in schedulers) if after is not None]
        if settled and len(settled) == len(schedulers):
            found[slot] = max(settled)
    return found
