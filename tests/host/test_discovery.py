"""The host finds real distributions, one by one, and a faulty one takes nothing else with it."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from genzoo.declare import Component
from genzoo.errors import CorruptError, GenzooError, PluginError, UsageError
from genzoo.hookspecs import COMPONENT_HOOKS
from genzoo.host import catalogue, origin
from genzoo.host.plugin_host import Host, Problem
from genzoo.options import NoOptions
from genzoo.types import Kind


@pytest.fixture(scope="module")
def path_of_faulty(faulty) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(faulty.folder))
        yield


@pytest.fixture(scope="module")
def host(faulty, path_of_faulty: None) -> Host:
    return Host(allow=faulty.distributions)


def problem(host: Host, distribution: str) -> Problem:
    found = [item for item in host.problems if item.distribution == distribution]
    assert len(found) == 1, found
    return found[0]


def test_components_are_sorted_and_attributed(host: Host) -> None:
    found = [(item.kind, item.name, item.distribution, item.version) for item in host.components()]
    assert found == [
        (Kind.MODEL, "derived", "good-zoo", "1.0"),
        (Kind.MODEL, "plain", "good-zoo", "1.0"),
        (Kind.SCHEDULER, "breaks", "good-zoo", "1.0"),
        (Kind.SCHEDULER, "late", "slow-zoo", "1.0"),
        (Kind.SCHEDULER, "plain", "good-zoo", "1.0"),
        (Kind.SCHEDULER, "ramp", "good-zoo", "1.0"),
        (Kind.SCHEDULER, "ramp", "twin-zoo", "2.5"),
    ]
    assert [item.name for item in host.components(Kind.MODEL)] == ["derived", "plain"]


@pytest.mark.parametrize(
    ("distribution", "kind", "cause"),
    [
        ("raises-zoo", "broken", "importing raises_zoo.plugin raised ValueError: no such thing, at plugin.py:4"),
        ("exits-zoo", "broken", "importing exits_zoo.plugin raised SystemExit: 9, at plugin.py:3"),
        ("signature-zoo", "broken", "colour"),
        ("hook-zoo", "broken", "its genzoo_losses raised ZeroDivisionError: division by zero, at plugin.py:5"),
        ("misspelt-zoo", "broken", "it implements genzoo_modles, which is no hook"),
        ("orphan-zoo", "broken", "model/orphan derives from 'no-such-base', which is not installed"),
        ("old-zoo", "incompatible", "model/ancient is written for plugin API 0.9"),
        ("slow-zoo", "slow", "importing slow_zoo.plugin took 0."),
        ("twin-zoo", "duplicate", "scheduler/ramp is claimed by good-zoo and twin-zoo"),
    ],
)
def test_each_fault_is_noted_with_its_cause(host: Host, distribution: str, kind: str, cause: str) -> None:
    found = problem(host, distribution)
    assert found.kind == kind
    assert cause in found.cause
    assert found.fix
    assert not found.fix.count("{")
    assert found.cause[-1] not in ".?"


def test_the_fix_speaks_to_authors_too(host: Host) -> None:
    assert problem(host, "raises-zoo").fix == (
        "If it is yours, mend that line; else update or remove the plugin: "
        "pip install --upgrade raises-zoo, or pip uninstall raises-zoo"
    )
    assert problem(host, "signature-zoo").fix.startswith("Update or remove the plugin: pip install")
    assert problem(host, "misspelt-zoo").fix == "Correct the name of the hook. Did you mean 'genzoo_models'?"


def test_declarations_under_the_wrong_hook_are_refused(host: Host) -> None:
    causes = [item.cause for item in host.problems if item.distribution == "wrong-kind-zoo"]
    assert len(causes) == 1
    assert causes[0].startswith("its genzoo_losses returned Component(")
    assert causes[0].endswith("which is no declaration for that hook, and 1 more")


def test_unreadable_metadata_is_noted_and_hides_no_other_plugin(
    faulty, path_of_faulty: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    type(faulty)(tmp_path).install("metadata-zoo", "", entry_points="[genzoo.plugins]\nno equals sign\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    host = Host(allow=["good-zoo"])
    assert host.get("model", "plain").distribution == "good-zoo"
    found = [item for item in host.problems if "metadata cannot be read" in item.cause]
    assert [item.distribution for item in found] == ["metadata_zoo-1.0.dist-info"]


def test_a_disallowed_plugin_is_never_imported(host: Host, faulty) -> None:
    assert problem(host, "banned-zoo").kind == "disallowed"
    assert not (faulty.folder / "banned-was-imported").exists()
    with pytest.raises(PluginError, match=r"banned-zoo 1\.0.*is disallowed: GENZOO_LOAD_PLUGINS does not list it"):
        host.get("scheduler", "banned-zoo:banned")


def test_the_allow_list_comes_from_the_environment(
    faulty, path_of_faulty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENZOO_LOAD_PLUGINS", "Good_Zoo, twin")
    assert {item.distribution for item in Host().components()} == {"good-zoo", "twin-zoo"}
    monkeypatch.setenv("GENZOO_LOAD_PLUGINS", "")
    assert Host().components() == []
    assert {item.status for item in Host().plugins} == {"disallowed"}
    with pytest.raises(PluginError, match="No model is loaded: GENZOO_LOAD_PLUGINS keeps out"):
        Host().get("model", "nothing-like-it")
    with pytest.raises(PluginError, match=re.escape(origin.everything())):
        Host([]).get("model", "nothing-like-it")


def test_one_warning_tells_of_the_broken_ones(faulty, path_of_faulty: None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "genzoo"):
        Host(allow=faulty.distributions)
    assert len(caplog.records) == 1
    assert "See `genzoo doctor`" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "genzoo"):
        Host([], allow=[])
    assert not caplog.records


def test_import_time_is_recorded(host: Host) -> None:
    seconds = {plugin.distribution: plugin.seconds for plugin in host.plugins}
    assert seconds["slow-zoo"] > 0.5 > seconds["good-zoo"] > 0
    assert seconds["banned-zoo"] == 0


def test_every_kind_has_its_hook_and_only_that_hook_declares_it(tmp_path: Path) -> None:
    assert set(COMPONENT_HOOKS) == set(Kind)


def test_a_derived_declaration_inherits_and_its_own_values_win(host: Host) -> None:
    derived = host.get("model", "derived").component
    assert derived.target == "good_zoo.code:Code"
    assert derived.options == "good_zoo.options:PlainOptions"
    assert derived.companions == {"loss": ("elbo", {"beta": 4}), "prior": "flow"}
    assert derived.defaults == {"width": 8, "latent-dim": 3}
    assert derived.paper == "A. Nobody 2020"
    options = host.get("model", "derived").make_options({"width": 5})
    assert options.model_dump() == {"latent_dim": 3, "width": 5, "style": "thin", "sizes": (1, 2)}


def test_a_name_claimed_twice_is_resolved_by_its_distribution(host: Host) -> None:
    with pytest.raises(UsageError, match="claimed by good-zoo and twin-zoo") as caught:
        host.get("scheduler", "ramp")
    assert caught.value.hint == "Say good-zoo:ramp or twin-zoo:ramp."
    assert host.get("scheduler", "twin-zoo:ramp").version == "2.5"
    assert host.get(Kind.SCHEDULER, "scheduler/Good_Zoo:ramp").distribution == "good-zoo"


def test_a_word_that_means_two_kinds_must_say_which(host: Host) -> None:
    assert [item.kind for item in host.find("plain")] == [Kind.MODEL, Kind.SCHEDULER]
    with pytest.raises(UsageError, match="name of a model and of a scheduler") as caught:
        host.one("plain")
    assert caught.value.hint == "Say model/plain or scheduler/plain."
    assert host.one("scheduler/plain").kind == Kind.SCHEDULER
    assert host.find("model/nothing") == []


def test_an_unknown_name_gives_the_choices_and_the_nearest(host: Host) -> None:
    with pytest.raises(PluginError) as caught:
        host.get("model", "plian")
    assert caught.value.message == "There is no model 'plian'. Did you mean 'plain'?"
    assert "There are: derived, plain." in caught.value.hint
    with pytest.raises(UsageError, match="kind must be one of"):
        host.get("animal", "plain")


def test_a_catalogued_but_absent_plugin_gives_its_install_line(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "registry.toml"
    entry = 'kind = "model"\nname = "far"\ndistribution = "{0}"\nsource = "{0}"\nsummary = "s"\nlicence = "MIT"\n'
    text = "".join(
        f'[[plugin]]\n{entry.format(name)}tier = "community"\n'.replace('"far"', f'"{word}"')
        for name, word in (("far-zoo", "far"), ("raises-zoo", "shaky"))
    )
    file.write_text(f"schema = 1\n{text}", encoding="utf-8")
    monkeypatch.setattr(catalogue, "path", lambda: file)
    catalogue.catalogue.cache_clear()
    try:
        with pytest.raises(PluginError, match=r"model 'far' is not installed\. Install it: pip install far-zoo"):
            host.get("model", "far")
        with pytest.raises(PluginError, match=r"raises-zoo 1\.0\) is broken: .*ValueError: no such thing"):
            host.get("model", "shaky")
        with pytest.raises(PluginError, match="Did you mean 'far'"):
            host.get("model", "farr")
    finally:
        catalogue.catalogue.cache_clear()


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("raises-zoo:any", "ValueError: no such thing"),
        ("exits", "SystemExit: 9"),
        ("ancient", "plugin API 0.9"),
        ("orphan", "which is not installed"),
    ],
)
def test_a_broken_plugin_fails_where_it_is_asked_for(host: Host, name: str, cause: str) -> None:
    with pytest.raises(PluginError, match="cannot be loaded") as caught:
        host.get("model", name)
    assert cause in caught.value.message
    assert "1.0" in caught.value.message
    assert caught.value.hint


def test_code_that_exits_at_import_is_a_plugin_error(host: Host) -> None:
    broken = host.get("scheduler", "breaks")
    for use in (broken.load, broken.options_class, lambda: broken.make_options({})):
        with pytest.raises(PluginError, match=r"good-zoo 1\.0.*SystemExit: no licence key") as caught:
            use()
        assert "pip" in caught.value.hint


def test_code_is_loaded(host: Host) -> None:
    assert host.get("scheduler", "plain").load().__name__ == "Code"
    assert host.get("scheduler", "plain").options_class() is NoOptions


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"latent_dim": 0}, "latent-dim must be greater than or equal to 1, got 0."),
        ({"latent-dim": "many"}, "latent-dim must be a valid integer"),
        ({"latent_dims": 2}, "there is no option 'latent-dims'. Did you mean 'latent-dim'?"),
        ({"style": "round"}, "style must be 'thin' or 'thick', got 'round'."),
        ({"style": "thick", "width": 2}, "a thick style needs a width of at least 4."),
        ({"sizes": [1, "x"]}, "sizes.1 must be a valid integer"),
    ],
)
def test_a_refused_option_is_named_with_its_rule_and_value(host: Host, values: dict, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        host.get("model", "plain").make_options(values)
    assert caught.value.message.startswith("model plain (good-zoo 1.0): ")
    assert says in caught.value.message
    assert "genzoo info model/plain" in caught.value.hint


def test_defaults_that_the_declaration_gets_wrong_are_the_plugins_fault(host: Host) -> None:
    from dataclasses import replace

    plain = host.get("model", "plain")
    wrong = replace(
        plain, component=Component("model", "plain", "a.b:C", plain.component.options, defaults={"width": -1})
    )
    with pytest.raises(PluginError, match="own defaults are refused: width must be greater than 0, got -1"):
        wrong.make_options({"latent_dim": 2})


def test_resources_are_found_and_verified(host: Host) -> None:
    assert [item.name for item in host.resources("recipe")] == ["gone", "outside", "quick", "spoilt"]
    assert host.resource("recipe", "good-zoo:quick").path.read_text(encoding="utf-8").startswith("summary")
    with pytest.raises(CorruptError, match="SHA-256"):
        _ = host.resource("recipe", "spoilt").path
    for name in ("gone", "outside"):
        with pytest.raises(PluginError):
            _ = host.resource("recipe", name).path
    with pytest.raises(PluginError, match="Did you mean 'quick'"):
        host.resource("recipe", "quik")
    with pytest.raises(GenzooError, match="kind must be one of"):
        host.resource("model", "quick")


def test_a_tracker_that_gives_up_stops_neither_the_run_nor_the_others(host: Host, tmp_path: Path) -> None:
    problems = host.call_lifecycle("genzoo_run_start", folder=tmp_path, record={"status": "running"})
    assert (tmp_path / "started.txt").read_text(encoding="utf-8") == "running"
    assert [(item.distribution, item.cause) for item in problems] == [
        ("tracker-zoo", "its genzoo_run_start raised SystemExit: the tracker gave up")
    ]
    assert host.call_lifecycle("genzoo_epoch_end", folder=tmp_path, row={}) == []
    with pytest.raises(UsageError, match="name must be one of"):
        host.call_lifecycle("genzoo_models")


def test_the_host_is_found_where_scripts_look_for_it() -> None:
    code = "from genzoo.host import host; from genzoo.host.plugin_host import host as same; print(host() is same())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, encoding="utf-8")
    assert done.stdout == "True\n", done.stderr
