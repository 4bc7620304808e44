"""How each kind is built on the bench, what it is given there, and when two traces of it agree."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genzoo import estimators
from genzoo.errors import CorruptError, UsageError
from genzoo.interfaces import Animation, Dataset, LatentGenerator, Model, Page, Parts, Prior, Progress
from genzoo.options import NoOptions, Options
from genzoo.randomness import seeded
from genzoo.testing import outputs
from genzoo.testing.bench import GREY, View, batch
from genzoo.testing.extremes import EXTREMES
from genzoo.testing.reference import (
    REFERENCE_MODELS,
    RESERVE_MODELS,
    PlainGenerator,
    PlainModel,
    PlainNetwork,
    reference_parts,
)
from genzoo.types import Batch, Capability, ImageSpec, Kind, LatentSpec, ModelOutput, Split

if TYPE_CHECKING:
    from genzoo.interfaces import RunView
    from genzoo.testing.subject import Subject

Trace = dict[str, Any]


def _plain(subject: Subject, options: Options, image: ImageSpec | None = None) -> Any:
    return subject.cls(options)


def _model(subject: Subject, options: Options, image: ImageSpec | None = None) -> Any:
    return subject.cls(options, reference_parts(image or subject.image))


def _prior(subject: Subject, options: Options, image: ImageSpec | None = None, latent: LatentSpec | None = None) -> Any:
    prior = subject.cls(options, latent or subject.latent, image or GREY)
    if prior.needs_field:
        prior.prepare(PlainNetwork(NoOptions()).field)
    return prior


class _CaseModel(PlainModel):
    """What a loss is prepared with: latents and images of the shapes of `outputs.case`."""

    def __init__(self) -> None:
        super().__init__(NoOptions(), reference_parts(CASE_IMAGE))
        self.levels = (LatentSpec((outputs.WIDTH,)),)


def case_model() -> Model:
    """What a loss on the bench is prepared with, and whose parameters its players share."""
    return _CaseModel()


CASE_IMAGE = ImageSpec(outputs.SHAPE, classes=3)


def _loss(subject: Subject, options: Options, image: ImageSpec | None = None) -> Any:
    loss = subject.cls(options)
    if "loss" in subject.families:
        loss.prepare(_CaseModel(), reference_parts(CASE_IMAGE))
        if any(True for _ in loss.parameters()):
            loss.double()  # The cases are in float64.
    else:
        model = generator_for(loss)
        loss.prepare(model, reference_parts(model.image))
    return loss


def generator_for(objective: Any) -> Any:
    """A reference generator that an objective can train, in training mode: one without an encoder where it takes that.

    It has the capabilities that the objective requires and none that it forbids, where the bench has such a one: labels are
    left out for an objective that forbids conditional generators.
    """
    plain = ImageSpec(GREY.shape)
    kinds = (PlainGenerator,) if issubclass(PlainGenerator, objective.on) else REFERENCE_MODELS
    with seeded(11):
        made: list[Any] = [kind(NoOptions(), reference_parts(image)) for kind in kinds for image in (GREY, plain)]
    takes = [
        model
        for model in made
        if objective.requires <= model.capabilities and not objective.forbids & model.capabilities
    ]
    return (takes or made)[0].train()


def _network(subject: Subject, options: Options, image: ImageSpec | None = None) -> Any:
    network = subject.cls(options)
    if image is not None and "bodies" in subject.families:
        network.encoder(image.shape, (4,))
        network.decoder((4,), image.shape)
    elif image is not None:
        network.field(image.shape, (5,))
    return network


BUILDERS: Mapping[Kind, Callable[..., Any]] = {
    **dict.fromkeys(Kind, _plain),
    Kind.MODEL: _model,
    Kind.PRIOR: _prior,
    Kind.LOSS: _loss,
    Kind.NETWORK: _network,
}


def negative_elbo(output: ModelOutput, image: Tensor) -> Tensor:
    """D + R + auxiliary terms, the batch mean."""
    total = -estimators.elbo(output, image).mean()
    for term in output.auxiliary.values():
        total = total + term.mean()
    return total


def _distance(model: Any, data: Batch) -> Tensor:
    """The squared distance between generated images and others."""
    label = data.label if Capability.CONDITIONAL in model.capabilities else None
    return (model.generate([model.sample_top(len(data), data.label)], label) - data.image).square().sum()


def train(model: Any, steps: int = 2, n: int = 6, lr: float = 1e-3) -> None:
    """A few plain steps on the elbo, as the engine takes them; of a generator without an encoder, towards the images."""
    data = batch(model.image, n)
    parameters = [item for item in model.parameters() if item.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=lr) if parameters else None
    model.train()
    for _ in range(steps):
        output = model(data) if isinstance(model, Model) else None
        if optimizer and isinstance(model, (Model, LatentGenerator)):  # a bare generator has no latents
            optimizer.zero_grad()
            objective = _distance(model, data) if output is None else negative_elbo(output, data.image)
            objective.backward()
            optimizer.step()
        model.after_step(output)
    model.eval()


def encode_of(latent: LatentSpec) -> Callable[[Tensor], torch.distributions.Distribution]:
    """A fixed q(z|x) for priors that are made of pseudo-inputs: a normal whose mean is linear in the image."""
    from genzoo.distributions import DiagonalNormal

    def encode(image: Tensor) -> torch.distributions.Distribution:
        flat = image.flatten(1)
        index = torch.arange(flat.shape[1] * latent.size, device=flat.device)
        weights = (index.to(flat.dtype) * 1.7).sin().reshape(flat.shape[1], latent.size)
        mean = (flat @ weights / flat.shape[1] ** 0.5).reshape(-1, *latent.shape)
        return DiagonalNormal(mean, torch.full_like(mean, -1.0), len(latent.shape))

    return encode


def prior_at(prior: Prior, label: Tensor | None = None) -> torch.distributions.Distribution:
    """p(z), or p(z|c) of a conditional prior, with the bench's encoder for pseudo-inputs."""
    return prior(label=label if prior.conditional else None, encode=encode_of(prior.latent))


def labels_for(prior: Prior, n: int) -> Tensor | None:
    """Labels that go round the classes, for a conditional prior; None for another."""
    return torch.arange(n) % (prior.image.classes or 1) if prior.conditional else None


def latents_for(spec: LatentSpec, n: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Latents to evaluate a prior at, ``[n, *event]``."""
    draw = torch.Generator().manual_seed(3)
    if spec.categories is None:
        return torch.randn(n, *spec.shape, generator=draw).to(dtype)
    return torch.randint(spec.categories, (n, *spec.shape), generator=draw)


def cases_for(loss: Any, **how_else: Any) -> list[outputs.Case]:
    """Cases that the loss says it can be given, the plainest first; ``how_else`` as `outputs.case` takes it."""
    how: dict[str, Any] = {"samples": loss.samples, **how_else}
    wants = frozenset(loss.requires)
    found: list[outputs.Case] = []
    if Capability.CATEGORICAL_LATENT not in wants and Capability.HIERARCHICAL not in wants:
        found.append(outputs.case(**how))
    if Capability.HIERARCHICAL in wants or not wants & {Capability.ONE_LEVEL, Capability.CATEGORICAL_LATENT}:
        found.append(outputs.case(**dict(how, levels=2)))
    if not wants & {Capability.REAL_LATENT, Capability.HIERARCHICAL}:
        found.append(outputs.case(**dict(how, categorical=True)))
    return found


def moments(epochs: int = 24, steps_per_epoch: int = 8, count: int | None = None) -> list[Progress]:
    """Every step of a run of that length, or of its first ``count`` epochs (more than its length, to go past its end)."""
    return [
        Progress(step // steps_per_epoch + 1, step, steps_per_epoch, epochs)
        for step in range(steps_per_epoch * (count or epochs))
    ]


def views_for(plugin: Any, subject: Subject, **how: Any) -> list[RunView]:
    """Runs of the reference models that a visualizer or metric says it can be given, refused ones left out."""
    return _accepted(plugin, REFERENCE_MODELS, how) or _accepted(plugin, RESERVE_MODELS, how)


def _accepted(plugin: Any, kinds: Sequence[type[Model]], how: Mapping[str, Any]) -> list[RunView]:
    found: list[RunView] = []
    for kind in kinds:
        if not plugin.requires <= kind.capabilities or getattr(plugin, "forbids", frozenset()) & kind.capabilities:
            continue
        view = View.of(kind, **how)
        with suppress(UsageError):
            plugin.check(view.model, view.dataset.spec)
            found.append(view)
    return found


def timeless(made: Mapping[str, Any], plugin: Any) -> dict[str, Any]:
    """What a metric or visualizer made, without numbers in seconds, which are the clock's and never repeat."""
    units, own = getattr(made, "units", {}), getattr(plugin, "unit", "")
    return {name: value for name, value in made.items() if units.get(name, own) != "seconds"}


def render(drawing: Any, dpi: int = 40) -> bytes:
    """A figure as PNG, without the metadata that names the software; an animation's frames likewise; a page as it is."""
    if isinstance(drawing, Page):
        return drawing.html.encode()
    if isinstance(drawing, Animation):
        return b"".join(render(frame, dpi) for frame in drawing.frames)
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def first_view(plugin: Any, subject: Subject, **how: Any) -> RunView:
    """The plainest run that a visualizer or metric takes.

    Raises:
        CheckFailure: If it takes none of the bench's.
    """
    from genzoo.testing.checking import CheckFailure

    views = views_for(plugin, subject, **how)
    if not views:
        raise CheckFailure("one of the bench's runs to be accepted", "it refused them all, by `requires` or `check`")
    return views[0]


def extreme_views(plugin: Any, **how: Any) -> tuple[RunView, RunView]:
    """Runs of the best and the worst model over the same data.

    Raises:
        NotApplicable: If the plugin refuses both pairs.
    """
    from genzoo.testing.checking import NotApplicable

    for pair in EXTREMES:
        if (
            plugin.requires <= pair[0].capabilities
            and not getattr(plugin, "forbids", frozenset()) & pair[0].capabilities
        ):
            best, worst = (_extreme(kind, **how) for kind in pair)
            with suppress(UsageError):
                plugin.check(best.model, best.dataset.spec)
                return best, worst
    raise NotApplicable("it refuses the bench's best and worst models, by a capability that they lack or by `check`")


def _extreme(kind: type[Model], **how: Any) -> RunView:
    spec = View.of(**how).dataset.spec
    model = kind(NoOptions(), _parts(spec)).eval().requires_grad_(False)
    return View.of(model, **how)


def _parts(spec: ImageSpec) -> Parts:
    return reference_parts(spec)


@contextmanager
def offline() -> Generator[None]:
    """Runs a block without a network: the kit downloads nothing."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError("the contract kit uses no network")

    kept = socket.socket.connect, socket.create_connection, socket.getaddrinfo
    socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        socket.socket.connect, socket.create_connection, socket.getaddrinfo = kept  # pyright: ignore[reportAttributeAccessIssue]


def read_splits(dataset: Dataset) -> dict[str, Split]:
    """All splits of a dataset.

    Raises:
        Unavailable: If the data is not on this machine, and the error says what to fetch.
    """
    from genzoo.testing.checking import Unavailable

    try:
        with offline():
            return {name: dataset.split(name) for name in dataset.splits}
    except CorruptError as error:
        if error.hint.startswith("Fetch") or "fetch" in str(error):
            raise Unavailable(f"its data is not here: {error}") from error
        raise


def difference(a: Trace, b: Trace, tolerance: float = 0.0) -> str | None:
    """The first name at which two traces differ, None where they agree."""
    for name in sorted({*a, *b}):
        if name not in a or name not in b or not agree(a[name], b[name], tolerance):
            return name
    return None


def agree(a: Any, b: Any, tolerance: float = 0.0) -> bool:
    """Whether two values are the same, tensors to a relative and absolute tolerance."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        if not a.is_floating_point() or not tolerance:
            return bool(torch.equal(a.nan_to_num(), b.nan_to_num())) if a.is_floating_point() else torch.equal(a, b)
        return torch.allclose(a, b, rtol=tolerance, atol=tolerance)
    if isinstance(a, float) and isinstance(b, float):
        return a == b or abs(a - b) <= tolerance * max(1.0, abs(a), abs(b)) or (a != a and b != b)
    return bool(a == b)
