"""Every hook of `genzoo.hookspecs` is called, with its documented arguments, on a plugin that implements it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from genzoo import hookspecs
from genzoo.declare import Component, Resource, hookimpl
from genzoo.host.plugin_host import Host
from genzoo.types import Kind

HOOKS = [name for name in vars(hookspecs) if name.startswith("genzoo_")]

ARGUMENTS: dict[str, dict[str, Any]] = {
    "genzoo_run_start": {"folder": Path("runs/x"), "record": {"seed": 0}},
    "genzoo_epoch_end": {"folder": Path("runs/x"), "row": {"epoch": 1}},
    "genzoo_run_end": {"folder": Path("runs/x"), "status": "finished", "figures": [Path("runs/x/figures/a.png")]},
}


@pytest.fixture
def plugin() -> Iterator[ModuleType]:
    """An empty declaration module, importable while the test runs."""
    module = ModuleType("genzoo_hook_probe")
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


def host() -> Host:
    return Host(entry_points=[EntryPoint("probe", "genzoo_hook_probe", "genzoo.plugins")], allow=["probe"])


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_of_a_known_sort(hook: str) -> None:
    sorts = [hook in hookspecs.COMPONENT_HOOKS.values(), hook == hookspecs.RESOURCE_HOOK, hook in ARGUMENTS]
    assert sum(sorts) == 1
    assert (hook in ARGUMENTS) == (hook in hookspecs.LIFECYCLE_HOOKS)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_component_hook_declares_its_kind(plugin: ModuleType, kind: Kind) -> None:
    def implementation() -> list[Component]:
        return [Component(kind, "probe", "genzoo_hook_probe:Probe")]

    implementation.__name__ = hookspecs.COMPONENT_HOOKS[kind]
    setattr(plugin, implementation.__name__, hookimpl(implementation))
    found = host()
    assert not found.problems
    assert [(item.kind, item.name) for item in found.components()] == [(kind, "probe")]


def test_the_resource_hook_declares_resources(plugin: ModuleType) -> None:
    def genzoo_resources() -> list[Resource]:
        return [Resource("recipe", "probe", "genzoo_hook_probe:probe.toml")]

    setattr(plugin, hookspecs.RESOURCE_HOOK, hookimpl(genzoo_resources))
    assert [(item.kind, item.name) for item in host().resources()] == [("recipe", "probe")]


@pytest.mark.parametrize("hook", hookspecs.LIFECYCLE_HOOKS)
def test_a_lifecycle_hook_is_called_with_its_documented_arguments(plugin: ModuleType, hook: str) -> None:
    calls: list[dict[str, Any]] = []
    parameters = list(inspect.signature(getattr(hookspecs, hook)).parameters)
    namespace: dict[str, Any] = {"calls": calls}
    arguments = ", ".join(parameters)
    record = ", ".join(f"{name}={name}" for name in parameters)
    exec(f"def {hook}({arguments}):\n    calls.append(dict({record}))", namespace)
    setattr(plugin, hook, hookimpl(namespace[hook]))
    assert host().call_lifecycle(hook, **ARGUMENTS[hook]) == []
    assert calls == [ARGUMENTS[hook]]


def test_a_function_named_like_a_hook_that_does_not_exist_is_noted(plugin: ModuleType) -> None:
    def genzoo_modles() -> list[Component]:
        return []

    plugin.genzoo_modles = hookimpl(genzoo_modles)  # type: ignore[attr-defined]
    assert any("genzoo_modles" in str(problem) for problem in host().problems)
