"""Refusal of shapes that no network can serve."""

from __future__ import annotations

from genzoo.errors import UsageError
from genzoo.types import Shape


def refuse_impossible(network: str, what: str, *shapes: Shape) -> None:
    """Refuses a shape without dimensions, or with one below 1.

    Args:
        network: The network's name.
        what: ``"encoder"`` or ``"decoder"``.
        shapes: Input and output.

    Raises:
        UsageError: Naming the shape.
    """
    for shape in shapes:
        if not shape or min(shape) < 1:
            raise UsageError(f"{network}: {what} must have shapes of whole numbers from 1, got {tuple(shape)}.")
