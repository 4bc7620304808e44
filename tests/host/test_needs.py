"""What is missing is named at once, with one command that installs all of it."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint, PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from genzoo.compose.plan import plan
from genzoo.errors import MissingPluginError, PluginError
from genzoo.host import origin
from genzoo.host.needs import unmet
from genzoo.host.plugin_host import Host, host
from genzoo.recipe import Part, Recipe
from genzoo.testing import check_component
from genzoo.types import Kind


class Fake:
    """An installed distribution."""

    def __init__(self, name: str, version: str, *requires: str) -> None:
        self.name, self.version, self.requires = name, version, list(requires)


def told(*installed: Fake, of: tuple[str, ...] = ("genzoo",)) -> list[tuple[str, str, str, str]]:
    there = {one.name: one for one in installed}

    def find(name: str) -> Any:
        if name not in there:
            raise PackageNotFoundError(name)
        return there[name]

    return [(item.kind, item.distribution, item.cause, item.fix) for item in unmet(of, find)]


def test_what_is_met_is_not_told() -> None:
    assert told(Fake("genzoo", "1", "torch>=2.10", "tomli; python_version < '3'"), Fake("torch", "2.11.0+cpu")) == []
    assert told(Fake("genzoo", "1", 'umap-learn; extra == "umap"', "not a requirement ==")) == []
    assert told(Fake("genzoo", "1", "x"), Fake("x", "a version of nobody")) == []
    assert told(of=("not-installed",)) == []


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        (
            [Fake("genzoo", "1", "torch>=2.10")],
            (
                "missing",
                "torch",
                "genzoo 1 requires torch>=2.10, and it is not installed",
                'Install it: pip install "torch>=2.10"',
            ),
        ),
        (
            [Fake("genzoo", "1", "Tomli_W")],
            (
                "missing",
                "tomli-w",
                "genzoo 1 requires tomli-w, and it is not installed",
                "Install it: pip install tomli-w",
            ),
        ),
        (
            [Fake("genzoo", "1", "numpy>=1.26"), Fake("numpy", "1.20")],
            (
                "unfit",
                "numpy",
                "genzoo 1 requires numpy>=1.26, and numpy 1.20 is installed",
                'Install it: pip install "numpy>=1.26"',
            ),
        ),
        (
            [
                Fake("genzoo", "1", "torch", "torchvision"),
                Fake("torch", "2.11.0+cpu"),
                Fake("torchvision", "0.20", "torch==2.5.0"),
            ],
            (
                "unfit",
                "torch",
                "torchvision 0.20 requires torch==2.5.0, and torch 2.11.0+cpu is installed",
                "Install it: pip install --upgrade torch torchvision",
            ),
        ),
        (
            [Fake("genzoo", "1", "a"), Fake("a", "1", "b"), Fake("b", "1", "c<2", "a"), Fake("c", "2")],
            ("unfit", "c", "b 1 requires c<2, and c 2 is installed", 'Install it: pip install "c<2"'),
        ),
    ],
    ids=[
        "torch missing",
        "a name of another spelling",
        "too old",
        "torch and torchvision",
        "required by what is required",
    ],
)
def test_what_is_missing_or_unfit_is_told(installed: list[Fake], expected: tuple[str, str, str, str]) -> None:
    assert told(*installed) == [expected]


def test_a_plugin_for_another_core_and_many_that_require_the_same() -> None:
    core = Fake("genzoo", "0.9", "torch>=2")
    plugins = [Fake(f"p{n}", "1", "torch>=2.1", "genzoo>=0.1,<0.5") for n in range(2)]
    assert told(core, *plugins, Fake("p2", "1", "torch>=2.1"), of=("genzoo", "p0", "p1", "p2")) == [
        (
            "missing",
            "torch",
            "genzoo 0.9 and 3 more require torch>=2,>=2.1, and it is not installed",
            'Install it: pip install "torch>=2,>=2.1"',
        ),
        (
            "unfit",
            "genzoo",
            "p0 1 and 1 more require genzoo<0.5,>=0.1, and genzoo 0.9 is installed",
            "Install versions that match: pip install --upgrade p0 p1",
        ),
    ]


@pytest.mark.parametrize(
    ("core", "plugin", "asks", "line"),
    [
        ("0.2.0", "genzoo-vae", "genzoo>=0.1,<0.2", origin.upgrade("genzoo-vae")),
        ("0.1.0", "genzoo-vae", "genzoo>=0.2,<0.3", origin.everything(newer=True)),
        ("0.2.0", "far-zoo", "genzoo>=0.1,<0.2", "pip install --upgrade far-zoo"),
        ("0.1.0", "far-zoo", "genzoo>=0.2,<0.3", origin.everything(newer=True)),
    ],
    ids=["old plugin on new core", "new plugin on old core", "somebody else's old", "somebody else's new"],
)
def test_a_core_and_a_plugin_of_other_versions_are_told_with_the_line_that_fixes_it(
    core: str, plugin: str, asks: str, line: str
) -> None:
    ((kind, name, cause, fix),) = told(Fake("genzoo", core), Fake(plugin, "1", asks), of=("genzoo", plugin))
    assert (kind, name) == ("unfit", "genzoo")
    assert cause.startswith(f"{plugin} 1 requires genzoo")
    assert cause.endswith(f"and genzoo {core} is installed")
    assert fix == f"Install versions that match: {line}"


def test_an_official_plugin_that_another_one_refuses_comes_from_where_the_core_comes_from() -> None:
    installed = (Fake("genzoo", "1"), Fake("genzoo-beta-vae", "1", "genzoo-vae>=1"), Fake("genzoo-vae", "0.9"))
    ((kind, name, _, fix),) = told(*installed, of=("genzoo", "genzoo-beta-vae"))
    assert (kind, name) == ("unfit", "genzoo-vae")
    assert fix == f"Install versions that match: {origin.upgrade('genzoo-vae')}"


def only(*distributions: str) -> Host:
    """The host with these official distributions alone installed."""
    from genzoo.host.discovery import Discovery, entry_points_of
    from genzoo.host.guard import Guard
    from genzoo.host.plugin_host import GROUP

    points: list[EntryPoint] = entry_points_of(GROUP, Discovery(Guard()))
    return Host([point for point in points if point.dist is not None and point.dist.name in distributions])


EVERYTHING = [
    "genzoo-mnist",
    "genzoo-networks",
    "genzoo-likelihoods",
    "genzoo-priors",
    "genzoo-losses",
    "genzoo-schedulers",
]


def test_a_run_names_all_that_it_lacks_and_one_command() -> None:
    with pytest.raises(MissingPluginError) as caught:
        plan(Recipe(model=Part(name="vae"), visualizers={"t": Part(name="traversal")}), only("genzoo-vae"))
    assert caught.value.message == (
        "What is needed is not installed: dataset mnist, network conv, likelihood bernoulli, prior standard-normal, "
        "loss elbo, scheduler linear-warmup, visualizer traversal."
    )
    assert caught.value.hint == f"Install them: {origin.install(*EVERYTHING, 'genzoo-visualizers')}"
    assert caught.value.exit_code == 3


def test_with_nothing_installed_one_command_is_enough() -> None:
    with pytest.raises(MissingPluginError) as caught:
        plan(Recipe(model=Part(name="vae")), only())
    assert caught.value.hint == f"Install them: {origin.install('genzoo-vae', *EVERYTHING)}"


def test_one_that_is_missing_is_told_as_before() -> None:
    with pytest.raises(MissingPluginError) as caught:
        plan(Recipe(model=Part(name="vae")), only("genzoo-vae", *EVERYTHING[:3], *EVERYTHING[4:]))
    line = origin.install("genzoo-priors")
    assert str(caught.value) == f"prior 'standard-normal' is not installed. Install it: {line}"


def test_a_derived_model_without_its_base_names_its_companions_too() -> None:
    bare = only("genzoo-beta-vae")
    with pytest.raises(MissingPluginError, match="model/beta-vae derives from 'vae', which is not installed") as caught:
        bare.get("model", "beta-vae")
    assert caught.value.hint == f"Install them: {origin.install('genzoo-vae', 'genzoo-losses')}"
    with pytest.raises(MissingPluginError) as caught:
        plan(Recipe(model=Part(name="beta-vae")), bare)
    assert caught.value.hint.startswith(
        f"Install them: {origin.install('genzoo-vae', 'genzoo-losses', 'genzoo-mnist')}"
    )
    with pytest.raises(MissingPluginError) as caught:
        only("genzoo-beta-vae", "genzoo-losses").get("model", "beta-vae")
    assert caught.value.hint == f"Install it: {origin.install('genzoo-vae')}"


def test_what_nobody_knows_or_is_broken_is_told_first() -> None:
    with pytest.raises(PluginError, match="There is no prior 'nobodys'"):
        plan(Recipe(model=Part(name="vae"), prior=Part(name="nobodys")), only("genzoo-vae"))


@pytest.mark.parametrize("name", ["vq-vae", "beta-vae", "ladder-vae"])
def test_check_fails_where_a_companion_is_missing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    item = host().get(Kind.MODEL, name)
    wanted = {kind: value if isinstance(value, str) else value[0] for kind, value in item.component.companions.items()}
    bare = only("genzoo-vae", item.distribution)
    absent = [f"{kind} {one}" for kind, one in wanted.items() if not bare.find(f"{kind}/{one}")]
    monkeypatch.setattr("genzoo.testing.checks.every_kind.host", lambda: bare)
    report = check_component(item, only=["companions-installed"])
    assert report.ok is not bool(absent)
    for result in report.results:
        for one in absent:
            assert one.split()[1] in result.message
            assert "Install it: pip install -e " in result.message or "Install them: pip install -e " in result.message
    monkeypatch.undo()
    assert check_component(item, only=["companions-installed"]).ok


NO_TORCH = """
import importlib.metadata as m, sys
sys.modules["torch"] = None
class Hidden(m.DistributionFinder):
    pass
find = m.distribution
def distribution(name):
    if name.lower() in {"torch", "torchvision"}:
        raise m.PackageNotFoundError(name)
    return find(name)
m.distribution = distribution
m.version = lambda name: distribution(name).version
from genzoo.cli import main
main()
"""


def test_without_torch_each_command_says_so_in_one_sentence(faulty: Any, tmp_path: Path) -> None:
    site = type(faulty)(tmp_path)
    official = (
        "genzoo-vae,genzoo-priors,genzoo-losses,genzoo-networks,genzoo-likelihoods,genzoo-mnist,genzoo-schedulers"
    )
    for words in (["run", "vae"], ["check", "model/vae"]):
        done = site.python("-c", NO_TORCH, *words, GENZOO_LOAD_PLUGINS=official)
        assert done.returncode == 3, done.stderr
        assert done.stderr.startswith("Error: genzoo needs torch>="), done.stderr
        assert "Install it: pip install 'torch>=" in done.stderr
    done = site.python("-c", NO_TORCH, "doctor", "--json", GENZOO_LOAD_PLUGINS="genzoo-vae")
    assert done.returncode == 3, done.stderr
    found = [item for item in json.loads(done.stdout)["problems"] if item["kind"] not in {"disallowed"}]
    assert {item["distribution"] for item in found if item["kind"] == "missing"} >= {"torch"}
    assert not [item for item in found if item["kind"] == "broken"], "it is no fault of the plugin"


def test_torchvision_that_does_not_fit_is_no_fault_of_a_plugin(faulty: Any, tmp_path: Path) -> None:
    site = type(faulty)(tmp_path)
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision/__init__.py").write_text(
        "import torch\nraise RuntimeError('operator torchvision::nms does not exist')\n".replace("\\\n", "\n"),
        encoding="utf-8",
    )
    (tmp_path / "torchvision-0.1.dist-info").mkdir()
    (tmp_path / "torchvision-0.1.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: torchvision\nVersion: 0.1\n", encoding="utf-8"
    )
    declared = 'Component("prior", "seer", "seer_zoo.code:C", api="1.0")'
    site.install(
        "seer-zoo",
        f"@hookimpl\ndef genzoo_priors():\n    return [{declared}]\n",
        code="import torchvision\nclass C: pass\n",
    )
    done = site.genzoo("doctor", "--json")
    assert done.returncode == 3, done.stderr
    found = [item for item in json.loads(done.stdout)["problems"] if item["kind"] not in {"disallowed"}]
    # Its version is refused too, by what requires a newer one.
    assert {(item["kind"], item["distribution"]) for item in found} == {("unfit", "torchvision")}
    found = [item for item in found if "do not fit together" in item["cause"]]
    assert len(found) == 1
    assert "torchvision 0.1 do not fit together: importing torchvision raised RuntimeError" in found[0]["cause"]
    assert found[0]["fix"].endswith("pip install --upgrade --force-reinstall torch torchvision")


def test_the_doctor_says_that_there_is_no_plugin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from genzoo.cli import execute

    monkeypatch.setattr("genzoo.cli.doctor.allowed_points", list)
    monkeypatch.setattr("genzoo.cli.doctor.Host", lambda without: Host([]))
    assert execute(["doctor", "--quick", "--json"]) == 3
    found = json.loads(capsys.readouterr().out)["problems"]
    assert [(item["kind"], item["cause"]) for item in found] == [("missing", "No plugin is installed")]
    assert found[0]["fix"] == f"Install the official ones: {origin.everything()}"
