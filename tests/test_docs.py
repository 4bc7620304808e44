"""The documentation holds: its commands run, its examples are true, and every public thing has words."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
from PIL import Image

from genzoo.cli import cli, execute
from genzoo.host.plugin_host import host

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
READMES = sorted(ROOT.glob("plugins/*/README.md"))
PACKAGES = sorted(path.parent.name for path in ROOT.glob("plugins/*/src/*/plugin.py"))


def load_generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = load_generate()


# Commands


def printed_commands() -> list[str]:
    """Every genzoo command in a bash block of README and docs, and in the README of a plugin, once."""
    lines = [
        line
        for page in PAGES
        for block in re.findall(r"^```bash\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
        for line in block.splitlines()
    ]
    for readme in READMES:
        lines += re.findall(r"^(?:    )?(genzoo [a-z].*)$", readme.read_text(encoding="utf-8"), re.M)
    found = [line.partition("&& ")[2] if line.startswith("pip") else line for line in lines]
    printed = dict.fromkeys(line.partition(" #")[0].strip() for line in found if line.startswith("genzoo "))
    # What a walk-through makes is not installed here; tests/test_walk_throughs.py runs those commands.
    made = {line.split()[3] for line in printed if line.startswith("genzoo new ")}
    return [line for line in printed if line.startswith("genzoo new ") or not made & set(re.split("[ =]", line))]


def parse(words: list[str]) -> dict[str, Any]:
    """What click makes of a command line, without running it.

    Raises:
        click.ClickException: If it refuses the line.
    """
    context, command = click.Context(cli, info_name="genzoo", **cli.context_settings), cli
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        assert name is not None
        command = found
        if isinstance(command, click.Group):
            context = click.Context(command, info_name=name, parent=context)
    return command.make_context(words[0] if words else "", words, parent=context).params


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with a folder of images of two classes, for the commands that name one."""
    for name in ("a/1", "a/2", "b/1", "b/2"):
        path = tmp_path / "pictures" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 64), (200, 100, 50)).save(path)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize("line", printed_commands())
def test_a_printed_command_is_accepted(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(line)[1:]
    if words[0] == "run" and "--resume" not in words:
        code = execute([*words, "--dry-run"])
        assert code == 0, capsys.readouterr().err
    elif words[0] in {"list", "info", "search"}:
        code = execute(words)
        assert code == 0, capsys.readouterr().err
    else:
        check_names(words, parse(words))


def check_names(words: list[str], parameters: dict[str, Any]) -> None:
    """The plugins and resources that a command names are there."""
    kinds = {"viz": "visualizer", "eval": "metric"}
    if words[0] == "check":
        assert host().find(words[1])
    if words[0] in kinds:
        for name in parameters["names"]:
            host().get(kinds[words[0]], name)
    for word in words:
        if word.startswith("zoo:"):
            host().resource("run", word.removeprefix("zoo:"))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_printed_python_compiles(page: Path) -> None:
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S):
        compile(block, str(page), "exec")


def test_the_command_reference_is_what_the_commands_print() -> None:
    page = (ROOT / "docs" / generate.COMMANDS_PAGE).read_text(encoding="utf-8")
    assert page == generate.commands_page(), "run `python docs/generate.py`"


# The Python API


def public_members(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Public classes and functions that a module defines, and what a class of it defines."""
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(value) or inspect.isfunction(value):
            yield name, value
        if inspect.isclass(value):
            for attribute in vars(value):
                member = inspect.getattr_static(value, attribute)
                described = inspect.isfunction(member) or isinstance(member, (property, classmethod, staticmethod))
                if described and not attribute.startswith("_"):
                    yield f"{name}.{attribute}", getattr(value, attribute)


@pytest.mark.parametrize("name", [*generate.public_modules(), *generate.FACADES])
def test_every_public_thing_has_a_docstring(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    without = [member for member, value in public_members(module) if not inspect.getdoc(value)]
    assert not without, f"{name}: no docstring for {', '.join(without)}"


@pytest.mark.parametrize("facade", generate.FACADES)
def test_every_name_of_a_facade_resolves_and_is_explained(facade: str) -> None:
    package = importlib.import_module(facade)
    for name in package.__all__:
        value = getattr(package, name)
        assert not callable(value) or inspect.getdoc(value), f"{facade}.{name} has no docstring"


def modules_below(package: str) -> list[str]:
    import pkgutil

    root = importlib.import_module(package)
    return [package, *(module.name for module in pkgutil.walk_packages(root.__path__, f"{package}."))]


@pytest.mark.parametrize("name", ["genzoo", *PACKAGES])
def test_examples_in_docstrings_are_true(name: str) -> None:
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    finder = doctest.DocTestFinder(exclude_empty=True)
    for module_name in modules_below(name):
        if module_name.endswith("__main__"):
            continue
        module = importlib.import_module(module_name)
        for example in finder.find(module, module_name, extraglobs=names_for_examples(module)):
            output: list[str] = []
            failed = runner.run(example, out=output.append).failed
            assert not failed, "".join(output)


def names_for_examples(module: ModuleType) -> dict[str, object]:
    """What an example may use besides its module's names."""
    import torch

    return {"torch": torch}


def test_the_architecture_page_names_every_folder_of_the_core() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    folders = {path.parent.name for path in (ROOT / "genzoo").glob("*/__init__.py")}
    assert {name for name in folders if f"{name}/" not in page} == set()
