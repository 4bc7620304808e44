"""The repository agrees with itself: what is listed exists, what exists is listed, and what is printed works."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path

import pytest

import genzoo
from genzoo import hookspecs
from genzoo.types import Kind

ROOT = Path(__file__).parent.parent
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "docs/api/index.md"])
HOOKS = sorted([*hookspecs.COMPONENT_HOOKS.values(), hookspecs.RESOURCE_HOOK, *hookspecs.LIFECYCLE_HOOKS])


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def tracked() -> list[Path]:
    """Every file that git tracks; every file where there is no git."""
    try:
        found = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True, encoding="utf-8"
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in found.stdout.split("\0") if name and (ROOT / name).is_file()]


# Plugins


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda path: path.name)
class TestEveryPlugin:
    def test_has_what_a_distribution_needs(self, folder: Path) -> None:
        project = tomllib.loads(text(folder / "pyproject.toml"))["project"]
        assert project["name"] == folder.name
        assert "MIT" in project["license"]
        assert project["requires-python"] == ">=3.11"
        assert project["description"]
        assert project["entry-points"]["genzoo.plugins"]
        readme = text(folder / "README.md")
        assert len(readme.splitlines()) >= 5, "the README says what, which paper, one command, the options"
        assert "genzoo " in readme, "the README has one command to run"
        assert list((folder / "tests").glob("test_*.py")), "it has tests"

    def test_is_installed_by_requirements(self, folder: Path) -> None:
        assert f"-e ./plugins/{folder.name}" in text(ROOT / "requirements.txt").splitlines()

    def test_is_in_the_extra_zoo(self, folder: Path) -> None:
        project = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]
        assert folder.name in {line.partition("==")[0] for line in project["optional-dependencies"]["zoo"]}

    def test_is_in_the_catalogue(self, folder: Path) -> None:
        catalogue = tomllib.loads(text(ROOT / "registry.toml"))
        declarations = "".join(text(path) for path in folder.glob("src/*/plugin.py"))
        if "Component(" in declarations:
            assert folder.name in {entry["distribution"] for entry in catalogue["plugin"]}
        licence = tomllib.loads(text(folder / "pyproject.toml"))["project"]["license"]
        stated = {entry["licence"] for entry in catalogue["plugin"] if entry["distribution"] == folder.name}
        assert stated <= {licence}

    def test_is_under_the_import_contracts(self, folder: Path) -> None:
        parser = ConfigParser()
        parser.read(ROOT / ".importlinter", encoding="utf-8")
        package = folder.name.replace("-", "_")
        assert package in parser["importlinter"]["root_packages"].split()
        assert package in parser["importlinter:contract:core"]["forbidden_modules"].split()
        assert package in parser["importlinter:contract:plugins"]["modules"].split()
        assert package in parser["importlinter:contract:public"]["source_modules"].split()


def test_nothing_is_listed_that_is_not_there() -> None:
    folders = {path.name for path in PLUGINS}
    lines = text(ROOT / "requirements.txt").splitlines()
    assert {line.removeprefix("-e ./plugins/") for line in lines if line.startswith("-e ./plugins/")} == folders
    project = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]
    assert {line.partition("==")[0] for line in project["optional-dependencies"]["zoo"]} == folders


def test_requirements_install_with_one_command() -> None:
    assert "-e ." in text(ROOT / "requirements.txt").splitlines()
    assert "-r requirements.txt" in text(ROOT / "requirements-dev.txt").splitlines()


# Hooks


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_its_signature(hook: str) -> None:
    assert f".. autofunction:: genzoo.hookspecs.{hook}\n" in text(ROOT / "docs/hooks.md")
    assert getattr(hookspecs, hook).__doc__


# Documents


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    generated = ("plugins/", "checks/") if page.parent == ROOT / "docs" else ()
    for target in re.findall(r"\]\(([^)\s]+)\)", text(page)):
        path = target.partition("#")[0]
        if path and not re.match(r"[a-z]+:", path) and not path.startswith(generated):
            assert (page.parent / path).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_images_have_alternative_text(page: Path) -> None:
    for alternative, target in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", text(page)):
        assert len(alternative.split()) >= 3, f"{page.name} shows {target} without saying what it shows"


def test_the_theory_page_names_every_equation_test() -> None:
    page = text(ROOT / "docs/theory.md")
    defined = {
        name for path in ROOT.glob("tests/test_theory*.py") for name in re.findall(r"^def (test_\w+)", text(path), re.M)
    }
    named = set(re.findall(r"`(test_\w+)`", page))
    assert named <= defined
    equations = {int(number) for number in re.findall(r"\\tag\{(\d+)\}", page)}
    assert equations == set(range(1, 32))
    tested = {int(match.group(1)) for name in named if (match := re.match(r"test_equation_(\d+)_", name))}
    assert {4, 16, 17, *range(22, 32)} <= tested


def test_the_bibliography_has_the_paper_of_every_plugin() -> None:
    page = text(ROOT / "docs/bibliography.md")
    known = re.findall(r"^\*\*(.+?) (?:et al\. |and \S+ )?(\d{4})\.\*\*", page, re.M)
    for entry in tomllib.loads(text(ROOT / "registry.toml"))["plugin"]:
        for citation in entry.get("paper", "").split("; "):
            match = re.match(r"(.+?)(?: et al\.|,| and | & ).*?(\d{4})", citation) or re.match(
                r"(\S+) (\d{4})", citation
            )
            if match:
                assert match.groups() in known, f"{entry['kind']} {entry['name']}: {citation}"


def test_the_readme_table_names_plugins_that_exist() -> None:
    catalogue = {(entry["kind"], entry["name"]) for entry in tomllib.loads(text(ROOT / "registry.toml"))["plugin"]}
    rows = re.findall(rf"^\| ({'|'.join(Kind)}) \|.*\| (.*) \|$", text(ROOT / "README.md"), re.M)
    assert {kind for kind, _ in rows} == set(Kind)
    listed = {(kind, name) for kind, names in rows for name in re.findall(r"`([^`]+)`", names)}
    assert listed <= catalogue, sorted(listed - catalogue)


def test_the_readme_has_the_two_commands_that_ci_reads() -> None:
    readme = text(ROOT / "README.md").splitlines()
    assert "pip install -r requirements.txt && genzoo run vae --scheduler linear-warmup --viz traversal" in readme
    assert "pip install -r requirements-dev.txt && pytest" in readme


def test_one_version() -> None:
    assert f"\nversion: {genzoo.__version__}\n" in text(ROOT / "CITATION.cff")


def test_the_benchmark_of_cuda_hides_no_module_of_that_name() -> None:
    tree = ast.parse(text(ROOT / "benchmarks/cuda.py"))
    outside = [node for node in tree.body if not isinstance(node, ast.If)]
    assert [type(node) for node in outside] == [ast.Expr], "torch looks for a module `cuda`: import nothing here"


# Files


def test_no_path_of_somebody_s_machine() -> None:
    local = re.compile(rb"(?<![\w.])/(?:home|Users|root|work|opt|tmp)/[\w.]")
    for path in tracked():
        content = path.read_bytes()
        if b"\0" not in content[:4096] and path != Path(__file__):
            found = local.search(content)
            assert found is None, f"{path.relative_to(ROOT)} holds {content[found.start() : found.end() + 30]!r}"


def test_no_large_file_but_data_and_weights() -> None:
    for path in tracked():
        limit = 12_000_000 if "plugins" in path.parts else 1_000_000
        assert path.stat().st_size < limit, path.relative_to(ROOT)


def test_the_page_of_benchmarks_is_that_of_the_numbers() -> None:
    result = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "report.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    assert result.returncode == 0, f"run python benchmarks/report.py; {result.stderr}"
