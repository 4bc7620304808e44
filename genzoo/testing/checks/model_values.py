"""Checks of what a model makes of what it is given: its prior and likelihood are used, and every latent, image and quantity
counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, Normal

from genzoo import estimators
from genzoo.distributions import DiagonalNormal
from genzoo.errors import UsageError
from genzoo.interfaces import Likelihood, Prior
from genzoo.interfaces.prior import Encode
from genzoo.options import NoOptions
from genzoo.randomness import seeded
from genzoo.testing.bench import batch
from genzoo.testing.building import negative_elbo
from genzoo.testing.checking import NotApplicable, check, expect
from genzoo.testing.checks.model import MODEL, labels, top_samples
from genzoo.testing.modules import is_conditional, states
from genzoo.testing.reference import reference_parts
from genzoo.testing.subject import Subject
from genzoo.types import Batch, Capability, Context, ImageSpec, LatentSpec

_DRAWS = 1500


def _exact(subject: Subject) -> str | None:
    """Why a check of learned inference does not apply: the posterior is exact, and the model brings its own p(x|z)."""
    return "its posterior is exact" if Capability.EXACT_POSTERIOR in subject.capabilities else None


class MovedPrior(Prior):
    """A learned prior far from N(0, I): a normal around 2, or peaked codes; its label moves it where it reads one."""

    supports = frozenset({"real", "categorical"})

    def __init__(self, latent: LatentSpec, image: ImageSpec, *, reads_label: bool) -> None:
        super().__init__(NoOptions(), latent, image)
        self.conditional = reads_label  # pyright: ignore[reportAttributeAccessIssue]
        shape = latent.shape if latent.categories is None else (*latent.shape, latent.categories)
        place = torch.linspace(-0.5, 0.5, max(2, torch.Size(shape).numel()))[: torch.Size(shape).numel()].reshape(shape)
        self.place = nn.Parameter(2.0 + place if latent.categories is None else 4.0 * place)

    def forward(self, *, label: Tensor | None = None, encode: Encode | None = None) -> Distribution:
        place = self.place
        if self.conditional:
            if label is None:
                raise UsageError("prior: label must be given for a conditional prior, got None.")
            shift = label.reshape(-1, *[1] * place.dim()).to(place.dtype)
            place = place * (1 - shift)
        if self.latent.categories is None:
            return DiagonalNormal(place, torch.full_like(place, -1.0), len(self.latent.shape))
        return Independent(Categorical(logits=place, validate_args=False), len(self.latent.shape), validate_args=False)


class NormalPixels(Likelihood):
    """A normal a pixel with a fixed scale; it notes what it was asked for."""

    def __init__(self) -> None:
        super().__init__(NoOptions())
        self.asked: list[str] = []
        self.made: list[Distribution] = []

    def distribution(self, raw: Tensor) -> Distribution:
        found = Independent(Normal(raw, torch.full_like(raw, 0.7), validate_args=False), 3, validate_args=False)
        self.made.append(found)
        return found

    def display(self, likelihood: Distribution) -> Tensor:
        self.asked.append("display")
        return super().display(likelihood)

    def draw(self, likelihood: Distribution) -> Tensor:
        self.asked.append("draw")
        return super().draw(likelihood)


def _with_prior(subject: Subject, *, reads_label: bool) -> Any:
    image = subject.image
    parts = replace(
        reference_parts(image),
        prior=lambda latent: MovedPrior(latent, image, reads_label=reads_label),
    )
    try:
        with seeded(0):
            return subject.cls(subject.options(), parts)
    except UsageError as error:
        raise NotApplicable(f"it refuses the bench's prior: {error}") from error


@check(
    "uses-the-prior-given",
    MODEL,
    why="A user's --prior that is ignored gives the same run under another name, and its rate is that of N(0, I).",
    mend="Keep parts.prior(levels[0]) as `prior`, and take p(z) from self.prior_of_top(batch.label) everywhere.",
)
def uses_the_prior_given(subject: Subject) -> None:
    """Rate, samples and gradient follow the prior that it is built with, one that reads the label too."""
    for reads_label in (False, True):
        model = _with_prior(subject, reads_label=reads_label)
        data = batch(model.image, 4)
        try:
            with torch.no_grad(), seeded(1):
                latent = model.encode(data).latents[0]
        except UsageError:
            if reads_label:
                continue  # it is refused in words, so that nothing is ignored in silence
            raise
        want = model.prior(label=data.label).log_prob(latent.sample)
        same = torch.allclose(latent.prior.log_prob(latent.sample).expand_as(want), want, atol=1e-4)
        expect(same, "the prior that it was given beside the top level's posterior", "another")
        output = model(data)
        gradient = torch.autograd.grad(negative_elbo(output, data.image), model.prior.place, allow_unused=True)[0]
        if latent.posterior.has_rsample or "categorical" in model.prior.latent.support:
            reached = gradient is not None and bool((gradient != 0).any())
            expect(reached, "a gradient of the elbo to the prior's parameters", "none")
        if reads_label and not is_conditional(model):
            continue
        given = torch.arange(4) % 3 if is_conditional(model) or reads_label else None
        model.eval()
        first = model.sample(4, given, seed=3)
        with torch.no_grad():
            model.prior.place.copy_(-model.prior.place)
        expect(not torch.equal(first, model.sample(4, given, seed=3)), "other samples from another prior", "the same")


@check(
    "uses-the-likelihood-given",
    MODEL,
    why="A user's --likelihood that is ignored trains and reports −log p(x|z) of another distribution.",
    mend="Return self.likelihood(raw) from `decode`, and leave `sample` to the base class.",
    applies=lambda subject: _exact(subject),
)
def uses_the_likelihood_given(subject: Subject) -> None:
    """It decodes to the distribution of the likelihood that it is given, and shows and draws images by it."""
    likelihood = NormalPixels()
    parts = replace(reference_parts(subject.image), likelihood=likelihood)
    try:
        with seeded(0):
            model = subject.cls(subject.options(), parts).eval()
    except UsageError as error:
        raise NotApplicable(f"it refuses the bench's likelihood: {error}") from error
    data = batch(model.image, 4)
    with torch.no_grad(), seeded(1):
        output = model(data)
    want = [made.log_prob(data.image) for made in likelihood.made if tuple(made.batch_shape) == (1, 4)]
    found = output.likelihood.log_prob(data.image)
    same = any(torch.allclose(found, item, rtol=1e-3, atol=1e-3) for item in want)
    expect(same, "the distribution of the likelihood that it was given", "another" if want else "none of it")
    for mean, name in ((True, "display"), (False, "draw")):
        likelihood.asked.clear()
        model.sample(2, labels(model, 2), seed=1, mean=mean)
        expect(name in likelihood.asked, f"`{name}` of the likelihood in `sample` with mean={mean}", "not asked")


@check(
    "rate-matches-samples",
    MODEL,
    why="The rate that is trained is the closed form; if that is not E_q[log q − log p], every bound is wrong.",
    mend="Check the registered KL, its ½ and its sum over the event, and which prior stands beside which posterior.",
    applies=lambda subject: (
        "its posterior is deterministic" if Capability.DETERMINISTIC_POSTERIOR in subject.capabilities else None
    ),
)
def rate_matches_samples(subject: Subject) -> None:
    """A closed-form rate of each level is the mean of log q − log p over its own draws, moved and trained too.

    Eight images of 1500 seeded draws are held to 6.5 standard errors: a right model fails with a probability below 1e-8.
    """
    for state, model in states(subject):
        with torch.no_grad(), seeded(1):
            for level, latent in enumerate(model.encode(batch(model.image, 8), samples=1).latents):
                found = estimators.rate(latent)
                if not found.exact:
                    continue
                q, p = latent.posterior, latent.prior
                z = q.sample(torch.Size([_DRAWS]))
                ratio = (q.log_prob(z) - p.log_prob(z)).double().reshape(_DRAWS, -1)
                exact = found.value.double().reshape(-1)
                error = ratio.std(0) / _DRAWS**0.5 + 1e-4 * (1 + exact.abs())
                worst = float(((exact - ratio.mean(0)).abs() / error).max())
                said = f"a rate of level {level}, {state}, within 6.5 standard errors of E_q[log q − log p]"
                expect(worst < 6.5, said, f"{worst:.1f}")


@check(
    "distortion-reaches-the-encoder",
    MODEL,
    why="An encoder that no gradient of the distortion reaches learns to match the prior and nothing of the images.",
    mend="Draw with rsample, or carry the gradient by a surrogate; detach no sample, mean or scale.",
    applies=lambda subject: _exact(subject),
)
def distortion_reaches_the_encoder(subject: Subject) -> None:
    """The gradient of the distortion alone reaches the images that are encoded, unless an auxiliary term stands in."""
    for state, model in states(subject):
        if state == "at the start":
            continue
        data = batch(model.image, 4)
        image = data.image.clone().requires_grad_(True)
        with seeded(1):
            output = model(data.with_image(image))
        loss = estimators.distortion(output, data.image).sum()
        gradient = torch.autograd.grad(loss, image, allow_unused=True)[0] if loss.requires_grad else None
        reached = gradient is not None and bool((gradient != 0).flatten(1).any(1).all())
        expect(reached or output.auxiliary, f"a gradient of the distortion at every image, {state}", "none at some")


@check(
    "every-latent-counts",
    MODEL,
    why="A latent dimension that the decoder does not read shows as a dead traversal, and its rate is paid for nothing.",
    mend="Feed the whole latent to the decoder: look for slices, strides and masks.",
)
def every_latent_counts(subject: Subject) -> None:
    """With moved weights, each dimension of the top latent changes what is decoded."""
    model = dict(states(subject))["with moved weights"]
    z = top_samples(model, 4)
    label = torch.zeros(4, dtype=torch.int64) if is_conditional(model) else None

    def images(latent: Tensor) -> Tensor:
        with torch.no_grad():
            return model.decode([latent], label, mean=True).mean

    plain, level = images(z), model.levels[0]
    for index in range(min(level.size, 64)):
        moved = z.clone().flatten(1)
        if level.categories is None:
            moved[:, index] += 1.5
        elif level.categories > 1:
            moved[:, index] = (moved[:, index] + 1) % level.categories
        else:
            return
        same = torch.equal(images(moved.reshape(z.shape)), plain)
        expect(not same, f"other images where dimension {index} of the latent changes", "the same")


@check(
    "images-differ-in-code",
    MODEL,
    why="A posterior that is the same for every image carries nothing, whatever the rate says.",
    mend="Look for what the encoder drops; read the image that is given, not one that was kept.",
)
def images_differ_in_code(subject: Subject) -> None:
    """With moved weights, other images have another posterior of some level."""
    model = dict(states(subject))["with moved weights"]
    data = batch(model.image, 6)
    with torch.no_grad(), seeded(1):
        latents: Sequence[Any] = model.encode(data).latents
        densities = [latent.posterior.log_prob(latent.sample[:1, :1].expand(latent.sample.shape)) for latent in latents]
        one = [_rows(latent.posterior) for latent in latents]
    differ = any(bool((item != item[..., :1]).any()) for item in densities) or any(one)
    expect(differ, "posteriors that differ from image to image", "the same one")


def _rows(posterior: Distribution) -> bool:
    """Whether the parameters of a posterior that are tensors differ from image to image."""
    for name in ("mean", "mode", "logits"):
        try:
            value = getattr(posterior, name)
        except (AttributeError, NotImplementedError):
            continue
        if isinstance(value, Tensor) and value.dim() > 1:
            dim = len(posterior.batch_shape) - 1
            return bool((value != value.narrow(dim, 0, 1)).any())
    return False


@check(
    "model-quantities-act",
    MODEL,
    why="A schedule of a temperature that nothing reads trains at the configured one.",
    mend="Read quantities of the model from `context.values` in `encode`, with the configured value where there is none.",
    applies=lambda subject: None if dict(subject.build().quantities) else "it has no quantities",
)
def model_quantities_act(subject: Subject) -> None:
    """Each declared quantity, scheduled to another value, changes what is encoded, and the configured one does not."""
    model = subject.build().train()
    data = batch(model.image, 6)

    def encoded(values: dict[str, Any]) -> list[Tensor]:
        with torch.no_grad(), seeded(1):
            encoding = model.encode(data, context=Context(values))
        found = [latent.to_decoder for latent in encoding.latents]
        found += [latent.posterior.log_prob(latent.sample) for latent in encoding.latents]
        return [*found, *encoding.auxiliary.values()]

    plain = encoded({})
    for name, configured in model.quantities.items():
        other = encoded({name: torch.tensor(0.5 * configured + 0.1)})
        changed = any(not torch.equal(a, b) for a, b in zip(plain, other, strict=True))
        expect(changed, f"another encoding for another {name}", "the same")
        told = encoded({name: configured})
        same = all(torch.allclose(a.float(), b.float(), atol=1e-5) for a, b in zip(plain, told, strict=True))
        expect(same, f"the same encoding with {name} scheduled to its configured value", "another")


@check(
    "labels-stay-with-images",
    MODEL,
    why="Labels that are used in another order than their images train every class on others' images.",
    mend="Pair label i with image i: repeat both in the same way over samples.",
    applies=lambda subject: None if Capability.CONDITIONAL in subject.capabilities else "it is not conditional",
)
def labels_stay_with_images(subject: Subject) -> None:
    """With several samples, each image is decoded under its own label, as it is with one."""
    model = dict(states(subject))["with moved weights"].double()
    if any(level.categories is not None for level in model.levels):
        raise NotApplicable("its latents are codes")
    label = torch.tensor([0, 1, 2, 1])
    z = torch.stack([top_samples(model, 1).double()[0]] * 4)
    with torch.no_grad():
        rows = model.decode([z], label, mean=True).mean
        grid = model.decode([torch.stack([z] * 3)], label, mean=True).mean
        alone = torch.cat([model.decode([z[:1]], label[i : i + 1], mean=True).mean for i in range(4)])
    expect(torch.allclose(rows, alone), "each image decoded under its own label", "under others")
    expect(torch.allclose(grid, rows.expand(3, *rows.shape)), "the same for each of several samples", "others")


@check(
    "samples-stay-with-images",
    MODEL,
    why="With several samples, a reshape for a transpose scores each image against what was decoded for another.",
    mend="Keep [K, B] in front of all dimensions: genzoo.parts.leading.over_leading does it.",
)
def samples_stay_with_images(subject: Subject) -> None:
    """Latents of three samples of two images are decoded, each in its place, as they are alone."""
    model = dict(states(subject))["with moved weights"].double()
    z = top_samples(model, 6)
    z = z.double() if z.is_floating_point() else z
    label = torch.zeros(2, dtype=torch.int64) if is_conditional(model) else None
    with torch.no_grad():
        grid = model.decode([z.reshape(3, 2, *z.shape[1:])], label, mean=True).mean
        rows = torch.stack([model.decode([z[2 * k : 2 * k + 2]], label, mean=True).mean for k in range(3)])
    same = grid.shape == rows.shape and torch.allclose(grid, rows, atol=1e-6)
    expect(same, "each latent decoded in its own place", "in another's")


@check(
    "evaluation-repeats",
    MODEL,
    why="Noise or dropout that stays on in evaluation makes every number and figure another one at each call.",
    mend="Draw noise beside that of the posterior in training alone (if self.training).",
)
def evaluation_repeats(subject: Subject) -> None:
    """In eval mode two calls give one posterior, of one level at least, and the same images for a latent."""
    model = dict(states(subject))["with moved weights"]
    data = batch(model.image, 4)
    calls: list[tuple[Any, Tensor]] = []
    z = top_samples(model, 4)
    label = torch.zeros(4, dtype=torch.int64) if is_conditional(model) else None
    for seed in (1, 2):
        with torch.no_grad(), seeded(seed):
            calls.append((model.encode(data).latents, model.decode([z], label, mean=True).mean))
    (first, shown), (second, again) = calls
    with torch.no_grad():
        same = [
            torch.allclose(a.posterior.log_prob(a.sample), b.posterior.log_prob(a.sample), rtol=1e-4, atol=1e-4)
            for a, b in zip(first, second, strict=True)
        ]
    expect(any(same), "the same posterior of some level at a second call", "another one of each")
    expect(torch.allclose(shown, again, atol=1e-5), "the same images for a latent at a second call", "others")


@check(
    "codes-decode-as-drawn",
    MODEL,
    why="A decoder that reads unquantised vectors in training is never trained on what a code looks up.",
    mend="Write the straight-through estimator as z + (q - z).detach(), whose value is q.",
    applies=lambda subject: (
        None
        if {Capability.CATEGORICAL_LATENT, Capability.DETERMINISTIC_POSTERIOR} <= subject.capabilities
        else "its latents are no codes of a deterministic posterior"
    ),
)
def codes_decode_as_drawn(subject: Subject) -> None:
    """What the decoder is given instead of codes decodes to the same images as the codes do."""
    model = dict(states(subject))["with moved weights"]
    data = batch(model.image, 4)
    with torch.no_grad(), seeded(1):
        latents: Sequence[Any] = model.encode(data).latents
        given = model.decode([latent.to_decoder for latent in latents], data.label, mean=True).mean
        drawn = model.decode([latent.sample for latent in latents], data.label, mean=True).mean
    same = torch.allclose(given, drawn, rtol=1e-3, atol=1e-4)
    expect(same, "the images of its codes from what the decoder is given", "others")


def _draws(subject: Subject) -> str | None:
    if Capability.DETERMINISTIC_POSTERIOR in subject.capabilities:
        return "its posterior is deterministic"
    return None


@check(
    "images-draw-apart",
    MODEL,
    why="Noise that all images of a batch share makes their gradients one draw, however large the batch is.",
    mend="Draw noise of the posterior's whole shape: posterior.rsample((samples,)).",
    applies=lambda subject: _draws(subject),
)
def images_draw_apart(subject: Subject) -> None:
    """One image twice in a batch, and twice as a sample, is drawn two times, and not once."""
    model = dict(states(subject))["with moved weights"]
    data = batch(model.image, 1)
    label = None if data.label is None else data.label.expand(64)
    with torch.no_grad(), seeded(1):
        latents = model.encode(Batch(data.image.expand(64, -1, -1, -1), label), samples=8).latents
    for level, latent in enumerate(latents):
        flat = latent.sample.flatten(2)
        if not bool((flat != flat[:1, :1]).any()):
            continue  # its posterior is a point
        for what, along in (("image", flat), ("sample", flat.transpose(0, 1))):
            apart = bool((along != along[:, :1]).any())
            expect(apart, f"other draws of level {level} for each {what} of one posterior", "the same draws")


@check(
    "posterior-is-a-density",
    MODEL,
    why="Without its normalising constant, log q is off by the same number for every image, and so is every bound.",
    mend="Include the constant: the log-volume of a uniform posterior, the log-determinant of a transformation.",
    applies=lambda subject: _draws(subject),
)
def posterior_is_a_density(subject: Subject) -> None:
    """The entropy of each level's posterior is at most that of a normal with the spread of its draws."""
    for state, model in states(subject):
        data = batch(model.image, 2)
        with torch.no_grad(), seeded(1):
            latents = model.encode(data, samples=1).latents
            for level, latent in enumerate(latents):
                if not latent.sample.is_floating_point():
                    continue
                drawn = latent.posterior.sample(torch.Size([600]))
                entropy = -latent.posterior.log_prob(drawn).double()
                spread = drawn.double().var(0).flatten(drawn.dim() - 1 - len(latent.posterior.event_shape))
                most = 0.5 * (2 * math.pi * math.e * spread.clamp(min=1e-300)).log().sum(-1)
                # The spread of 600 draws is right to a few hundredths of a nat per dimension.
                slack = 6 * entropy.std(0) / 600**0.5 + 0.2 + 0.15 * spread.shape[-1] ** 0.5
                over = float((entropy.mean(0) - most - slack).max())
                said = f"an entropy of level {level}, {state}, at most that of a normal of its spread"
                expect(over <= 0, said, f"{over:.3g} nats above")


@check(
    "auxiliary-is-each-images-own",
    MODEL,
    why="Auxiliary terms are held per image and averaged once; the batch's mean at each image is averaged twice.",
    mend="Return one value per image, [B], made of that image alone.",
)
def auxiliary_is_each_images_own(subject: Subject) -> None:
    """In eval mode the auxiliary terms of an image do not change with the other images of its batch."""
    model = dict(states(subject))["with moved weights"]
    data = batch(model.image, 4)
    other = batch(model.image, 4, seed=5).image
    other[0] = data.image[0]
    found: list[Any] = []
    for image in (data.image, other):
        with torch.no_grad(), seeded(1):
            found.append(model.encode(data.with_image(image)).auxiliary)
    if not found[0]:
        raise NotApplicable("it has no auxiliary terms")
    for name, value in found[0].items():
        same = torch.allclose(value[..., 0], found[1][name][..., 0], rtol=1e-3, atol=1e-5)
        expect(same, f"the same {name} of an image beside other images", "another")


@check(
    "lower-levels-follow-their-prior",
    MODEL,
    why="The rate of a lower level is measured against p(z2|z1); images made from z1 must draw z2 from the same p.",
    mend="Compute the prior of a lower level from the drawn sample above it, in `encode` and in `decode` alike.",
    applies=lambda subject: None if Capability.HIERARCHICAL in subject.capabilities else "it has one level",
)
def lower_levels_follow_their_prior(subject: Subject) -> None:
    """Images of a top latent alone are those of lower latents drawn from the prior that their rate is measured against.

    Of 800 seeded draws each, means and mean squares along 8 directions are held to 7 standard errors: a right model fails
    with a probability below 1e-9.
    """
    count = 800
    model = subject.build().eval()
    draw = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():  # far, so that a lower prior depends on the sample above it
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=draw))
    data = batch(model.image, 8)
    with torch.no_grad(), seeded(1):
        encoding = model.encode(data, samples=1)
        if len(encoding.latents) > 2 or not all(latent.sample.is_floating_point() for latent in encoding.latents):
            raise NotApplicable("it has more than two levels, or codes")
        first, second = encoding.latents
        off = (first.sample[0] - first.posterior.mean.reshape(first.sample[0].shape)).flatten(1)
        far = int(off.square().sum(1).argmax())  # where the sample is no mean
        above = first.sample[:, far : far + 1]
        asked = data.label[far : far + 1] if is_conditional(model) and data.label is not None else None
        lower = second.prior.sample(torch.Size([count])).reshape(count, -1, *second.sample.shape[1:])[
            :, 0, far : far + 1
        ]
        top = above.expand(count, *above.shape[1:])
        one = model.decode([top], asked).mean.flatten(1)
        two = model.decode([top, lower], asked).mean.flatten(1)
    directions = torch.randn(one.shape[1], 8, generator=torch.Generator().manual_seed(2))
    for power in (1, 2):
        a, b = ((made - two.mean(0)) @ directions for made in (one, two))
        a, b = a.pow(power), b.pow(power)
        error = ((a.var(0) + b.var(0)) / count).sqrt() + 1e-5
        gap = float(((a.mean(0) - b.mean(0)).abs() / error).max())
        expect(gap < 7, "images of a top latent with the lower ones drawn from their prior", f"{gap:.1f} errors apart")
