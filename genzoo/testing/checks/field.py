"""Checks of networks that offer fields."""

from __future__ import annotations

import torch
from torch import nn

from genzoo.errors import UsageError
from genzoo.randomness import seeded
from genzoo.testing.bench import images
from genzoo.testing.checking import CheckFailure, check, expect
from genzoo.testing.subject import Subject
from genzoo.types import ImageSpec, Kind, Shape

NETWORK = Kind.NETWORK


def made(subject: Subject, image: Shape, condition: int = 5) -> nn.Module:
    """A field with weights moved from their start, in eval mode."""
    network = subject.build()
    with seeded(0):
        field = network.field(image, (condition,)).eval().requires_grad_(False)
    draw = torch.Generator().manual_seed(4)
    for parameter in field.parameters():
        parameter.add_(0.2 * torch.randn(parameter.shape, generator=draw))
    return field


@check(
    "field-keeps-the-shape",
    NETWORK,
    why="A denoiser's output is added to its input.",
    mend="Pad inside and crop at the end; refuse with a UsageError what cannot be served.",
)
def field_keeps_the_shape(subject: Subject) -> None:
    """A field gives what has its input's shape, for one and three channels, odd sides and batches of one."""
    served = 0
    for shape in ((1, 8, 8), (3, 8, 8), (1, 9, 7), (1, 28, 28)):
        try:
            field = made(subject, shape)
        except UsageError:
            continue
        served += 1
        for n in (1, 3):
            out = field(images(ImageSpec(shape), n), torch.zeros(n, 5))
            expect(tuple(out.shape) == (n, *shape), f"a field over {shape} to give {[n, *shape]}", list(out.shape))
    if not served:
        raise CheckFailure("one of the bench's image shapes to be served", "all were refused")


@check(
    "field-reads-the-condition",
    NETWORK,
    why="A denoiser that does not know the time, or the label, learns the mean over all of them.",
    mend="Let every number of the condition reach the output, by scale and shift for example.",
)
def field_reads_the_condition(subject: Subject) -> None:
    """Each number of the condition changes the output, for its own image alone."""
    shape = subject.image.shape
    field = made(subject, shape)
    image, condition = images(ImageSpec(shape), 2), torch.zeros(2, 5)
    plain = field(image, condition)
    for place in range(5):
        moved = condition.clone()
        moved[0, place] = 1.0
        out = field(image, moved)
        expect(not torch.equal(out[0], plain[0]), f"number {place} of the condition to matter", "the same output")
        same = torch.allclose(out[1], plain[1], atol=1e-5)
        expect(same, "an image's condition to change that image alone", "another image changed")


@check(
    "field-reads-the-image",
    NETWORK,
    why="A field that ignores a part of the image cannot denoise it.",
    mend="Let every pixel reach the output; pad with the edge and crop again.",
)
def field_reads_the_image(subject: Subject) -> None:
    """Every pixel changes the output."""
    shape = subject.image.shape
    field = made(subject, shape)
    image = images(ImageSpec(shape), 1).requires_grad_(True)
    (slope,) = torch.autograd.grad(field(image, torch.zeros(1, 5)).square().sum(), image)
    silent = int((slope == 0).sum())
    expect(not silent, "a gradient to every pixel", f"none to {silent} of {slope.numel()}")
