"""The catalogue: its format, what it answers, how it is mended, and that the one shipped is true."""

from __future__ import annotations

from pathlib import Path

import pytest

import genzoo
from genzoo.cli import execute
from genzoo.declare import RESOURCE_KINDS, Component, Resource
from genzoo.errors import CorruptError
from genzoo.host import catalogue, upkeep
from genzoo.host.catalogue import Catalogue, Entry, Shipped, Verified
from genzoo.host.installed import Installed, InstalledResource
from genzoo.types import Kind

VERIFIED = Verified(kit="1.0", result="passed 20 of 20", version="1.0", date="2026-01-31")


def entry(name: str, distribution: str = "some-zoo", **fields: object) -> Entry:
    values = {"source": "git+https://example.org/x", "summary": "Old", "licence": "BSD-3-Clause", "tier": "community"}
    return Entry.model_validate({"kind": "loss", "name": name, "distribution": distribution, **values, **fields})


def installed(name: str, distribution: str = "some-zoo") -> Installed:
    return Installed(Component("loss", name, "a.b:C", summary="New", paper="P"), distribution, "1.0", "x")


def resource(
    name: str, kind: str = "recipe", distribution: str = "some-zoo", summary: str = "New"
) -> InstalledResource:
    return InstalledResource(Resource(kind, name, "a:b.toml", summary), distribution, "1.0", "x")


def shipped(name: str, kind: str = "recipe", distribution: str = "some-zoo", summary: str = "New") -> Shipped:
    return Shipped.model_validate(
        {
            "kind": kind,
            "name": name,
            "distribution": distribution,
            "source": "s",
            "summary": summary,
            "tier": "community",
        }
    )


WHOLE = """schema = 1
[[plugin]]
kind = "loss"
distribution = "d"
source = "d"
summary = "s"
licence = "MIT"
tier = "official"
"""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("schema = 1\nplugin = [", "must be a TOML file"),
        ("schema = 2\n", "schema"),
        ('schema = 1\n[[plugin]]\nkind = "animal"\n', "plugin.0.kind"),
        (f'{WHOLE}name = "Not Kebab"\n', "plugin.0.name"),
        (f'{WHOLE}name = "a"\nverified = "yes"\n', "plugin.0.verified"),
        ("schema = 1\nplugins = []\n", "plugins"),
        (None, "No such file"),
    ],
)
def test_a_malformed_catalogue_is_refused_by_name(tmp_path: Path, text: str | None, says: str) -> None:
    file = tmp_path / "registry.toml"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(CorruptError, match=says):
        catalogue.read(file)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "registry.toml"
    listed = Catalogue(plugin=(entry("a", paper="Ä “quoted” \\ title"), entry("b", verified=VERIFIED)))
    upkeep.write_catalogue(file, listed)
    assert catalogue.read(file) == listed
    assert file.read_text(encoding="utf-8").startswith("# The catalogue of known genzoo plugins")
    assert [path.name for path in tmp_path.iterdir()] == ["registry.toml"]


def test_mending_follows_the_declarations_and_keeps_what_only_a_person_or_the_kit_knows(tmp_path: Path) -> None:
    (tmp_path / "plugins" / "own-zoo").mkdir(parents=True)
    listed = Catalogue(plugin=(entry("kept", verified=VERIFIED), entry("gone"), entry("far", "absent-zoo")))
    mended = upkeep.mend(listed, [installed("kept"), installed("new", "own-zoo")], tmp_path / "registry.toml")
    found = {item.name: item for item in mended.plugin}
    assert set(found) == {"kept", "new", "far"}
    kept = found["kept"]
    assert (kept.summary, kept.paper, kept.licence, kept.verified) == ("New", "P", "BSD-3-Clause", VERIFIED)
    assert (found["new"].tier, found["new"].source) == ("official", "own-zoo")
    assert upkeep.compare(mended, [installed("kept"), installed("new", "own-zoo")]).drift == ()


def test_mending_drops_nothing_of_a_distribution_that_did_not_load_whole(tmp_path: Path) -> None:
    listed = Catalogue(plugin=(entry("kept"), entry("unloaded")))
    mended = upkeep.mend(listed, [installed("kept")], tmp_path / "registry.toml", troubled={"some-zoo"})
    assert {item.name for item in mended.plugin} == {"kept", "unloaded"}


def test_comparing_tells_what_is_absent_from_what_drifted() -> None:
    listed = Catalogue(plugin=(entry("a", summary="New", paper="P"), entry("a"), entry("far", "absent-zoo")))
    found = upkeep.compare(listed, [installed("a")])
    assert found.agreeing == 1
    assert found.drift == ("loss/a of some-zoo is listed twice.",)
    assert found.unchecked == ("loss/far (absent-zoo)",)


def test_recipes_reproductions_and_runs_are_compared_and_mended_too(tmp_path: Path) -> None:
    listed = Catalogue(
        plugin=(entry("a", summary="New", paper="P"),),
        resource=(shipped("old", summary="Old"), shipped("gone"), shipped("far", "run", "absent-zoo")),
    )
    declared = [installed("a"), resource("old"), resource("new", "reproduction")]
    found = upkeep.compare(listed, declared)
    assert found.drift == (
        "recipe/old: summary is 'Old' in the catalogue and 'New' in the declaration.",
        "recipe/gone is listed, but some-zoo does not declare it.",
        "reproduction/new is installed from some-zoo and not listed.",
    )
    assert found.unchecked == ("run/far (absent-zoo)",)
    file = tmp_path / "registry.toml"
    mended = upkeep.mend(listed, declared, file)
    assert [(item.key, item.summary) for item in mended.resource] == [
        ("recipe/old", "New"), ("reproduction/new", "New"), ("run/far", "New"),
    ]  # fmt: skip
    assert upkeep.compare(mended, declared).drift == ()
    upkeep.write_catalogue(file, mended)
    assert catalogue.read(file) == mended


def test_what_distributions_require_of_one_another_is_held_too(tmp_path: Path) -> None:
    listed = catalogue.catalogue()
    assert listed.requires["genzoo-beta-vae"] == ("genzoo-losses", "genzoo-vae")
    assert "genzoo-vae" not in listed.requires, "it requires none"
    known = {item.distribution for item in listed.plugin}
    assert upkeep.requirements("genzoo-nobodys", known) is None
    declared = [installed("normalised-elbo", "genzoo-beta-vae")]
    entries = (entry("elbo", "genzoo-losses"), entry("normalised-elbo", "genzoo-beta-vae", summary="New", paper="P"))
    wrong = Catalogue(plugin=entries, requires={"genzoo-beta-vae": ("genzoo-mnist",)})
    assert upkeep.compare(wrong, declared).drift == (
        "genzoo-beta-vae: requires is ['genzoo-mnist'] in the catalogue and ['genzoo-losses'] in its metadata.",
    )
    mended = upkeep.mend(wrong, declared, tmp_path / "registry.toml")
    assert mended.requires == {"genzoo-beta-vae": ("genzoo-losses",)}


@pytest.mark.parametrize("words", [("check", "--write"), ("verify", "scheduler/constant")])
@pytest.mark.parametrize("named", [True, False])
def test_no_command_edits_an_installation(
    words: tuple[str, ...],
    named: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "site-packages/genzoo/registry.toml"
    file.parent.mkdir(parents=True)
    text = "schema = 1\n# as it was installed\n"
    file.write_text(text, encoding="utf-8")
    monkeypatch.setattr(catalogue.sysconfig, "get_path", lambda name: str(tmp_path / "site-packages"))
    monkeypatch.setattr(catalogue, "path", lambda: file)
    assert execute(["registry", *words, *(["--file", str(file)] if named else [])]) == 2
    assert "must be that of a checkout" in capsys.readouterr().err
    assert file.read_text(encoding="utf-8") == text
    assert not catalogue.is_shipped(tmp_path / "registry.toml")


def test_the_catalogue_inside_the_package_is_an_installations_whatever_the_folders_are() -> None:
    package = Path(genzoo.__file__).parent
    assert catalogue.is_shipped(package / "registry.toml")
    assert not catalogue.is_shipped(package.parent / "registry.toml")


def test_a_result_is_recorded_for_its_entry_alone(tmp_path: Path) -> None:
    file = tmp_path / "registry.toml"
    upkeep.write_catalogue(file, Catalogue(plugin=(entry("a"), entry("a", "other-zoo")), resource=(shipped("r"),)))
    upkeep.record(file, {(Kind.LOSS, "a", "other-zoo"): VERIFIED})
    assert catalogue.read(file).resource == (shipped("r"),)
    assert [item.verified for item in catalogue.read(file).plugin] == [None, VERIFIED]


def test_lookup_reads_qualified_names(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = Catalogue(plugin=(entry("a"), entry("a", "other-zoo")))
    monkeypatch.setattr(catalogue, "catalogue", lambda: listed)
    assert catalogue.lookup("loss", "other-zoo:a") == listed.plugin[1]
    assert catalogue.lookup(None, "a") == listed.plugin[0]
    assert catalogue.lookup("model", "a") is None
    assert catalogue.names("loss") == ["a"]
    assert catalogue.names("model") == []


def test_the_shipped_catalogue_lists_every_official_plugin_and_its_folder_exists() -> None:
    root = catalogue.path().parent
    for listed in (catalogue.catalogue().plugin, catalogue.catalogue().resource):
        keys = [(item.kind, item.name, item.distribution) for item in listed]
        assert keys == sorted(set(keys))
        official = {item.distribution for item in listed if item.tier == "official"}
        assert official <= {folder.name for folder in (root / "plugins").iterdir()}
    assert {item.kind for item in catalogue.catalogue().resource} == set(RESOURCE_KINDS)


@pytest.mark.slow
def test_verifying_writes_what_the_contract_kit_said_of_the_good_and_of_the_bad(faulty, tmp_path: Path) -> None:
    site = type(faulty)(tmp_path, ["genzoo-schedulers"])
    site.install(
        "bad-zoo",
        '@hookimpl\ndef genzoo_schedulers():\n    return [Component("scheduler", "bad", "bad_zoo.code:Bad")]\n',
        code="from genzoo.interfaces import Scheduler\n\nclass Bad(Scheduler):\n"
        "    def factor(self, progress):\n        return float('nan')\n",
    )
    file = tmp_path / "registry.toml"
    entries = (entry("constant", "genzoo-schedulers", kind="scheduler"), entry("bad", "bad-zoo", kind="scheduler"))
    upkeep.write_catalogue(file, Catalogue(plugin=entries))
    done = site.genzoo("registry", "verify", "scheduler/constant", "scheduler/bad", "--file", str(file))
    assert done.returncode == 1, done.stderr
    good, bad = (item.verified for item in catalogue.read(file).plugin)
    assert good is not None
    assert bad is not None
    assert good.result.startswith("passed ")
    assert bad.result.startswith("failed: ")
    assert bad.version == "1.0"
    assert done.stdout.splitlines() == [f"scheduler/constant: {good.result}", f"scheduler/bad: {bad.result}"]
