"""Tab completes commands, options with their values, plugins, runs and zoo names, in bash, zsh and fish."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from genzoo.cli import completing
from genzoo.cli.completion import SET_UP, gathered
from genzoo.host.plugin_host import host


@pytest.fixture(scope="module")
def names() -> Mapping[str, Any]:
    return json.loads(json.dumps(gathered()))


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("20260101T000000Z-aaaaaa", "20260102T000000Z-bbbbbb"):
        (tmp_path / "vae" / name).mkdir(parents=True)
        (tmp_path / "vae" / name / "run.json").write_text("{}", encoding="utf-8")
    monkeypatch.setenv("GENZOO_RUNS", str(tmp_path))
    return tmp_path


def offered(line: str, names: Mapping[str, Any]) -> list[str]:
    """What Tab offers at the end of a line after ``genzoo``."""
    *words, last = line.split(" ")
    return [word for word, _ in completing.offers(words, last, names)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ru", ["run", "runs"]),
        ("runs co", ["compare"]),
        ("recipe ", ["list", "show", "init"]),
        ("run cv", ["cvae"]),
        ("run vae --network m", ["mlp"]),
        ("run vae --scheduler lr=cos", ["lr=cosine"]),
        ("run vae --optimizer ad", ["adam", "adamw", "adamax"]),
        ("run vae --model.lat", ["--model.latent-dim"]),
        ("run vae --network mlp --network.act", ["--network.activation"]),
        ("run vae --network mlp --network.norm ", ["none", "batch", "layer"]),
        ("run beta-vae --loss.bet", ["--loss.beta"]),
        ("run vae --viz traversal --viz.traversal.sp", ["--viz.traversal.span"]),
        ("run vae --scheduler.epo", ["--scheduler.epochs"]),
        ("run --recipe report-v", ["report-vae"]),
        ("run --res", ["--resume"]),
        ("viz zoo:report-c", ["zoo:report-cvae"]),
        ("viz last trav", ["traversal"]),
        ("viz last traversal --traversal.sp", ["--traversal.span"]),
        ("eval last nl", ["nll"]),
        ("info linear", ["linear-warmup"]),
        ("list sched", ["scheduler"]),
        ("reproduce report-q", ["report-quick"]),
        ("completion f", ["fish"]),
        ("run vae nothing-else-", []),
        ("no-such-command ", []),
    ],
)
def test_a_line_is_completed(line: str, expected: list[str], names: Mapping[str, Any]) -> None:
    assert offered(line, names) == expected


def test_runs_are_offered_newest_first(runs: Path, names: Mapping[str, Any]) -> None:
    expected = ["20260102T000000Z-bbbbbb", "20260101T000000Z-aaaaaa"]
    for line in ("viz 2026", "run --resume 2026", "runs show 2026", f"eval --out {runs} 2026"):
        assert offered(line, names) == expected
    assert offered("sample la", names) == ["last"]


def test_every_plugin_and_option_of_a_command_is_offered(names: Mapping[str, Any]) -> None:
    assert {(kind, name) for kind, found in names["plugins"].items() for name in found} == {
        (str(item.kind), item.name) for item in host().components()
    }
    assert {"--epochs", "--data", "--json", "--no-compile"} <= set(offered("run vae --", names))


@pytest.mark.parametrize(
    ("words", "incomplete", "expected"),
    [
        (["viz", "zoo", ":"], "rep", (["viz"], "zoo:rep", "zoo:")),
        (["viz", "zoo"], ":", (["viz"], "zoo:", "zoo:")),
        (["run", "--scheduler", "lr", "="], "co", (["run", "--scheduler"], "lr=co", "lr=")),
        (["run", "--data", "="], "mn", (["run", "--data"], "mn", "")),
        (["run"], "va", (["run"], "va", "")),
    ],
)
def test_bash_splits_words_that_belong_together(
    words: list[str], incomplete: str, expected: tuple[list[str], str, str]
) -> None:
    assert completing._joined(words, incomplete) == expected


def asked(words: str, word: str, cache: Path, shell: str = "bash", code: str = "") -> subprocess.CompletedProcess[str]:
    """The answer of a process of its own, as a shell asks for it; ``word`` is the number of the word, fish's is its text."""
    environment = {**os.environ, "GENZOO_DATA": str(cache), "COMP_WORDS": words, "COMP_CWORD": word}
    environment[completing.VARIABLE] = f"{shell}_complete"
    script = f"import sys\nfrom genzoo.cli import execute\ncode = execute([])\n{code}\nsys.exit(code)"
    command = [sys.executable, "-c", script]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False
    )


@pytest.mark.parametrize(
    ("shell", "word", "expected"),
    [
        ("bash", "4", "plain,mlp"),
        ("zsh", "4", "plain\nmlp\nDense layers between any two shapes, plain or gated"),
        ("fish", "ml", "mlp"),
    ],
)
def test_a_process_answers_each_shell(shell: str, word: str, expected: str, tmp_path: Path) -> None:
    done = asked("genzoo run vae --network ml", word, tmp_path, shell)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout
    assert "conv" not in done.stdout


def test_an_answer_from_the_cache_imports_nothing_heavy(tmp_path: Path) -> None:
    names = ("torch", "numpy", "genzoo.host.plugin_host", "genzoo.compose.plan")
    heavy = f"print([name for name in {names} if name in sys.modules])"
    first = asked("genzoo run cv", "2", tmp_path, code=heavy)
    second = asked("genzoo run cv", "2", tmp_path, code=heavy)
    assert first.stdout.splitlines()[0] == second.stdout.splitlines()[0] == "plain,cvae"
    assert "torch" not in first.stdout
    assert second.stdout.splitlines()[-1] == "[]"


def test_the_cache_is_renewed_when_something_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.setenv("GENZOO_DATA", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(site))
    made: list[int] = []
    monkeypatch.setattr("genzoo.cli.completion.gathered", lambda: made.append(1) or {"made": len(made)})
    assert completing.cached() == completing.cached() == {"made": 1}
    (site / "another-1.0.dist-info").mkdir()
    os.utime(site, ns=(1, 1))
    assert completing.cached() == {"made": 2}
    completing._file().write_text("{", encoding="utf-8")
    assert completing.cached() == {"made": 3}


@pytest.mark.parametrize("shell", SET_UP)
def test_each_shell_takes_its_script(shell: str, tmp_path: Path) -> None:
    text = completing.script(shell)
    assert f"{completing.VARIABLE}={shell}_complete" in text
    if (found := shutil.which(shell)) is not None:
        file = tmp_path / "script"
        file.write_text(text, encoding="utf-8")
        assert subprocess.run([found, "-n", str(file)], timeout=60, check=False).returncode == 0


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_a_zoo_name(tmp_path: Path) -> None:
    """The whole way: the script is loaded, and its function is called as readline calls it."""
    (tmp_path / "genzoo").write_text(f'#!/bin/sh\nexec {sys.executable} -m genzoo "$@"\n', encoding="utf-8")
    (tmp_path / "genzoo").chmod(0o755)
    lines = [
        completing.script("bash"),
        'COMP_WORDS=(genzoo viz zoo : report-c); COMP_CWORD=4; _genzoo_completion genzoo; echo "${COMPREPLY[@]}"',
    ]
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "GENZOO_DATA": str(tmp_path)}
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)],
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.stdout.strip() == "report-cvae", done.stderr
