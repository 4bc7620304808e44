"""What installed distributions require, against what is installed. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from genzoo.host import origin
from genzoo.host.discovery import Problem, normal

_LOWEST = frozenset({">=", ">", "~=", "==", "==="})
_TOGETHER = ("torch", "torchvision")
"""Distributions of which one release fits one release of the other: they are installed by one command."""


def unmet(names: Iterable[str], find: Callable[[str], Distribution] = distribution) -> list[Problem]:
    """What is missing, or installed at a version that something refuses, of all that these distributions require.

    Args:
        names: Installed distributions; what they require is followed to the end.
        find: The distribution of a name; raises PackageNotFoundError where it is not installed.

    Returns:
        One problem for each requirement that is not met, of the kind ``missing`` or ``unfit``, in the name of what is
        required.
    """
    queue = list(dict.fromkeys(map(normal, names)))
    wanted: dict[str, dict[str, SpecifierSet]] = {}
    found: dict[str, str | None] = {}
    for name in queue:  # which grows meanwhile
        try:
            owner = find(name)
        except PackageNotFoundError:
            continue
        for requirement in _requirements(owner):
            required = normal(requirement.name)
            wanted.setdefault(required, {})[f"{owner.name} {owner.version}"] = requirement.specifier
            if required not in queue:
                queue.append(required)
    for required in wanted:
        try:
            found[required] = find(required).version
        except PackageNotFoundError:
            found[required] = None
    problems = [_problem(required, found[required], asked) for required, asked in wanted.items()]
    return [problem for problem in problems if problem is not None]


def _problem(required: str, version: str | None, asked: dict[str, SpecifierSet]) -> Problem | None:
    refusing = {who: bounds for who, bounds in asked.items() if version is None or not _fits(version, bounds)}
    if not refusing:
        return None
    bounds = SpecifierSet(",".join(sorted({str(each) for each in refusing.values() if str(each)})))
    who = list(refusing)
    many = f"{who[0]} and {len(who) - 1} more require" if len(who) > 1 else f"{who[0]} requires"
    there = "it is not installed" if version is None else f"{required} {version} is installed"
    kind = "missing" if version is None else "unfit"
    fix = _fix(required, version, refusing, bounds)
    return Problem("", required, version or "", f"{many} {required}{bounds}, and {there}", kind, fix)


def _fix(required: str, version: str | None, refusing: dict[str, SpecifierSet], bounds: SpecifierSet) -> str:
    if version is None:
        return f"Install it: {origin.install(f'{required}{bounds}')}"
    if required in _TOGETHER:
        return f"Install it: pip install --upgrade {' '.join(_TOGETHER)}"
    if required == "genzoo":
        lowest = SpecifierSet(",".join(str(each) for each in bounds if each.operator in _LOWEST))
        names = [who.partition(" ")[0] for who in refusing]
        line = origin.upgrade(*names) if _fits(version, lowest) else origin.everything(newer=True)
        return f"Install versions that match: {line}"
    if origin.is_official(required):
        return f"Install versions that match: {origin.upgrade(required)}"
    return f"Install it: {origin.install(f'{required}{bounds}')}"


def _fits(version: str, bounds: SpecifierSet) -> bool:
    try:
        return bounds.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True  # Nothing can be said of it.


def _requirements(owner: Distribution) -> list[Requirement]:
    """What a distribution requires on this machine without any of its extras."""
    found: list[Requirement] = []
    for line in owner.requires or []:
        try:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                found.append(requirement)
        except InvalidRequirement:
            continue
    return found
