"""The gap between the two best codes, which two of the scores are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def gap(scores: NDArray[Any]) -> float:
    """Mean over factors (columns) of the best code's score (rows) less the second best's; 0 is second to one code.

    Example:
        >>> round(gap(np.array([[0.9, 0.2], [0.4, 0.3]])), 9)
        0.3
    """
    ranked = np.sort(scores, axis=0)
    second = ranked[-2] if len(ranked) > 1 else np.zeros_like(ranked[-1])
    return float(np.mean(ranked[-1] - second))
