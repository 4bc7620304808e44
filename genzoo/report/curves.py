"""What a run reports by epoch, as small drawings that scale and print: SVG without a style of its own. Imports no torch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from genzoo.parts.pages import text

WIDTH, HEIGHT = 460, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 54, 14, 34

Line = tuple[str, Sequence[float], Sequence[float]]
"""Name, epochs and values of a curve."""


def chart(title: str, unit: str, lines: Sequence[Line]) -> str:
    """One panel: a heading, and every line with its name at its end.

    Args:
        title: What is drawn.
        unit: Of the values.
        lines: One at least; values that are not finite are left out.

    Returns:
        A ``<figure>``; empty where no line has a finite value.
    """
    kept = [(name, *_finite(epochs, values)) for name, epochs, values in lines]
    kept = [line for line in kept if line[1]]
    if not kept:
        return ""
    low = min(min(values) for _, _, values in kept)
    high = max(max(values) for _, _, values in kept)
    first = min(epochs[0] for _, epochs, _ in kept)
    last = max(epochs[-1] for _, epochs, _ in kept)
    ticks = nice_ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])

    def x(epoch: float) -> float:
        share = (epoch - first) / (last - first) if last > first else 0.5
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)

    def y(value: float) -> float:
        return round(HEIGHT - _BOTTOM - (value - low) / (high - low) * (HEIGHT - _TOP - _BOTTOM), 1)

    parts: list[str] = []
    for tick in ticks:
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y(tick)}" y2="{y(tick)}"/>'
            f'<text class="tick" x="{_LEFT - 7}" y="{y(tick) + 4}" text-anchor="end">{_number(tick)}</text>'
        )
    for epoch in _epochs(int(first), int(last)):
        parts.append(
            f'<text class="tick" x="{x(epoch)}" y="{HEIGHT - _BOTTOM + 19}" text-anchor="middle">{epoch}</text>'
        )
    parts.append(f'<text class="tick" x="{WIDTH - _RIGHT}" y="{HEIGHT - 1}" text-anchor="end">epoch</text>')
    places = _apart([y(values[-1]) for _, _, values in kept])
    for number, ((name, epochs, values), place) in enumerate(zip(kept, places, strict=True)):
        points = " ".join(f"{x(epoch)},{y(value)}" for epoch, value in zip(epochs, values, strict=True))
        mark = f'<circle class="dot c{number % 6}" cx="{x(epochs[-1])}" cy="{y(values[-1])}" r="2.8"/>'
        parts.append(f'<polyline class="curve c{number % 6}" points="{points}"/>{mark}')
        label = text(name if len(name) <= 7 else name[:6] + "…")
        parts.append(f'<text class="name c{number % 6}" x="{x(epochs[-1]) + 7}" y="{place + 4}">{label}</text>')
    ends = "; ".join(f"{name} ends at {_number(values[-1])}" for name, _, values in kept)
    described = text(f"{title}, {unit}, by epoch: {ends}" if unit else f"{title} by epoch: {ends}")
    caption = text(title) + (f' <span class="small">{text(unit)}</span>' if unit else "")
    return (
        f'<figure class="chart"><figcaption>{caption}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{described}">{"".join(parts)}</svg></figure>'
    )


def lines_of(history: Sequence[Mapping[str, Any]], name: str, splits: Sequence[str]) -> list[Line]:
    """The curves of one reported number, one a split."""
    found: list[Line] = []
    for split in splits:
        rows = [row for row in history if isinstance(row.get(split, {}).get(name), int | float)]
        if rows:
            found.append((split, [row["epoch"] for row in rows], [float(row[split][name]) for row in rows]))
    return found


def nice_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round values that enclose a range.

    Example:
        >>> nice_ticks(137.1, 163.0)
        [130, 140, 150, 160, 170]
    """
    span = high - low
    if span <= 1e-12 * max(abs(low), abs(high), 1e-30):
        span = max(abs(high), 1.0) * 0.1
        low, high = low - span / 2, high + span / 2
    step = 10 ** math.floor(math.log10(span))
    for factor in (0.1, 0.2, 0.5, 1, 2, 5):
        size = step * factor
        start, end = math.floor(low / size), math.ceil(high / size)
        if end - start <= most:
            return [round(number * size, 12) for number in range(start, end + 1)]
    return [low, high]


def _finite(epochs: Sequence[float], values: Sequence[float]) -> tuple[list[float], list[float]]:
    pairs = [(epoch, value) for epoch, value in zip(epochs, values, strict=True) if math.isfinite(value)]
    return [epoch for epoch, _ in pairs], [value for _, value in pairs]


def _epochs(first: int, last: int) -> list[int]:
    step = max(1, math.ceil((last - first) / 6))
    nice = next(size for size in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10**9) if size >= step)
    inner = [epoch for epoch in range(nice, last, nice) if first < epoch and last - epoch > nice / 2]
    return sorted({first, *inner, last})


def _apart(places: Sequence[float], least: float = 15) -> list[float]:
    """Heights of labels, moved so that none covers another."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    moved = list(places)
    for before, index in itertools.pairwise(order):
        moved[index] = max(moved[index], moved[before] + least)
    excess = max(0.0, max(moved, default=0.0) - (HEIGHT - _BOTTOM + 4))
    return [place - excess for place in moved]


def _number(value: float) -> str:
    return f"{value:.6g}".replace("-", "−")
