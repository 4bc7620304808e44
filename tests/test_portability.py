"""What differs between systems: blocked renames, signals, forks, encodings, and a home that cannot be written."""

from __future__ import annotations

import ast
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from genzoo import process, storage
from genzoo.engine.signals import Signals
from genzoo.errors import StorageError
from genzoo.testing import prober

ROOT = Path(__file__).parent.parent


# Renames


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[float]]:
    """A system on which a reader blocks the first renames and removals; gives the waits in seconds."""

    def block(times: int) -> list[float]:
        waits: list[float] = []
        left = iter(range(times))

        def blocked(name: str) -> Callable[..., object]:
            real = getattr(Path, name)

            def act(self: Path, *arguments: object, **named: object) -> object:
                if next(left, None) is not None:
                    raise PermissionError(13, "The process cannot access the file because it is being used")
                return real(self, *arguments, **named)

            return act

        for name in ("replace", "rename"):
            monkeypatch.setattr(Path, name, blocked(name))
        monkeypatch.setattr(storage, "BLOCKED_BY_READERS", True)
        monkeypatch.setattr(storage.time, "sleep", waits.append)
        return waits

    return block


@pytest.mark.parametrize("times", [0, 1, 3, len(storage.PATIENCE)])
def test_a_rename_that_a_reader_blocks_is_tried_again(
    windows: Callable[[int], list[float]], tmp_path: Path, times: int
) -> None:
    file = tmp_path / "run.json"
    file.write_bytes(b"old")
    waits = windows(times)
    storage.replace(file, b"new")
    assert file.read_bytes() == b"new"
    assert waits == list(storage.PATIENCE[:times])
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_folder_that_a_reader_blocks_is_renamed_too(windows: Callable[[int], list[float]], tmp_path: Path) -> None:
    (tmp_path / "staged").mkdir()
    windows(2)
    storage.rename(tmp_path / "staged", tmp_path / "step-1")
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]


def test_patience_ends_and_the_old_file_is_whole(windows: Callable[[int], list[float]], tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_bytes(b"old")
    waits = windows(len(storage.PATIENCE) + 1)
    with pytest.raises(StorageError, match="could not be written: The process cannot access"):
        storage.replace(file, b"new")
    assert file.read_bytes() == b"old"
    assert 1 < sum(waits) < 3, "seconds"
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_where_no_reader_blocks_a_refusal_is_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    def refused() -> None:
        tries.append(1)
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(storage, "BLOCKED_BY_READERS", False)
    with pytest.raises(PermissionError):
        storage.retried(refused)
    assert len(tries) == 1


def test_nothing_renames_past_the_seam() -> None:
    """Every rename of core and plugins goes through `storage.rename` or `storage.retried`."""
    for path in [*ROOT.glob("genzoo/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inside = {
            id(node)
            for call in ast.walk(tree)
            if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] == "retried"
            for node in ast.walk(call)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and id(node) not in inside:
                owner, name = ast.unparse(node.func.value), node.func.attr
                moves = name == "rename" or (name == "replace" and len(node.args) == 1 and not node.keywords)
                assert owner == "storage" or not moves, f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}"


# Signals


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="it stands in for SIGBREAK, which Windows alone has")
def test_sigbreak_is_taken_as_sigterm_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)
    before = signal.getsignal(signal.SIGUSR1)
    with Signals() as signals:
        signal.raise_signal(signal.SIGUSR1)
        assert signals.received == signal.SIGUSR1
    assert signal.getsignal(signal.SIGUSR1) == before


# Forks


def test_the_probe_forks_on_neither_macos_nor_windows() -> None:
    script = "import sys, os; sys.platform = {!r}; {}; from genzoo.testing import prober; print(prober.FORKS)"
    for platform, extra, forks in (("linux", "0", True), ("darwin", "0", False), ("win32", "del os.fork", False)):
        done = subprocess.run(
            [sys.executable, "-c", script.format(platform, extra)], capture_output=True, encoding="utf-8", check=True
        )
        assert done.stdout.strip() == str(forks), platform


def test_without_a_fork_each_request_has_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prober, "FORKS", False)
    monkeypatch.setattr(prober, "_processes", {})
    for _ in range(2):
        assert prober.ask("import", torch=False, module="json")["torch"] is False
        assert prober._processes == {}
    assert "no_such_module" in prober.ask("import", torch=False, module="no_such_module")["error"]


# Encodings


def unnamed(tree: ast.AST) -> Iterator[ast.Call]:
    """The calls that read or write text in whatever encoding the system happens to have."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        given = {keyword.arg for keyword in node.keywords}
        owner, _, name = ast.unparse(node.func).rpartition(".")
        if given & {"encoding", None}:
            continue
        if name in {"read_text", "write_text"}:
            if len(node.args) < {"read_text": 1, "write_text": 2}[name]:
                yield node
        elif name in {"open", "fdopen"} and owner not in {
            "os",
            "packed",
            "webbrowser",
            "zipfile",
            "tarfile",
            "gzip",
            "Image",
        }:
            modes = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "mode")]
            texts = [mode.value for mode in modes if isinstance(mode, ast.Constant) and isinstance(mode.value, str)]
            if not any("b" in text for text in texts if set(text) <= set("rwxabt+")):
                yield node
        elif (
            name in {"run", "Popen", "check_output"}
            and owner == "subprocess"
            and given & {"text", "universal_newlines"}
        ):
            yield node


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("path.read_text()", True),
        ("path.read_text('utf-8')", False),
        ("path.write_text(text)", True),
        ("path.write_text(text, encoding='utf-8')", False),
        ("open(path)", True),
        ("path.open('w')", True),
        ("path.open('xb')", False),
        ("os.open(path, os.O_RDONLY)", False),
        ("subprocess.run(words, text=True)", True),
        ("subprocess.run(words, text=True, encoding='utf-8')", False),
        ("subprocess.run(words)", False),
    ],
)
def test_what_names_no_encoding_is_found(line: str, found: bool) -> None:
    assert bool(list(unnamed(ast.parse(line)))) is found


def test_everything_that_reads_or_writes_text_names_its_encoding() -> None:
    folders = ("genzoo", "plugins", "tools", "tests", "docs", "benchmarks")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 300
    wrong = [
        f"{path.relative_to(ROOT)}:{call.lineno}: {ast.unparse(call)[:80]}"
        for path in files
        for call in unnamed(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert wrong == []


# Home


@pytest.mark.parametrize(
    "home", ["/dev/null/home", *(pytest.param(path, marks=pytest.mark.slow) for path in ("/nowhere/at/all", "/proc"))]
)
@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="its folders that nobody can write are Linux's")
def test_a_home_that_cannot_be_written_costs_one_line_at_most(home: str, tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "MPLCONFIGDIR"))}
    script = (
        "import sys; from genzoo.cli import execute;"
        "words = 'run vae --viz traversal --limit 32 --epochs 1 --network mlp --network.hidden 8 --data digits'.split();"
        "out = ['--out', sys.argv[1]];"
        "sys.exit(max(execute(words + out), execute(['runs', 'list', *out]), execute(['list'])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "runs")],
        env=kept | {"HOME": home}, cwd=tmp_path, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    told = [line for line in done.stderr.splitlines() if "matplotlib" in line.lower() or home in line]
    assert len(told) <= 1, told


def test_of_what_matplotlib_says_of_home_one_line_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_told_of_home", [])
    said = [
        "Matplotlib is building the font cache; this may take a moment.",
        "mkdir -p failed for path %s: %s",
        "%s is not a writable directory",
        "Matplotlib created a temporary cache directory at %s because there was an issue with %s; it is highly recommended",
        "Matplotlib created a temporary cache directory at %s because there was an issue with %s; it is highly recommended",
        "Matplotlib is building the font cache; this may take a moment.",
        "findfont: Font family 'x' not found.",
    ]
    passed = [process._one_of_home(logging.LogRecord("matplotlib", 30, "", 0, text, (), None)) for text in said]
    assert passed == [True, False, False, True, False, False, True]
