"""Resolve a recipe: every part named, every option typed. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from genzoo.declare import FIELD, NOT_TAKEN, Companion
from genzoo.errors import PluginError, UsageError, describe
from genzoo.host.plugin_host import Host, Installed
from genzoo.options import Options
from genzoo.recipe import Init, Part, Recipe, TrainOptions
from genzoo.types import Kind

PART_KINDS = (Kind.DATASET, Kind.NETWORK, Kind.LIKELIHOOD, Kind.PRIOR, Kind.LOSS)
"""The kinds of which a run has one beside its model, unless the model takes none."""

SLOTS: Mapping[str, Kind] = {**{kind: kind for kind in PART_KINDS}, FIELD: Kind.NETWORK}
"""Name in a recipe → kind, of every part that a run has at most one of."""

DEFAULTS: Mapping[Kind, str] = {
    Kind.DATASET: "mnist",
    Kind.NETWORK: "conv",
    Kind.LIKELIHOOD: "bernoulli",
    Kind.PRIOR: "standard-normal",
    Kind.LOSS: "elbo",
}
"""What a run takes when neither the user nor the model names a part."""

DEFAULT_SCHEDULERS: Mapping[str, str] = {"beta": "linear-warmup"}
"""Slot → scheduler when the user names none for the slot; left out where the experiment has no such slot."""


@dataclass(frozen=True)
class Choice:
    """One resolved component: its declaration, its typed options, and whether the user asked for it.

    ``qualified`` if it was named ``dist:name``, as it must be where two distributions claim the name.
    """

    installed: Installed
    options: Options
    asked: bool
    qualified: bool = False

    @property
    def name(self) -> str:
        return self.installed.name

    def part(self) -> Part:
        name = self.installed.qualified if self.qualified else self.name
        return Part(name=name, options=self.options.model_dump(mode="json"))

    def for_run(self, epochs: int) -> Choice:
        """The same with the options as a run of so many epochs uses them. See `genzoo.options.Options.for_run`.

        Raises:
            PluginError: If the plugin's own code raises.
        """
        try:
            return replace(self, options=self.options.for_run(epochs))
        except Exception as error:
            raise PluginError(
                f"{self.installed.label}: resolving the options for {epochs} epochs raised {describe(error)}.",
                "Report it to the plugin.",
            ) from error

    def record(self) -> dict[str, Any]:
        """What run.json keeps of it."""
        return {
            "kind": str(self.installed.kind),
            "name": self.name,
            "distribution": self.installed.distribution,
            "version": self.installed.version,
            "api": self.installed.component.api,
            "options": self.options.model_dump(mode="json"),
        }


@dataclass(frozen=True)
class Plan:
    """A recipe with every name resolved and every option typed."""

    model: Choice
    parts: Mapping[str, Choice]
    schedulers: Mapping[str, tuple[Choice, ...]]
    visualizers: Mapping[str, Choice]
    metrics: Mapping[str, Choice]
    train: TrainOptions
    summary: str = ""
    init: Init | None = None

    def __getitem__(self, slot: str) -> Choice:
        return self.model if slot == Kind.MODEL else self.parts[slot]

    @property
    def title(self) -> str:
        return f"{self.model.name} on {self.parts[Kind.DATASET].name}"

    def recipe(self) -> Recipe:
        """The recipe that repeats this plan, with nothing left out."""
        return Recipe(
            summary=self.summary,
            model=self.model.part(),
            schedulers={slot: [choice.part() for choice in choices] for slot, choices in self.schedulers.items()},
            visualizers={key: choice.part() for key, choice in self.visualizers.items()},
            metrics={key: choice.part() for key, choice in self.metrics.items()},
            train=self.train.model_dump(mode="json"),
            init=self.init,
        ).model_copy(update={str(kind): choice.part() for kind, choice in self.parts.items()})

    def records(self) -> dict[str, Any]:
        """Every component with distribution, version and options, for run.json."""
        rows: dict[str, Any] = {"model": self.model.record()}
        rows.update({str(kind): choice.record() for kind, choice in self.parts.items()})
        rows["schedulers"] = {
            slot: [choice.record() for choice in choices] for slot, choices in self.schedulers.items()
        }
        rows["visualizers"] = {key: choice.record() for key, choice in self.visualizers.items()}
        rows["metrics"] = {key: choice.record() for key, choice in self.metrics.items()}
        return rows


def plan(recipe: Recipe, host: Host) -> Plan:
    """Resolve names and options: what the recipe says, else the model's companions, else the defaults.

    Raises:
        PluginError: If a name is unknown or its plugin is broken.
        UsageError: If an option is unknown or out of bounds, or a choice would drop what the model declares.
    """
    host.require(_needed(recipe, host))
    model = _choose(host, Kind.MODEL, recipe.model, asked=True)
    companions = model.installed.component.companions
    parts: dict[str, Choice] = {}
    for slot in SLOTS:
        companion = companions.get(slot)
        if slot == FIELD and companion is None and Kind.PRIOR in parts:
            companion = parts[Kind.PRIOR].installed.component.companions.get(FIELD)
        chosen = _part(host, slot, getattr(recipe, slot), model.installed, companion)
        if chosen is not None:
            parts[slot] = chosen
    schedulers = _schedulers(host, recipe.schedulers, companions.get(Kind.SCHEDULER))
    train = recipe.train_options()
    if train.steps is None:  # Otherwise the number of epochs is known only with the data.
        model = model.for_run(train.epochs)
        parts = {slot: choice.for_run(train.epochs) for slot, choice in parts.items()}
        schedulers = {slot: tuple(each.for_run(train.epochs) for each in row) for slot, row in schedulers.items()}
    return Plan(
        model=model,
        parts=parts,
        schedulers=schedulers,
        visualizers={key: _choose(host, Kind.VISUALIZER, part, asked=True) for key, part in recipe.visualizers.items()},
        metrics={key: _choose(host, Kind.METRIC, part, asked=True) for key, part in recipe.metrics.items()},
        train=train,
        summary=recipe.summary,
        init=recipe.init,
    )


def _needed(recipe: Recipe, host: Host) -> list[tuple[Kind, str]]:
    """Kind and name of every part of a recipe, those among them that the model or the defaults name."""
    try:
        companions = host.get(Kind.MODEL, recipe.model.name).component.companions
    except PluginError:
        companions = dict[str, Companion]()
    asked = {slot: getattr(recipe, slot) or default_part(slot, companions.get(slot)) for slot in SLOTS}
    schedulers: dict[str, list[Part]] = {
        **{slot: [part] for slot, part in default_schedulers(companions.get(Kind.SCHEDULER)).items()},
        **(recipe.schedulers or {}),
    }
    return [
        (Kind.MODEL, recipe.model.name),
        *((SLOTS[slot], part.name) for slot, part in asked.items() if part is not None),
        *((Kind.SCHEDULER, part.name) for parts in schedulers.values() for part in parts),
        *((Kind.VISUALIZER, part.name) for part in recipe.visualizers.values()),
        *((Kind.METRIC, part.name) for part in recipe.metrics.values()),
    ]


def bare_name(name: str) -> str:
    """What a component is called, without the ``KIND/`` and the ``dist:`` that may stand before it."""
    return name.rpartition("/")[2].rpartition(":")[2]


def default_part(slot: str, companion: Companion | None) -> Part | None:
    """What a model gets for a part when nobody names one; None where it takes none."""
    if companion is None:
        return None if slot == FIELD else Part(name=DEFAULTS[SLOTS[slot]])
    if companion == NOT_TAKEN:
        return None
    return _named(companion)


def _named(companion: Companion) -> Part:
    name, options = (companion, {}) if isinstance(companion, str) else companion
    return Part(name=name, options=dict(options))


def default_schedulers(companion: Companion | None) -> dict[str, Part]:
    """Slot → what drives it when nobody names a scheduler for it; a model's companion drives beta."""
    return {
        slot: Part(name=name) if companion is None else _named(companion) for slot, name in DEFAULT_SCHEDULERS.items()
    }


def _part(host: Host, slot: str, asked: Part | None, model: Installed, companion: Companion | None) -> Choice | None:
    default, kind = default_part(slot, companion), SLOTS[slot]
    if asked is None:
        return None if default is None else _choose(host, kind, default, asked=False)
    if companion == NOT_TAKEN:
        raise UsageError(
            f"run: {model.name} takes no {kind}, got --{_flag(slot)} {asked.name}.", f"Leave out --{_flag(slot)}."
        )
    if default is None:
        return _choose(host, kind, asked, asked=True)
    if bare_name(asked.name) == default.name:
        merged = Part(name=asked.name, options={**default.options, **asked.options})
        return _choose(host, kind, merged, asked=True)
    given = {key.replace("-", "_") for key in asked.options}
    dropped = {key: value for key, value in default.options.items() if key.replace("-", "_") not in given}
    base = model.component.base
    inherited = host.get(Kind.MODEL, base).component.companions.get(slot) if base else None
    if base and dropped and slot != FIELD and companion != inherited:
        settings = ", ".join(f"{key} = {value}" for key, value in dropped.items())
        raise UsageError(
            f"run: {model.name} is {base} with the {kind} {default.name} ({settings}), which "
            f"`--{_flag(slot)} {asked.name}` would drop.",
            f"Run `genzoo run {base} --{_flag(slot)} {asked.name}` instead, or give "
            f"--{_flag(slot)}.{next(iter(dropped)).replace('_', '-')} a value.",
        )
    return _choose(host, kind, asked, asked=True)


def _schedulers(
    host: Host, asked: Mapping[str, list[Part]] | None, companion: Companion | None
) -> dict[str, tuple[Choice, ...]]:
    chosen: dict[str, tuple[Choice, ...]] = {}
    for slot, part in default_schedulers(companion).items():
        chosen[slot] = (_choose(host, Kind.SCHEDULER, part, asked=False),)
    for slot, parts in (asked or {}).items():
        named = tuple(_choose(host, Kind.SCHEDULER, part, asked=True) for part in parts)
        # The config.toml of a run has the default with nothing left out; nobody asked for it, where it drives nothing.
        if slot in chosen and len(parts) == 1 and _spelt_out(parts[0], chosen[slot][0]):
            named = (replace(named[0], asked=False),)
        chosen[slot] = named
    return chosen


def _spelt_out(part: Part, default: Choice) -> bool:
    """Whether a part is the default with every option written; what follows a run's length may have any value."""
    values = default.part().options
    same = all(value is None or part.options.get(key) == value for key, value in values.items())
    return part.name == default.part().name and part.options.keys() == values.keys() and same


def _choose(host: Host, kind: Kind, part: Part, *, asked: bool) -> Choice:
    installed = host.get(kind, part.name)
    return Choice(installed, installed.make_options(part.options).anchored(), asked, qualified=":" in part.name)


def _flag(slot: str) -> str:
    return "data" if slot == Kind.DATASET else str(slot)
