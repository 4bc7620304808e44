"""What each figure shows: the right images in the right cells, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Distribution, Independent, Normal

from genzoo.distributions import DiagonalNormal, StandardNormal
from genzoo.errors import PluginError, UsageError
from genzoo.interfaces import Dataset, Model, RunView
from genzoo.options import NoOptions
from genzoo.parts.latents import Codes, Scale
from genzoo.testing.reference import PlainModel, reference_parts
from genzoo.types import Capability, Encoding, ImageSpec, Latent, LatentSpec, Report, Split
from genzoo_visualizers import projection, selection
from genzoo_visualizers.axes import ranked
from genzoo_visualizers.class_interpolation import ClassInterpolation
from genzoo_visualizers.class_swap import ClassSwap
from genzoo_visualizers.class_traversal import ClassTraversal
from genzoo_visualizers.interpolation import Interpolation
from genzoo_visualizers.latent_scatter import LatentScatter
from genzoo_visualizers.options import (
    ClassInterpolationOptions,
    ClassSwapOptions,
    ClassTraversalOptions,
    InterpolationOptions,
    LatentScatterOptions,
    ReconstructionsOptions,
    SamplesOptions,
    StyleTransferOptions,
    TrainingCurvesOptions,
    TraversalOptions,
)
from genzoo_visualizers.reconstructions import Reconstructions
from genzoo_visualizers.samples import Samples
from genzoo_visualizers.style_transfer import StyleTransfer
from genzoo_visualizers.training_curves import TrainingCurves
from genzoo_visualizers.traversal import Traversal

SIDE = 4
IMAGE = ImageSpec((1, SIDE, SIDE), classes=10)


class Readable(Model):
    """A model whose images tell their latent and label: the upper half is z₁/20 + ½, the lower half the label/20 + ½.

    The code of an image is its first pixel and its last, taken back through that.
    """

    capabilities = frozenset({Capability.REAL_LATENT, Capability.ONE_LEVEL, Capability.FACTORISED_POSTERIOR})

    def __init__(self, dimensions: int = 2, prior: Distribution | None = None) -> None:
        super().__init__(NoOptions(), reference_parts(IMAGE))
        self.levels = (LatentSpec((dimensions,)),)
        self.prior = self._modules.get("prior") or reference_parts(IMAGE).prior(self.levels[0])
        self.given = prior

    def prior_of_top(self, label=None) -> Distribution:
        return self.given or StandardNormal(self.levels[0].shape)

    def encode(self, batch, *, samples=1, context=None) -> Encoding:
        mean = torch.zeros(len(batch), *self.levels[0].shape)
        mean[:, 0] = (batch.image[:, 0, 0, 0] - 0.5) * 20
        mean[:, -1] += (batch.image[:, 0, -1, -1] - 0.5) * 20
        posterior = DiagonalNormal(mean, torch.full_like(mean, -4.0))
        return Encoding((Latent(posterior, self.prior_of_top(batch.label), posterior.sample((samples,))),))

    def decode(self, latents, label=None, *, mean=False) -> Distribution:
        z = latents[0]
        images = torch.full((*z.shape[:-1], *IMAGE.shape), 0.5)
        images[..., : SIDE // 2, :] += z[..., 0, None, None, None] / 20
        images[..., SIDE // 2 :, :] += (z[..., -1] if label is None else label)[..., None, None, None] / 20
        return Independent(Bernoulli(images.clamp(0, 1), validate_args=False), 3)


class ReadableConditional(Readable):
    """The same, with the label in the lower half."""

    capabilities = Readable.capabilities | {Capability.CONDITIONAL}


class Digits(Dataset):
    """Images whose upper half is their index and whose lower half is their class, scaled as the model's."""

    def __init__(self, n: int = 40) -> None:
        super().__init__(NoOptions())
        self.n = n

    @property
    def spec(self) -> ImageSpec:
        return IMAGE

    def split(self, name: str) -> Split:
        labels = torch.arange(self.n) % 10
        images = torch.full((self.n, *IMAGE.shape), 0.5)
        images[:, :, : SIDE // 2] += (torch.arange(self.n)[:, None, None, None] / self.n - 0.5) / 5
        images[:, :, SIDE // 2 :] += labels[:, None, None, None] / 20
        return Split(images, labels)


def view(model: Model, n: int = 40, **fields: Any) -> RunView:
    data = Digits(n)
    splits = {name: data.split(name) for name in data.splits}
    return RunView("readable on digits", model.eval(), data, splits, seed=3, **fields)


def cells(figure, columns: int, breaks: int = 0) -> np.ndarray:
    """(z₁, lower half) of each cell, ``[rows, columns, 2]``, where breaks do not matter: found by the white between."""
    picture = np.asarray(figure.axes[0].images[0].get_array())[..., 0]
    white = picture > 0.9999
    rows, cols = _runs(~white.all(1)), _runs(~white.all(0))
    assert len(cols) == columns

    def read(row: tuple[int, int], column: tuple[int, int]) -> tuple[float, float]:
        tall, middle = row[1] - row[0], (column[0] + column[1]) // 2
        return tuple((picture[row[0] + int(tall * part), middle] - 0.5) * 20 for part in (0.25, 0.75))

    return np.array([[read(row, column) for column in cols] for row in rows])


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    return list(zip(edges[0::2], edges[1::2], strict=True))


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def test_the_traversal_of_a_plane_runs_from_minus_to_plus_span_upwards():
    figure = Traversal(TraversalOptions(span=3, steps=5)).draw(view(Readable()))[""]
    found = cells(figure, 5)
    expected = np.linspace(-3, 3, 5)
    assert found[..., 0] == pytest.approx(np.tile(expected, (5, 1)), abs=1e-4)
    assert found[..., 1] == pytest.approx(np.tile(expected[::-1, None], (1, 5)), abs=1e-4)
    assert {"z₁", "z₂", "−1.5", "3"} <= set(texts(figure))


def test_traversals_are_in_standard_deviations_of_the_prior_in_use():
    prior = DiagonalNormal(torch.tensor([1.0, -1.0]), torch.tensor([4.0, 0.25]).log())
    found = cells(Traversal(TraversalOptions(span=2, steps=3)).draw(view(Readable(prior=prior)))[""], 3)
    assert found[0, :, 0] == pytest.approx([-3, 1, 5], abs=1e-4)
    assert found[:, 0, 1] == pytest.approx([0, -1, -2], abs=1e-4)


def test_a_prior_without_moments_is_measured():
    prior = Independent(Normal(torch.tensor([2.0, 0.0]), torch.tensor([0.5, 1.0])), 1)
    found = cells(Traversal(TraversalOptions(span=2, steps=3)).draw(view(Readable(prior=prior)))[""], 3)
    assert found[0, :, 0] == pytest.approx([1, 2, 3], abs=0.1)


def test_more_than_two_dimensions_are_one_row_each_by_rate():
    run = view(Readable(dimensions=4))
    figure = Traversal(TraversalOptions(steps=3, rows=2, start="prior")).draw(run)[""]
    assert cells(figure, 3).shape[0] == 2
    names = [text for text in texts(figure) if "nats" in text and text.startswith("z")]
    assert [name[:2] for name in names] == ["z₄", "z₁"]  # the code's last entry varies most, then its first
    rates = [float(name.split()[1]) for name in names]
    assert rates[0] > rates[1]
    by_index = Traversal(TraversalOptions(steps=3, rows=2, order="index")).draw(run)[""]
    assert [text[:2] for text in texts(by_index) if text.startswith("z")] == ["z₁", "z₂"]


def test_a_traversal_from_an_image_keeps_its_other_dimensions():
    run = view(Readable(dimensions=3))
    found = cells(Traversal(TraversalOptions(steps=3, order="index", rows=3)).draw(run)[""], 3)
    code = run.model.encode(run.shuffled(1000)[:1]).latents[0].posterior.mean[0]
    assert found[0, :, 0] == pytest.approx([-3, 0, 3], abs=1e-4)
    assert found[0, :, 1] == pytest.approx(np.full(3, float(code[2])), abs=1e-4)
    assert found[2, :, 0] == pytest.approx(np.full(3, float(code[0])), abs=1e-4)


def test_ranking_falls_back_to_the_variance_of_the_codes():
    codes = Codes((torch.tensor([[0.0, 5.0, 1.0], [0.1, -5.0, -1.0]]),), (), (), None)
    order = ranked(codes, Scale(torch.zeros(3), torch.tensor([1.0, 100.0, 1.0])))
    assert [dimension for dimension, _ in order] == [2, 1, 0] or [d for d, _ in order] == [2, 0, 1]
    assert order[0] == (2, None)


@pytest.mark.parametrize("label", [None, 4])
def test_a_conditional_traversal_decodes_one_class(label: int | None):
    found = cells(Traversal(TraversalOptions(steps=3, label=label)).draw(view(ReadableConditional()))[""], 3)
    assert found[..., 1] == pytest.approx(np.full((3, 3), label or 0), abs=1e-4)


def test_traversal_labels_that_fit_nothing_are_refused_before_training():
    with pytest.raises(UsageError, match="not conditional"):
        Traversal(TraversalOptions(label=1)).check(Readable(), IMAGE)
    with pytest.raises(UsageError, match="class from 0 to 9, got 10"):
        Traversal(TraversalOptions(label=10)).check(ReadableConditional(), IMAGE)


def test_interpolation_has_a_first_row_from_three_to_eight_between_the_images():
    run = view(Readable(), n=200)
    figures = Interpolation(InterpolationOptions(pairs=3)).draw(run)
    assert list(figures) == ["", "spherical"]
    found = cells(figures[""], 12)
    assert found.shape[0] == 3
    assert "3 → 8" in texts(figures[""])
    assert found[0, :, 1][[0, 11]] == pytest.approx([3, 8], abs=1e-4)
    assert found[0, 1:11, 1] == pytest.approx(np.linspace(3, 8, 10), abs=1e-4)
    for row in found:
        assert row[1] == pytest.approx(row[0], abs=1e-4)  # this model reconstructs exactly
        assert row[10] == pytest.approx(row[11], abs=1e-4)
    arcs = cells(figures["spherical"], 12)
    assert arcs[:, [1, 10]] == pytest.approx(found[:, [1, 10]], abs=1e-4)
    radius = np.linalg.norm(found[0, [1, 10]], axis=-1)
    along = np.linalg.norm(arcs[0, 1:11], axis=-1)
    assert (along >= radius.min() - 1e-3).all()


@pytest.mark.parametrize("path", ["linear", "spherical"])
def test_one_kind_of_path_is_the_only_figure(path: str):
    assert list(Interpolation(InterpolationOptions(path=path, pairs=1)).draw(view(Readable()))) == [""]


def test_a_conditional_interpolation_changes_class_half_way():
    figure = Interpolation(InterpolationOptions(pairs=1, steps=4)).draw(view(ReadableConditional()))[""]
    assert cells(figure, 6)[0, :, 1] == pytest.approx([3, 3, 3, 8, 8, 8], abs=1e-4)


def test_classes_that_the_data_lacks_are_refused_only_when_asked_for():
    small = replace(IMAGE, classes=5)
    Interpolation(InterpolationOptions()).check(Readable(), small)
    with pytest.raises(UsageError, match="target must be a class from 0 to 4, got 8"):
        Interpolation(InterpolationOptions(target=8)).check(Readable(), small)
    ClassInterpolation(ClassInterpolationOptions()).check(ReadableConditional(), small)
    with pytest.raises(UsageError, match="second must be a class from 0 to 4, got 7"):
        ClassInterpolation(ClassInterpolationOptions(second=7)).check(ReadableConditional(), small)


def test_reconstructions_put_each_image_above_its_own_copy_in_order_of_class():
    found = cells(Reconstructions(ReconstructionsOptions(count=20)).draw(view(Readable()))[""], 10)
    assert found.shape[0] == 4
    for image, copy in ((0, 1), (2, 3)):
        assert found[image, :, 1] == pytest.approx(np.arange(10), abs=1e-4)
        assert found[copy] == pytest.approx(found[image], abs=1e-4)
    assert not np.allclose(found[0, :, 0], found[2, :, 0])


def test_reconstructions_of_a_sample_are_not_those_of_the_mean():
    run = view(Readable())
    mean, sample = (
        cells(Reconstructions(ReconstructionsOptions(count=10, codes=codes)).draw(run)[""], 10)
        for codes in ("mean", "sample")
    )
    assert sample[0] == pytest.approx(mean[0])
    difference = np.abs(sample[1] - mean[1])
    assert 0.01 < difference.mean() < 0.6  # the posterior's deviation is e⁻²


def test_samples_of_a_conditional_model_are_one_class_a_column():
    found = cells(Samples(SamplesOptions(count=20)).draw(view(ReadableConditional()))[""], 10)
    assert found[..., 1] == pytest.approx(np.tile(np.arange(10), (2, 1)), abs=1e-4)
    assert np.abs(found[..., 0]).max() > 0.5


def test_samples_are_as_many_as_asked():
    picture = np.asarray(
        Samples(SamplesOptions(count=13, columns=5)).draw(view(Readable()))[""].axes[0].images[0].get_array()
    )
    rows, columns = 3, 5
    side = picture.shape[1] / (columns * SIDE + columns - 1)
    centres = [
        picture[int((row * (SIDE + 1) + 2) * side), int((column * (SIDE + 1) + 2) * side), 0]
        for row in range(rows)
        for column in range(columns)
    ]
    assert sum(value < 0.9999 for value in centres) == 13


def test_class_swap_keeps_the_latent_along_a_row_and_the_class_down_a_column():
    run = view(ReadableConditional())
    found = cells(ClassSwap(ClassSwapOptions(styles=3)).draw(run)[""], 10)
    assert found[..., 0] == pytest.approx(np.tile(found[:, :1, 0], (1, 10)), abs=1e-4)
    assert found[..., 1] == pytest.approx(np.tile(np.arange(10), (3, 1)), abs=1e-4)
    assert len(set(found[:, 0, 0].round(3))) == 3


def test_style_transfer_keeps_the_code_of_the_image_and_marks_its_class():
    figure = StyleTransfer(StyleTransferOptions(count=4)).draw(view(ReadableConditional()))[""]
    found = cells(figure, 11)
    assert found[..., 0] == pytest.approx(np.tile(found[:, :1, 0], (1, 11)), abs=1e-4)
    assert found[:, 0, 1] == pytest.approx(np.arange(4), abs=1e-4)
    assert found[:, 1:, 1] == pytest.approx(np.tile(np.arange(10), (4, 1)), abs=1e-4)
    assert len(figure.axes[0].patches) == 4


def test_class_interpolation_decodes_one_path_as_two_classes():
    figure = ClassInterpolation(ClassInterpolationOptions(paths=2, steps=5)).draw(view(ReadableConditional()))[""]
    found = cells(figure, 5)
    assert found[..., 1] == pytest.approx(np.tile([[1], [7]], (2, 5)), abs=1e-4)
    assert found[0, :, 0] == pytest.approx(found[1, :, 0], abs=1e-4)
    assert found[0, 0, 0] == pytest.approx(-found[0, 4, 0], abs=1e-4)
    assert found[0, 2, 0] == pytest.approx(0, abs=1e-4)
    assert abs(found[0, 0, 0] - found[2, 0, 0]) > 1e-3


def test_class_traversal_is_one_row_a_class_and_one_block_a_dimension():
    figure = ClassTraversal(ClassTraversalOptions(steps=3)).draw(view(ReadableConditional()))[""]
    found = cells(figure, 6)
    assert found[..., 1] == pytest.approx(np.tile(np.arange(10)[:, None], (1, 6)), abs=1e-4)
    assert found[0, :, 0] == pytest.approx([-3, 0, 3, 0, 0, 0], abs=1e-4)
    assert {"z₁", "z₂"} <= set(texts(figure))


def scatter(run: RunView, **values: Any):
    figure = LatentScatter(LatentScatterOptions(**values)).draw(run)[""]
    return figure, np.concatenate([np.asarray(group.get_offsets()) for group in figure.axes[0].collections])


def test_two_dimensions_are_drawn_as_they_are():
    run = view(Readable())
    figure, points = scatter(run)
    assert points == pytest.approx(run.model.encode(run.shuffled(40)).latents[0].posterior.mean.numpy(), abs=1e-5)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [str(label) for label in range(10)]
    assert figure.axes[0].get_xlabel() == "z₁"
    assert len({tuple(shade) for shade in figure.axes[0].collections[0].get_facecolors().round(3)}) == 10


def test_each_class_is_named_at_the_middle_of_its_points():
    run = view(Readable())
    figure, points = scatter(run)
    labels = run.shuffled(40).label.numpy()
    named = {text.get_text(): text.xy for text in figure.axes[0].texts}
    assert set(named) == {str(label) for label in set(labels.tolist())}
    for name, place in named.items():
        mine = points[labels == int(name)]
        assert (mine.min(0) <= np.array(place) + 1e-9).all()
        assert (mine.max(0) >= np.array(place) - 1e-9).all()


def test_points_are_as_many_as_asked():
    assert len(scatter(view(Readable()), points=7)[1]) == 7


def test_principal_components_find_the_plane_of_greatest_variance():
    generator = torch.Generator().manual_seed(0)
    inner = torch.randn(300, 2, generator=generator, dtype=torch.float64) * torch.tensor([5.0, 2.0])
    basis = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64)).Q[:2]
    plane = projection.principal_components(inner @ basis + 0.01 * torch.randn(300, 6, generator=generator) + 3)
    for column in range(2):
        match = np.corrcoef(inner[:, column].numpy(), plane.points[:, column].numpy())[0, 1]
        assert abs(match) > 0.99
    assert plane.names[0].startswith("component 1 (8")


def test_one_point_has_components_too():
    assert projection.principal_components(torch.ones(1, 5)).points.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("n", [5, 4])
def test_tsne_with_no_more_points_than_its_perplexity_is_refused(n: int):
    with pytest.raises(UsageError, match=f"more than the perplexity 5, got {n}") as refusal:
        LatentScatter(LatentScatterOptions(projection="tsne", perplexity=5)).draw(view(Readable(3), n=n))
    assert refusal.value.exit_code == 2
    with pytest.raises(UsageError, match="perplexity"):
        LatentScatter(LatentScatterOptions(projection="tsne", points=20)).check(Readable(3), IMAGE)


def test_tsne_repeats_and_separates_what_is_apart():
    codes = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
    codes[30:] += 20
    first, second = (projection.tsne(codes, 10, seed=2**40 + 1).points for _ in range(2))
    assert torch.equal(first, second)
    centres = first[:30].mean(0), first[30:].mean(0)
    spread = max(first[:30].std(0).norm(), first[30:].std(0).norm())
    assert (centres[0] - centres[1]).norm() > 2 * spread


def test_umap_that_is_not_installed_names_the_package(monkeypatch):
    monkeypatch.setattr(projection, "find_spec", lambda name: None)
    with pytest.raises(PluginError, match="pip install umap-learn") as refusal:
        LatentScatter(LatentScatterOptions(projection="umap")).check(Readable(3), IMAGE)
    assert refusal.value.exit_code == 3


def test_a_level_that_the_model_lacks_is_refused():
    with pytest.raises(UsageError, match="level must be below the model's number of levels, 1, got 2"):
        LatentScatter(LatentScatterOptions(level=2)).check(Readable(), IMAGE)


def history(betas: list[float | None], **terms: Any) -> list[dict[str, Any]]:
    row = {"distortion": 100.0, "rate": 5.0, "elbo": -105.0, "ratio": 20.0, **terms}
    return [
        {"epoch": epoch, "quantities": {} if beta is None else {"beta": beta}, "train": row, "test": row}
        for epoch, beta in enumerate(betas, 1)
    ]


def curves(rows: list[dict[str, Any]], **values: Any):
    return TrainingCurves(TrainingCurvesOptions(**values)).draw(view(PlainOf(), history=rows))[""]


def PlainOf() -> Model:  # noqa: N802
    return PlainModel(NoOptions(), reference_parts(IMAGE))


def spans(figure) -> list[tuple[float, float]]:
    boxes = [patch.get_extents().transformed(figure.axes[0].transData.inverted()) for patch in figure.axes[0].patches]
    return [(round(box.x0, 3), round(box.x1, 3)) for box in boxes]


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_warm_up_is_shaded_until_beta_has_risen():
    figure = curves(history([0.25, 0.5, 0.75, 1, 1, 1]))
    assert spans(figure) == [(1, 4)]
    assert legend(figure) == ["test", "train", "β", "warm-up"]
    beta = figure.axes[3].get_lines()[0]
    assert list(beta.get_ydata()) == [0.25, 0.5, 0.75, 1, 1, 1]


def test_cycles_are_shaded_one_by_one_and_not_called_a_warm_up():
    figure = curves(history([0.5, 1, 1, 0.5, 1, 0.5]))
    assert spans(figure) == [(1, 2), (4, 5)]
    assert legend(figure)[-1] == "β below its greatest value"


@pytest.mark.parametrize("betas", [[1.0, 1.0, 1.0], [None, None], [0.1]])
def test_a_beta_that_does_not_change_is_not_drawn(betas):
    figure = curves(history(betas))
    assert spans(figure) == []
    assert len(figure.axes) == 3
    assert legend(figure) == ["test", "train"]


def test_curves_are_those_of_the_history():
    rows = history([1.0, 1.0])
    rows[1]["test"] = {"distortion": 90.0, "rate": 6.0, "elbo": -96.0, "ratio": 15.0}
    for third, last in (("elbo", [-105.0, -96.0]), ("ratio", [20.0, 15.0])):
        figure = curves(rows, third=third)
        drawn = [list(axes.get_lines()[0].get_ydata()) for axes in figure.axes]
        assert drawn == [[100.0, 90.0], [5.0, 6.0], last]


def test_the_noise_of_a_constant_is_no_curve():
    rows = history([1.0, 1.0, 1.0])
    for number, row in enumerate(rows):
        row["test"] = row["train"] = {"distortion": 100 + 1e-9 * number, "rate": 1e-9 * number, "elbo": -100.0}
    for axes in curves(rows).axes[:2]:
        low, high = axes.get_ylim()
        assert high - low >= 0.2 - 1e-9


def test_infinite_values_leave_gaps_and_epochs_that_were_not_evaluated_none():
    rows = history([1.0, 1.0, 1.0])
    rows[1]["test"] = None
    rows[1]["train"] = {"distortion": float("nan"), "rate": 0.0, "elbo": float("-inf")}
    figure = curves(rows)
    lines = figure.axes[2].get_lines()
    assert list(lines[0].get_xdata()) == [1, 3]
    assert np.isfinite(lines[0].get_ydata()).all()
    assert np.isnan(lines[1].get_ydata()[1])


def test_no_history_is_refused():
    with pytest.raises(UsageError, match="finished epoch"):
        curves([])


def test_examples_take_the_classes_in_turn_and_pass_over_those_that_run_out():
    run = view(Readable(), n=12)  # two images of classes 0 and 1, one of the others
    labels = selection.examples(run, 12).label
    assert labels is not None
    assert labels.tolist() == [*range(10), 0, 1]
    assert len(selection.examples(run, 99)) == 12


def test_latents_farthest_apart_are_spread_and_distinct():
    real = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    chosen = selection.farthest_apart(real, 8)
    assert len(chosen.unique()) == 8
    assert torch.cdist(real[chosen], real[chosen]).sum() > torch.cdist(real[:8], real[:8]).sum()
    codes = torch.randint(0, 3, (10, 4), generator=torch.Generator().manual_seed(0))
    assert len(selection.farthest_apart(codes, 10).unique()) == 10
    assert len(selection.farthest_apart(codes, 4).unique()) == 4


def panels(history: list[dict[str, Any]], *reports: Report) -> list[str]:
    figure = TrainingCurves(TrainingCurvesOptions()).draw(view(PlainOf(), history=history, reports=reports))[""]
    titles = [axes.get_title("left").partition("\n")[0] for axes in figure.axes]
    return [title for title in titles if title]


def reported(*rows: dict[str, float]) -> list[dict[str, Any]]:
    return [{"epoch": number, "train": row, "test": row} for number, row in enumerate(rows, 1)]


def test_training_curves_draw_what_a_run_reports_and_what_varies() -> None:
    losses = (Report("distortion", "D"), Report("rate", "R"), Report("elbo", "ELBO"))
    ordinary = reported(
        {"distortion": 9.0, "rate": 1.0, "elbo": -10.0}, {"distortion": 8.0, "rate": 2.0, "elbo": -10.5}
    )
    assert panels(ordinary, *losses) == ["Distortion D", "Rate R", "ELBO = −(D + R)"]
    assert panels(ordinary) == ["Distortion D", "Rate R", "ELBO = −(D + R)"], "a bare model reports as a loss does"
    for row in ordinary:
        row["train"]["critic"] = 0.1 * row["epoch"]
    assert panels(ordinary, *losses, Report("critic", "Critic")) == ["Distortion D", "Rate R", "Critic"]
    pixels = reported({"distortion": 0.0, "rate": 9.0, "elbo": -9.0}, {"distortion": 0.0, "rate": 8.0, "elbo": -8.0})
    assert panels(pixels, *losses) == ["R", "ELBO"]
    game = (Report("real", "Real"), Report("generated", "Generated"), Report("hidden", "Hidden", shown=False))
    first, second = {"real": 0.5, "generated": 0.5, "hidden": 1.0}, {"real": 0.6, "generated": 0.4, "hidden": 2.0}
    assert panels(reported(first, second), *game) == ["Real", "Generated"]
    assert panels(reported(first), *game) == ["Real", "Generated"], "where nothing varies yet, all"
