"""What is released: every distribution says the same, carries its licence, and fits the others; the project's own papers."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement

import genzoo
from genzoo.declare import API_VERSION
from genzoo.runs.export import card
from genzoo.scaffold import LIKE, make
from genzoo.types import Kind

ROOT = Path(__file__).parent.parent
FOLDERS = {"genzoo": ROOT} | {path.parent.name: path.parent for path in sorted(ROOT.glob("plugins/*/pyproject.toml"))}
EVERY = pytest.mark.parametrize("name", FOLDERS)
MODULES = {
    "PIL": "pillow",
    "cycler": "matplotlib",
    "pydantic_core": "pydantic",
    "sklearn": "scikit-learn",
    "tomli_w": "tomli-w",
    "umap": "umap-learn",
}
"""Modules whose distribution has another name, or comes with another one."""


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tools_{name}", ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def project(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements(folder: Path) -> list[Requirement]:
    """All requirements of a distribution, those of its extras too."""
    stated = project(folder)
    extras = stated.get("optional-dependencies", {}).values()
    return [Requirement(line) for line in [*stated["dependencies"], *(line for lines in extras for line in lines)]]


# Versions and bounds


def test_all_distributions_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert tool("distributions").main(["--check"]) == 0, capsys.readouterr().out


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository as far as the command that sets versions reads it."""
    files = ["pyproject.toml", "genzoo/__init__.py", "LICENSE", "CITATION.cff"]
    for folder in FOLDERS.values():
        if folder != ROOT:
            files += [
                str(path.relative_to(ROOT)) for path in [folder / "pyproject.toml", *folder.glob("src/*/__init__.py")]
            ]
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


@pytest.mark.parametrize(
    ("version", "allowed", "refused"),
    [("0.2.0", ["0.2.0", "0.2.9"], ["0.1.9", "0.3.0", "1.0.0"]), ("1.4.2", ["1.4.0", "1.9"], ["1.3.9", "2.0", "0.9"])],
)
def test_one_command_sets_all_versions(copy: Path, version: str, allowed: list[str], refused: list[str]) -> None:
    command = tool("distributions")
    assert command.main(["--version", version], copy) == 0
    assert command.main(["--check"], copy) == 0
    assert f'\n__version__ = "{version}"\n' in (copy / "genzoo/__init__.py").read_text(encoding="utf-8")
    assert f"\nversion: {version}\n" in (copy / "CITATION.cff").read_text(encoding="utf-8")
    zoo = project(copy)["optional-dependencies"]["zoo"]
    assert zoo == sorted(f"{name}=={version}" for name in FOLDERS if name != "genzoo")
    for folder in copy.glob("plugins/*"):
        assert project(folder)["version"] == version
        ours = [item for item in requirements(folder) if item.name.startswith("genzoo")]
        assert {item.name for item in ours} >= {"genzoo"}
        for item in ours:
            assert all(item.specifier.contains(each) for each in allowed), f"{folder.name}: {item}"
            assert not any(item.specifier.contains(each) for each in refused), f"{folder.name}: {item}"


@pytest.mark.parametrize("version", ["0.2", "v0.2.0", "0.2.0-1", "next", ""])
def test_what_is_no_version_is_refused_and_changes_nothing(copy: Path, version: str) -> None:
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    if version == "":  # as if it were left out
        assert tool("distributions").main(["--check", "--version", version], copy) in {0, 1}
    elif version == "0.2":
        assert tool("distributions").main(["--check", "--version", version], copy) == 1
    else:
        with pytest.raises(SystemExit):
            tool("distributions").main(["--version", version], copy)
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_an_edited_distribution_is_named(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = tool("distributions")
    command.main([], copy)
    capsys.readouterr()
    file = copy / "plugins/genzoo-vae/pyproject.toml"
    file.write_text(file.read_text(encoding="utf-8").replace("genzoo>=0.1,<0.2", "genzoo"), encoding="utf-8")
    (copy / "plugins/genzoo-cvae/LICENSE").unlink()
    assert command.main(["--check"], copy) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[:-1] == ["plugins/genzoo-cvae/LICENSE", "plugins/genzoo-vae/pyproject.toml"]


# README, which is the page of the core on the package index


def test_pictures_and_links_of_readme_lead_somewhere_outside_the_checkout(built: Path) -> None:
    wheel = zipfile.ZipFile(built / f"genzoo-{genzoo.__version__}-py3-none-any.whl")
    shown = wheel.read(f"genzoo-{genzoo.__version__}.dist-info/METADATA").decode().partition("\n\n")[2]
    assert shown.strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()
    home = project(ROOT)["urls"]["Homepage"]
    of_files = home.replace("github.com", "raw.githubusercontent.com") + "/main/"
    inline = re.findall(r"\]\(([^)\s]+)\)", shown)
    named = dict(re.findall(r"^\[([^\]]+)\]: (\S+)$", shown, re.M))
    assert set(re.findall(r"\]\[([^\]]+)\]", shown)) <= named.keys()
    targets = [*inline, *named.values(), *re.findall(r'(?:src|href)="([^"]+)"', shown)]
    assert len(targets) > 10
    for target in targets:
        assert target.startswith("https://"), f"{target} leads nowhere outside the checkout"
        for prefix in (f"{home}/blob/main/", f"{home}/tree/main/", of_files):
            if target.startswith(prefix):
                path = ROOT / target.removeprefix(prefix).partition("#")[0]
                assert path.exists(), target
                assert path.is_dir() is ("/tree/" in prefix), target


# What is imported is required, and what is required is imported


def imported(folder: Path) -> set[str]:
    """The distributions whose modules a distribution's code imports, genzoo's and Python's own left out."""
    code = (folder / "genzoo" if folder == ROOT else folder / "src").rglob("*.py")
    modules: set[str] = set()
    for path in code:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module.partition(".")[0])
    outside = {module for module in modules - sys.stdlib_module_names if not module.startswith("genzoo")}
    return {MODULES.get(module, module) for module in outside}


@EVERY
def test_what_it_imports_it_requires(name: str) -> None:
    core = {Requirement(line).name for line in project(ROOT)["dependencies"]}
    missing = imported(FOLDERS[name]) - {item.name for item in requirements(FOLDERS[name])} - core - {"pytest"}
    assert not missing, f"{name} imports {missing} and requires none of it"


@EVERY
def test_what_it_requires_it_imports(name: str) -> None:
    if name == "genzoo-tensorboard":
        pytest.skip("it uses tensorboard through torch")
    asked = {Requirement(line).name for line in project(FOLDERS[name])["dependencies"]}
    unused = {item for item in asked if not item.startswith("genzoo")} - imported(FOLDERS[name])
    assert not unused, f"{name} requires {unused} and imports none of it"


# What a wheel and an sdist hold


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three distributions as they are released."""
    target = tmp_path_factory.mktemp("dist")
    tool("wheels").build(target, ["genzoo", "genzoo-mnist", "genzoo-beta-vae"])
    return target


def holds(folder: Path, name: str) -> None:
    """Hold the wheel and the sdist of a distribution to what a user needs of it."""
    stem, package = f"{name.replace('-', '_')}-{genzoo.__version__}", name.replace("-", "_")
    wheel = zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl")
    found = Parser().parsestr(wheel.read(f"{stem}.dist-info/METADATA").decode())
    licence = project(FOLDERS[name])["license"]
    assert found["License-Expression"] == licence
    texts = {path.name for path in FOLDERS[name].glob("LICENSE*")}
    assert set(found.get_all("License-File") or ()) == texts
    assert len(texts) == len(licence.split(" AND ")), "one text per licence"
    inside = set(wheel.namelist())
    assert {f"{stem}.dist-info/licenses/{text}" for text in texts} | {f"{package}/py.typed"} <= inside
    assert all(path.startswith((f"{package}/", f"{stem}.dist-info/")) for path in inside)
    assert not [path for path in inside if path.endswith(".pyc")]
    addresses = dict(line.split(", ") for line in found.get_all("Project-URL") or ())
    assert {"Homepage", "Issues", "Changelog"} <= addresses.keys()
    assert found["Author"]
    assert "Typing :: Typed" in (found.get_all("Classifier") or ())
    with tarfile.open(folder / f"{stem}.tar.gz") as archive:
        sdist = {path.removeprefix(f"{stem}/") for path in archive.getnames()}
    assert texts | {"README.md", "pyproject.toml", "PKG-INFO"} <= sdist
    assert any(path.startswith("tests/test_") for path in sdist), "an sdist has its tests"
    tops = {path.partition("/")[0] for path in sdist}
    allowed = {"src", "tests", "genzoo", "README.md", "pyproject.toml", "PKG-INFO", ".gitignore", *texts}
    allowed |= {"registry.toml", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md"} if name == "genzoo" else set()
    assert tops <= allowed, f"an sdist has nothing else: {tops - allowed}"


@pytest.mark.parametrize("name", ["genzoo", "genzoo-mnist", "genzoo-beta-vae"])
def test_a_wheel_and_an_sdist_hold_what_a_user_needs(built: Path, name: str) -> None:
    holds(built, name)


def test_the_images_of_mnist_travel_with_their_licence(built: Path) -> None:
    wheel = zipfile.ZipFile(built / f"genzoo_mnist-{genzoo.__version__}-py3-none-any.whl")
    (path,) = [path for path in wheel.namelist() if path.endswith("LICENSE.CC-BY-SA-3.0")]
    text = wheel.read(path).decode()
    assert "Attribution-ShareAlike 3.0 Unported" in text
    assert "Yann LeCun and Corinna Cortes" in text


@pytest.mark.slow
def test_every_wheel_and_sdist_holds_what_a_user_needs(tmp_path: Path) -> None:
    assert len(tool("wheels").build(tmp_path)) == 2 * len(FOLDERS)
    for name in FOLDERS:
        holds(tmp_path, name)


def test_what_is_released_is_tried_by_ci() -> None:
    ci = (ROOT / ".ci/run").read_text(encoding="utf-8")
    sessions = set(re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(encoding="utf-8"), re.M))
    used = set(re.findall(r"\w+", " ".join(re.findall(r"^nox -s ([\w ]+)$", ci, re.M))))
    assert {"wheels", "pythons", "slow", "lint", "types", "layers", "docs"} <= used <= sessions
    assert "lowest" in sessions - used, "it downloads another torch"


def test_the_tour_of_readme_is_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    lines = tool("released").tour((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(lines) >= 10
    assert {words[0] for words in lines} == {"run", "list", "info", "viz", "eval"}
    for words in lines:
        assert (words[-4:] == ["--limit", "256", "--epochs", "1"]) is (words[0] == "run" and "--resume" not in words)


def test_a_python_that_is_not_there_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    released = tool("released")
    assert released.interpreter("2.0") is None
    assert released.interpreter(f"{sys.version_info.major}.{sys.version_info.minor}") is not None
    monkeypatch.setattr(sys, "argv", ["released.py", "--python", "2.0"])
    assert released.main() == 0
    assert capsys.readouterr().out == "Skipped: there is no Python 2.0 with venv and pip on this machine.\n"


def test_the_lower_bounds_of_the_core_can_be_installed_as_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    found = dict(line.split("==") for line in tool("released").lowest())
    assert found.keys() == {Requirement(line).name for line in project(ROOT)["dependencies"]}
    page = (ROOT / "docs/compatibility.md").read_text(encoding="utf-8")
    for name, version in found.items():
        assert f"{name} {version}" in page, f"docs/compatibility.md says which versions were tried: {name} {version}"


def test_every_tool_is_pinned_at_a_version_that_its_bound_allows() -> None:
    lines = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8").splitlines()
    assert "-c constraints.txt" in lines
    tools = {item.name: item.specifier for line in lines if line[:1].isalpha() for item in [Requirement(line)]}
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in pinned if not line.startswith("#"))
    assert pins.keys() == tools.keys()
    assert all(tools[name].contains(version) for name, version in pins.items())


# Licences of weights and data


def test_a_card_names_the_licences_of_weights_and_images() -> None:
    numbers = {"distortion": 1.0, "rate": 1.0, "elbo": -2.0}
    record: dict[str, Any] = {
        "title": "vae on mnist",
        "seed": 0,
        "genzoo": "0.1.0",
        "settings": {"torch": "2.14", "precision": "fp32"},
        "components": {"dataset": {"name": "mnist"}},
        "parameters": {"total": 1},
        "images": {"train": 1, "test": 1},
        "summary": {"test": numbers},
    }
    assert "Licence of the images, `mnist`: CC-BY-SA-3.0." in card(record)
    record["components"]["dataset"]["name"] = "somebody-s"
    assert "`somebody-s`: not known to genzoo" in card(record)
    for path in ROOT.glob("plugins/*/src/*/zoo/*/README.md"):
        text = path.read_text(encoding="utf-8")
        assert "Licence of the weights: " in text, path
        assert "Licence of the images, `mnist`: CC-BY-SA-3.0." in text, path


# New plugins


@pytest.mark.slow
def test_new_plugins_pass_the_strict_type_checkers(tmp_path: Path) -> None:
    forms = [*((kind, None) for kind in Kind), *((Kind.MODEL, like) for like in LIKE)]
    folders = [make(kind, f"typed-{kind}-{like}".lower(), tmp_path, like).folder / "src" for kind, like in forms]
    path = os.pathsep.join(map(str, folders))
    packages = [str(package) for folder in folders for package in folder.iterdir()]
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), *packages],
        env=os.environ | {"MYPYPATH": path}, cwd=tmp_path, capture_output=True, text=True, check=False,
     encoding="utf-8")  # fmt: skip
    assert checked.returncode == 0, checked.stdout
    sources = ", ".join(f'"{folder}"' for folder in folders)
    (tmp_path / "pyrightconfig.json").write_text(
        f'{{"include": [{sources}], "extraPaths": [{sources}], "typeCheckingMode": "strict", "pythonVersion": "3.11"}}',
        encoding="utf-8",
    )
    checked = subprocess.run(
        ["pyright", "-p", str(tmp_path), "--pythonpath", sys.executable],
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    assert checked.returncode == 0, checked.stdout


# The project's own papers


def test_the_papers_that_a_contributor_looks_for_are_there() -> None:
    for name in (
        "SECURITY.md",
        "CODE_OF_CONDUCT.md",
        "CONTRIBUTING.md",
        ".github/pull_request_template.md",
        ".github/ISSUE_TEMPLATE/bug.yml",
        ".github/ISSUE_TEMPLATE/plugin.yml",
        ".github/ISSUE_TEMPLATE/idea.yml",
        ".github/workflows/publish.yml",
        "docs/releasing.md",
        "docs/compatibility.md",
    ):
        assert len((ROOT / name).read_text(encoding="utf-8").split()) > 40, name


def test_before_a_commit_the_commands_of_nox_run() -> None:
    yaml = pytest.importorskip("yaml")
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    entries = [hook["entry"] for hook in local["hooks"]]
    sessions = re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(encoding="utf-8"), re.M)
    assert entries == [f"nox -s {name}" for name in ("lint", "types", "layers")]
    assert all(entry.removeprefix("nox -s ") in sessions for entry in entries)


def test_forms_and_workflows_are_sound() -> None:
    yaml = pytest.importorskip("yaml")
    for path in ROOT.glob(".github/ISSUE_TEMPLATE/*.yml"):
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        if path.name != "config.yml":
            assert {"name", "description", "body"} <= form.keys(), path.name
            assert all(item["attributes"]["label"] for item in form["body"])
    workflow = yaml.safe_load((ROOT / ".github/workflows/publish.yml").read_text(encoding="utf-8"))
    assert workflow[True] == {"push": {"tags": ["v*"]}}, "it runs from a tag alone"  # yaml reads `on` as true
    lines = [step["run"] for step in workflow["jobs"]["build"]["steps"] if "run" in step]
    assert ".ci/run" in lines
    for line in lines:
        for file in re.findall(r"tools/\w+\.py", line):
            assert (ROOT / file).is_file()
    assert workflow["jobs"]["publish"]["needs"] == "build"


def test_the_changelog_has_sections_and_the_pages_say_what_the_code_says() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert headings[0] == "[Unreleased]"
    assert re.match(r"\[\d+\.\d+\.\d+\] - (not yet released|\d{4}-\d\d-\d\d)$", headings[1])
    page = (ROOT / "docs/compatibility.md").read_text(encoding="utf-8")
    stated = project(ROOT)
    python, torch = stated["requires-python"].removeprefix(">="), Requirement("torch>=2.10")
    assert torch in [Requirement(line) for line in stated["dependencies"]]
    assert f"| Python | {python} and newer |" in page
    assert "| PyTorch | 2.10 and newer |" in page
    policy = (ROOT / "docs/releasing.md").read_text(encoding="utf-8")
    assert "genzoo.declare.API_VERSION" in policy
    assert API_VERSION.count(".") == 1


def test_one_address_of_the_project() -> None:
    home = project(ROOT)["urls"]["Homepage"]
    for name in ("SECURITY.md", ".github/ISSUE_TEMPLATE/config.yml", "docs/releasing.md", "docs/compatibility.md"):
        for found in re.findall(r"https://github\.com/[\w.-]+/genzoo\b", (ROOT / name).read_text(encoding="utf-8")):
            assert found == home, name
