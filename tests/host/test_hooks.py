"""Every hook is specified, documented with each of its arguments, and called with them by the host."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from genzoo import hookspecs
from genzoo.host.plugin_host import Host

HOOKS: dict[str, Callable[..., Any]] = {
    name: value for name, value in vars(hookspecs).items() if name.startswith("genzoo_") and callable(value)
}
COMPONENT = 'Component("{kind}", "seen", "a.b:C")'
LIFECYCLE: dict[str, dict[str, Any]] = {
    "genzoo_run_start": {"record": {"status": "running"}},
    "genzoo_epoch_end": {"row": {"epoch": 1}},
    "genzoo_run_end": {"status": "finished", "figures": []},
}


def test_the_tables_of_hooks_name_every_hook() -> None:
    named = {*hookspecs.COMPONENT_HOOKS.values(), hookspecs.RESOURCE_HOOK, *hookspecs.LIFECYCLE_HOOKS}
    assert named == set(HOOKS)
    assert set(LIFECYCLE) == set(hookspecs.LIFECYCLE_HOOKS)


@pytest.mark.parametrize("name", HOOKS)
def test_each_hook_is_documented_with_its_exact_arguments(name: str) -> None:
    text = inspect.getdoc(HOOKS[name]) or ""
    arguments = list(inspect.signature(HOOKS[name]).parameters)
    assert text
    described = [line.split(":")[0].strip() for line in text.partition("Args:")[2].splitlines() if ":" in line]
    assert described == arguments


@pytest.mark.parametrize("name", HOOKS)
def test_each_hook_of_a_plugin_is_called_with_its_arguments(
    faulty, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = type(faulty)(tmp_path)
    arguments = list(inspect.signature(HOOKS[name]).parameters)
    kinds = {hook: kind for kind, hook in hookspecs.COMPONENT_HOOKS.items()}
    result = f"[{COMPONENT.format(kind=kinds[name])}]" if name in kinds else "[]"
    package = site.install(
        f"hooked-{name.replace('_', '-')}-zoo",
        f"seen = []\n@hookimpl\ndef {name}({', '.join(arguments)}):\n"
        f"    seen.append(dict({', '.join(f'{a}={a}' for a in arguments)}))\n    return {result}\n",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    point = EntryPoint("hooked", f"{package}.plugin", "genzoo.plugins")
    host = Host([point], allow=["hooked"])
    assert host.problems == []
    given: dict[str, Any] = {}
    if name in LIFECYCLE:
        given = {"folder": tmp_path, **LIFECYCLE[name]}
        assert set(given) == set(arguments)
        assert host.call_lifecycle(name, **given) == []
    assert point.load().seen == [given]
    assert [(item.kind, item.name) for item in host.components()] == ([(kinds[name], "seen")] if name in kinds else [])
