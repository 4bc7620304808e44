"""Declarations state the plugin API that they were written for, and are loaded under cores that have it alone."""

from __future__ import annotations

import ast
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from genzoo import declare
from genzoo.compose.plan import plan
from genzoo.declare import API_VERSION, Component
from genzoo.errors import PluginError
from genzoo.host import origin
from genzoo.host.plugin_host import Host
from genzoo.recipe import Part, Recipe

ROOT = Path(__file__).parents[2]
DECLARATIONS = sorted(
    [*ROOT.glob("plugins/*/src/*/plugin.py"), *ROOT.glob("docs/examples/*/src/*/plugin.py")],
    key=lambda path: path.parts,
)

STATED = {"unstated-zoo": "", "first-zoo": "1.0", "second-zoo": "1.1", "tenth-zoo": "1.10", "next-zoo": "2.0"}
CORES = {
    "1.0": {"unstated-zoo", "first-zoo"},
    "1.1": {"unstated-zoo", "first-zoo", "second-zoo"},
    "1.9": {"unstated-zoo", "first-zoo", "second-zoo"},
    "1.10": {"unstated-zoo", "first-zoo", "second-zoo", "tenth-zoo"},
    "2.0": {"next-zoo"},
    "2.3": {"next-zoo"},
    "0.9": set(),
}
"""Version of the core's plugin API → the distributions that are loaded."""


@pytest.fixture(scope="module")
def written(faulty: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    site = type(faulty)(tmp_path_factory.mktemp("written"))
    for number, (name, api) in enumerate(STATED.items()):
        says = f", api={api!r}" if api else ""
        site.install(
            name,
            f'@hookimpl\ndef genzoo_schedulers():\n    return [Component("scheduler", "s{number}", "a.b:C"{says})]\n',
        )
    return site


@pytest.mark.parametrize(("core", "loaded"), CORES.items(), ids=CORES.keys())
def test_a_core_loads_what_was_written_for_it_or_for_an_older_minor_one(
    written: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, core: str, loaded: set[str]
) -> None:
    monkeypatch.syspath_prepend(str(written.folder))
    monkeypatch.setattr(declare, "API_VERSION", core)
    host = Host(allow=written.distributions)
    assert {item.distribution for item in host.components()} == loaded
    refused = {item.distribution: item for item in host.problems if item.kind != "disallowed"}
    assert set(refused) == set(STATED) - loaded
    for name, problem in refused.items():
        stated = STATED[name] or "1.0"
        assert problem.kind == "incompatible"
        assert problem.cause.endswith(f"is written for plugin API {stated}, this genzoo has {core}")
        newer = tuple(map(int, stated.split("."))) > tuple(map(int, core.split(".")))
        line = origin.everything(newer=True) if newer else f"pip install --upgrade {name}"
        assert problem.fix == f"Install versions that match: {line}"
    assert len(caplog.records) == (1 if refused else 0)


@pytest.mark.parametrize("core", ["1.1", "1.27"])
def test_every_official_plugin_is_loaded_under_every_minor_version(
    core: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(declare, "API_VERSION", core)
    with caplog.at_level(logging.WARNING, "genzoo"):
        host = Host()
    assert not [item for item in host.problems if item.kind == "incompatible"]
    assert host.get("model", "vae").component.api == "1.0"


def test_under_the_next_major_version_none_is_and_a_run_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declare, "API_VERSION", "2.0")
    host = Host()
    assert host.components() == []
    with pytest.raises(
        PluginError, match=r"genzoo-vae .* is incompatible: model/vae is written for plugin API 1\.0"
    ) as caught:
        plan(Recipe(model=Part(name="vae")), host)
    assert caught.value.hint == f"Install versions that match: {origin.upgrade('genzoo-vae')}"


def test_a_missing_statement_counts_as_the_first_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declare, "API_VERSION", "7.3")
    assert Component("scheduler", "old", "a.b:C").api == "1.0"


@pytest.mark.parametrize("api", ["", "1", "1.0.0", "v1.0", "1.x", " 1.0", "newest"])
def test_a_statement_that_is_no_version_is_refused(api: str) -> None:
    with pytest.raises(PluginError, match=r'Component: api must be "major\.minor"'):
        Component("scheduler", "odd", "a.b:C", api=api)


@pytest.mark.parametrize("file", DECLARATIONS, ids=lambda path: path.parent.name)
def test_every_declaration_of_this_repository_states_its_version(file: Path) -> None:
    calls = [
        node
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Component"
    ]
    for call in calls:
        stated = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg == "api"}
        assert "api" in stated, f"line {call.lineno} states no plugin API"
        assert tuple(map(int, stated["api"].split("."))) <= tuple(map(int, API_VERSION.split(".")))


def test_the_scaffold_states_the_version_of_this_core() -> None:
    from genzoo.scaffold import render
    from genzoo.types import Kind

    for kind in Kind:
        assert f'api="{API_VERSION}"' in render(kind, "my-idea")["src/genzoo_my_idea/plugin.py"]


def test_a_run_records_the_versions_of_core_and_parts() -> None:
    from genzoo.runs.record import first_record

    record = first_record(plan(Recipe(model=Part(name="vae")), Host()), [])
    assert record["plugin_api"] == API_VERSION
    assert record["components"]["model"]["api"] == "1.0"
    assert record["components"]["loss"]["api"] == "1.0"
    json.dumps(record)
