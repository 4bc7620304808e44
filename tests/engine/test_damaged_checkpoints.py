"""What a crash, a bad disk or a stranger left in a run folder is seen, told and survived; nothing is deleted for it."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from genzoo import storage
from genzoo.cli import execute
from genzoo.engine import tensor_files as module
from genzoo.engine.checkpoint import find, load_checkpoint, verify
from genzoo.engine.listener import Listener
from genzoo.errors import CorruptError
from genzoo.host.plugin_host import host
from genzoo.runs.folder import RunFolder
from genzoo.runs.load import load_run
from genzoo.training.start import resume, start

from .conftest import resolved, same_rows, same_weights

SMALL = {"train": {"limit": 20, "epochs": 2}}


class Listener(Listener):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return start(resolved(**SMALL), host(), out=tmp_path_factory.mktemp("whole")).folder


@pytest.fixture
def copy(whole: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy to damage; it has the checkpoints step-2 and step-4."""
    return RunFolder(Path(shutil.copytree(whole.path, tmp_path / whole.path.name)))


def contents(folder: RunFolder) -> dict[str, bytes]:
    """Every file but the log and the lock."""
    files = [path for path in folder.path.rglob("*") if path.is_file() and path.name not in {"run.log", ".lock"}]
    return {str(path.relative_to(folder.path)): path.read_bytes() for path in files}


def reseal(checkpoint: Path) -> None:
    """Make the manifest agree with the files, as somebody who tampers with them would."""
    manifest = json.loads((checkpoint / "manifest.json").read_text(encoding="utf-8"))
    for name in manifest["files"]:
        file = checkpoint / name
        manifest["files"][name] = {"size": file.stat().st_size, "sha256": storage.sha256(file)}
    (checkpoint / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def truncated(checkpoint: Path) -> None:
    file = checkpoint / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def one_bit_flipped(checkpoint: Path) -> None:
    file = checkpoint / "optimizer.safetensors"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def without_manifest(checkpoint: Path) -> None:
    (checkpoint / "manifest.json").unlink()


def with_an_empty_manifest(checkpoint: Path) -> None:
    (checkpoint / "manifest.json").write_text('{"files": {}}', encoding="utf-8")


def with_a_garbled_manifest(checkpoint: Path) -> None:
    (checkpoint / "manifest.json").write_text('{"files": ["model.safetensors"]}', encoding="utf-8")


def without_state(checkpoint: Path) -> None:
    (checkpoint / "state.json").unlink()


DAMAGES: list[Callable[[Path], None]] = [
    truncated,
    one_bit_flipped,
    without_manifest,
    with_an_empty_manifest,
    with_a_garbled_manifest,
    without_state,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_checkpoint_is_told_and_the_one_before_it_used(
    whole: RunFolder, copy: RunFolder, damage: Callable[[Path], None]
) -> None:
    damage(copy.checkpoints / "step-4")
    listener = Listener()
    resume(copy, host(), listener=listener)
    assert any("step-4" in warning and "Falling back" in warning for warning in listener.warnings)
    assert same_rows(whole, copy)
    assert same_weights(whole, copy)
    assert verify(copy.checkpoints / "step-4")["step"] == 4


@pytest.mark.parametrize("damage", DAMAGES)
def test_when_every_checkpoint_is_damaged_nothing_is_deleted(
    copy: RunFolder, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    damage(copy.checkpoints / "step-2")
    damage(copy.checkpoints / "step-4")
    before = contents(copy)
    assert execute(["run", "--resume", str(copy.path)]) == 4
    assert execute(["sample", str(copy.path), "--out", str(copy.path.parent / "samples.png")]) == 4
    assert contents(copy) == before
    assert "none of the 2 checkpoints" in capsys.readouterr().err
    assert not (copy.path.parent / "samples.png").exists()


def test_leftovers_of_a_crash_are_ignored_and_repaired(tmp_path: Path, copy: RunFolder) -> None:
    three = start(resolved(train={"limit": 20, "epochs": 3}), host(), out=tmp_path / "three").folder
    # A cosine learning rate knows the length of the run, so only the rows' epochs can be compared.
    stale = copy.checkpoints / ".staging-6-deadbeef"
    stale.mkdir()
    (stale / "model.safetensors").write_bytes(b"half of it")
    (copy.checkpoints / "LAST").write_text("step-999", encoding="utf-8")
    with copy.metrics_file.open("a", encoding="utf-8") as file:
        file.write('{"kind": "epoch", "epoch": 3, "ste')
    assert [row["epoch"] for row in copy.rows("epoch")] == [1, 2]
    resume(copy, host(), changes={"epochs": 3})
    assert [row["epoch"] for row in copy.rows("epoch")] == [row["epoch"] for row in three.rows("epoch")] == [1, 2, 3]
    assert all(json.loads(line) for line in copy.metrics_file.read_text(encoding="utf-8").splitlines())
    assert not stale.exists()
    assert (copy.checkpoints / "LAST").read_text(encoding="utf-8") == "step-6"


def test_rows_written_after_the_checkpoint_are_not_written_twice(whole: RunFolder, copy: RunFolder) -> None:
    shutil.rmtree(copy.checkpoints / "step-4")
    copy.add_row({"kind": "epoch", "epoch": 3})
    resume(copy, host())
    assert same_rows(whole, copy)
    assert same_weights(whole, copy)


def test_a_checkpoint_that_is_being_replaced_is_still_found(copy: RunFolder) -> None:
    shutil.rmtree(copy.checkpoints / "step-2")
    (copy.checkpoints / "step-4").rename(copy.checkpoints / ".replaced-4-0123abcd")
    found = find(copy.checkpoints)
    assert found is not None
    assert found.name == ".replaced-4-0123abcd"
    assert load_run(copy, host()).epoch == 2


def huge_header(data: bytes) -> bytes:
    return struct.pack("<Q", 2**40) + data[8:]


def trailing_bytes(data: bytes) -> bytes:
    return data + b"\0" * 16


def a_pickle(data: bytes) -> bytes:
    return pickle.dumps({"weight": [1.0, 2.0]})


def beyond_its_end(data: bytes) -> bytes:
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    name = next(name for name in header if name != "__metadata__")
    header[name]["shape"], header[name]["data_offsets"] = [10**6, 10**6], [0, 4 * 10**12]
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


@pytest.mark.parametrize("tamper", [huge_header, trailing_bytes, a_pickle, beyond_its_end])
def test_a_file_that_is_no_sound_safetensors_file_is_refused(
    copy: RunFolder, tamper: Callable[[bytes], bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    for step in (2, 4):
        file = copy.checkpoints / f"step-{step}" / "model.safetensors"
        file.write_bytes(tamper(file.read_bytes()))
        reseal(file.parent)
    assert execute(["run", "--resume", str(copy.path)]) == 4
    assert "model.safetensors is not a sound safetensors file" in capsys.readouterr().err


@pytest.mark.parametrize("file", ["model", "optimizer"])
def test_wrong_shapes_are_refused_before_any_tensor_is_read(
    copy: RunFolder, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copy.checkpoints / "step-4" / f"{file}.safetensors"
    tensors = load_file(path)
    name = max(tensors, key=lambda name: tensors[name].dim())
    tensors[name] = torch.zeros(3, 5)
    save_file(tensors, path)
    reseal(path.parent)
    experiment = module_experiment()
    read: list[str] = []
    genuine = module.read_tensors
    monkeypatch.setattr(module, "safe_open", Watched.of(read))
    with pytest.raises(CorruptError, match=r"must have shape .* got \[3, 5\]") as refused:
        genuine(path, shapes_of(experiment, file, tensors))
    assert refused.value.exit_code == 4
    assert read == []
    if file == "optimizer":
        optimizer = torch.optim.Adam(experiment.parameters())
        with pytest.raises(CorruptError, match=r"got \[3, 5\]"):
            load_checkpoint(path.parent, experiment, optimizer)


def test_weights_of_another_model_are_refused(copy: RunFolder) -> None:
    path = copy.checkpoints / "step-4" / "model.safetensors"
    save_file({"stranger": torch.zeros(2)}, path)
    reseal(path.parent)
    with pytest.raises(CorruptError, match=r"is of another model: missing .* unexpected stranger"):
        load_run(copy, host())


def test_a_pickle_is_refused_unread(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touched = tmp_path / "touched"

    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (touched,)

    for name in ("weights.pt", "weights.pkl", "weights.ckpt"):
        (tmp_path / name).write_bytes(pickle.dumps(Payload()))
        for command in (["viz", "{}", "samples"], ["eval", "{}", "elbo"], ["run", "--resume", "{}"]):
            assert execute([word.format(tmp_path / name) for word in command]) == 4
    assert "never reads" in capsys.readouterr().err
    with pytest.raises(CorruptError, match="refused unread"):
        module.read_tensors(tmp_path / "weights.pt")
    assert not touched.exists()


def module_experiment() -> torch.nn.Module:
    from genzoo.compose.build import build

    return build(resolved(**SMALL)).model


def shapes_of(model: torch.nn.Module, file: str, stored: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    """The shapes that a file must have."""
    if file == "model":
        return {name: tensor.shape for name, tensor in model.state_dict().items()}
    parameters = {f"model.{name}": parameter for name, parameter in model.named_parameters()}
    return {
        name: parameters[name.rpartition("/")[0]].shape if tensor.dim() else torch.Size()
        for name, tensor in stored.items()
    }


class Watched:
    """safetensors' reader, noting which tensors are read."""

    def __init__(self, read: list[str], inner: object) -> None:
        self._read, self._inner = read, inner

    @classmethod
    def of(cls, read: list[str]) -> Callable[..., Watched]:
        genuine = module.safe_open
        return lambda *arguments, **options: cls(read, genuine(*arguments, **options))

    def __enter__(self) -> Watched:
        self._inner = self._inner.__enter__()  # type: ignore[attr-defined]
        return self

    def __exit__(self, *details: object) -> None:
        self._inner.__exit__(*details)  # type: ignore[attr-defined]

    def keys(self) -> list[str]:
        return list(self._inner.keys())  # type: ignore[attr-defined]

    def get_slice(self, name: str) -> object:
        return self._inner.get_slice(name)  # type: ignore[attr-defined]

    def get_tensor(self, name: str) -> object:
        self._read.append(name)
        return self._inner.get_tensor(name)  # type: ignore[attr-defined]
