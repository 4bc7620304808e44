"""The commands that find plugins, run as a user runs them, over real distributions of which most are faulty."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from subprocess import CompletedProcess

import click
import pytest

import genzoo.cli as cli_package
from genzoo.cli import COMMANDS
from genzoo.host import origin

NAMES = [
    ("plain", 2, ["Error: 'plain' is the name of a model and of a scheduler.", "model/plain or scheduler/plain"]),
    ("ramp", 2, ["claimed by good-zoo and twin-zoo", "good-zoo:ramp or twin-zoo:ramp"]),
    ("twin-zoo:ramp", 0, []),
    ("plian", 3, ["There is no plugin 'plian'. Did you mean 'plain'?", "genzoo list"]),
    ("model/ancient", 3, ["old-zoo 1.0", "plugin API 0.9", "pip install --upgrade old-zoo"]),
    ("raises-zoo:anything", 3, ["raises-zoo 1.0", "ValueError: no such thing", "pip uninstall raises-zoo"]),
    ("exits", 3, ["exits-zoo 1.0", "SystemExit: 9"]),
    ("scheduler/breaks", 3, ["good-zoo 1.0", "SystemExit: no licence key"]),
    ("banned", 3, ["banned-zoo 1.0", "GENZOO_LOAD_PLUGINS"]),
]
"""Name asked of `genzoo info`, exit code, what stderr says."""

LINES = [
    *[("info", name) for name, _, _ in NAMES],
    ("list", "schedulers"),
    ("list", "--jsn"),
    ("list", "model", "--all", "--json"),
    ("info", "model/plain"),
    ("info", "model/plain", "--json"),
    ("--debug", "info", "nothing-like-it"),
    ("info", "nothing-like-it", "--debug"),
    ("search", "model", "--json"),
    ("search", "xyzzy"),
    ("new", "schedular", "my-idea"),
    ("new", "animal", "my-idea"),
    ("lsit",),
]


@pytest.fixture(scope="module")
def said(faulty):
    return faulty.batch(LINES)


@pytest.fixture(scope="module")
def listed(faulty) -> CompletedProcess[str]:
    return faulty.genzoo("list", "--json")


def test_list_works_beside_broken_plugins_and_warns_once(listed) -> None:
    assert listed.returncode == 0
    found = json.loads(listed.stdout)
    assert [item["name"] for item in found["components"]] == [
        "derived", "plain", "breaks", "late", "plain", "ramp", "ramp",
    ]  # fmt: skip
    assert {item["kind"] for item in found["problems"]} == {"broken", "incompatible", "duplicate"}
    warnings = [line for line in listed.stderr.splitlines() if line.startswith("Warning")]
    assert len(warnings) == 1
    assert "Traceback" not in listed.stderr


def test_what_a_plugin_prints_at_import_stays_out_of_the_result(listed) -> None:
    assert "noise on stdout" in listed.stderr
    assert "noise" not in listed.stdout


def test_list_shows_the_broken_and_names_both_claimants(said) -> None:
    done = said["list", "schedulers"]
    assert done.returncode == 0
    assert "good-zoo:ramp" in done.stdout
    assert "twin-zoo:ramp" in done.stdout
    assert (
        "broken: raises-zoo 1.0: importing raises_zoo.plugin raised ValueError: no such thing, at plugin.py:4."
        in done.stdout
    )
    assert "incompatible: old-zoo" not in done.stdout, "a model's problem is no concern of the schedulers"


def test_list_all_adds_the_catalogue(said) -> None:
    listed = json.loads(said["list", "model", "--all", "--json"].stdout)
    absent = {item["name"]: item["install"] for item in listed["not_installed"]}
    assert absent["vae"] == origin.install("genzoo-vae")
    assert {item["kind"] for item in listed["components"]} == {"model"}


def test_info_shows_flags_as_they_are_typed(said) -> None:
    done = said["info", "model/plain", "--json"]
    assert done.returncode == 0
    about = json.loads(done.stdout)
    assert (about["distribution"], about["version"], about["paper"]) == ("good-zoo", "1.0", "A. Nobody 2020")
    assert about["companions"] == {"loss": ["elbo", {"beta": 4}], "prior": "mixture"}
    options = {item["flag"]: (item["type"], item["default"], item["bounds"]) for item in about["options"]}
    assert options == {
        "--model.latent-dim": ("integer", 2, "≥ 1, ≤ 64"),
        "--model.width": ("number or unset", 8, "> 0"),
        "--model.style": ("thin | thick", "thin", ""),
        "--model.sizes": ("integers", [1, 2], "at least 1 long"),
    }
    text = said["info", "model/plain"].stdout
    for word in ("--model.latent-dim", "good-zoo 1.0", "A. Nobody 2020", "loss elbo (beta=4)", "genzoo run plain"):
        assert word in text


@pytest.mark.parametrize(("name", "code", "says"), NAMES)
def test_info_says_why_a_name_cannot_be_had(said, name: str, code: int, says: list[str]) -> None:
    done = said["info", name]
    assert done.returncode == code
    for words in says:
        assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_disallowed_plugin_is_not_imported_by_any_command(said, listed, faulty) -> None:
    assert not (faulty.folder / "banned-was-imported").exists()
    faulty.genzoo("list", GENZOO_LOAD_PLUGINS="banned-zoo")
    try:
        assert (faulty.folder / "banned-was-imported").exists(), "the trap itself must work"
    finally:
        (faulty.folder / "banned-was-imported").unlink(missing_ok=True)


def test_doctor_names_every_fault_and_exits_3(faulty) -> None:
    pytest.importorskip("torch")
    done = faulty.genzoo("doctor", "--json")
    assert done.returncode == 3
    found = json.loads(done.stdout)
    kinds = {(item["distribution"], item["kind"]) for item in found["problems"]}
    assert {
        ("raises-zoo", "broken"),
        ("exits-zoo", "broken"),
        ("slow-zoo", "slow"),
        ("old-zoo", "incompatible"),
        ("twin-zoo", "duplicate"),
        ("banned-zoo", "disallowed"),
        ("good-zoo", "broken"),
    } <= kinds
    assert all(item["fix"] for item in found["problems"])
    plugins = {item["distribution"]: item for item in found["plugins"]}
    assert plugins["good-zoo"]["status"] == "loaded"
    assert plugins["good-zoo"]["api"] == ["1.0"]
    assert plugins["slow-zoo"]["import_seconds"] > 0.5
    assert {name: plugins[name]["status"] for name in ("raises-zoo", "misspelt-zoo", "old-zoo", "twin-zoo")} == {
        "raises-zoo": "broken", "misspelt-zoo": "broken", "old-zoo": "incompatible", "twin-zoo": "duplicate",
    }  # fmt: skip


def test_doctor_names_the_extra_that_brings_a_missing_module(tmp_path: Path, faulty) -> None:
    site = type(faulty)(tmp_path)
    wants = 'Component("prior", "fancy", "a.b:C", requires_extra=("no_such_module", "no_such_other"))'
    site.install("extra-zoo", f"@hookimpl\ndef genzoo_priors():\n    return [{wants}]\n")
    with (tmp_path / "extra_zoo-1.0.dist-info/METADATA").open("a", encoding="utf-8") as file:
        file.write("Provides-Extra: no-such-module\n")
    found = json.loads(site.genzoo("doctor", "--quick", "--json").stdout)
    fixes = [item["fix"] for item in found["problems"] if item["kind"] == "optional"]
    assert fixes == [
        'If you want that feature: pip install "extra-zoo[no-such-module]"',
        "If you want that feature, install what provides the module 'no_such_other'.",
    ]


@pytest.mark.parametrize(("kind", "guess"), [("schedular", "Did you mean 'scheduler'?"), ("animal", "")])
def test_new_names_the_kinds_there_are(said, kind: str, guess: str) -> None:
    done = said["new", kind, "my-idea"]
    assert done.returncode == 2
    assert f"Error: new: KIND must be one of model, loss, prior, scheduler, visualizer, likelihood, network, dataset, metric, got '{kind}'." in done.stderr  # fmt: skip  # noqa: E501
    assert guess in done.stderr


def test_doctor_says_who_imported_torch_too_early(faulty, tmp_path) -> None:
    pytest.importorskip("torch")
    site = type(faulty)(tmp_path)
    site.install("eager-zoo", "import torch\n")
    (tmp_path / "torch.py").write_text("", encoding="utf-8")
    found = json.loads(site.genzoo("doctor", "--quick", "--json").stdout)
    assert [
        (item["distribution"], item["kind"])
        for item in found["problems"]
        if item["kind"] not in {"disallowed", "missing"}
    ] == [("eager-zoo", "imports-torch")]


def test_registry_check_finds_drift_both_ways_and_mends_it(faulty, tmp_path) -> None:
    site = type(faulty)(tmp_path)
    component = 'Component("loss", "new", "a.b:C", summary="As declared", paper="P")'
    site.install("drift-zoo", f"@hookimpl\ndef genzoo_losses():\n    return [{component}]\n")
    entry = (
        '[[plugin]]\nkind = "loss"\nname = "{}"\ndistribution = "drift-zoo"\nsource = "s"\nsummary = "Old words"\n'
        'licence = "MIT"\ntier = "community"\n'
    )
    drifted, empty = tmp_path / "registry.toml", tmp_path / "empty.toml"
    drifted.write_text("schema = 1\n" + entry.format("new") + entry.format("gone"), encoding="utf-8")
    empty.write_text("schema = 1\n", encoding="utf-8")
    check = ("registry", "check", "--file", str(drifted))
    lines = [check, (*check, "--write"), (*check, "--strict", "--json"), ("registry", "check", "--file", str(empty))]
    before, mending, after, of_empty = site.batch(lines).values()
    assert before.returncode == 1
    assert "loss/gone is listed, but drift-zoo does not declare it." in before.stdout
    assert "summary is 'Old words' in the catalogue and 'As declared' in the declaration" in before.stdout
    assert mending.returncode == after.returncode == 0
    assert json.loads(after.stdout)["agreeing"] == 1
    assert of_empty.returncode == 1
    assert "loss/new is installed from drift-zoo and not listed." in of_empty.stdout


def test_search_finds_what_is_installed_and_what_is_not(said) -> None:
    found = {item["name"]: item["installed"] for item in json.loads(said["search", "model", "--json"].stdout)}
    assert found["plain"]
    assert not found["vae"]
    nothing = said["search", "xyzzy"]
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert "xyzzy" in nothing.stderr


IMPORTS = """
import contextlib, io, json, sys
from genzoo.cli import execute
with contextlib.redirect_stdout(io.StringIO()):
    codes = [execute(line.split()) for line in {lines!r}]
print(json.dumps([codes, sorted(sys.modules)]))
"""


def test_finding_commands_import_no_torch(faulty) -> None:
    lines = ["list --all", "info model/plain", "search model", "registry check"]
    codes, modules = json.loads(faulty.python("-c", IMPORTS.format(lines=lines)).stdout)
    assert codes[:3] == [0, 0, 0]
    assert {"pydantic", "pluggy"} <= set(modules), "the commands ran"
    assert not {"torch", "numpy", "matplotlib", "torchvision"} & set(modules)


def test_help_imports_click_and_nothing_heavy(faulty) -> None:
    codes, modules = json.loads(faulty.python("-c", IMPORTS.format(lines=["--help", "--version", "-h"])).stdout)
    assert codes == [0, 0, 0]
    heavy = {"torch", "numpy", "matplotlib", "pydantic", "pluggy", "importlib.metadata", "tomllib", "logging"}
    assert not heavy & set(modules)


def test_a_closed_pipe_is_silent(faulty) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "genzoo", "list"],
        env=faulty.environment(PYTHONUNBUFFERED="1", GENZOO_LOAD_PLUGINS="good-zoo"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(30) == 141


def test_a_locale_without_unicode_gets_replacements_and_valid_json(faulty) -> None:
    script = "from genzoo.cli import execute; execute(['list']); execute(['list', '--json'])"
    done = faulty.python("-c", script, PYTHONIOENCODING="latin-1", PYTHONUTF8="0", GENZOO_LOAD_PLUGINS="good-zoo")
    assert done.returncode == 0
    table, brace, rest = done.stdout.partition("{")
    assert "A plain ? model" in table
    found = json.loads(brace + rest)
    assert "A plain β model" in {item["summary"] for item in found["components"]}


@pytest.mark.skipif(os.name != "posix", reason="a pseudo-terminal needs POSIX")
def test_everything_fits_a_terminal_of_40_columns(faulty) -> None:
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    environment = faulty.environment(GENZOO_LOAD_PLUGINS="good-zoo,twin-zoo")
    commands = ["list --all", "info model/plain", "--help", "list --help", "doctor --quick", "search model"]
    script = f"from genzoo.cli import execute\nfor line in {commands}: assert execute(line.split()) in (0, 3)"
    process = subprocess.Popen(
        [sys.executable, "-c", script], env=environment, stdout=theirs, stderr=subprocess.DEVNULL
    )
    os.close(theirs)
    chunks: list[bytes] = []
    try:
        while chunk := os.read(ours, 65536):
            chunks.append(chunk)
    except OSError:  # Linux's way to say that the other end is closed
        pass
    os.close(ours)
    assert process.wait(30) == 0
    text = b"".join(chunks).decode()
    assert "--model.latent-dim" in text
    assert [line for line in text.splitlines() if len(line) > 40] == []
    assert "\x1b" not in text


def test_an_unknown_command_gives_the_nearest(said) -> None:
    done = said[("lsit",)]
    assert done.returncode == 2
    assert done.stderr == "Error: There is no command 'lsit'.\nDid you mean `genzoo list`?\n"


def test_a_wrong_option_is_a_usage_error_without_traceback(said) -> None:
    done = said["list", "--jsn"]
    assert done.returncode == 2
    assert done.stderr.startswith("Error: No such option")
    assert "genzoo list --help" in done.stderr


@pytest.mark.parametrize("arguments", [("--debug", "info", "nothing-like-it"), ("info", "nothing-like-it", "--debug")])
def test_debug_shows_the_traceback_wherever_it_stands(said, arguments: tuple[str, ...]) -> None:
    done = said[arguments]
    assert done.returncode == 3
    assert "Traceback" in done.stderr
    assert "Error: There is no plugin 'nothing-like-it'." in done.stderr


def test_the_static_table_lists_every_command_and_no_other() -> None:
    defined: dict[str, str] = {}
    for file in Path(cli_package.__file__).parent.glob("*.py"):
        source = f"genzoo.cli.{file.stem}"
        commands = [value for value in vars(import_module(source)).values() if isinstance(value, click.Command)]
        below = {id(item) for group in commands if isinstance(group, click.Group) for item in group.commands.values()}
        if file.stem != "__init__":
            defined |= {str(command.name): source for command in commands if id(command) not in below}
    assert defined == {name: entry.module for name, entry in COMMANDS.items()}
