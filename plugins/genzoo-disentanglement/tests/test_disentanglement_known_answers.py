"""Known answers of the five scores on hand-made codes: ten factors of values 1 to 10."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import entropy

from genzoo_disentanglement.beta_vae_score import beta_vae_score
from genzoo_disentanglement.dci import completeness, disentanglement, importances
from genzoo_disentanglement.factor_vae_score import factor_vae_score
from genzoo_disentanglement.gap import gap
from genzoo_disentanglement.mig import discretise, information_matrix, mutual_information_gap
from genzoo_disentanglement.representation import Representation
from genzoo_disentanglement.sap import correlation_scores, svm_scores

FACTORS = 10
HALF = 1 - math.log(2) / math.log(10)
"""Completeness where two of ten codes share a factor evenly: 0.699."""


def factors(points: int = 4000, seed: int = 0) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(1, 11, size=(points, FACTORS))


def codes(kind: str, values: NDArray[np.int64]) -> NDArray[Any]:
    random = np.random.default_rng(1)
    identity = values.astype(float)
    match kind:
        case "identity":
            return identity
        case "zero":
            return np.zeros_like(identity)
        case "permuted":
            return np.stack([random.permutation(column) for column in identity.T], axis=1)
        case "duplicated":
            return np.hstack([identity, identity])
        case "random":
            return random.normal(size=identity.shape)
        case "mixed":
            return identity[:, random.permutation(FACTORS)] * random.uniform(-3, 3, FACTORS)
    raise AssertionError(kind)


def represent(kind: str, points: int = 4000, seed: int = 0) -> Representation:
    values = factors(points, seed)
    return Representation(codes(kind, values), values)


def draw() -> np.random.Generator:
    return np.random.default_rng(2)


def beta(kind: str) -> float:
    return beta_vae_score(represent(kind), draw(), train_points=1000, eval_points=500)[1]


def factor(kind: str) -> float:
    return factor_vae_score(represent(kind), draw(), train_points=1000, eval_points=500)[1]


def dci(kind: str, points: int = 1000, trees: int = 6) -> tuple[float, float]:
    train, evaluation = represent(kind, points), represent(kind, 200, seed=3)
    importance, _, _ = importances(train, evaluation, trees=trees, random=draw())
    return disentanglement(importance), completeness(importance)


def sap(kind: str) -> tuple[float, float]:
    train, evaluation = represent(kind, 2000), represent(kind, 1000, seed=3)
    return gap(svm_scores(train, evaluation)), gap(correlation_scores(train))


@pytest.mark.parametrize("kind", ["identity", "mixed"])
def test_identity_and_codes_in_another_order_and_scale_score_high(kind: str) -> None:
    assert beta(kind) >= 0.9
    assert factor(kind) >= 0.9
    assert mutual_information_gap(represent(kind)) >= 0.9
    assert gap(correlation_scores(represent(kind))) >= 0.9


def test_identity_scores_high_in_dci() -> None:
    found = dci("identity")
    assert min(found) >= 0.9


def test_the_linear_svm_gap_of_the_identity_is_a_fifth_of_its_squared_correlation() -> None:
    svm, correlation = sap("identity")
    assert svm == pytest.approx(0.19, abs=0.03)
    assert correlation > 0.95


def test_zero_codes_score_nothing() -> None:
    assert 0 <= factor("zero") <= 0.2
    assert 0 <= mutual_information_gap(represent("zero")) <= 0.2
    svm, correlation = sap("zero")
    assert 0 <= svm <= 0.2
    assert correlation == 0
    assert beta("zero") <= 0.2


def test_zero_codes_have_no_importance_and_no_dci() -> None:
    train = represent("zero", 300)
    importance, _, _ = importances(train, train, trees=3, random=draw())
    assert not importance.any()
    assert disentanglement(importance) == completeness(importance) == 0


@pytest.mark.slow
def test_randomly_permuted_codes_have_low_dci_at_full_strength() -> None:
    found = dci("permuted", trees=100)
    assert 0 <= min(found) <= max(found) <= 0.2


def test_randomly_permuted_codes_have_low_dci() -> None:
    found = dci("permuted")
    assert 0 <= min(found) <= max(found) <= 0.2


def test_duplicated_codes_have_no_gap_and_half_complete_dci() -> None:
    assert mutual_information_gap(represent("duplicated")) < 0.1
    assert max(sap("duplicated")) < 0.2
    disentangled, complete = dci("duplicated")
    assert disentangled >= 0.9
    assert complete == pytest.approx(HALF, abs=0.1)


def test_random_codes_guess_one_factor_in_ten() -> None:
    assert beta("random") == pytest.approx(1 / FACTORS, abs=0.06)
    assert factor("random") == pytest.approx(1 / FACTORS, abs=0.06)
    assert mutual_information_gap(represent("random")) < 0.05
    assert max(sap("random")) < 0.05


def test_importances_one_to_one() -> None:
    assert disentanglement(np.eye(FACTORS)) == pytest.approx(1)
    assert completeness(np.eye(FACTORS)) == pytest.approx(1)


def test_importances_of_one_code_for_two_factors() -> None:
    importance = np.hstack([np.eye(5), np.eye(5)])
    assert disentanglement(importance) == pytest.approx(HALF)
    assert completeness(importance) == pytest.approx(1)


def test_importances_of_two_codes_for_one_factor() -> None:
    importance = np.vstack([np.eye(5), np.eye(5)])
    assert disentanglement(importance) == pytest.approx(1)
    assert completeness(importance) == pytest.approx(HALF)


def test_importances_of_unused_codes_and_of_none() -> None:
    importance = np.vstack([np.eye(5), np.zeros((3, 5))])
    assert disentanglement(importance) == pytest.approx(1)
    assert disentanglement(np.zeros((5, 4))) == completeness(np.zeros((5, 4))) == 0


def test_importances_agree_with_entropies_of_scipy() -> None:
    importance = np.random.default_rng(4).random((4, 3))
    per_code = 1 - entropy(importance.T + 1e-11, base=3)
    per_factor = 1 - entropy(importance + 1e-11, base=4)
    assert disentanglement(importance) == pytest.approx((per_code * importance.sum(1)).sum() / importance.sum())
    assert completeness(importance) == pytest.approx((per_factor * importance.sum(0)).sum() / importance.sum())


def test_mutual_information_by_hand() -> None:
    """A fair bit known exactly by one code and, through a channel that flips one time in four, by another."""
    bit = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    noisy = np.array([0, 0, 0, 1, 1, 1, 1, 0])
    given = Representation(np.stack([noisy, bit], axis=1).astype(float), bit[:, None])
    flip = entropy([0.25, 0.75])
    np.testing.assert_allclose(information_matrix(given)[:, 0], [math.log(2) - flip, math.log(2)])
    assert mutual_information_gap(given) == pytest.approx(flip / math.log(2))


def test_bins_have_equal_width() -> None:
    values = np.array([0.0, 0.05, 0.1, 10.0])
    assert discretise(values, 20).tolist() == [1, 1, 1, 20]


def test_squared_correlation_agrees_with_numpy() -> None:
    given = Representation(np.random.default_rng(5).normal(size=(50, 3)) + factors(50)[:, :3], factors(50))
    expected = np.corrcoef(given.codes.T, given.factors.T)[:3, 3:] ** 2
    np.testing.assert_allclose(correlation_scores(given), expected, rtol=1e-10)


def test_images_in_columns_are_refused_and_a_reshape_would_read_nothing() -> None:
    """The trap: code-by-image arrays reshaped to image-by-code look right and score near zero."""
    values = factors(1000)
    turned = values.T.astype(float)
    assert mutual_information_gap(Representation(turned.T, values)) > 0.95
    assert mutual_information_gap(Representation(turned.reshape(values.shape), values)) < 0.05
    with pytest.raises(Exception, match=r"one row an image each, got \[10, 1000\] and \[1000, 10\]. Transpose"):
        Representation(turned, values)
