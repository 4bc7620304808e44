"""genzoo from Python: ``run``, ``load`` and the `Run` they return."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from genzoo.compose.plan import Choice, Plan, bare_name, plan
from genzoo.errors import UsageError
from genzoo.host.plugin_host import Host
from genzoo.host.plugin_host import host as default_host
from genzoo.interfaces.scheduler import Scheduler
from genzoo.process import own_state
from genzoo.recipe import Part, Recipe, TrainOptions
from genzoo.runs.find import find_run, runs_root
from genzoo.runs.folder import RunFolder
from genzoo.text import one_line
from genzoo.types import Kind

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure
    from torch import Tensor

    from genzoo.findings import Finding
    from genzoo.interfaces.drawing import Drawing
    from genzoo.interfaces.model import Model
    from genzoo.interfaces.view import RunView
    from genzoo.portable.programs import Exported
    from genzoo.report.notebook import Document
    from genzoo.runs.load import LoadedRun

Named = str | tuple[str, Mapping[str, Any]]
"""A component by name, or (name, options)."""


class Run:
    """A run on disk, loaded when it is first looked at.

    Args:
        folder: The run folder.
        host: Where its plugins come from.
        best: Whether its weights are those of its best held-out elbo, instead of the last.
        data: Options of its dataset that say where its files lie now, as ``{"path": "moved.npz"}``.

    Example:
        >>> run = load("zoo:report-vae")  # doctest: +SKIP
        >>> run.sample(4).shape           # doctest: +SKIP
        torch.Size([4, 1, 28, 28])
    """

    def __init__(
        self,
        folder: RunFolder,
        host: Host | None = None,
        *,
        best: bool = False,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.best = best
        self.data = dict(data or {})
        self.host = host or default_host()

    def __repr__(self) -> str:
        record = self.record
        return one_line(f"<Run {record.get('title', '?')}, {record.get('status', '?')}, {self.path}>")

    def _repr_html_(self) -> str:
        """In a notebook a run shows its verdict, its last numbers and its figures; see `explore` for the model itself."""
        from genzoo.report.notebook import summary

        return summary(self.folder, repr(self))

    @property
    def path(self) -> Path:
        return self.folder.path

    @property
    def record(self) -> dict[str, Any]:
        """run.json."""
        return self.folder.record()

    @property
    def history(self) -> list[dict[str, Any]]:
        """One row an epoch."""
        return self.folder.rows("epoch")

    @property
    def metrics(self) -> dict[str, Any]:
        """The last epoch's test numbers (train where nothing was tested), and the values of the run's metrics."""
        row = self.folder.last_row()
        numbers = dict((row.get("test") or row["train"]) if row else {})
        for result in self.record.get("metrics", {}).values():
            numbers.update(result.get("values", {}))
        return numbers

    @property
    def verdict(self) -> str:
        return str(self.record.get("verdict", ""))

    @cached_property
    @own_state()
    def loaded(self) -> LoadedRun:
        """The experiment with its trained weights."""
        from genzoo.runs.load import load_run

        return load_run(self.folder, self.host, best=self.best, data=self.data)

    @property
    def model(self) -> Model:
        """The trained model, in eval mode; another `Generator` where the run's model is none that encodes."""
        return cast("Model", self.loaded.experiment.model)

    @cached_property
    @own_state()
    def view(self) -> RunView:
        """What visualizers and metrics see of the run; reads the dataset."""
        return self.loaded.view()

    def figure(self, name: str, **options: Any) -> Figure:
        """Draw a visualizer's figure again (the first, where it draws several). See `figures`.

        Raises:
            UsageError: If it draws none, but pages or animations.
        """
        drawn = self.figures(name, **options)
        from matplotlib.figure import Figure  # by now it is imported, whatever backend the caller named

        found = next((drawing for drawing in drawn.values() if isinstance(drawing, Figure)), None)
        if found is None:
            kinds = ", ".join(sorted({type(drawing).__name__ for drawing in drawn.values()}))
            raise UsageError(f"figure: visualizer {name} must draw a figure, got {kinds}.", "See `Run.figures`.")
        return found

    @own_state()
    def figures(self, name: str, **options: Any) -> dict[str, Drawing]:
        """Draw a visualizer's figures again with these options, by name; pages and animations where it makes them.

        Raises:
            IncompatibleError: If the model or data cannot serve it.
        """
        from genzoo.compose.build import add_visualizer
        from genzoo.training.draw import at_rest

        visualizer = add_visualizer(self.loaded.experiment, self.choice(Kind.VISUALIZER, name, options))
        with at_rest(self.view, f"figure:{name}"):
            return dict(visualizer.draw(self.view.limited_to(visualizer.reads)))

    @own_state()
    def evaluate(self, name: str, **options: Any) -> dict[str, float]:
        """A metric's numbers, measured anew with these options. See `figures`."""
        from genzoo.compose.build import add_metric
        from genzoo.training.draw import at_rest

        metric = add_metric(self.loaded.experiment, self.choice(Kind.METRIC, name, options))
        with at_rest(self.view, f"metric:{name}"):
            return {
                key or name: float(value) for key, value in metric.evaluate(self.view.limited_to(metric.reads)).items()
            }

    @own_state()
    def diagnose(self) -> list[Finding]:
        """What is found about the trained model, measured again on its images; `verdict` is the same in one paragraph.

        See `genzoo.findings`. Parts that explain a finding name the flag that would change it.
        """
        from genzoo.training.closing import findings_of

        return findings_of(self.loaded.experiment, self.view, self.folder.last_row())

    @own_state()
    def export(self, to: Literal["torch", "onnx"], folder: str | Path) -> Exported:
        """Write encoder and decoder into a new folder, as programs that run without genzoo.

        Args:
            to: ``torch`` for files of `torch.export`, ``onnx`` for ONNX, which needs ``genzoo[onnx]``.
            folder: The folder to make.

        Returns:
            What was written, how far each file is from the model, and why a part is absent.

        Raises:
            IncompatibleError: If the model has neither, or neither can be traced.

        Example:
            >>> load("zoo:report-vae").export("torch", "report-vae-torch").differences  # doctest: +SKIP
        """
        from genzoo.portable.programs import export_programs

        return export_programs(self.folder, self.host, to, Path(folder), best=self.best, data=self.data)

    @own_state()
    def report(self, *others: Run, pages: Mapping[str, Any] | None = None, title: str = "") -> Document:
        """One page about this run, and others beside it, that needs no other file and no network.

        Args:
            *others: Runs to stand side by side with it.
            pages: Visualizer → its options, of those whose pages stand in it; None for the explorer, ``{}`` for none.
            title: Of the page.

        Returns:
            A `Document`, which a notebook shows and ``save`` writes.

        Raises:
            UsageError: If a page is asked for that no visualizer makes.

        Example:
            >>> load("zoo:report-vae").report().save("report.html")  # doctest: +SKIP
        """
        from genzoo.report.assemble import report
        from genzoo.report.notebook import Document

        folders = [self.folder, *(run.folder for run in others)]
        parts = None if pages is None else {bare_name(name): _part((name, pages[name])) for name in pages}
        made = report(folders, self.host, pages=parts, best=self.best, data=self.data, title=title)
        return Document(made.html)

    @own_state()
    def explore(self, **options: Any) -> Document:
        """The latent explorer of the run: drag over the latent plane and see what is decoded.

        Args:
            **options: Of the visualizer ``explorer``, as ``codes=1000``.

        Returns:
            A `Document`, which a notebook shows and ``save`` writes.

        Raises:
            PluginError: If the visualizer is not installed.
            IncompatibleError: If the model has no latents.
        """
        from genzoo.interfaces.drawing import Page
        from genzoo.report.notebook import Document

        (page,) = (drawing for drawing in self.figures("explorer", **options).values() if isinstance(drawing, Page))
        return Document(page.html)

    @own_state(keep_random=False)
    def sample(self, n: int, label: Any = None, *, seed: int | None = None) -> Tensor:
        """Images ``[n, C, H, W]`` in [0, 1] drawn from the model.

        Args:
            n: How many.
            label: One label for all, or one an image, by number or by the class's name; a conditional model without it
                cycles through its classes.
            seed: Of the draw; None draws from torch's random state, as ``torch.rand`` does.

        Raises:
            UsageError: If a label is no class, their number is wrong, or the model takes none.
        """
        from genzoo.given import whole

        n = whole(n, "sample: n", 1)
        seed = None if seed is None else whole(seed, "sample: seed")
        return self.model.sample(n, labels_for(self.model, n, label), seed=seed)

    @own_state()
    def encode(self, images: Any, label: Any = None) -> Tensor:
        """Posterior means ``[N, *event]`` (codes of a discrete model) of images, top level.

        Args:
            images: ``[N, C, H, W]``, uint8 or in [0, 1]; see `genzoo.given.images_of` for what else is taken.
            label: Of a conditional model: one for all, or one an image, by number or by the class's name.

        Raises:
            UsageError: If an image has another shape or values outside [0, 1], or a label is no class or given to a model
                that reads none.
        """
        from genzoo.given import images_of, labels_of
        from genzoo.parts.latents import encode
        from genzoo.training.draw import at_rest
        from genzoo.types import Batch, Capability

        spec = self.model.image
        taken = images_of(images, spec)
        if label is not None and Capability.CONDITIONAL not in self.model.capabilities:
            name = self.loaded.experiment.plan.model.name
            raise UsageError(f"encode: label must be left out for {name}, which reads none, got {label!r}.")
        labels = None if label is None or not spec.labelled else labels_of(label, len(taken), spec, "encode")
        with at_rest(self.view, "encode"):
            return encode(self.model, Batch(taken, labels).to(_device(self.model))).top

    def __getstate__(self) -> dict[str, Any]:
        """Where the run lies, not its weights, which are read again; by its own plugins, where it is read."""
        return {
            "folder": self.path.absolute(),
            "vouched": self.folder.vouched,
            "best": self.best,
            "data": self.data,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        folder = RunFolder(state["folder"], vouched=state.get("vouched", False))
        self.__init__(folder, best=state["best"], data=state["data"])

    def choice(self, kind: Kind, name: str, options: Mapping[str, Any]) -> Choice:
        """A component with typed options, as it can be added to this run."""
        if not isinstance(cast("Any", name), str):
            raise UsageError(f"{kind}: name must be text, got {name!r}.", f"See `genzoo list {kind}`.")
        installed = self.host.get(kind, name)
        return Choice(installed, installed.make_options(options), asked=True)


@own_state()
def run(
    model: Named,
    *,
    data: Any = None,
    network: Named | None = None,
    likelihood: Named | None = None,
    prior: Named | None = None,
    loss: Named | None = None,
    field: Named | None = None,
    scheduler: Named | Mapping[str, Named | Iterable[Named]] | None = None,
    viz: Named | Iterable[Named] | Mapping[str, Named] = (),
    metrics: Named | Iterable[Named] | Mapping[str, Named] = (),
    out: str | Path | None = None,
    name: str = "",
    init: str | Path | Run | None = None,
    freeze: str | Sequence[str] = (),
    progress: bool = True,
    **train: Any,
) -> Run:
    """Train a model and return its run; the same as ``genzoo run``.

    Args:
        model: Name, or (name, options), as ``("vae", {"latent_dim": 8})``.
        data: A dataset, likewise by name or (name, options), the `Path` of an .npz file or of a folder of images, or
            arrays: images, (images, labels), or these by split; see `genzoo.given.data_part`.
        network, likelihood, prior, loss, field: Parts, likewise; None takes the model's companions and the defaults.
        scheduler: One for the quantity that it usually drives, or slot → one or several.
        viz: One or several visualizers, or key → visualizer.
        metrics: One or several metrics, or key → metric.
        out: Folder of runs.
        name: Appended to the run folder's name.
        init: A run whose weights are the start, where names and shapes agree.
        freeze: Parts of the model that then are not trained.
        progress: Whether to show progress on stderr.
        **train: Training options, as ``epochs=5``; see `genzoo.recipe.TrainOptions`.

    Raises:
        GenzooError: If something does not fit, or the run fails.

    Example:
        >>> import genzoo
        >>> run = genzoo.run("vae", scheduler="linear-warmup", viz=["traversal"], epochs=1)  # doctest: +SKIP
    """
    unknown = set(train) - set(TrainOptions.model_fields)
    if unknown:
        raise UsageError(
            f"run: {', '.join(sorted(unknown))} is no training option.",
            f"There are: {', '.join(TrainOptions.model_fields)}.",
        )
    if not isinstance(cast("Any", name), str) or not isinstance(cast("Any", out), str | os.PathLike | None):
        raise UsageError(f"run: out must be a folder and name a text, got {out!r} and {name!r}.")
    optional = {"network": network, "likelihood": likelihood, "prior": prior, "loss": loss, "field": field}
    recipe = Recipe(
        model=_part(model),
        schedulers=_schedulers(scheduler),
        visualizers=_keyed(viz),
        metrics=_keyed(metrics),
        train=train,
    ).model_copy(update={kind: _part(part) for kind, part in optional.items() if part is not None})
    if init is not None:
        from genzoo.training.initial import init_from

        frozen: Any = (freeze,) if isinstance(freeze, str) else freeze
        if not isinstance(frozen, list | tuple) or not all(isinstance(part, str) for part in cast("Any", frozen)):
            raise UsageError(f"run: freeze must be names of parts, got {frozen!r}.", 'Write freeze=("decoder",).')
        start = str(init.path if isinstance(init, Run) else init)
        recipe = recipe.model_copy(update={"init": init_from(start, cast("Any", frozen), runs_root(out))})
    if data is None:
        return run_recipe(recipe, out=out, name=name, progress=progress)
    from genzoo.given import held

    with held(data, runs_root(out)) as dataset:
        recipe = recipe.model_copy(update={"dataset": dataset})
        return run_recipe(recipe, out=out, name=name, progress=progress)


@own_state()
def run_recipe(
    recipe: Recipe, *, out: str | Path | None = None, name: str = "", progress: bool = True, host: Host | None = None
) -> Run:
    """Train a recipe and return its run. See `run`."""
    from genzoo.engine.listener import Listener
    from genzoo.parts.progress import clear_live_line
    from genzoo.training.console import ConsoleListener
    from genzoo.training.start import start

    host = host or default_host()
    resolved: Plan = plan(recipe, host)
    listener = ConsoleListener() if progress else Listener()
    try:
        outcome = start(resolved, host, out=runs_root(out), name=name, listener=listener)
    finally:
        clear_live_line()
    return Run(outcome.folder, host)


@own_state()
def load(
    name: str | Path, host: Host | None = None, *, best: bool = False, data: Mapping[str, Any] | None = None
) -> Run:
    """A run by folder, ``last``, part of its folder's name, ``zoo:NAME`` of a plugin, or ``hf:USER/NAME`` of a hub.

    Args:
        name: The run.
        host: Where its plugins come from.
        best: Take the weights of its best held-out elbo, instead of the last.
        data: Options of its dataset that say where its files lie now, where they were moved: ``{"path": "moved.npz"}``.

    Raises:
        UsageError: If there is none.
    """
    given: Any = name
    if not isinstance(given, str | os.PathLike):
        raise UsageError(f"load: name must be text or a path, got {given!r}.", "See `genzoo runs list`.")
    if data is not None and not isinstance(cast("Any", data), Mapping):
        raise UsageError(f"load: data must be options by name, got {data!r}.", 'Write data={"path": "moved.npz"}.')
    return Run(find_run(str(name)), host, best=best, data=data)


def labels_for(model: Model, n: int, label: Any) -> Tensor | None:
    """Labels ``[n]`` for `Model.sample`, cycling through the classes where none is asked for; None if unconditional.

    Raises:
        UsageError: If a label is out of range, their number is wrong, or the model takes none.
    """
    import torch

    from genzoo.given import labels_of
    from genzoo.interfaces.generator import LatentGenerator
    from genzoo.types import Capability

    classes = model.image.classes
    by_prior = isinstance(model, LatentGenerator) and model.prior.conditional  # pyright: ignore[reportUnnecessaryIsInstance]
    if Capability.CONDITIONAL not in model.capabilities and not by_prior:
        if label is not None:
            raise UsageError("sample: label must be left out, since the model is not conditional.")
        return None
    device = _device(model)
    if label is not None:
        return labels_of(label, n, model.image).to(device)
    if classes is None:
        raise UsageError("sample: label must be given, since the model's labels are vectors of conditions.")
    return torch.arange(n, device=device) % classes


def _device(model: Model) -> torch.device:
    """Where the model is; the CPU for a model without tensors."""
    import torch

    return next((tensor.device for tensor in (*model.parameters(), *model.buffers())), torch.device("cpu"))


def _part(named: Named) -> Part:
    given: Any = named
    if isinstance(given, str):
        return Part(name=given)
    if (
        isinstance(given, tuple | list)
        and len(given) == 2
        and isinstance(given[0], str)
        and isinstance(given[1], Mapping)
    ):
        return Part(name=given[0], options={str(option): value for option, value in given[1].items()})
    raise UsageError(
        f"run: a part must be a name or (name, options), got {type(given).__name__}.",
        'Write "vae", or ("vae", {"latent_dim": 8}).',
    )


def _keyed(given: Named | Iterable[Named] | Mapping[str, Named]) -> dict[str, Part]:
    parts: Any = () if cast("Any", given) is None else given
    if isinstance(parts, str) or (isinstance(parts, tuple) and len(parts) == 2 and isinstance(parts[1], Mapping)):
        parts = [parts]
    if isinstance(parts, Mapping):
        return {str(key): _part(named) for key, named in parts.items()}
    if not isinstance(parts, Iterable):
        parts = [parts]
    found: dict[str, Part] = {}
    for part in map(_part, parts):
        key = bare_name(part.name)
        if key in found:
            raise UsageError(
                f"run: {key} must be given once, got it twice.", "Give each a key of its own: {key: name}."
            )
        found[key] = part
    return found


def _schedulers(scheduler: Named | Mapping[str, Any] | None) -> dict[str, list[Part]] | None:
    if scheduler is None:
        return None
    if not isinstance(scheduler, Mapping):
        part = _part(scheduler)
        kind: type[Scheduler] = default_host().get(Kind.SCHEDULER, part.name).load()
        return {kind.default_slot: [part]}
    slots: dict[Any, Any] = dict(scheduler)
    alone = {slot for slot, parts in slots.items() if isinstance(parts, str | tuple) or not isinstance(parts, Iterable)}
    return {str(slot): [*map(_part, (parts,) if slot in alone else parts)] for slot, parts in slots.items()}
