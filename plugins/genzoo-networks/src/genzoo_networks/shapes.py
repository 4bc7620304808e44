"""Refusal of shapes that no network can serve."""

from __future__ import annotations

import math

from genzoo.errors import UsageError
from genzoo.types import Shape

Size = tuple[int, int]


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


def halved(name: str, what: str, image: Shape, latent: Shape, count: int) -> tuple[Shape, list[Size]]:
    """The image's shape and the side after each of ``count`` layers, the image's own first.

    A layer halves the side, rounding up, until it is that of a latent map.

    Raises:
        UsageError: If the latent is neither a vector nor a map whose side is reached.
    """
    refuse_impossible(name, what, image, latent)
    if len(image) != 3 or len(latent) not in {1, 3}:
        raise UsageError(
            f"{name}: {what} must go between an image (C, H, W) and a vector (D,) or map (D, h, w), "
            f"got {image} and {latent}.",
            "Choose the network mlp for other shapes.",
        )
    sides = [(image[1], image[2])]
    for _ in range(count):
        if len(latent) == 3 and sides[-1] == latent[1:]:
            sides.append(sides[-1])
        else:
            sides.append((math.ceil(sides[-1][0] / 2), math.ceil(sides[-1][1] / 2)))
    if len(latent) == 3 and sides[-1] != latent[1:]:
        raise UsageError(
            f"{name}: {what} must have a map of side {' or '.join(dict.fromkeys(f'{h}×{w}' for h, w in sides))} for an "
            f"image of {image[1]}×{image[2]} and {count} convolutions, got {latent[1]}×{latent[2]}.",
            "Change the latent's side or --network.channels.",
        )
    return image, sides
