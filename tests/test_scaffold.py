"""`genzoo new`: nine kinds of distribution that install and pass their checks, and what it refuses."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

from genzoo.cli.new import new
from genzoo.errors import UsageError
from genzoo.hookspecs import COMPONENT_HOOKS
from genzoo.host.installed import Installed
from genzoo.scaffold import LIKE, make, render
from genzoo.testing import check_component
from genzoo.types import Kind

LONGEST = 75
"""Lines of the module and its options: less than a page and a half, docstrings and all."""

COSTLY = {Kind.MODEL, Kind.LOSS, Kind.VISUALIZER}
"""Kinds whose checks take more than a few seconds."""


Form = tuple[Kind, str | None]

FORMS: list[Form] = [*((kind, None) for kind in Kind), *((Kind.MODEL, like) for like in list(LIKE)[1:])]
"""All that `genzoo new` can make."""

every_form = pytest.mark.parametrize(("kind", "like"), FORMS)


def called(kind: Kind, like: str | None) -> str:
    return f"{kind}-like-{like}" if like else str(kind)


def declared(folder: Path, kind: Kind, name: str, monkeypatch: pytest.MonkeyPatch) -> Installed:
    monkeypatch.syspath_prepend(folder / "src")
    module = import_module(f"genzoo_{name.replace('-', '_')}.plugin")
    (component,) = getattr(module, COMPONENT_HOOKS[kind])()
    return Installed(component, f"genzoo-{name}", "0.1.0", name)


@pytest.mark.parametrize(
    ("kind", "like"),
    # One like a gan names an objective that must be installed with it, as in the test of the command.
    [pytest.param(*form, marks=[pytest.mark.slow] * (form[0] in COSTLY)) for form in FORMS if form[1] != "gan"],
)
def test_a_new_plugin_passes_its_checks(
    kind: Kind, like: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"trial-{called(kind, like)}"
    plugin = declared(make(kind, name, tmp_path, like).folder, kind, name, monkeypatch)
    report = check_component(plugin, module=f"genzoo_{name.replace('-', '_')}.plugin")
    assert report.ok, [result.message for result in report.with_status("failed")] or report.summary


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which one plugin of each form is installed, called fresh-…."""
    out = tmp_path_factory.mktemp("fresh")
    folders = [make(kind, f"fresh-{called(kind, like)}", out, like).folder for kind, like in FORMS]
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps", "--target"]
    subprocess.run([*install, str(out / "site"), *map(str, folders)], check=True, capture_output=True)
    return out / "site"


def genzoo(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "genzoo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, encoding="utf-8")


@pytest.mark.slow
def test_new_plugins_install_and_pass_the_command(site: Path) -> None:
    names = [f"{kind}/fresh-{called(kind, like)}" for kind, like in FORMS]
    done = genzoo(site, "check", *names, "loss/fresh-model-like-gan-game")
    assert done.returncode == 0, done.stdout + done.stderr
    listed = genzoo(site, "list")
    assert listed.returncode == 0
    assert all(f"fresh-{called(*form)}" in listed.stdout for form in FORMS)


@pytest.mark.slow
@pytest.mark.parametrize("like", LIKE)
def test_a_new_model_trains_and_samples(site: Path, tmp_path: Path, like: str) -> None:
    name = f"fresh-{called(Kind.MODEL, None if like == 'vae' else like)}"
    quick = ["--data", "digits", "--epochs", "1", "--limit", "64", "--viz", "samples"]
    narrow = ["--network", "mlp"] if like != "pixels" else ["--prior.layers", "2", "--prior.width", "8"]
    done = genzoo(site, "run", name, *quick, *narrow, "--out", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(tmp_path.glob("*/*/figures/samples.png"))) == 1


@every_form
def test_a_new_plugin_is_short_and_complete(kind: Kind, like: str | None) -> None:
    files = render(kind, "my-idea", like)
    game = {"src/genzoo_my_idea/game.py"} if like == "gan" else set()
    assert set(files) == game | {
        ".gitignore",
        "LICENSE",
        "README.md",
        "pyproject.toml",
        "src/genzoo_my_idea/__init__.py",
        "src/genzoo_my_idea/my_idea.py",
        "src/genzoo_my_idea/options.py",
        "src/genzoo_my_idea/plugin.py",
        "src/genzoo_my_idea/py.typed",
        "tests/test_my_idea.py",
    }
    for path, text in files.items():
        assert "$" not in text
        if path.endswith(".py"):
            ast.parse(text)
    for heading in ("## Equation", "## Paper", "genzoo check"):
        assert heading in files["README.md"]
    written = files["src/genzoo_my_idea/my_idea.py"] + files["src/genzoo_my_idea/options.py"]
    assert len(written.splitlines()) <= LONGEST


@every_form
def test_a_new_plugin_is_in_the_house_style(kind: Kind, like: str | None, tmp_path: Path) -> None:
    folder = make(kind, "my-idea", tmp_path, like).folder
    config = Path(__file__).parents[1] / "pyproject.toml"
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [*ruff, *command, "--config", str(config), str(folder)],
            capture_output=True,
            text=True,
            check=False,
            encoding="utf-8",
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("class", "keyword"),
        ("match", "keyword"),
        ("My-Idea", "kebab-case"),
        ("../x", "kebab-case"),
        ("a" * 300, "kebab-case"),
        ("", "kebab-case"),
        ("linear-warmup", "linear-warmup"),
        ("schedulers", "genzoo-schedulers"),
    ],
)
def test_refused_names_write_nothing(name: str, word: str, tmp_path: Path):
    with pytest.raises(UsageError, match=word) as caught:
        make(Kind.SCHEDULER, name, tmp_path / "out")
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("kind", "like", "said"),
    [
        (Kind.LOSS, "gan", "--like must be left out for a loss, got 'gan'"),
        (Kind.MODEL, "diffusion", "--like must be one of vae, pixels, gan, got 'diffusion'"),
    ],
)
def test_a_form_that_there_is_not_is_refused(kind: Kind, like: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        make(kind, "my-idea", tmp_path / "out", like)
    assert not (tmp_path / "out").exists()


def test_the_objective_of_a_new_model_needs_a_name_that_is_free(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="60 characters"):
        make(Kind.MODEL, "a" * 60, tmp_path, "gan")
    assert make(Kind.MODEL, "a" * 60, tmp_path, "vae").files


def test_an_existing_folder_is_left_alone(tmp_path: Path):
    folder = tmp_path / "genzoo-my-idea"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="must not exist"):
        make(Kind.LOSS, "my-idea", tmp_path)
    assert [item.name for item in tmp_path.rglob("*")] == ["genzoo-my-idea", "mine.txt"]


def test_the_command_says_what_to_do_next(tmp_path: Path):
    result = CliRunner().invoke(new, ["scheduler", "my-idea", "--out", str(tmp_path)])
    assert result.exit_code == 0
    for step in ("pip install -e", "genzoo check scheduler/my-idea", "genzoo run vae --scheduler my-idea"):
        assert step in result.output
    result = CliRunner().invoke(new, ["model", "my-gan", "--like", "gan", "--out", str(tmp_path)])
    assert result.exit_code == 0
    for step in ("genzoo check model/my-gan loss/my-gan-game", "genzoo run my-gan"):
        assert step in result.output
