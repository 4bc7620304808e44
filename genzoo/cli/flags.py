"""Typed flags from options models, and dotted flags such as ``--model.latent-dim 2`` sorted into a recipe."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from pydantic.fields import FieldInfo

from genzoo.compose.plan import SLOTS, bare_name, default_part, default_schedulers
from genzoo.declare import FIELD, Companion
from genzoo.errors import UsageError
from genzoo.host.plugin_host import Host
from genzoo.interfaces.scheduler import Scheduler
from genzoo.options import Options
from genzoo.recipe import Part, Recipe
from genzoo.types import Kind

_C = TypeVar("_C", bound=Callable[..., Any])

FLAG_OF: Mapping[str, str] = {
    Kind.DATASET: "data",
    Kind.NETWORK: "network",
    Kind.LIKELIHOOD: "likelihood",
    Kind.PRIOR: "prior",
    Kind.LOSS: "loss",
    FIELD: "field",
}
"""The flag that names each part."""

Dotted = tuple[tuple[str, ...], str]


class DottedCommand(click.Command):
    """A command that takes ``--a.b value`` for any names, beside its own options; they arrive in ``context.meta``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See `click.Command.parse_args`."""
        rest, ctx.meta["genzoo.dotted"] = split_dotted(args)
        try:
            self._refuse_twice(ctx, rest)
            return super().parse_args(ctx, rest)
        except click.NoSuchOption as error:
            raise self._suggesting(ctx, error, args) from None

    def _suggesting(self, ctx: click.Context, error: click.NoSuchOption, args: Sequence[str]) -> UsageError:
        """The error with what was probably meant, an option of a part among it."""
        from genzoo.cli import suggest
        from genzoo.host.plugin_host import host

        known = [name for item in self.get_params(ctx) for name in item.opts]
        if self.name == "run":
            parts = suggest.options_of_parts(args, host())
        elif self.name in {"viz", "eval"}:
            kind = Kind.VISUALIZER if self.name == "viz" else Kind.METRIC
            parts = suggest.options_of_named([word for word in args[1:] if not word.startswith("-")], kind, host())
        else:
            parts = {}
        flag = error.option_name.partition("=")[0]
        guess = suggest.option(flag, _value_after(flag, args), known, parts) or f"See `{ctx.command_path} --help`."
        return UsageError(f"No such option {flag!r}.", guess)

    def _refuse_twice(self, ctx: click.Context, args: list[str]) -> None:
        """Click would take the last of ``--epochs 3 --epochs 4``, and nobody would know."""
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        seen: set[str] = set()
        for parameter in order:
            if not isinstance(parameter, click.Option) or parameter.multiple or parameter.count:
                continue
            if parameter.name in seen and (not parameter.is_flag or parameter.secondary_opts):
                raise UsageError(f"{ctx.info_name}: {parameter.opts[0]} must be given once, got it twice.")
            seen.add(str(parameter.name))


def _value_after(flag: str, args: Sequence[str]) -> str:
    """What follows a flag, where that is a value."""
    joined = next((word.partition("=")[2] for word in args if word.startswith(f"{flag}=")), "")
    after = args[args.index(flag) + 1 :][:1] if flag in args else []
    return joined or "".join(word for word in after if not word.startswith("--"))


def split_dotted(arguments: Sequence[str]) -> tuple[list[str], list[Dotted]]:
    """Separate dotted flags, each with its one value, from the other arguments.

    Raises:
        UsageError: If a dotted flag has no value or is given twice.

    Example:
        >>> split_dotted(["vae", "--model.latent-dim", "2", "--epochs", "3"])
        (['vae', '--epochs', '3'], [(('model', 'latent-dim'), '2')])
    """
    rest: list[str] = []
    dotted: list[Dotted] = []
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if word == "--":
            rest += [word, *words]
        elif not name.startswith("--") or "." not in name:
            rest.append(word)
        else:
            if not equals:
                value = next(words, None)
            if value is None or (not equals and value.startswith("--")):
                raise UsageError(f"run: {name} must have a value, got none.")
            path = tuple(name.removeprefix("--").split("."))
            if any(path == before for before, _ in dotted):
                raise UsageError(f"run: {name} must be given once, got it twice.")
            dotted.append((path, value))
    return rest, dotted


def options_of(model: type[Options], *, skip: Sequence[str] = ()) -> Callable[[_C], _C]:
    """A decorator that adds one click option a field of an options model, with its type, default and bounds in the help.

    The command receives None for what is not given, so that a recipe's values are not overwritten by defaults.
    """

    def decorate(command: _C) -> _C:
        for name, field in reversed(model.model_fields.items()):
            if name in skip:
                continue
            flag = "--" + name.replace("_", "-")
            text = describe(field)
            if field.annotation is bool:
                declaration = f"{flag}/--no-{name.replace('_', '-')}"
                command = click.option(declaration, name, default=None, help=text)(command)
            else:
                command = click.option(flag, name, default=None, metavar=type_name(field), help=text)(command)
        return command

    return decorate


def describe(field: FieldInfo) -> str:
    """Help of one option: its description, bounds and default."""
    bounds = [f"{sign} {value}" for sign, value in _bounds(field)]
    default = "none" if field.default is None else field.default
    return f"{field.description or ''}  [{'; '.join([*bounds, f'default {default}'])}]"


def type_name(field: FieldInfo) -> str:
    """What a value looks like: ``INTEGER``, ``FLOAT``, ``a|b|c`` …"""
    annotation = field.annotation
    arguments = [a for a in typing.get_args(annotation) if a is not type(None)]
    if typing.get_origin(annotation) is typing.Literal:
        return "|".join(str(a) for a in arguments)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType) and len(arguments) == 1:
        annotation = arguments[0]
    return {int: "INTEGER", float: "FLOAT", str: "TEXT", bool: "BOOLEAN"}.get(annotation, "VALUE")  # pyright: ignore[reportArgumentType, reportCallIssue]


@dataclass(frozen=True)
class Named:
    """What the plain flags of ``genzoo run`` name."""

    model: str | None
    parts: Mapping[str, str]
    schedulers: Sequence[str]
    visualizers: Sequence[str]
    metrics: Sequence[str]


def recipe_of(
    base: Recipe | None, named: Named, dotted: Sequence[Dotted], train: Mapping[str, Any], host: Host
) -> Recipe:
    """The recipe that a command line asks for, over the recipe that it starts from.

    Raises:
        UsageError: If no model is named, or a dotted flag belongs to nothing that is named.
    """
    model = _model(base, named)
    values: dict[str, Any] = {
        "summary": base.summary if base else "",
        "init": base.init if base else None,
        "train": {**(base.train if base else {}), **{k: v for k, v in train.items() if v is not None}},
    }
    for slot in SLOTS:
        before: Part | None = getattr(base, slot) if base else None
        name = named.parts.get(slot)
        values[str(slot)] = Part(name=name) if name and (before is None or before.name != name) else before
    schedulers = _named_schedulers(base, named.schedulers, host)
    visualizers = _keyed(base.visualizers if base else {}, named.visualizers, "viz")
    metrics = _keyed(base.metrics if base else {}, named.metrics, "metric")
    companions = host.get(Kind.MODEL, model.name).component.companions
    for path, value in dotted:
        shown = "--" + ".".join(path)
        group, key = path[0], path[-1]
        if group == "model" and len(path) == 2:
            model = _with(model, key, value)
        elif group == "scheduler" and len(path) >= 2:
            schedulers = _scheduler_option(schedulers, companions.get(Kind.SCHEDULER), path, value, shown)
        elif group in {"viz", "metric"} and len(path) == 3:
            _keyed_option(visualizers if group == "viz" else metrics, group, path[1], key, value, shown)
        elif (slot := _slot_of(group)) is not None and len(path) == 2:
            companion = companions.get(slot)
            if slot == FIELD and companion is None:
                prior: Part | None = values[Kind.PRIOR] or default_part(Kind.PRIOR, companions.get(Kind.PRIOR))
                companion = host.get(Kind.PRIOR, prior.name).component.companions.get(FIELD) if prior else None
            chosen: Part | None = values[str(slot)] or default_part(slot, companion)
            if chosen is None:
                raise UsageError(f"run: {shown} must be left out, since there is no {slot} in {model.name}.")
            values[str(slot)] = _with(chosen, key, value)
        else:
            raise _no_such(shown, group)
    return Recipe(model=model, schedulers=schedulers, visualizers=visualizers, metrics=metrics, **values)


def _model(base: Recipe | None, named: Named) -> Part:
    if named.model is None:
        if base is None:
            raise UsageError("run: MODEL must be named, got none.", "Try `genzoo run vae`; see `genzoo list model`.")
        return base.model
    if base is not None and base.model.name == named.model:
        return base.model
    return Part(name=named.model)


def _named_schedulers(base: Recipe | None, named: Sequence[str], host: Host) -> dict[str, list[Part]] | None:
    asked: dict[str, list[Part]] = {}
    for word in named:
        slot, equals, name = word.partition("=")
        if not equals:
            name = slot
            kind: type[Scheduler] = host.get(Kind.SCHEDULER, name).load()
            slot = kind.default_slot
        if not slot or not name:
            raise UsageError(f"run: --scheduler must be NAME or SLOT=NAME, got {word!r}.")
        asked.setdefault(slot, []).append(Part(name=name))
    before = base.schedulers if base else None
    return {**(before or {}), **asked} if before is not None or asked else None


def _keyed(before: Mapping[str, Part], named: Sequence[str], flag: str) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    for word in named:
        key, equals, name = word.partition("=")
        part = Part(name=name if equals else key)
        key = key if equals else bare_name(key)
        if not key or not part.name:
            raise UsageError(f"run: --{flag} must be NAME or KEY=NAME, got {word!r}.")
        if key in parts:
            raise UsageError(
                f"run: --{flag} {key} must be given once, got it twice.",
                f"Name one of them: --{flag} other={part.name}.",
            )
        parts[key] = part
    return {**before, **parts}


def _scheduler_option(
    schedulers: dict[str, list[Part]] | None,
    companion: Companion | None,
    path: tuple[str, ...],
    value: str,
    shown: str,
) -> dict[str, list[Part]]:
    """Options of ``--scheduler.OPTION``, ``--scheduler.SLOT.OPTION`` or ``--scheduler.SLOT.NAME.OPTION``."""
    option = path[-1]
    all_slots = {slot: [part] for slot, part in default_schedulers(companion).items()} | (schedulers or {})
    pool = schedulers or all_slots
    if len(path) == 2:
        if sum(map(len, pool.values())) != 1:
            names = ", ".join(f"{slot}={part.name}" for slot, parts in pool.items() for part in parts)
            raise UsageError(
                f"run: {shown} must say which scheduler it means, since there are several ({names}).",
                f"Write --scheduler.{next(iter(pool))}.{option} {value}.",
            )
        slot = next(iter(pool))
    else:
        slot = path[1]
        if slot not in all_slots:
            raise UsageError(
                f"run: {shown} names the slot {slot!r}, which has no scheduler; there are {', '.join(all_slots)}.",
                f"Add --scheduler {slot}=NAME.",
            )
    parts = all_slots[slot]
    wanted = path[2] if len(path) > 3 else None
    chosen = [i for i, part in enumerate(parts) if wanted in (None, part.name)]
    if len(chosen) != 1:
        raise UsageError(
            f"run: {shown} must name one of the schedulers of {slot}: {', '.join(part.name for part in parts)}.",
            f"Write --scheduler.{slot}.{parts[0].name}.{option} {value}.",
        )
    changed = [_with(part, option, value) if i == chosen[0] else part for i, part in enumerate(parts)]
    return {**(schedulers or {}), slot: changed}


def _keyed_option(parts: dict[str, Part], flag: str, key: str, option: str, value: str, shown: str) -> None:
    if key not in parts:
        raise UsageError(
            f"run: {shown} belongs to --{flag} {key}, which is not asked for.", f"Add --{flag} {key}, or leave it out."
        )
    parts[key] = _with(parts[key], option, value)


def data_options(dotted: Sequence[Dotted], command: str) -> tuple[dict[str, str], list[Dotted]]:
    """The options that point a run at its data, as ``--data.path FILE``, by name; and the other dotted flags.

    Raises:
        UsageError: If one is of another form.
    """
    found: dict[str, str] = {}
    rest: list[Dotted] = []
    for path, value in dotted:
        if _slot_of(path[0]) != Kind.DATASET:
            rest.append((path, value))
        elif len(path) != 2:
            raise UsageError(f"{command}: --{'.'.join(path)} must be --data.OPTION, with one option.")
        else:
            found[path[1]] = value
    return found, rest


def _with(part: Part, option: str, value: str) -> Part:
    return Part(name=part.name, options={**part.options, option.replace("-", "_"): value})


def _slot_of(group: str) -> str | None:
    return next((slot for slot, flag in FLAG_OF.items() if group in {flag, str(slot)}), None)


def _no_such(shown: str, group: str) -> UsageError:
    groups = ["model", *FLAG_OF.values(), "scheduler", "viz", "metric"]
    near = difflib.get_close_matches(group, groups, 1)
    guess = f"Did you mean --{near[0]}?" if near else f"Dotted flags begin with {', '.join(groups)}."
    return UsageError(f"run: there is no option {shown}.", guess)


def _bounds(field: FieldInfo) -> list[tuple[str, Any]]:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found: list[tuple[str, Any]] = []
    for rule in field.metadata:
        found += [(sign, getattr(rule, name)) for name, sign in signs.items() if getattr(rule, name, None) is not None]
    return found
