"""The mutual information gap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import mutual_info_score

from genzoo_disentanglement.factor_metric import FactorMetric
from genzoo_disentanglement.gap import gap
from genzoo_disentanglement.options import MIGOptions
from genzoo_disentanglement.representation import Representation


class MIG(FactorMetric):
    """The mutual information gap. See `mutual_information_gap`."""

    name = "mig"
    options: MIGOptions

    def described(self, images: int, origin: str) -> str:
        """See `FactorMetric.described`."""
        options = self.options
        return f"encoder means, {options.bins} bins of equal width, {min(options.points, images)} points, {origin}"

    def score(self, representation: Representation, random: np.random.Generator) -> Mapping[str, float]:
        """See `FactorMetric.score`."""
        rows = random.permutation(len(representation))[: self.options.points]
        return {"": mutual_information_gap(representation.take(rows), self.options.bins)}


def mutual_information_gap(representation: Representation, bins: int = 20) -> float:
    r"""Mean over factors of the gap between its two most informed codes, in units of its entropy.

    .. math:: \frac1F \sum_f \frac{I(z_{(1)}; v_f) - I(z_{(2)}; v_f)}{H(v_f)}

    Args:
        representation: Codes and factors.
        bins: Bins of equal width between a code's least and greatest value.

    Returns:
        In [0, 1]. With one code the second is taken to know nothing.

    References:
        Chen et al. 2018, equation 6; the binning is that of Locatello et al. 2019.
    """
    information = information_matrix(representation, bins)
    entropy = np.array([mutual_info_score(factor, factor) for factor in representation.factors.T])
    return gap(information / entropy)


def information_matrix(representation: Representation, bins: int = 20) -> NDArray[Any]:
    """Mutual information of each binned code (row) and factor (column) in nats, ``[C, F]``."""
    binned = [discretise(code, bins) for code in representation.codes.T]
    return np.array([[mutual_info_score(code, factor) for factor in representation.factors.T] for code in binned])


def discretise(code: NDArray[Any], bins: int) -> NDArray[np.int64]:
    """The bin of each value, 1 to ``bins``, of equal width between the least and the greatest.

    Example:
        >>> discretise(np.array([0.0, 0.4, 0.6, 1.0]), 2)
        array([1, 1, 2, 2])
    """
    edges = np.histogram_bin_edges(code, bins)
    return np.digitize(code, edges[:-1])
