"""Every line that tells a user what to install names a source that is genzoo's own until the names are registered."""

from __future__ import annotations

import json
import os
import re
import shlex
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

from genzoo.cli import execute
from genzoo.errors import CorruptError, MissingPluginError
from genzoo.host import catalogue, origin
from genzoo.host.plugin_host import Host, host

ROOT = Path(__file__).parents[2]
OF_REPOSITORY = "git+https://github.com/genzoo/genzoo"


@pytest.fixture
def wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this genzoo were installed from a wheel."""
    monkeypatch.setattr(origin, "checkout", lambda: None)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, wheel: None) -> None:
    monkeypatch.setattr(origin, "PUBLISHED", True)


def absent(*names: str) -> Any:
    """`importlib.metadata.version` where some distributions are not installed."""
    return lambda name: None if name in names else origin.__version__


def test_in_a_checkout_a_line_names_its_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin, "checkout", lambda: Path("/a place/genzoo"))
    assert origin.install("genzoo-vae") == 'pip install -e "/a place/genzoo/plugins/genzoo-vae"'
    assert origin.upgrade("genzoo-vae") == 'pip install --upgrade -e "/a place/genzoo/plugins/genzoo-vae"'
    assert origin.reinstall("Genzoo_VAE").startswith('pip install --force-reinstall --no-deps -e "/a place')
    assert origin.install("genzoo") == 'pip install -e "/a place/genzoo"'
    assert origin.everything() == 'cd "/a place/genzoo" && pip install -r requirements.txt'
    assert origin.everything(newer=True) == 'cd "/a place/genzoo" && git pull && pip install -r requirements.txt'
    monkeypatch.setattr(origin, "checkout", lambda: Path('/a "$place"'))
    assert shlex.split(origin.install("genzoo"))[-1] == '/a "$place"/'.rstrip("/")


def test_this_one_is_a_checkout_and_its_lines_lead_somewhere() -> None:
    assert origin.checkout() == ROOT
    for name in catalogue.official():
        (folder,) = (argument.removeprefix("-e ") for argument in origin.arguments([name]))
        assert (Path(folder.strip('"')) / "pyproject.toml").is_file()


@pytest.mark.usefixtures("wheel")
def test_of_a_wheel_a_line_names_the_repository() -> None:
    vae = f'"genzoo-vae @ {OF_REPOSITORY}#subdirectory=plugins/genzoo-vae"'
    assert origin.install("genzoo-vae") == f"pip install {vae}"
    assert origin.install("genzoo-visualizers[umap]") == (
        f'pip install "genzoo-visualizers[umap] @ {OF_REPOSITORY}#subdirectory=plugins/genzoo-visualizers"'
    )
    # A newer plugin may ask for a newer core, which pip must not look for on the index.
    assert origin.upgrade("genzoo-vae") == f'pip install --upgrade "genzoo @ {OF_REPOSITORY}" {vae}'
    assert origin.reinstall("genzoo-vae") == f"pip install --force-reinstall --no-deps {vae}"
    clone = "git clone https://github.com/genzoo/genzoo && cd genzoo && pip install -r requirements.txt"
    assert origin.everything() == origin.everything(newer=True) == clone


@pytest.mark.usefixtures("wheel")
def test_what_an_official_plugin_requires_is_named_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin, "_installed", absent("genzoo-vae", "genzoo-losses"))
    names = [re.sub(r'"(\S+) @.*', r"\1", argument) for argument in origin.arguments(["genzoo-beta-vae"])]
    assert names == ["genzoo-beta-vae", "genzoo-losses", "genzoo-vae"]
    monkeypatch.setattr(origin, "_installed", absent())
    assert len(origin.arguments(["genzoo-beta-vae"])) == 1


@pytest.mark.usefixtures("published")
def test_once_published_a_name_is_enough() -> None:
    assert origin.install("genzoo-vae", "genzoo-losses") == "pip install genzoo-vae genzoo-losses"
    assert origin.install("genzoo-visualizers[umap]") == 'pip install "genzoo-visualizers[umap]"'
    assert origin.upgrade("genzoo-vae") == "pip install --upgrade genzoo-vae"
    assert origin.everything() == 'pip install "genzoo[zoo]"'


@pytest.mark.parametrize(
    ("stated", "argument"),
    [
        (None, "far-zoo"),
        ("{", "far-zoo"),
        ({"url": "file:///x/far-zoo", "dir_info": {}}, '"far-zoo @ file:///x/far-zoo"'),
        (
            {
                "url": "https://example.org/far",
                "subdirectory": "p",
                "vcs_info": {"vcs": "git", "requested_revision": "v1"},
            },
            '"far-zoo @ git+https://example.org/far@v1#subdirectory=p"',
        ),
        ({"url": "https://example.org/far.whl", "archive_info": {}}, '"far-zoo @ https://example.org/far.whl"'),
    ],
    ids=["by name", "unreadable", "folder", "repository", "file"],
)
def test_somebody_elses_plugin_comes_again_from_where_it_came(
    faulty: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stated: Any, argument: str
) -> None:
    site = type(faulty)(tmp_path)
    site.install("far-zoo", "")
    if stated is not None:
        text = stated if isinstance(stated, str) else json.dumps(stated)
        (tmp_path / "far_zoo-1.0.dist-info/direct_url.json").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert origin.upgrade("far-zoo") == f"pip install --upgrade {argument}"


def test_a_catalogue_that_cannot_be_read_hinders_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise CorruptError("it is broken")

    monkeypatch.setattr(catalogue, "catalogue", broken)
    assert origin.install("genzoo").startswith("pip install -e ")
    assert origin.upgrade("far-zoo") == "pip install --upgrade far-zoo"


@pytest.mark.parametrize(
    ("kind", "name", "distribution"),
    [
        ("run", "report-vae", "genzoo-vae"),
        ("recipe", "report-vae", "genzoo-report"),
        ("reproduction", "report", "genzoo-report"),
    ],
)
def test_a_run_recipe_or_reproduction_without_its_plugin_names_it(kind: str, name: str, distribution: str) -> None:
    with pytest.raises(MissingPluginError) as caught:
        Host([]).resource(kind, name)
    assert str(caught.value) == f"{kind} {name!r} is not installed. Install it: {origin.install(distribution)}"


@pytest.mark.parametrize(
    ("words", "distribution"),
    [
        (["sample", "zoo:report-vae"], "genzoo-vae"),
        (["run", "vae", "--recipe", "report-vae"], "genzoo-report"),
        (["recipe", "show", "best-vae"], "genzoo-report"),
        (["reproduce", "report"], "genzoo-report"),
        (["info", "beta-vae"], "genzoo-beta-vae"),
    ],
)
def test_commands_say_so(
    words: list[str], distribution: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if words[0] in {"sample", "run"}:
        pytest.importorskip("torch")
    monkeypatch.setattr("genzoo.host.plugin_host.entry_points_of", lambda group, discovery: [])
    host.cache_clear()
    try:
        assert execute(words) == 3
    finally:
        host.cache_clear()
    assert capsys.readouterr().err.splitlines()[-1] == f"Install it: {origin.install(distribution)}"


LITERAL = re.compile(
    r"pip install (?!-[er]\b|--upgrade (?:--force-reinstall )?torch\b|torch\b|umap-learn|pytest\b|scikit-learn|gdown)(\S+)"
)


def test_no_other_line_of_code_or_page_advises_a_name_of_ours() -> None:
    """What is not made by `origin` names no distribution of genzoo, but where README says that it is not published."""
    sources = [*ROOT.glob("genzoo/**/*.py"), *ROOT.glob("genzoo/templates/*"), *ROOT.glob("plugins/*/src/**/*.py")]
    pages = [*ROOT.glob("plugins/*/README.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*.md")]
    for path in [*sources, *pages]:
        if path.name in {"origin.py", "releasing.md", "CHANGELOG.md"}:
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            found = [name for name in LITERAL.findall(line) if re.match(r"['\"]?genzoo\b", name) and " @ " not in line]
            if path.name == "README.md" and path.parent == ROOT:
                assert set(found) <= {'"genzoo[zoo]"', '"genzoo[zoo]"`'}, line
            else:
                assert not found or "pip install -e" in line, f"{path.relative_to(ROOT)}: {line}"


def test_the_readme_says_whether_the_names_are_published() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert ("not yet published" in readme) is not origin.PUBLISHED
    assert origin.REPOSITORY in readme


def test_the_versions_are_those_of_the_metadata() -> None:
    with pytest.raises(PackageNotFoundError):
        version("genzoo-nobodys")
    assert origin._installed("genzoo-nobodys") is None
    assert origin._installed("genzoo") == version("genzoo")
    assert os.fspath(catalogue.path()) == os.fspath(ROOT / "registry.toml")
