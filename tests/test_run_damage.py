"""Files of a run that have another shape, are too deep, too large or flipped: told, and never hiding other runs."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from genzoo import storage
from genzoo.cli import execute
from genzoo.engine.checkpoint import find, read_state, verify
from genzoo.engine.checkpoint_folder import BEST, LAST
from genzoo.errors import CorruptError, GenzooError, RunExistsError, is_out_of_memory
from genzoo.recipe import read_recipe
from genzoo.runs import folder as folders
from genzoo.runs.commit import commit_of
from genzoo.runs.find import all_runs, find_run
from genzoo.runs.folder import RunFolder, create, open_run

TINY = [
    "run",
    "vae",
    "--data",
    "digits",
    "--network",
    "mlp",
    "--network.hidden",
    "8",
    "--limit",
    "16",
    "--device",
    "cpu",
]
DEEP = "[" * 200_000
FLIPS = 100
"""Bits of each file that are flipped, one at a time."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    out = tmp_path_factory.mktemp("trained")
    assert execute([*TINY, "--epochs", "1", "--out", str(out)]) == 0
    return next(all_runs(out))


@pytest.fixture
def copy(trained: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy to damage; it is the newer of two runs in ``tmp_path / "runs"``."""
    shutil.copytree(trained.path, tmp_path / "runs" / "vae" / "20200101T000000Z-000000")
    return RunFolder(Path(shutil.copytree(trained.path, tmp_path / "runs" / "vae" / trained.path.name)))


def damaged(run: RunFolder, capsys: pytest.CaptureFixture[str], *, listed: bool = True) -> None:
    """The run is refused by name wherever it is asked for, and the other one is listed and found."""
    out = ["--out", str(run.path.parent.parent)]
    capsys.readouterr()
    assert execute(["runs", "list", *out]) == 0
    said = capsys.readouterr()
    assert "20200101T000000Z-000000" in said.out
    assert not listed or run.path.name in said.err
    for command in (["runs", "show", str(run.path)], ["runs", "compare", str(run.path), "20200101"]):
        code = execute([*command, *out])
        said = capsys.readouterr()
        assert code in ({2, 4} if listed else {0, 2, 4}), command
        assert "defect" not in said.err
    assert execute(["runs", "show", "20200101", *out]) == 0


RECORDS = [
    "[]",
    "null",
    '"run"',
    "7",
    "",
    "{",
    "{" * 60,
    DEEP,
    '{"schema": "2"}',
    '{"schema": -1}',
    '{"schema": 1, "status": 3}',
    '{"schema": 1, "metrics": []}',
    '{"schema": 1, "metrics": {"nll": 3}}',
    '{"schema": 1, "metrics": {"nll": {"values": {"nll": "low"}}}}',
    '{"schema": 1, "figures": {"a": {"files": ["../../x.png"]}}}',
    '{"schema": 1, "components": "vae"}',
    '{"schema": 1, "seed": -1}',
    '{"schema": 1, "resumed": {}}',
    '{"schema": 1, "identity": {"run": 1}}',
    '{"schema": 99}',
    '{"schema": 1, "seed": ' + "9" * 5000 + "}",
    " " * (17 * 2**20) + "{}",
]


@pytest.mark.parametrize("content", RECORDS, ids=range(len(RECORDS)))
def test_a_record_of_another_shape_is_told_and_hides_no_other_run(
    copy: RunFolder, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copy.record_file.write_text(content, encoding="utf-8")
    damaged(copy, capsys)


@pytest.mark.parametrize("content", [b"\xff\xfe{\0}\0", b"\x80\x81", b"\0" * 100], ids=["utf-16", "bytes", "nul"])
def test_a_record_that_is_no_text_is_told(copy: RunFolder, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    copy.record_file.write_bytes(content)
    damaged(copy, capsys)


ROWS = [
    '{"kind": "epoch"}',
    '{"kind": "epoch", "epoch": "2", "train": {}}',
    '{"kind": "epoch", "epoch": 2}',
    '{"kind": "epoch", "epoch": -1, "train": {}}',
    '{"kind": "epoch", "epoch": 1000000000, "train": {}}',
    '{"kind": "epoch", "epoch": 2, "train": []}',
    '{"kind": "epoch", "epoch": 2, "train": {"rate": "low"}}',
    '{"kind": "epoch", "epoch": 2, "train": {}, "test": {"rates": ["a"]}}',
    '{"kind": "fitted", "epoch": 1}',
    '{"kind": "prior", "epoch": 1}',
    '{"kind": 3}',
    "[]",
    "null",
    "{}",
    "no json",
    DEEP,
    '{"kind": "epoch", "epoch": 2, "train": {"x": ' + "1" * 2**21 + "}}",
]


@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_a_row_of_another_shape_is_told_with_its_line(
    copy: RunFolder, row: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with copy.metrics_file.open("a", encoding="utf-8") as file:
        file.write(row + "\n")
    damaged(copy, capsys)
    with pytest.raises(CorruptError, match=r"metrics.jsonl, line 2"):
        copy.rows()


@pytest.mark.parametrize("epochs", [[1, 1], [1, 2, 2], [1, 3, 2]])
def test_rows_whose_epochs_do_not_rise_are_told_with_their_line(
    copy: RunFolder, epochs: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    row = json.loads(copy.metrics_file.read_text(encoding="utf-8"))
    copy.metrics_file.write_text(
        "".join(json.dumps({**row, "epoch": epoch}) + "\n" for epoch in epochs), encoding="utf-8"
    )
    damaged(copy, capsys)
    with pytest.raises(CorruptError, match=rf"metrics.jsonl, line {len(epochs)} .* epochs must rise"):
        copy.rows()


@pytest.mark.parametrize("how", ["gone", "empty"])
def test_rows_that_are_lost_are_told_when_the_run_is_resumed(
    copy: RunFolder, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copy.metrics_file.unlink()
    if how == "empty":
        copy.metrics_file.touch()
    assert execute(["run", "--resume", str(copy.path), "--epochs", "2"]) == 0
    assert "has the numbers of 0 of 1 epochs; the others are lost" in capsys.readouterr().err
    assert [row["epoch"] for row in copy.rows("epoch")] == [2]


@pytest.mark.parametrize("how", ["gone", "a folder", "a link to nowhere"])
def test_a_run_without_its_config_is_listed_as_damaged(
    copy: RunFolder, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copy.config_file.unlink()
    if how == "a folder":
        copy.config_file.mkdir()
    elif how == "a link to nowhere":
        copy.config_file.symlink_to(copy.path / "nowhere")
    damaged(copy, capsys)
    for command in (["sample", str(copy.path)], ["run", "--resume", str(copy.path)]):
        assert execute(command) == 4
        assert "config.toml must be a file, and is none. Put it back" in capsys.readouterr().err.replace("\n", " ")
    with pytest.raises(CorruptError, match=r"config\.toml must be a file"):
        open_run(copy.path)


CONFIGS: list[str | bytes] = [
    "",
    "[",
    "model",
    'model = "vae"',
    "[model]",
    "[model]\nname = 3",
    '[model]\nname = ""',
    '[model]\nname = "vae"\n[model]\nname = "vae"',
    '[model]\nname = "vae"\noptions = 1',
    '[model]\nname = "vae"\n[model.options]\nlatent_dim = "two"',
    '[model]\nname = "vae"\n[model.options]\nlatent_dim = -1',
    '[model]\nname = "vae"\n[model.options]\nunknown = 1',
    'schema = 99\n[model]\nname = "vae"',
    'schema = "1"\n[model]\nname = "vae"',
    '[model]\nname = "vae"\n[train]\nepochs = 1e9',
    '[model]\nname = "vae"\n[train]\nepochs = 1000000000',
    '[model]\nname = "vae"\n[train]\nlr = nan',
    '[model]\nname = "vae"\n[train]\nlr = "fast"',
    '[model]\nname = "vae"\nx = ' + "[" * 3000 + "]" * 3000,
    '[model]\nname = "vae"\n' + ".".join("a" * 3000) + " = 1",
    '[model]\nname = "vae"\nx = ' + "9" * 5000,
    '[[model]]\nname = "vae"',
    '[model]\nname = "vae"\n[schedulers]\nbeta = "linear-warmup"',
    '[model]\nname = "vae"\n[visualizers."../x"]\nname = "samples"',
    b"\xff\xfe[\0m\0",
    b"\x80\x81\x82",
    b"\0" * 64,
    b"# " + b"x" * (2 << 20),
]
"""More than the 23 kinds that were asked for."""


@pytest.mark.parametrize("content", CONFIGS, ids=range(len(CONFIGS)))
def test_a_damaged_config_is_refused_and_hides_no_other_run(
    copy: RunFolder, content: str | bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    copy.config_file.write_bytes(content if isinstance(content, bytes) else content.encode())
    damaged(copy, capsys, listed=False)
    before = copy.record_file.read_bytes()
    for command in (["run", "--resume", str(copy.path)], ["sample", str(copy.path)]):
        assert execute(command) in {2, 3}
        assert "defect" not in capsys.readouterr().err
    assert copy.record_file.read_bytes() == before


def reseal(checkpoint: Path) -> None:
    """Make the manifest agree with the files."""
    manifest = json.loads((checkpoint / "manifest.json").read_text(encoding="utf-8"))
    for name in manifest["files"]:
        manifest["files"][name] = {
            "size": (checkpoint / name).stat().st_size,
            "sha256": storage.sha256(checkpoint / name),
        }
    (checkpoint / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


STATES: list[Any] = [
    [],
    None,
    {"step": -1},
    {"step": 2.5},
    {"step": "2"},
    {"epochs_done": -1},
    {"epochs_done": 10**9},
    {"epochs_done": "NaN"},
    {"step_in_epoch": -3},
    {"best_elbo": "NaN"},
    {"best_elbo": "high"},
    {"best_step": -1},
    {"totals": []},
    {"totals": {"names": ["a"], "levels": 1, "sums": [1.0], "images": 3}},
    {"totals": {"names": [], "levels": 0, "sums": ["NaN", 1.0], "images": 3}},
    {"totals": {"names": [], "levels": 0, "sums": [1.0, 1.0], "images": -3}},
    {"prior": {"step": -1}},
    {"prior": {"total": "NaN"}},
    {"optimizer": []},
    {"optimizer": {"model.unknown/step": 1}},
    {"tensors": {"optimizer": 3}},
]


@pytest.mark.parametrize("change", STATES, ids=range(len(STATES)))
def test_a_state_that_no_training_leaves_is_refused(
    copy: RunFolder, change: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = find(copy.checkpoints)
    assert checkpoint is not None
    file = checkpoint / "state.json"
    state = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**state, **change} if isinstance(change, dict) else change), encoding="utf-8")
    reseal(checkpoint)
    rows = copy.metrics_file.read_bytes()
    assert execute(["run", "--resume", str(copy.path), "--epochs", "2"]) == 4
    assert "defect" not in capsys.readouterr().err
    assert copy.metrics_file.read_bytes() == rows


def no_tensors(tensors: dict[str, Any]) -> dict[str, Any]:
    return {}


def one_tensor_less(tensors: dict[str, Any]) -> dict[str, Any]:
    return dict(list(tensors.items())[1:])


def doubled(tensors: dict[str, Any]) -> dict[str, Any]:
    return {name: tensor.double() if tensor.dim() else tensor for name, tensor in tensors.items()}


def halved(tensors: dict[str, Any]) -> dict[str, Any]:
    return {name: tensor.half() if tensor.dim() else tensor for name, tensor in tensors.items()}


def with_nan(tensors: dict[str, Any]) -> dict[str, Any]:
    name = next(name for name in tensors if tensors[name].dim())
    tensors[name].view(-1)[0] = float("nan")
    return tensors


def negative_counts(tensors: dict[str, Any]) -> dict[str, Any]:
    return {name: -tensor if name.endswith("/step") else tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("file", "change"),
    [
        *(
            ("optimizer", change)
            for change in (no_tensors, one_tensor_less, doubled, halved, with_nan, negative_counts)
        ),
        *(("model", change) for change in (no_tensors, one_tensor_less, doubled, halved, with_nan)),
    ],
)
def test_tensors_that_no_training_leaves_are_refused(
    copy: RunFolder, file: str, change: Callable[[dict[str, Any]], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = find(copy.checkpoints)
    assert checkpoint is not None
    path = checkpoint / f"{file}.safetensors"
    save_file(change(load_file(path)), path)
    reseal(checkpoint)
    assert execute(["run", "--resume", str(copy.path), "--epochs", "2"]) == 4
    assert "defect" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"])
def test_every_flipped_bit_of_a_checkpoint_is_noticed_or_changes_nothing(copy: RunFolder, name: str) -> None:
    checkpoint = find(copy.checkpoints)
    assert checkpoint is not None
    file = checkpoint / name
    whole, state, flips = file.read_bytes(), read_state(checkpoint), random.Random(0)
    for _ in range(FLIPS):
        data = bytearray(whole)
        data[flips.randrange(len(data))] ^= 1 << flips.randrange(8)
        file.write_bytes(data)
        try:
            verify(checkpoint)
        except GenzooError:
            continue
        assert name == "manifest.json", "only what names the run may change unseen by the checksums"
        assert read_state(checkpoint) == state


@pytest.mark.parametrize("name", ["run.json", "metrics.jsonl", "config.toml"])
def test_a_flipped_bit_of_a_readable_file_is_never_a_defect(copy: RunFolder, name: str) -> None:
    file, flips = copy.path / name, random.Random(1)
    whole = file.read_bytes()
    for _ in range(FLIPS):
        data = bytearray(whole)
        data[flips.randrange(len(data))] ^= 1 << flips.randrange(8)
        file.write_bytes(data)
        told: GenzooError | None = None
        try:
            copy.record()
            copy.rows()
            read_recipe(copy.config_file)
        except GenzooError as error:
            told = error
        assert told is None or (told.exit_code in {2, 4} and name in str(told))


def test_last_is_the_newest_run_that_can_be_read_except_for_what_would_change_it(
    copy: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    root = copy.path.parent.parent
    copy.record_file.write_text("[]", encoding="utf-8")
    assert find_run("last", root).path.name == "20200101T000000Z-000000"
    out = ["--out", str(root)]
    assert execute(["runs", "show", "last", *out]) == 0
    assert copy.path.name in capsys.readouterr().err
    assert execute(["run", "--resume", "last", *out]) == 4
    assert find_run("last", root, changes=True).path == copy.path


def test_nothing_that_holds_what_is_needed_is_removed(
    copy: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--yes", "--out", str(copy.path.parent.parent)]
    link = tmp_path / "link"
    link.symlink_to(copy.path)
    for place in (copy.path, copy.figures, link, link / "checkpoints"):
        monkeypatch.chdir(place)
        for name in (".", str(Path.cwd()), str(copy.path), "last", f"../{copy.path.name}"):
            assert execute(["runs", "rm", name, *out]) == 2, (place, name)
    monkeypatch.chdir(tmp_path)
    assert execute(["runs", "rm", str(copy.path), "--yes", "--out", str(copy.figures)]) == 2
    monkeypatch.setenv("HOME", str(copy.checkpoints))
    assert execute(["runs", "rm", str(copy.path), *out]) == 2
    monkeypatch.setenv("HOME", str(tmp_path))
    nested = shutil.copytree(copy.path.parent / "20200101T000000Z-000000", copy.path / "runs" / "vae" / "other")
    assert execute(["runs", "rm", str(copy.path), *out]) == 2
    shutil.rmtree(copy.path / "runs")
    assert not nested.exists()
    assert "nothing was removed" in capsys.readouterr().err
    project = tmp_path / "project"
    project.mkdir()
    (project / "run.json").write_text('{"scripts": {}}', encoding="utf-8")
    (project / "config.toml").write_text("", encoding="utf-8")
    assert execute(["runs", "rm", str(project), *out]) == 2
    assert project.exists()
    assert execute(["runs", "rm", str(copy.path), "last", *out]) == 0
    assert not copy.path.exists()


def test_a_run_that_begins_while_its_removal_is_asked_for_is_kept(
    copy: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    holding = copy.locked()

    def agree(*_: object, **__: object) -> bool:
        holding.__enter__()
        return True

    monkeypatch.setattr("click.confirm", agree)
    try:
        assert execute(["runs", "rm", str(copy.path)]) == 6
    finally:
        holding.__exit__(None, None, None)
    assert copy.record_file.exists()


@pytest.mark.parametrize(
    "name",
    [
        "20990101T000000Z-ffffff",
        "99991231T235959Z-ffffff",
        "99999999T999999Z-ffffff",
        "20991231T235959Z-fffffe",
        "20990101T000000Z-ffffff-mine",
    ],
)
def test_a_folder_of_a_clock_ahead_stops_no_run(tmp_path: Path, name: str) -> None:
    (tmp_path / "vae" / name).mkdir(parents=True)
    made = [create(tmp_path, "vae").path.name for _ in range(3)]
    assert made == sorted(set(made))
    if not name.startswith("9999"):
        assert made[0] > name[:23]
    assert all(folders._stamp_of(Path(each)) for each in made)


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.email=a@b.c", "-c", "user.name=x"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
@pytest.mark.parametrize("trap", ["core.fsmonitor", "filter.x.clean", "alias.describe", "core.pager", "diff.external"])
def test_what_a_folders_git_configuration_names_is_never_run(
    tmp_path: Path, trap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("a", encoding="utf-8")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-q", "-m", "x")
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8"
    ).stdout.strip()
    (tmp_path / ".gitattributes").write_text("* filter=x diff=x\n", encoding="utf-8")
    (tmp_path / "file").write_text("b", encoding="utf-8")
    git(tmp_path, "config", trap, f"touch {tmp_path}/EXECUTED; false")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    (tmp_path / "below").mkdir()
    assert commit_of(tmp_path / "below") == commit
    assert not (tmp_path / "EXECUTED").exists()


def test_the_commit_is_found_wherever_git_keeps_it(tmp_path: Path) -> None:
    assert commit_of(tmp_path) is None
    kept, value = tmp_path / ".git", "a" * 40
    kept.mkdir()
    (kept / "HEAD").write_text("ref: refs/heads/main\n", encoding="utf-8")
    assert commit_of(tmp_path) is None
    (kept / "packed-refs").write_text(f"# pack-refs\n{value} refs/heads/main\n", encoding="utf-8")
    assert commit_of(tmp_path) == value
    (kept / "refs" / "heads").mkdir(parents=True)
    (kept / "refs" / "heads" / "main").write_text("b" * 40, encoding="utf-8")
    assert commit_of(tmp_path) == "b" * 40
    (kept / "HEAD").write_text("c" * 40, encoding="utf-8")
    assert commit_of(tmp_path) == "c" * 40
    for content in ("ref: ../../secret", "ref: refs/heads/../../../x", "nonsense", "\0", "ref: HEAD"):
        (kept / "HEAD").write_text(content, encoding="utf-8")
        assert commit_of(tmp_path) is None
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / ".git").write_text(f"gitdir: {kept}\n", encoding="utf-8")
    (kept / "HEAD").write_text("d" * 40, encoding="utf-8")
    assert commit_of(linked) == "d" * 40


def test_what_kills_left_behind_is_gone_once_the_run_is_resumed(copy: RunFolder) -> None:
    newest = find(copy.checkpoints)
    assert newest is not None
    left = [
        copy.checkpoints / ".staging-9-0123abcd" / "model.safetensors",
        copy.checkpoints / ".replaced-1-0123abcd" / "model.safetensors",
        copy.checkpoints / ".LAST.0123abcd",
        copy.path / ".run.json.0123abcd",
        copy.path / ".metrics.jsonl.deadbeef",
        copy.figures / ".curves.png.0123abcd",
    ]
    kept = [copy.path / ".notes", copy.path / ".mine.txt", copy.figures / "curves.png"]
    for path in [*left, *kept]:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    (copy.checkpoints / LAST).write_text("step-999", encoding="utf-8")
    assert execute(["run", "--resume", str(copy.path)]) == 0
    assert not [
        path
        for path in left
        if path.exists() or (path.parent != copy.figures and path.parent.name[0] == "." and path.parent.exists())
    ]
    assert all(path.exists() for path in kept)
    assert (copy.checkpoints / LAST).read_text(encoding="utf-8") == newest.name
    assert not (copy.checkpoints / BEST).exists()


def test_a_checkpoint_that_was_being_replaced_is_put_back(copy: RunFolder) -> None:
    newest = find(copy.checkpoints)
    assert newest is not None
    newest.rename(copy.checkpoints / f".replaced-{newest.name[5:]}-0123abcd")
    assert execute(["run", "--resume", str(copy.path)]) == 0
    assert find(copy.checkpoints) == newest


def test_numbers_of_a_run_that_is_held_are_shown_and_its_record_is_left_alone(
    copy: RunFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = copy.record_file.read_bytes()
    with copy.locked():
        assert execute(["eval", str(copy.path), "elbo"]) == 6
    said = capsys.readouterr()
    assert "elbo" in said.out
    assert "is held by another process" in said.err
    assert copy.record_file.read_bytes() == before


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_worked_on_with_a_warning(
    copy: RunFolder, number: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import fcntl

    def none(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", none)
    with copy.locked():
        assert copy.is_held
        with pytest.raises(RunExistsError), RunFolder(copy.path).locked():
            pass
    assert not copy.is_held
    assert "has no locks" in caplog.text
    (copy.path / ".holder").write_text(f"{os.uname().nodename} {2**22 + 1}\n", encoding="utf-8")
    assert not copy.is_held
    with copy.locked():
        pass
    (copy.path / ".holder").write_text("another-computer 7\n", encoding="utf-8")
    with pytest.raises(RunExistsError, match="another-computer"), copy.locked():
        pass


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
        ),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("std::bad_alloc"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
    ids=range(6),
)
def test_memory_that_runs_out_is_said_to_have(
    copy: RunFolder, error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert is_out_of_memory(error)

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("genzoo.engine.train.Trainer.fit", fail)
    assert execute(["run", "--resume", str(copy.path), "--epochs", "2"]) == 1
    said = capsys.readouterr().err
    assert "out of memory" in said
    assert "--batch-size" in said
    monkeypatch.setattr("genzoo.interfaces.model.Model.sample", fail)
    assert execute(["sample", str(copy.path), "-n", "2", "--out", str(copy.path / "samples.npz")]) == 1
    assert "memory ran out" in capsys.readouterr().err
    assert not is_out_of_memory(RuntimeError("the shapes do not fit"))


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    from genzoo.engine.signals import Signals

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert signals.received is None
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
