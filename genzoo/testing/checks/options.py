"""Checks of options: described, bounded, strict, round-tripping, and none that changes nothing."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from genzoo.errors import GenzooError, UsageError
from genzoo.testing.building import difference
from genzoo.testing.checking import EVERY_KIND, CheckFailure, check, expect
from genzoo.testing.subject import Subject


def _has_options(subject: Subject) -> str | None:
    return None if subject.options_class.model_fields else "it has no options"


def _bounds(field: FieldInfo) -> dict[str, float]:
    found: dict[str, float] = {}
    for item in field.metadata:
        for name in ("ge", "gt", "le", "lt", "multiple_of"):
            value = getattr(item, name, None)
            if value is not None:
                found[name] = value
    return found


def _types(field: FieldInfo) -> tuple[Any, ...]:
    annotation: Any = field.annotation
    return get_args(annotation) if get_origin(annotation) in {Union, types.UnionType} else (annotation,)


def _numeric(field: FieldInfo) -> bool:
    return any(item in (int, float) for item in _types(field))


@check(
    "options-described",
    *EVERY_KIND,
    why="The description is the flag's help, and the default what a user gets who says nothing.",
    mend="Write every option as Field(default, description=...).",
    applies=_has_options,
)
def options_described(subject: Subject) -> None:
    """Every option has a default and a description."""
    for name, field in subject.options_class.model_fields.items():
        expect(not field.is_required(), f"a default of {name}", "none")
        expect((field.description or "").strip(), f"a description of {name}", "none")


@check(
    "options-bounded",
    *EVERY_KIND,
    why="A number out of range should be refused by its flag's name, not fail in the middle of a run.",
    mend="Give every number a least or greatest value: Field(..., ge=0).",
    applies=lambda subject: (
        None if any(map(_numeric, subject.options_class.model_fields.values())) else "it has no numeric options"
    ),
)
def options_bounded(subject: Subject) -> None:
    """Every numeric option has a bound."""
    for name, field in subject.options_class.model_fields.items():
        if _numeric(field) and not any(isinstance(item, bool) for item in _types(field)):
            expect(_bounds(field) or _nested_bounds(field), f"a bound of {name}", "none")


def _nested_bounds(field: FieldInfo) -> bool:
    return any(get_origin(item) is not None or hasattr(item, "__metadata__") for item in _types(field))


@check(
    "options-forbid-unknown",
    *EVERY_KIND,
    why="A mistyped option that passes silently is a run with another setting than the user believes.",
    mend='Leave extra="forbid" of genzoo.options.Options in place.',
)
def options_forbid_unknown(subject: Subject) -> None:
    """An unknown option is refused, by its name."""
    try:
        subject.plugin.make_options({"no_such_option": 1})
    except UsageError as error:
        expect("no-such-option" in str(error) or "no_such_option" in str(error), "the option's name", str(error))
        return
    raise CheckFailure("an unknown option to be refused", "it was accepted")


@check(
    "options-round-trip",
    *EVERY_KIND,
    why="Recipes, run records and resume store options as text and read them back.",
    mend="Use types that JSON can hold, and validators that accept their own output.",
    applies=_has_options,
)
def options_round_trip(subject: Subject) -> None:
    """Options written as JSON and read back are the same."""
    for options in (subject.plugin.make_options({}), subject.options()):
        again = subject.options_class.model_validate_json(options.model_dump_json())
        expect(again == options, repr(options), repr(again))


@check(
    "options-refuse-out-of-range",
    *EVERY_KIND,
    why="A refusal that does not name the option leaves the user to guess among all of them.",
    mend="Let the field's own bounds refuse it; a validator that raises should name the option.",
    applies=lambda subject: (
        None if any(map(_bounds, subject.options_class.model_fields.values())) else "it has no bounded options"
    ),
)
def options_refuse_out_of_range(subject: Subject) -> None:
    """A value beyond an option's bounds is refused, by the option's name."""
    for name, field in subject.options_class.model_fields.items():
        for rule, bound in _bounds(field).items():
            if rule == "multiple_of":
                continue
            value = bound + {"ge": -1, "gt": 0, "le": 1, "lt": 0}[rule]
            try:
                subject.plugin.make_options({name: value})
            except UsageError as error:
                named = name in str(error) or name.replace("_", "-") in str(error)
                expect(named, f"the name {name} in the refusal of {value}", str(error))
                continue
            raise CheckFailure(f"{name}={value} to be refused", "it was accepted")


@check(
    "options-take-effect",
    *EVERY_KIND,
    why="An option that changes nothing, such as a β that no term reads, makes experiments that compare nothing.",
    mend="Use the option, or remove it. If it acts only beside another, say so in the options' `acts_with`; if it changes "
    "no result by its nature, give the reason in `without_effect`.",
    applies=_has_options,
)
def options_take_effect(subject: Subject) -> None:
    """Every option changes what the component does."""
    model = subject.options_class
    fields = model.model_fields
    unknown = [name for name in (*model.acts_with, *model.without_effect) if name not in fields]
    expect(not unknown, "`acts_with` and `without_effect` to name options that exist", ", ".join(unknown))
    for name, field in fields.items():
        beside = model.acts_with.get(name, {})
        plain = _plain(subject, beside)
        now = getattr(subject.options(**beside), name)
        tried = [value for value in alternatives(field, now) if _accepted(subject, {**beside, name: value})]
        moved = next((value for value in tried if _changes(subject, {**beside, name: value}, plain)), None)
        if name in model.without_effect:
            expect(moved is None, f"no change by {name}, as declared", f"{name}={moved!r} changes the result")
        elif tried:
            seen = f"the same result for {', '.join(map(repr, (now, *tried)))}"
            expect(moved is not None, f"another result for another {name}", seen)
            if isinstance(now, tuple):
                _every_item(subject, name, field, now, beside)


def _every_item(subject: Subject, name: str, field: FieldInfo, now: tuple[Any, ...], beside: dict[str, Any]) -> None:
    """Of an option that is a tuple, each item alone changes the result; of any length, of three unequal items."""
    if not all(isinstance(item, (int, float)) and not isinstance(item, bool) for item in now) or not now:
        return
    longer = tuple(item + place for place, item in enumerate((now * 3)[:3]))
    for base in (longer, now) if any(Ellipsis in get_args(item) for item in _types(field)) else (now,):
        if len(base) < 2 or not _accepted(subject, {**beside, name: base}):
            continue
        try:
            plain = subject.exercise(subject.options(**{**beside, name: base}))
        except (GenzooError, CheckFailure):
            continue
        for place in range(len(base)):
            other = (*base[:place], _shifted(base[place]), *base[place + 1 :])
            if _accepted(subject, {**beside, name: other}):
                changes = _changes(subject, {**beside, name: other}, plain)
                expect(
                    changes,
                    f"another result where item {place + 1} of {name} alone is another",
                    f"the same for {other}",
                )
        return


def _accepted(subject: Subject, values: dict[str, Any]) -> bool:
    try:
        subject.options(**values)
    except GenzooError:
        return False
    return True


def _plain(subject: Subject, beside: dict[str, Any]) -> dict[str, Any]:
    if not beside:
        return subject.trace
    try:
        return subject.exercise(subject.options(**beside))
    except GenzooError as error:
        return {"refused": str(error)}


def _changes(subject: Subject, values: dict[str, Any], plain: dict[str, Any]) -> bool:
    try:
        return difference(plain, subject.exercise(subject.options(**values))) is not None
    except GenzooError:
        return True  # a refusal reads the option too
    except CheckFailure:
        return True


def alternatives(field: FieldInfo, now: Any) -> list[Any]:
    """Other values that a field may accept, likely ones first; empty for free text, which only its plugin understands."""
    found: list[Any] = []
    for annotation in _types(field):
        found += _of_type(annotation, field, now)
    unique: list[Any] = []
    for value in found:
        if value != now and not any(type(value) is type(item) and value == item for item in unique):
            unique.append(value)
    return unique[:6]


def _of_type(annotation: Any, field: FieldInfo, now: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if hasattr(annotation, "__metadata__"):
        yield from _of_type(get_args(annotation)[0], field, now)
    elif annotation is type(None):
        yield None
    elif origin is Literal:
        yield from get_args(annotation)
    elif annotation is bool:
        yield not now
    elif annotation in (int, float):
        bounds = _bounds(field)
        near = now if isinstance(now, (int, float)) else bounds.get("ge", bounds.get("gt", 1))
        for value in (2 * near, near / 2, near + 1, near - 1, near / 4, 0, 1, *bounds.values()):
            yield annotation(value)
    elif origin is tuple and isinstance(now, tuple) and now:
        yield tuple(_shifted(item) for item in now)
        yield now[:-1] or (*now, *now)


def _shifted(item: Any) -> Any:
    return not item if isinstance(item, bool) else item + 1 if isinstance(item, (int, float)) else item
