"""The `explorer` visualizer: a page in which the decoder runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, cast

import torch
from torch import Tensor

from genzoo.interfaces import LatentGenerator, Model, Page, RunView, Section, Visualizer
from genzoo.parts.browser import TOLERANCE, Case, Program, UnsupportedNetwork, case, export_program, pack, runtime
from genzoo.parts.latents import Codes, Scale, along, axis, decode_images, draw_prior, encode, prior_scale
from genzoo.parts.pages import page, sheet, text
from genzoo.randomness import seeded
from genzoo.types import Capability, ImageSpec
from genzoo_visualizers.axes import ranked
from genzoo_visualizers.options import ExplorerOptions
from genzoo_visualizers.selection import class_count, is_conditional

_RANKED = 1000
"""Test images that dimensions are ranked by."""

_NUMBERS = 40_000
"""Numbers of all codes in the page, at most; more dimensions leave fewer dots."""

_DRAWS = 32
"""Draws of the prior in the page."""

_SHEET = 9
"""Images in a row of the sheet, and in a column of that of a plane."""

_MULTIPLICATIONS = 300_000_000
"""In one decode, at most; more take longer than half a second."""

_CASES = 3


class Explorer(Visualizer):
    """A page to walk through the latent space: the decoder runs in it, in plain JavaScript.

    Drag over a plane of two latent dimensions and see what is decoded; the codes of test images are dots, and two of them
    are interpolated. What is drawn into the page is encoded there, and its posterior shown as an ellipse. Conditional models
    have a button for each class, latents of more than two dimensions a slider for each that matters. The page needs no
    network. It checks itself on cases that torch computed, and says so where it is more than 2e-3 away from them.

    A network that is too large, or does what pages cannot, gets a sheet of decoded images and the reason.

    Args:
        options: Reach of the plane, number of dots and sliders, and how large the page may get.

    References:
        Figures 2 to 5 of the report, which are views of the same plane.
    """

    on = LatentGenerator
    options: ExplorerOptions

    def check(self, model: Model, image: ImageSpec) -> None:
        """See `Visualizer.check`."""
        if is_conditional(model):
            class_count(image)

    def draw(self, run: RunView) -> Mapping[str, Page]:
        """See `Visualizer.draw`."""
        self.check(run.model, run.image)
        section = self._section(run)
        return {"": page(f"{run.title}: latent explorer", [section])}

    def _section(self, run: RunView) -> Section:
        label = 0 if is_conditional(run.model) or run.model.prior.conditional else None
        given = None if label is None else torch.tensor([label], device=run.device)
        real = Capability.REAL_LATENT in run.model.capabilities
        reason, packed, data = "", None, dict[str, Any]()
        with seeded(run.seed):
            try:
                if not real:
                    raise UnsupportedNetwork("page: the latents must be real numbers, got codes of a codebook.")
                space = self._space(run, label)
                packed = self._network(run, space, given)
                data = self._data(run, space)
            except UnsupportedNetwork as error:
                reason = error.message.removeprefix("page: ")
            shown, columns, of = self._sheet(run, label) if real else self._samples(run, label)
        alt = f"{of}, decoded by {run.title}"
        picture = f'<img class="sheet" alt="{text(alt)}" src="{sheet(shown, columns)}">'
        if packed is None:
            why = f"<p>Nothing can be moved here: {text(reason)} The sheet was decoded when the page was made.</p>"
            return Section(
                "explorer",
                "Latent space",
                f"{why}<figure>{picture}<figcaption>{text(of)}.</figcaption></figure>",
                _style(),
            )
        wait = (
            '<div class="still"><p class="small">The model runs in this page once its script does. Until then, this was '
            f"decoded when the page was made: {text(of)}.</p>{picture}</div>"
        )
        return Section("explorer", "Latent space", wait, _style(), _script(), {**data, "network": packed})

    def _space(self, run: RunView, label: int | None) -> _Space:
        scale = prior_scale(run.model, label)
        size = scale.mean.numel()
        if not isinstance(run.model, Model):
            return _Space(scale, [(index, None) for index in range(size)], None, None, None)
        codes = encode(run.model, run.shuffled(_RANKED))
        many = max(1, min(self.options.codes, _NUMBERS // size))
        batch = run.shuffled(many)
        return _Space(scale, ranked(codes, scale), encode(run.model, batch), batch.image, batch.label)

    def _network(self, run: RunView, space: _Space, label: Tensor | None) -> dict[str, Any]:
        """The programs, tried on codes and images of the run."""
        model, conditional = run.model, is_conditional(run.model)
        most = int(self.options.megabytes * 2**20 / 2)
        event, extra = model.levels[0].shape, [label] if conditional and label is not None else []
        decoder = _decoder(model)
        points = self._points(run, space)
        decode = export_program(decoder, [points[:1].reshape(1, *event), *extra], most)
        if decode.multiplications > _MULTIPLICATIONS:
            raise UnsupportedNetwork(
                f"a decode must take at most {_MULTIPLICATIONS:,} multiplications, got {decode.multiplications:,}."
            )
        programs = {"decode": decode}
        cases = [
            case("decode", decoder, [points[i : i + 1].reshape(1, *event), *self._label(run, i, conditional)])
            for i in range(min(_CASES, len(points)))
        ]
        if (
            isinstance(model, Model)
            and Capability.FACTORISED_POSTERIOR in model.capabilities
            and space.images is not None
        ):
            self._add_encoder(run, space, programs, cases, extra, most)
        return pack(programs, cases)

    def _add_encoder(
        self,
        run: RunView,
        space: _Space,
        programs: dict[str, Program],
        cases: list[Case],
        extra: Sequence[Tensor],
        most: int,
    ) -> None:
        """The encoder's program, left out where pages cannot run it: then nothing can be drawn."""
        images = cast(Tensor, space.images)
        encoder, conditional = _encoder(run.model), is_conditional(run.model)
        try:
            program = export_program(encoder, [images[:1], *extra], most)
        except UnsupportedNetwork:
            return
        if len(program.outputs) != 2 or program.multiplications > _MULTIPLICATIONS:
            return
        programs["encode"] = program
        cases += [
            case("encode", encoder, [images[i : i + 1], *self._label(run, i, conditional)])
            for i in range(min(_CASES - 1, len(images)))
        ]

    @staticmethod
    def _label(run: RunView, index: int, conditional: bool) -> list[Tensor]:
        return [torch.tensor([index % class_count(run.image)], device=run.device)] if conditional else []

    @staticmethod
    def _points(run: RunView, space: _Space) -> Tensor:
        """Codes that the page is tried on, ``[n, d]``: at the prior's mean, at a test image's code, and far out."""
        mean, deviation = space.scale.mean.flatten(), space.scale.deviation.flatten()
        seen = [] if space.codes is None else [space.codes.top.flatten(1)[:1]]
        return torch.cat([mean[None], *seen, (mean + 2 * deviation)[None]])

    def _data(self, run: RunView, space: _Space) -> dict[str, Any]:
        scale, image = space.scale, run.image
        size = scale.mean.numel()
        data: dict[str, Any] = {
            "image": list(image.shape),
            "classes": [image.class_name(label) for label in range(image.classes or 0)],
            "conditional": is_conditional(run.model),
            "mean": _rounded(scale.mean),
            "deviation": _rounded(scale.deviation),
            "units": [
                {"index": index, "rate": None if rate is None else round(rate, 3)}
                for index, rate in space.ranked[: min(size, self.options.units)]
            ],
            "span": self.options.span,
            "tolerance": TOLERANCE,
            "draws": [_rounded(draw) for draw in draw_prior(run.model, _DRAWS, self._of_prior(run))],
            "codes": [],
            "labels": [],
        }
        if space.codes is not None and space.images is not None:
            data["codes"] = [_rounded(code) for code in space.codes.top]
            data["thumbs"] = sheet(space.images, 20, 4)
            labelled = space.labels is not None and space.labels.dim() == 1
            data["labels"] = cast(Tensor, space.labels).tolist() if labelled else []
            data["centred"] = _centred(space.images)
        return data

    @staticmethod
    def _of_prior(run: RunView) -> Tensor | None:
        """Labels of `_DRAWS` draws, for a prior that takes them."""
        if not run.model.prior.conditional:
            return None
        return torch.arange(_DRAWS, device=run.device) % class_count(run.image)

    def _sheet(self, run: RunView, label: int | None) -> tuple[Tensor, int, str]:
        """Images of the plane, or along the dimensions that matter."""
        space = self._space(run, label)
        scale, offsets = space.scale, axis(self.options.span, _SHEET)
        if scale.mean.numel() == 2:
            across, up = torch.meshgrid(offsets, offsets.flip(0), indexing="xy")
            grid = torch.stack([across, up], -1).reshape(-1, *run.model.levels[0].shape).to(scale.mean)
            latents, of = scale.mean + grid * scale.deviation, "the latent plane"
        else:
            start = scale.mean if space.codes is None else space.codes.top[0]
            rows = [along(start, scale, index, offsets) for index, _ in space.ranked[: self.options.units]]
            latents, of = torch.cat(rows), "latent dimensions, one a row"
        labels = None if label is None or not is_conditional(run.model) else _filled(run, label, len(latents))
        return decode_images(run.model, [latents], labels), _SHEET, of

    def _samples(self, run: RunView, label: int | None) -> tuple[Tensor, int, str]:
        count = 5 * _SHEET
        labels = None if label is None else torch.arange(count, device=run.device) % class_count(run.image)
        return run.model.sample(count, labels, seed=run.seed), _SHEET, "samples"


@dataclass(frozen=True)
class _Space:
    """The latent space of a run: its prior's scale, its dimensions in their order, and codes of test images."""

    scale: Scale
    ranked: list[tuple[int, float | None]]
    codes: Codes | None
    images: Tensor | None
    labels: Tensor | None


def _decoder(model: LatentGenerator) -> Callable[..., Tensor]:
    return lambda latent, label=None: model.generate([latent], label)


def _encoder(model: Model) -> Callable[..., tuple[Tensor, Tensor]]:
    def means(image: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        posterior = model.posterior(image, label)
        return posterior.mean, posterior.stddev

    return means


def _filled(run: RunView, label: int, count: int) -> Tensor:
    return torch.full((count,), label, dtype=torch.int64, device=run.device)


def _rounded(values: Tensor) -> list[float]:
    return [float(f"{value:.4g}") for value in values.flatten().tolist()]


def _centred(images: Tensor) -> bool:
    """Whether the images have their mass in the middle, as MNIST's have, within a pixel on average."""
    mass = images.sum(1).clamp_min(0)
    total = mass.sum((1, 2)).clamp_min(1e-9)
    height, width = mass.shape[1:]
    rows = torch.arange(height, device=mass.device) - (height - 1) / 2
    columns = torch.arange(width, device=mass.device) - (width - 1) / 2
    down = (mass.sum(2) * rows).sum(1) / total
    across = (mass.sum(1) * columns).sum(1) / total
    return bool((down.abs().mean() < 1) and (across.abs().mean() < 1))


def _style() -> str:
    return files("genzoo_visualizers").joinpath("explorer.css").read_text("utf-8")


def _script() -> str:
    return f"{runtime()}\n{files('genzoo_visualizers').joinpath('explorer.js').read_text('utf-8')}"
