"""The metrics on a run: what is encoded, how often, from where, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent

from genzoo.distributions import DiagonalNormal, StandardNormal
from genzoo.errors import UsageError
from genzoo.interfaces import Dataset, Model, RunView
from genzoo.options import NoOptions
from genzoo.types import Batch, Capability, Context, Encoding, ImageSpec, Latent, Split
from genzoo_disentanglement import options as option_models
from genzoo_disentanglement.beta_vae_score import BetaVAEScore
from genzoo_disentanglement.dci import DCI, importances
from genzoo_disentanglement.factor_metric import FactorMetric
from genzoo_disentanglement.factor_vae_score import FactorVAEScore, factor_vae_score
from genzoo_disentanglement.mig import MIG
from genzoo_disentanglement.plugin import genzoo_metrics
from genzoo_disentanglement.representation import Representation, Siblings, represent
from genzoo_disentanglement.sap import SAP

SIZES = (4, 5, 3)


class Painted(Dataset):
    """Images whose first pixels are the factors, in hundredths."""

    factor_names = ("a", "b", "c")

    def __init__(self, renders: bool, sizes: tuple[int, ...] = SIZES) -> None:
        super().__init__(NoOptions())
        self.factor_sizes = sizes
        self.renders = renders

    @property
    def spec(self) -> ImageSpec:
        return ImageSpec((1, 2, 2))

    def split(self, name: str) -> Split:
        generator = torch.Generator().manual_seed(len(name))
        factors = torch.stack([torch.randint(size, (150,), generator=generator) for size in self.factor_sizes], 1)
        return self.paint(factors)

    def paint(self, factors: Tensor) -> Split:
        images = torch.zeros(len(factors), 1, 2, 2)
        images.flatten(1)[:, : factors.shape[1]] = factors / 100
        return Split(images, None, factors)

    def render(self, factors: Tensor) -> Split | None:
        return self.paint(factors) if self.renders else None


class Symmetric(Painted):
    """Its first factor looks the same in two halves where the third is 0, as a square does after a quarter of a turn."""

    def seen(self, factors: Tensor) -> Tensor:
        told = factors.clone()
        told[:, 0] = torch.where(told[:, 2] == 0, told[:, 0] % 2, told[:, 0])
        return told

    def paint(self, factors: Tensor) -> Split:
        return Split(super().paint(self.seen(factors)).images, None, factors)


class Declared(Symmetric):
    """The same, and says so."""

    def identifiable(self, factors: Tensor) -> Tensor:
        return self.seen(factors)


class Reader(Model):
    """Reads the factors back as the posterior mean of a latent of shape (3, 1, 1)."""

    capabilities = frozenset({Capability.REAL_LATENT, Capability.ONE_LEVEL})

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.image = ImageSpec((1, 2, 2))
        self.gain = nn.Parameter(torch.tensor(100.0))
        self.seen = 0

    def encode(self, batch: Batch, *, samples: int = 1, context: Context | None = None) -> Encoding:
        self.seen += len(batch)
        mean = (self.gain * batch.image.flatten(1)[:, :3]).reshape(-1, 3, 1, 1)
        posterior = DiagonalNormal(mean, torch.zeros_like(mean), event_dims=3)
        return Encoding((Latent(posterior, StandardNormal((3, 1, 1)), posterior.rsample((samples,))),))

    def decode(self, latents: Sequence[Tensor], label: Tensor | None = None, *, mean: bool = False) -> Distribution:
        return Independent(Bernoulli(logits=torch.zeros(*latents[0].shape[:-3], 1, 2, 2)), 3)


def view(renders: bool = True, sizes: tuple[int, ...] = SIZES, kind: type[Painted] = Painted) -> RunView:
    data = kind(renders, sizes)
    return RunView("reader", Reader().eval(), data, {"train": data.split("train"), "test": data.split("test")})


METRICS: list[type[FactorMetric]] = [BetaVAEScore, FactorVAEScore, MIG, DCI, SAP]


def make(metric: type[FactorMetric], **changes: Any) -> FactorMetric:
    model = getattr(option_models, f"{metric.__name__}Options")
    tiny = {"train_points": 200, "eval_points": 80} if "train_points" in model.model_fields else {}
    return metric(model(**{"images": 300, **tiny, **changes}))


@pytest.mark.parametrize("renders", [True, False])
def test_a_model_that_reads_the_factors_scores_high_everywhere(renders: bool) -> None:
    run = view(renders)
    assert make(BetaVAEScore).evaluate(run)[""] > 0.9
    assert make(FactorVAEScore).evaluate(run)[""] > 0.9
    assert make(MIG).evaluate(run)[""] > 0.9
    found = make(DCI, trees=10).evaluate(run)
    assert min(found["disentanglement"], found["completeness"], found["informativeness"]) > 0.9
    assert make(SAP).evaluate(run)["squared_correlation"] > 0.9


@pytest.mark.parametrize("renders", [True, False])
def test_factors_that_pixels_do_not_tell_apart_have_no_ceiling_where_the_data_says_so(renders: bool) -> None:
    declared, silent = view(renders, kind=Declared), view(renders, kind=Symmetric)
    found = represent(declared, 300)
    np.testing.assert_allclose(found.codes, found.factors, atol=1e-4)
    assert make(MIG).evaluate(declared)[""] > make(MIG).evaluate(silent)[""] + 0.03
    scores = [make(DCI, trees=10).evaluate(run)["informativeness"] for run in (declared, silent)]
    # A third of the images have one of two values of the first of three factors: 1 - 1/2 · 1/3 · 1/3.
    assert scores[0] > 0.97 > scores[1]


def test_the_protocol_says_which_images_and_how_many_points_there_were() -> None:
    few, told = make(DCI, images=60, train_points=200, eval_points=100), make(MIG, images=60, points=500)
    assert (
        "40 train and 20 eval points, 60 encoded images of the grid, drawn by seed 0" in few.evaluate(view()).protocol
    )  # type: ignore[attr-defined]
    assert "60 points" in told.evaluate(view()).protocol  # type: ignore[attr-defined]
    split = make(MIG, images=90).evaluate(view(False, kind=Declared))
    assert "90 encoded images of the 300 in all splits" in split.protocol  # type: ignore[attr-defined]
    assert split.protocol.endswith("a counted as far as pixels tell it")  # type: ignore[attr-defined]
    assert make(FactorVAEScore).evaluate(view()).units == {"active_codes": "codes"}  # type: ignore[attr-defined]


def test_images_are_encoded_once_for_all_metrics_and_anew_when_the_model_changes() -> None:
    run = view()
    assert isinstance(run.model, Reader)
    first = make(MIG).evaluate(run)
    assert make(FactorVAEScore).evaluate(run)[""] > 0
    assert run.model.seen == 300
    assert make(MIG).evaluate(run) == first
    with torch.no_grad():
        run.model.gain.zero_()
    assert make(MIG).evaluate(run)[""] == 0
    assert run.model.seen == 600


def test_the_sample_covers_the_grid_where_the_data_renders_and_the_splits_elsewhere() -> None:
    grid, splits = represent(view(True), 250), represent(view(False), 1000)
    assert len(grid) == 250
    assert len(splits) == 300
    np.testing.assert_allclose(grid.codes, grid.factors, atol=1e-4)
    for column, size in enumerate(SIZES):
        assert set(grid.factors[:, column]) == set(range(size))


def test_a_constant_factor_is_left_out_and_a_single_one_is_refused_where_two_are_needed() -> None:
    assert represent(view(sizes=(4, 1, 3)), 50).factors.shape == (50, 2)
    alone = view(sizes=(4, 1, 1))
    assert make(MIG).evaluate(alone)[""] > 0.9
    for metric in (BetaVAEScore, FactorVAEScore):
        with pytest.raises(UsageError, match="at least two factors must vary"):
            make(metric).evaluate(alone)
    with pytest.raises(UsageError, match="at least one factor must take two values"):
        make(MIG).evaluate(view(sizes=(1, 1, 1)))


@pytest.mark.parametrize("metric", METRICS)
def test_metrics_repeat_stay_in_bounds_and_say_their_protocol(metric: type[FactorMetric]) -> None:
    changes = {"trees": 3} if metric is DCI else {}
    one, two = make(metric, **changes), make(metric, **changes)
    run = view()
    found = one.evaluate(run)
    assert found == two.evaluate(view())
    assert all(0 <= value <= 1 for name, value in found.items() if name != "active_codes")
    assert len(one.protocol) > 20
    assert metric.needs_factors
    assert metric.requires == {Capability.REAL_LATENT}
    assert metric.direction == "higher"


def test_fewer_images_than_points_are_split_in_proportion() -> None:
    given = Representation(np.arange(30.0)[:, None], np.arange(30)[:, None] % 3)
    train, evaluation = given.two_parts(10_000, 5_000, np.random.default_rng(0))
    assert (len(train), len(evaluation)) == (20, 10)
    assert not set(train.codes[:, 0]) & set(evaluation.codes[:, 0])


def test_siblings_share_the_value_and_are_drawn_evenly() -> None:
    random = np.random.default_rng(0)
    factors = np.stack([random.integers(3, size=60), random.integers(7, size=60)], axis=1)
    siblings = Siblings(factors)
    image, column = np.repeat(np.arange(60), 400), np.tile([0, 1], 12_000)
    other, any_one = siblings.other(image, column, random), siblings.any(image, column, random)
    assert (factors[other, column] == factors[image, column]).all()
    assert (factors[any_one, column] == factors[image, column]).all()
    assert (other != image).all()
    group = np.flatnonzero(factors[:, 0] == factors[0, 0])
    drawn = any_one[(column == 0) & (factors[image, 0] == factors[0, 0])]
    shares = np.bincount(drawn, minlength=60)[group] / len(drawn)
    np.testing.assert_allclose(shares, 1 / len(group), rtol=0.35)
    assert Siblings(np.array([[0], [1]])).other(np.array([0, 1]), np.array([0, 0]), random).tolist() == [0, 1]


def test_codes_of_small_spread_are_pruned() -> None:
    random = np.random.default_rng(0)
    factors = random.integers(5, size=(500, 2))
    codes = np.stack([factors[:, 0], 0.01 * factors[:, 1], factors[:, 1]], axis=1)
    given = Representation(codes.astype(float), factors)
    assert factor_vae_score(given, random, train_points=50, eval_points=50)[2] == 2
    assert factor_vae_score(given, random, train_points=50, eval_points=50, prune=0)[2] == 3


def test_random_forests_give_importances_too() -> None:
    random = np.random.default_rng(0)
    factors = random.integers(3, size=(200, 2))
    given = Representation(factors.astype(float), factors)
    found, _, informed = importances(given, given, classifier="random-forest", trees=5, random=random)
    assert found.shape == (2, 2)
    assert found[0, 0] > 0.9 < found[1, 1]
    assert informed == 1


@pytest.mark.parametrize(
    ("codes", "factors", "message"),
    [
        (np.zeros((0, 2)), np.zeros((0, 2), int), r"codes must be \[N, C\] and not empty"),
        (np.zeros(3), np.arange(3)[:, None], r"codes must be \[N, C\]"),
        (np.full((3, 1), np.nan), np.arange(3)[:, None], "codes must be finite"),
        (np.zeros((3, 1)), np.zeros((3, 1), int), "two values or more, got one in column 0"),
    ],
)
def test_refuses_what_cannot_be_scored(codes: np.ndarray, factors: np.ndarray, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Representation(codes, factors)


def test_declarations_name_classes_that_exist() -> None:
    for component in genzoo_metrics():
        module, _, name = component.target.partition(":")
        metric = getattr(__import__(module, fromlist=[name]), name)
        assert issubclass(metric, FactorMetric)
        options = component.options.partition(":")[2]
        assert getattr(option_models, options)().images == 20_000
