"""`genzoo new`: nine kinds of distribution that install and pass their checks, and what it refuses."""

from __future__ import annotations

import ast
import os
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
from genzoo.scaffold import make, render
from genzoo.testing import check_component
from genzoo.types import Kind

LONGEST = 75
"""Lines of the module and its options: less than a page and a half, docstrings and all."""

COSTLY = {Kind.MODEL, Kind.LOSS, Kind.VISUALIZER}
"""Kinds whose checks take more than a few seconds."""


def declared(folder: Path, kind: Kind, name: str, monkeypatch: pytest.MonkeyPatch) -> Installed:
    monkeypatch.syspath_prepend(folder / "src")
    module = import_module(f"genzoo_{name.replace('-', '_')}.plugin")
    (component,) = getattr(module, COMPONENT_HOOKS[kind])()
    return Installed(component, f"genzoo-{name}", "0.1.0", name)


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind in COSTLY)) for kind in Kind])
def test_a_new_plugin_passes_its_checks(kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made = make(kind, f"trial-{kind}", tmp_path)
    plugin = declared(made.folder, kind, f"trial-{kind}", monkeypatch)
    report = check_component(plugin, module=f"genzoo_trial_{kind}.plugin")
    assert report.ok, [result.message for result in report.with_status("failed")] or report.summary


@pytest.mark.slow
def test_new_plugins_install_and_pass_the_command(tmp_path: Path):
    folders = [make(kind, f"fresh-{kind}", tmp_path).folder for kind in Kind]
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps", "--target", str(site)]
    subprocess.run([*install, *map(str, folders)], check=True, capture_output=True)
    names = [f"{kind}/fresh-{kind}" for kind in Kind]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "genzoo", "check", *names]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    listed = subprocess.run(
        [sys.executable, "-m", "genzoo", "list"], capture_output=True, text=True, env=environment, check=True
    )
    assert all(f"fresh-{kind}" in listed.stdout for kind in Kind)


@pytest.mark.parametrize("kind", Kind)
def test_a_new_plugin_is_short_and_complete(kind: Kind):
    files = render(kind, "my-idea")
    assert set(files) == {
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


@pytest.mark.parametrize("kind", Kind)
def test_a_new_plugin_is_in_the_house_style(kind: Kind, tmp_path: Path):
    folder = make(kind, "my-idea", tmp_path).folder
    config = Path(__file__).parents[1] / "pyproject.toml"
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [*ruff, *command, "--config", str(config), str(folder)], capture_output=True, text=True, check=False
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


def test_an_existing_folder_is_left_alone(tmp_path: Path):
    folder = tmp_path / "genzoo-my-idea"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="must not exist"):
        make(Kind.LOSS, "my-idea", tmp_path)
    assert [item.name for item in tmp_path.rglob("*")] == ["genzoo-my-idea", "mine.txt"]


def test_the_command_says_what_to_do_next(tmp_path: Path):
    result = CliRunner().invoke(new, ["scheduler", "my-idea", "--out", str(tmp_path)])
    assert result.exit_code == 0
    for step in ("pip install -e", "genzoo check scheduler/my-idea", "genzoo run vae --scheduler my-idea"):
        assert step in result.output
