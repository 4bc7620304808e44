"""Checks of likelihoods: normalised, finite, consistent with their own samples and mean."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from genzoo.randomness import seeded
from genzoo.testing.bench import COLOUR, GREY, generator, images
from genzoo.testing.checking import check, expect
from genzoo.testing.subject import Subject
from genzoo.types import ImageSpec, Kind

LIKELIHOOD = Kind.LIKELIHOOD
_DOT = ImageSpec((1, 1, 1))
_DRAWS = 4000


def raw(
    likelihood: Any, spec: ImageSpec, *leading: int, scale: float = 1.0, dtype: torch.dtype = torch.float32
) -> Tensor:
    """A decoder's output at random."""
    shape = (*leading, likelihood.channels(spec), *spec.shape[1:])
    return (scale * torch.randn(shape, generator=generator(5), dtype=torch.float64)).to(dtype)


@check(
    "shapes",
    LIKELIHOOD,
    why="Estimators rely on batch [K, B] and event [C, H, W].",
    mend="Return Independent(..., 3), and say in `channels` how many channels the decoder must put out.",
)
def shapes(subject: Subject) -> None:
    """From `channels` channels it makes a distribution over images, for grey and colour and any leading dimensions."""
    likelihood = subject.build()
    for spec in (GREY, COLOUR):
        for leading in ((1,), (3,), (2, 3)):
            found = likelihood(raw(likelihood, spec, *leading))
            expect(tuple(found.batch_shape) == leading, f"batch {list(leading)}", list(found.batch_shape))
            expect(tuple(found.event_shape) == spec.shape, f"event {list(spec.shape)}", list(found.event_shape))
            value = found.log_prob(images(spec, leading[-1]))
            expect(tuple(value.shape) == leading, f"log p(x|z) of shape {list(leading)}", list(value.shape))


def levels_of(distribution: Any, stated: int | None = None) -> int | None:
    """How many grey levels a pixel takes: as stated, or where the density rounds to levels; None where it is neither."""
    if stated is not None:
        return stated
    count = 255 * 16
    logs = at_points(distribution, torch.linspace(0, 1, count + 1, dtype=torch.float64))
    steps = ((logs[1:] != logs[:-1]).nonzero().flatten() + 0.5) / count
    if not 1 <= len(steps) <= 255:
        return None
    # Levels that are as probable as their neighbours leave no step between them.
    for levels in range(2, 257):
        place = steps * (levels - 1) - 0.5
        if len(steps) == 1 or bool(((place - place.round()).abs() < (levels - 1) / count).all()):
            return levels
    return None


def _dots(levels: int) -> tuple[str, Tensor, Tensor]:
    at = torch.arange(levels, dtype=torch.float64) / (levels - 1)
    return "the values 0 and 1" if levels == 2 else f"{levels} grey levels", at, torch.ones_like(at)


def _supports() -> list[tuple[str, Tensor, Tensor]]:
    """Where a pixel's density may live: name, points ``[P]``, and the volume of each."""

    def line(low: float, high: float, points: int = 40001) -> tuple[Tensor, Tensor]:
        at = torch.linspace(low, high, points, dtype=torch.float64)
        volume = torch.full_like(at, (high - low) / (points - 1))
        volume[0] /= 2
        volume[-1] /= 2
        return at, volume

    return [
        _dots(2),
        _dots(256),
        ("the interval [0, 1]", *line(0, 1)),
        ("the real line", *line(-60, 60)),
    ]


def at_points(distribution: Any, points: Tensor) -> Tensor:
    return distribution.log_prob(points.reshape(-1, 1, 1, 1)).flatten()


def density_of(distribution: Any, stated: int | None = None) -> tuple[str, Tensor, Tensor, float]:
    """The support on which the density of one pixel comes nearest to integrating to one, ``stated`` grey levels if given."""
    base = getattr(distribution, "base_dist", distribution)
    try:
        discrete = base.support is constraints.boolean
    except NotImplementedError:
        discrete = False
    best = ("", torch.zeros(0), torch.zeros(0), float("inf"))
    levels = None if discrete else levels_of(distribution, stated)
    for name, points, volume in [_dots(levels)] if levels else _supports()[: 1 if discrete else None]:
        total = float((at_points(distribution, points).exp() * volume).sum())
        if abs(total - 1) < abs(best[3] - 1):
            best = (name, points, volume, total)
    return best


@check(
    "normalised",
    LIKELIHOOD,
    why="A dropped constant makes the nll of one likelihood incomparable with every other.",
    mend="Use log_prob of a torch distribution, or add the constant: ½ log 2πσ² for a Gaussian, log C(λ) for a continuous "
    "Bernoulli.",
)
def normalised(subject: Subject) -> None:
    """The density of a pixel sums to one over its values, or integrates to one."""
    likelihood = subject.build().double()
    for scale in (0.5, 2.0):
        with torch.no_grad():
            name, _, _, total = density_of(
                likelihood(raw(likelihood, _DOT, 1, scale=scale, dtype=torch.float64)), likelihood.levels
            )
        expect(abs(total - 1) < 0.01, f"1 over {name}", f"{total:.4f}")


@check(
    "pixels-add-up",
    LIKELIHOOD,
    why="Distortion is nats per image, summed over pixels; a mean over pixels makes β mean something else on each data set.",
    mend="Sum over [C, H, W]: Independent(..., 3).",
)
def pixels_add_up(subject: Subject) -> None:
    """log p of an image of equal pixels grows with the number of pixels, unless its draws show that pixels are dependent.

    Where they do, the density of two pixels sums to one, and their draws go together as it says. Of 4000 draws, the
    dependence is held to 6.5 standard errors: a right likelihood fails with a probability below 1e-9.
    """
    likelihood = subject.build().double()
    if together(likelihood):
        _held_together(likelihood)
        return
    channels = likelihood.channels(_DOT)
    one = torch.randn(channels, generator=generator(5), dtype=torch.float64).reshape(1, channels, 1, 1)
    with torch.no_grad():
        value = torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64)
        small = float(likelihood(one).log_prob(value))
        large = float(likelihood(one.expand(1, channels, 4, 5)).log_prob(value.expand(1, 1, 4, 5)))
    expect(abs(large - 20 * small) < 1e-6 * max(1, abs(large)), f"{20 * small:.6g} for 20 equal pixels", f"{large:.6g}")


def together(likelihood: Any) -> bool:
    """Whether the pixels of its draws depend on each other: the spread of their sum is not that of independent ones.

    Of 4000 draws, the spread is held to 20 per cent, which is nine standard errors: below 1e-12 for independent ones.
    """
    channels = likelihood.channels(_DOT)
    for signs in (1.0, -1.0):
        # Channels of both signs, so that the components of a mixture of images are apart.
        one = 3 * signs * torch.linspace(-1, 1, channels + 1, dtype=torch.float64)[:channels].reshape(1, -1, 1, 1)
        with torch.no_grad(), seeded(3):
            drawn = likelihood(one.expand(-1, -1, 4, 5)).sample(torch.Size([_DRAWS])).double().flatten(1)
        flat = ((drawn - drawn.median(0).values) / (drawn.std(0) + 1e-9)).tanh()
        alone = float(flat.var(0).sum())
        if alone > 1e-9 and not 0.8 < float(flat.sum(1).var()) / alone < 1.25:
            return True
    return False


def _held_together(likelihood: Any) -> None:
    two = ImageSpec((1, 1, 2))
    with torch.no_grad(), seeded(3):
        p = likelihood(raw(likelihood, two, 1, dtype=torch.float64))
        drawn = p.sample(torch.Size([_DRAWS])).reshape(_DRAWS, 2).double()
        values = drawn.unique()
        if len(values) <= 256:
            axes, volume = [values, values], 1.0
        else:
            low, high = drawn.quantile(0.005, dim=0), drawn.quantile(0.995, dim=0)
            wide = 0.75 * (high - low) + 1e-6
            axes = [
                torch.linspace(float(a), float(b), 601).double() for a, b in zip(low - wide, high + wide, strict=True)
            ]
            volume = float((axes[0][1] - axes[0][0]) * (axes[1][1] - axes[1][0]))
        grid = torch.stack([item.flatten() for item in torch.meshgrid(*axes, indexing="ij")], -1)
        weights = p.log_prob(grid.reshape(-1, 1, 1, 2)).double().flatten().exp() * volume
    total = float(weights.sum())
    expect(abs(total - 1) < 0.02, "a density of two pixels, which depend on each other, that sums to 1", f"{total:.4f}")
    mean = (weights[:, None] * grid).sum(0) / total
    want = float((weights * (grid - mean).prod(1)).sum() / total)
    each = (drawn - mean).prod(1)
    gap = abs(float(each.mean()) - want) / (float(each.std()) / _DRAWS**0.5 + 1e-3 * abs(want) + 1e-9)
    expect(gap < 6.5, "draws whose pixels go together as the density says", f"{gap:.1f} standard errors from it")


@check(
    "mean-is-the-density's",
    LIKELIHOOD,
    why="Figures show the mean; it must be that of the density that is trained.",
    mend="Correct `mean` of the distribution: a continuous Bernoulli's is not its λ.",
)
def mean_is_the_densitys(subject: Subject) -> None:
    """The mean of a pixel is the integral of x p(x)."""
    likelihood = subject.build().double()
    for scale in (0.5, 2.0):
        with torch.no_grad():
            distribution = likelihood(raw(likelihood, _DOT, 1, scale=scale, dtype=torch.float64))
            _, points, volume, total = density_of(distribution, likelihood.levels)
            weights = at_points(distribution, points).exp() * volume
            want, found = float((weights * points).sum() / total), float(distribution.mean)
        expect(abs(want - found) < 0.01 * max(1, abs(want)), f"a mean of {want:.4f}", f"{found:.4f}")


@check(
    "samples-follow-density",
    LIKELIHOOD,
    why="Figures and metrics that ask for draws of p(x|z) show those of the likelihood that was trained.",
    mend="Correct `sample`: scales against variances, logits against probabilities.",
)
def samples_follow_density(subject: Subject) -> None:
    """The mean and spread of samples are those of the density, to five standard errors."""
    likelihood = subject.build().double()
    with torch.no_grad(), seeded(3):
        distribution = likelihood(raw(likelihood, _DOT, 1, dtype=torch.float64))
        _, points, volume, total = density_of(distribution, likelihood.levels)
        weights = at_points(distribution, points).exp() * volume / total
        found = distribution.sample(torch.Size([_DRAWS])).flatten().double()
    for what, at, got in (("mean", points, found), ("mean square", points.square(), found.square())):
        want = float((weights * at).sum())
        gap = abs(float(got.mean()) - want) / (float(got.std()) / _DRAWS**0.5 + 1e-3 * max(1.0, abs(want)))
        expect(gap < 5, f"a {what} within 5 standard errors of {want:.4f}", f"{float(got.mean()):.4f}")


@check(
    "display-in-range",
    LIKELIHOOD,
    why="Figures and image files expect pixels in [0, 1].",
    mend="Clamp in `display` and `draw`; a Gaussian's mean may leave the range.",
)
def display_in_range(subject: Subject) -> None:
    """`display` and `draw` give images in [0, 1], whatever the decoder puts out."""
    likelihood = subject.build()
    for spec in (GREY, COLOUR):
        for scale in (1.0, 30.0):
            distribution = likelihood(raw(likelihood, spec, 3, scale=scale))
            for name in ("display", "draw"):
                found = getattr(likelihood, name)(distribution)
                expect(tuple(found.shape) == (3, *spec.shape), [3, *spec.shape], list(found.shape))
                low, high = float(found.min()), float(found.max())
                expect(low >= 0 and high <= 1, f"{name} in [0, 1]", f"{low:.3g}…{high:.3g}")


@check(
    "finite-at-extremes",
    LIKELIHOOD,
    why="Cross-entropy of sigmoids is infinite at logits that networks reach in the first epochs.",
    mend="Work from logits (Bernoulli(logits=...), binary_cross_entropy_with_logits), and clamp a learned log-scale.",
)
def finite_at_extremes(subject: Subject) -> None:
    """At extreme raw output log p(x|z) and its gradient are finite."""
    likelihood = subject.build()
    for size in (60.0, 1e3):
        for sign in (1.0, -1.0):
            for pixel in (0.0, 0.5, 1.0):
                extreme = torch.full((1, likelihood.channels(GREY), 8, 8), sign * size).requires_grad_(True)
                value = likelihood(extreme).log_prob(torch.full((1, *GREY.shape), pixel))
                what = f"raw output {sign * size:g} and pixel {pixel:g}"
                expect(bool(value.isfinite().all()), f"a finite log p(x|z) at {what}", float(value.sum()))
                value.sum().backward()
                assert extreme.grad is not None
                expect(bool(extreme.grad.isfinite().all()), f"a finite gradient at {what}", "inf or nan")


@check(
    "takes-grey-levels",
    LIKELIHOOD,
    why="Images are grey levels in [0, 1]; torch's own validation refuses them for a Bernoulli, and waits for the device.",
    mend="Pass validate_args=False to every distribution.",
)
def takes_grey_levels(subject: Subject) -> None:
    """It takes every grey level in [0, 1], the ends too, with torch's validation on or off."""
    likelihood = subject.build()
    levels = torch.linspace(0, 1, 64).reshape(1, *GREY.shape)
    default = torch.distributions.Distribution._validate_args  # pyright: ignore[reportPrivateUsage]
    torch.distributions.Distribution.set_default_validate_args(True)
    try:
        value = likelihood(raw(likelihood, GREY, 1)).log_prob(levels)
    finally:
        torch.distributions.Distribution.set_default_validate_args(default)
    expect(bool(value.isfinite().all()), "a finite log p(x|z)", float(value))


@check(
    "every-channel-counts",
    LIKELIHOOD,
    why="A raw channel that is not read is a decoder output without a gradient.",
    mend="Ask in `channels` for what is read.",
)
def every_channel_counts(subject: Subject) -> None:
    """Every raw channel has a gradient."""
    likelihood = subject.build()
    for spec in (GREY, COLOUR):
        value = raw(likelihood, spec, 4).requires_grad_(True)
        likelihood(value).log_prob(images(spec, 4)).sum().backward()
        assert value.grad is not None
        silent = [index for index in range(value.shape[1]) if not bool((value.grad[:, index] != 0).any())]
        expect(not silent, "a gradient at every raw channel", f"none at {silent}")


@check(
    "low-precision-raised",
    LIKELIHOOD,
    why="A sum over hundreds of pixels in bfloat16 has two digits.",
    mend="Leave `forward` to the base class, which takes raw output to float32.",
)
def low_precision_raised(subject: Subject) -> None:
    """From a decoder in bfloat16 it makes a float32 log-likelihood."""
    likelihood = subject.build()
    value = likelihood(raw(likelihood, GREY, 2, dtype=torch.bfloat16)).log_prob(images(GREY, 2))
    expect(value.dtype == torch.float32, "float32", value.dtype)


@check(
    "fits-an-image",
    LIKELIHOOD,
    why="Raising the likelihood must bring the picture nearer, or training makes it worse.",
    mend="Check the sign of log_prob, and that `display` shows what log_prob rewards.",
)
def fits_an_image(subject: Subject) -> None:
    """Raw output that maximises log p(x|z) displays as x."""
    likelihood = subject.build()
    target = images(GREY, 1) * 0.8 + 0.1
    value = (0.1 * raw(likelihood, GREY, 1)).requires_grad_(True)
    optimizer = torch.optim.Adam([value], lr=0.1)
    start = float((likelihood.display(likelihood(value)) - target).abs().mean().detach())
    for _ in range(150):
        optimizer.zero_grad()
        (-likelihood(value).log_prob(target).sum()).backward()
        optimizer.step()
    end = float((likelihood.display(likelihood(value)) - target).abs().mean().detach())
    expect(end < 0.5 * start, f"a picture nearer than half of {start:.3g}", f"{end:.3g}")
