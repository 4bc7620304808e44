"""What the two traversals share: which dimensions matter, where they start, and how their axes are labelled."""

from __future__ import annotations

from genzoo.parts.latents import Codes, Scale

UNIT = "in standard deviations of the prior"


def ranked(codes: Codes, scale: Scale) -> list[tuple[int, float | None]]:
    """Dimensions of the top level, the most informative first, each with its mean rate in nats.

    Where the rate does not split over dimensions, by the variance of the codes relative to the prior's, and the rate
    is None.
    """
    if codes.rates is not None:
        rates = codes.rates.flatten()
        return [(index, float(rates[index])) for index in rates.argsort(descending=True, stable=True).tolist()]
    variance = codes.top.flatten(1).var(0, correction=0) / scale.deviation.flatten().square().clamp_min(1e-12)
    return [(index, None) for index in variance.argsort(descending=True, stable=True).tolist()]


def ticks(values: list[float]) -> list[str]:
    """Offsets as column names, with a true minus sign and as few digits as tell them apart.

    Example:
        >>> ticks([-3.0, -1.5, 0.0]), ticks([-1.0, 1 / 3])
        (['−3', '−1.5', '0'], ['−1', '0.33'])
    """
    return [f"{round(value, 2) + 0.0:g}".replace("-", "−") for value in values]
