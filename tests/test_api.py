"""genzoo from Python: ``run``, ``load`` and what a `Run` can do."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import genzoo
from genzoo.cli import execute
from genzoo.errors import GenzooError, PluginError, UsageError
from genzoo.runs.folder import RunFolder

SMALL: dict[str, Any] = {
    "data": "digits",
    "network": ("mlp", {"hidden": [8]}),
    "epochs": 1,
    "limit": 16,
    "batch_size": 8,
    "device": "cpu",
    "precision": "fp32",
    "progress": False,
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> genzoo.Run:
    out = tmp_path_factory.mktemp("runs")
    return genzoo.run("cvae", viz=["samples"], metrics=["elbo"], scheduler="linear-warmup", out=out, **SMALL)


def test_run_returns_what_was_trained(run: genzoo.Run) -> None:
    assert run.record["status"] == "finished"
    assert [row["epoch"] for row in run.history] == [1]
    assert run.metrics["elbo"] == pytest.approx(-(run.metrics["distortion"] + run.metrics["rate"]), rel=1e-5)
    assert "rate" in run.verdict
    assert repr(run) == f"<Run cvae on digits, finished, {run.path}>"
    assert not run.model.training
    assert not any(parameter.requires_grad for parameter in run.model.parameters())


def test_load_finds_the_same_weights(run: genzoo.Run) -> None:
    again = genzoo.load(run.path)
    mine, loaded = run.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in mine.items())
    with pytest.raises(UsageError, match="no run folder"):
        genzoo.load("no-such-run")


def test_figures_are_drawn_with_options(run: genzoo.Run) -> None:
    assert isinstance(run.figure("traversal", span=1), Figure)
    assert all(isinstance(figure, Figure) for figure in run.figures("samples").values())
    with pytest.raises(UsageError, match="there is no option 'sspan'"):
        run.figure("traversal", sspan=1)
    with pytest.raises(PluginError, match="Did you mean 'traversal'"):
        run.figure("travesal")


def test_evaluate_repeats_and_leaves_the_random_state_alone(run: genzoo.Run) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    numbers = run.evaluate("elbo")
    assert torch.equal(torch.rand(2), expected)
    assert numbers == run.evaluate("elbo")
    kept = run.record["metrics"]["elbo"]["values"]
    assert numbers == pytest.approx(kept)


def test_samples_follow_their_labels_and_seed(run: genzoo.Run) -> None:
    images = run.sample(4, label=3, seed=1)
    assert images.shape == (4, 1, 8, 8)
    assert torch.equal(images, run.sample(4, label=[3, 3, 3, 3], seed=1))
    assert not torch.equal(images, run.sample(4, label=5, seed=1))
    assert run.sample(12, seed=1).shape == (12, 1, 8, 8)
    with pytest.raises(UsageError, match="label must be in 0 to 9, got 10"):
        run.sample(2, label=10)
    with pytest.raises(UsageError, match="label must be one a sample, 3, got 2"):
        run.sample(3, label=[1, 2])


def test_encode_gives_posterior_means(run: genzoo.Run) -> None:
    batch = run.view.batch(5)
    codes = run.encode(batch.image, batch.label)
    assert codes.shape == (5, 2)
    assert torch.equal(codes, run.encode(batch.image, batch.label))


def test_a_notebook_shows_the_figures_and_escapes_what_it_prints(run: genzoo.Run, tmp_path: Path) -> None:
    html = run._repr_html_()
    assert html.count("data:image/png;base64,") == 1
    evil = RunFolder(tmp_path)
    evil.figures.mkdir()
    (evil.figures / '"><img onerror=alert(1)>.png').write_bytes(b"")
    evil.write_record({"schema": 1, "title": "<script>alert(1)</script>", "verdict": "<b>", "status": "finished"})
    shown = genzoo.Run(evil)._repr_html_()
    assert "<script>" not in shown
    assert "<img onerror" not in shown
    assert "<b></p>" not in shown


def test_parts_are_named_with_options_and_keys(tmp_path: Path) -> None:
    made = genzoo.run(
        ("vae", {"latent_dim": 3}),
        scheduler={"beta": [("linear-warmup", {"epochs": 2}), "constant"], "lr": "cosine"},
        viz={"wide": ("traversal", {"span": 2})},
        out=tmp_path,
        name="named",
        **SMALL,
    )
    components = made.record["components"]
    assert components["model"]["options"]["latent_dim"] == 3
    assert [part["name"] for part in components["schedulers"]["beta"]] == ["linear-warmup", "constant"]
    assert components["schedulers"]["lr"][0]["name"] == "cosine"
    assert components["visualizers"]["wide"]["options"]["span"] == 2
    assert made.path.name.endswith("-named")
    assert any(path.name.startswith("wide") for path in made.folder.figures.iterdir())
    with pytest.raises(UsageError, match="the model is not conditional"):
        made.sample(2, label=1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"epochz": 1}, "epochz is no training option"),
        ({"epochs": 0}, "epochs: must be greater than or equal to 1"),
        ({"viz": ["samples", ("samples", {})]}, "samples must be given once"),
        ({"viz": ["class-swap"]}, "conditional"),
        ({"scheduler": {"gamma": "cosine"}}, "nothing in this experiment has a quantity 'gamma'"),
        ({"name": "../x"}, "--name must be"),
        ({"prior": "no-such-prior"}, "There is no prior"),
    ],
)
def test_what_does_not_fit_is_refused_before_a_folder_is_made(
    tmp_path: Path, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(GenzooError, match=said):
        genzoo.run("vae", **{**SMALL, "out": tmp_path / "runs", **arguments})
    assert list(tmp_path.iterdir()) == []


def test_a_single_scheduler_drives_what_it_usually_drives(tmp_path: Path) -> None:
    made = genzoo.run("vae", scheduler="one-cycle", out=tmp_path, **SMALL)
    assert made.record["components"]["schedulers"]["lr"][0]["name"] == "one-cycle"
    assert made.record["components"]["schedulers"]["beta"][0]["name"] == "linear-warmup"


@pytest.fixture(scope="module")
def images(run: genzoo.Run) -> torch.Tensor:
    return run.view.batch(4).image.cpu()


@pytest.fixture(scope="module")
def codes(run: genzoo.Run, images: torch.Tensor) -> torch.Tensor:
    return run.encode(images, 3)


def test_a_label_that_nothing_reads_is_refused(tmp_path: Path) -> None:
    plain = genzoo.run("vae", out=tmp_path, **SMALL)
    image = plain.view.batch(2).image
    assert plain.encode(image).shape == (2, 2)
    for label in (3, [1, 2], "three"):
        with pytest.raises(UsageError, match="encode: label must be left out for vae, which reads none, got"):
            plain.encode(image, label)


class OnlyAnArray:
    """What another library would pass."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self._array = tensor.numpy()

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self._array


def read_only(x: torch.Tensor) -> Any:
    array = x.numpy().copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "given",
    [
        lambda x: x.double(),
        lambda x: x.numpy(),
        lambda x: x.numpy().astype(">f8"),
        lambda x: x.tolist(),
        lambda x: list(x),
        lambda x: x[:, 0],
        lambda x: x.permute(0, 2, 3, 1),
        lambda x: x.numpy()[::-1][::-1],
        lambda x: x.clone().requires_grad_(),
        lambda x: x.to_sparse(),
        lambda x: x.numpy().astype("g"),
        read_only,
        OnlyAnArray,
    ],
)
def test_images_of_other_types_are_taken(
    run: genzoo.Run, images: torch.Tensor, codes: torch.Tensor, given: Any
) -> None:
    assert torch.allclose(run.encode(given(images), 3), codes, atol=1e-6)


def test_bytes_truth_values_and_single_images_are_taken(run: genzoo.Run, images: torch.Tensor) -> None:
    stored = (images * 255).round().byte()
    assert torch.equal(run.encode(stored, 1), run.encode(stored.float() / 255, 1))
    assert torch.equal(run.encode(stored.numpy(), 1), run.encode(stored, 1))
    assert torch.equal(run.encode(images > 0.5, 1), run.encode((images > 0.5).float(), 1))
    for single in (images[0], images[0, 0], images[0].permute(1, 2, 0)):
        assert torch.equal(run.encode(single, 1), run.encode(images[:1], 1))
    assert torch.allclose(run.encode(images.half(), 1), run.encode(images, 1), atol=1e-2)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda x: x * 255, "must be in [0, 1], got [0, 255] at index 0. Divide by 255, or pass uint8."),
        (lambda x: x - 0.1, "must be in [0, 1]"),
        (lambda x: torch.where(x > 0.9, torch.nan, x), "got NaN at index"),
        (lambda x: np.full_like(x.numpy(), np.inf), "must be in [0, 1]"),
        (lambda x: x.long(), "must be uint8 (0 to 255) or floats in [0, 1], got int64"),
        (lambda x: x[:, :, :4], "must be [N, 1, 8, 8], got [4, 1, 4, 8]"),
        (lambda x: x.expand(4, 3, 8, 8), "must be [N, 1, 8, 8], got [4, 3, 8, 8]"),
        (lambda x: x.to(torch.complex64), "real numbers"),
        (lambda x: x.to("meta"), "on meta"),
        (lambda x: "an image", "must be numbers"),
        (lambda x: None, "must be numbers, got NoneType"),
        (lambda x: [[0.5], [0.5, 0.5]], "must be an array, got list"),
        (lambda x: x[:0], "at least one image"),
        (lambda x: 0.5, "must be [N, 1, 8, 8], got []"),
    ],
)
def test_images_that_are_none_are_refused_in_words(
    run: genzoo.Run, images: torch.Tensor, given: Any, said: str
) -> None:
    with pytest.raises(UsageError) as refused:
        run.encode(given(images), 3)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "label", [[0, 1, 2, 3], np.arange(4), torch.arange(4), np.arange(4.0), ["0", "1", "2", "3"], (0, 1, 2, 3)]
)
def test_labels_of_other_types_are_taken(run: genzoo.Run, images: torch.Tensor, label: Any) -> None:
    assert torch.equal(run.encode(images, label), run.encode(images, torch.arange(4)))
    assert torch.equal(run.sample(4, label, seed=0), run.sample(4, [0, 1, 2, 3], seed=0))


@pytest.mark.parametrize("label", [np.int64(3), torch.tensor(3), "3", np.uint8(3), 3.0, np.array("3")])
def test_one_label_is_that_of_all(run: genzoo.Run, label: Any) -> None:
    assert torch.equal(run.sample(2, label, seed=0), run.sample(2, [3, 3], seed=0))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda run, x: run.encode(x), "label must be given"),
        (lambda run, x: run.encode(x, [0, 1]), "label must be one a sample, 4, got 2"),
        (lambda run, x: run.encode(x, 10), "label must be in 0 to 9, got 10"),
        (lambda run, x: run.encode(x, -1), "label must be in 0 to 9, got -1"),
        (lambda run, x: run.encode(x, torch.eye(10)[:4]), "label must be one a sample, 4, got [4, 10]"),
        (lambda run, x: run.sample(2, "ten"), "one of the classes 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, got 'ten'"),
        (lambda run, x: run.sample(2, 2.5), "whole number or a class's name, got float64"),
        (lambda run, x: run.sample(2, True), "whole number or a class's name, got bool"),
        (lambda run, x: run.sample(2, object()), "must be numbers, got object"),
        (lambda run, x: run.sample(2.0), "n must be a whole number, got 2.0"),
        (lambda run, x: run.sample("2"), "n must be a whole number, got '2'"),
        (lambda run, x: run.sample(0), "n must be at least 1, got 0"),
        (lambda run, x: run.sample(2, seed=-1), "seed must be at least 0"),
        (lambda run, x: run.figure(3), "name must be text, got 3"),
    ],
)
def test_what_a_call_cannot_take_is_refused_in_words(
    run: genzoo.Run, images: torch.Tensor, call: Any, said: str
) -> None:
    with pytest.raises(UsageError) as refused:
        call(run, images)
    assert said in str(refused.value)


def test_numbers_of_numpy_and_tensors_are_taken_everywhere(run: genzoo.Run) -> None:
    assert run.sample(np.int64(2), seed=torch.tensor(1)).shape == (2, 1, 8, 8)
    assert isinstance(run.figure("traversal", span=np.float32(1), steps=torch.tensor(3)), Figure)


def test_encode_draws_nothing_from_the_callers_random_state(run: genzoo.Run, images: torch.Tensor) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    run.encode(images, 1)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    "again",
    [lambda run: pickle.loads(pickle.dumps(run)), copy.deepcopy, copy.copy],
    ids=["pickle", "deepcopy", "copy"],
)
def test_a_loaded_run_can_be_copied(run: genzoo.Run, again: Any, images: torch.Tensor, codes: torch.Tensor) -> None:
    assert run.view
    assert run.loaded
    found = again(run)
    assert torch.equal(found.encode(images, 3), codes)
    assert (found.best, found.path) == (run.best, run.path.absolute())


@pytest.mark.parametrize(
    "again", [lambda run: pickle.loads(pickle.dumps(run)), copy.deepcopy], ids=["pickle", "deepcopy"]
)
def test_a_shipped_run_is_vouched_for_after_it_was_pickled(again: Any, caplog: pytest.LogCaptureFixture) -> None:
    shipped = genzoo.load("zoo:report-vae")
    found = again(shipped)
    assert found.folder.vouched
    assert torch.equal(found.sample(2, seed=0), shipped.sample(2, seed=0))
    assert not caplog.messages


def test_a_run_of_ones_own_is_not_vouched_for_by_pickling_it(run: genzoo.Run) -> None:
    state = run.__getstate__()
    assert not pickle.loads(pickle.dumps(run)).folder.vouched
    del state["vouched"]  # As an earlier release wrote it.
    older = genzoo.Run.__new__(genzoo.Run)
    older.__setstate__(state)
    assert not older.folder.vouched


@pytest.mark.slow
def test_a_run_is_unpickled_in_another_process_and_folder(run: genzoo.Run, tmp_path: Path) -> None:
    (tmp_path / "run.pkl").write_bytes(pickle.dumps(run))
    code = "import pickle; print(pickle.load(open('run.pkl', 'rb')).sample(2, 3, seed=0).sum().item())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(run.sample(2, 3, seed=0).sum().item())


DRAWN = np.random.default_rng(0).integers(256, size=(20, 8, 8), dtype=np.uint8)
OWN: dict[str, Any] = {key: value for key, value in SMALL.items() if key not in {"data", "limit"}}


@pytest.mark.parametrize(
    ("data", "train"),
    [
        (DRAWN, 16),
        (torch.from_numpy(DRAWN)[:, None].double() / 255, 16),
        ((DRAWN / 255, np.arange(20) % 2), 16),
        ({"train": (DRAWN[:12], [0, 1] * 6), "test": (DRAWN[12:], torch.arange(8) % 2)}, 12),
        ([[[0.0, 1.0] * 4] * 8] * 10, 8),
    ],
    ids=["bytes", "float64 tensor", "with labels", "by split", "lists"],
)
def test_arrays_are_data(tmp_path: Path, data: Any, train: int) -> None:
    made = genzoo.run("vae", data=data, out=tmp_path, **OWN)
    assert made.record["data"]["splits"]["train"]["count"] == train
    again = genzoo.run("vae", data=data, out=tmp_path, **OWN)
    assert len(list((tmp_path / "arrays").iterdir())) == 1, "the same arrays are one file"
    assert made.metrics == again.metrics
    assert execute(["run", "--resume", str(made.path), "--epochs", "2"]) == 0
    assert len(genzoo.load(made.path).history) == 2


def test_labels_beside_arrays_are_learned_from(tmp_path: Path) -> None:
    made = genzoo.run("cvae", data=(DRAWN, np.arange(20.0) % 3), out=tmp_path, **OWN)
    assert made.model.image.classes == 3
    assert made.sample(3).shape == (3, 1, 8, 8)


def test_paths_are_data(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", images=DRAWN)
    made = genzoo.run("vae", data=tmp_path / "own.npz", out=tmp_path / "runs", **OWN)
    again = genzoo.run("vae", data=("npz", {"path": tmp_path / "own.npz"}), out=tmp_path / "runs", **OWN)
    assert made.metrics == again.metrics
    with pytest.raises(UsageError, match="root must be a folder"):
        genzoo.run("vae", data=tmp_path / "no-folder", out=tmp_path / "runs", **OWN)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (DRAWN.astype(np.int64), "must be uint8 (0 to 255) or floats in [0, 1], got int64"),
        (DRAWN.astype(float), "images must be in [0, 1], got"),
        (np.full((4, 8, 8), np.nan), "got [nan, nan] at index 0"),
        (DRAWN.reshape(20, 64), "must be [N, H, W], [N, H, W, C] or [N, C, H, W], got [20, 64]"),
        (DRAWN[:0], "got [0, 8, 8]"),
        ((DRAWN, np.arange(19)), "labels must be [N] with one row for each of the 20 images"),
        ((DRAWN, np.eye(20)), "labels must be [N]"),
        ((DRAWN, DRAWN, DRAWN, DRAWN), "got 4 arrays"),
        ({"train": DRAWN}, "must have 'train' and 'test', got 'train'"),
        ({"train": (DRAWN, np.arange(20)), "test": DRAWN}, "must have the same in both splits"),
        (5, "got int64"),
        (object(), "must be numbers, got object"),
        (torch.utils.data.TensorDataset(torch.zeros(3, 1, 8, 8)), "must be arrays, got a TensorDataset of torch"),
    ],
)
def test_data_that_are_none_are_refused_before_anything_is_made(tmp_path: Path, data: Any, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        genzoo.run("vae", data=data, out=tmp_path / "runs", **OWN)
    assert said in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"model": "cvae"},
        {"model": 5},
        {"model": ("vae", 3)},
        {"loss": ["elbo"]},
        {"viz": 3},
        {"out": 3},
        {"name": 3},
        {"scheduler": 7},
        {"epochs": "many"},
        {"model": ("vae", {5: 6})},
    ],
)
def test_nothing_is_left_of_arrays_that_no_run_reads(tmp_path: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(GenzooError):
        genzoo.run(**{"model": "vae", "data": DRAWN, **OWN, "out": tmp_path / "runs", **arguments})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model": ("vae", {"latent_dim": True})}, "must be a number or a word, got True"),
        ({"epochs": True}, "must be a number or a word, got True"),
        ({"lr": np.True_}, "must be a number or a word, got True"),
        ({"data": np.ma.masked_array(DRAWN, DRAWN > 3)}, "without a mask"),
        ({"data": (DRAWN, np.ma.masked_array(np.arange(20) % 2, np.arange(20) > 9))}, "without a mask"),
        ({"scheduler": {"beta": None}}, "a part must be a name"),
        ({"scheduler": {"beta": 3}}, "a part must be a name"),
        ({"scheduler": {"beta": ["linear-warmup", None]}}, "a part must be a name"),
        ({"init": "RUN", "freeze": 3}, "freeze must be names of parts"),
        ({"init": "RUN", "freeze": [None]}, "freeze must be names of parts"),
        ({"out": "a" * 300}, "too long or has NUL"),
        ({"out": "a\0b", "data": DRAWN}, "too long or has NUL"),
        ({"out": "~nobody_of_that_name/runs"}, "there is no home folder ~nobody_of_that_name"),
        ({"out": "~nobody_of_that_name/runs", "data": DRAWN}, "there is no home folder ~nobody_of_that_name"),
    ],
)
def test_arguments_of_unusual_types_are_refused_in_words(
    run: genzoo.Run, tmp_path: Path, given: dict[str, Any], words: str
) -> None:
    given = {name: run.path if name == "init" else value for name, value in given.items()}
    before = sorted(Path.cwd().iterdir())
    with pytest.raises(UsageError, match=words):
        genzoo.run(**{"model": "vae", "data": "digits", "out": tmp_path, **OWN, "limit": 16, **given})
    assert sorted(Path.cwd().iterdir()) == before
    assert not list(tmp_path.glob("*/*/*"))


@pytest.mark.parametrize(
    ("name", "given"), [(None, {}), (3, {}), (b"last", {}), ("RUN", {"data": [1]}), ("RUN", {"data": "moved.npz"})]
)
def test_what_is_no_run_and_no_options_is_not_loaded(run: genzoo.Run, name: Any, given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"load: (name|data) must be"):
        genzoo.load(run.path if name == "RUN" else name, **given)


def test_a_home_folder_is_meant_by_its_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    made = genzoo.run("vae", data=DRAWN, out="~/kept", **OWN)
    assert made.path.is_relative_to(tmp_path / "kept")
    assert not (tmp_path / "~").exists()


def test_a_run_is_a_start_and_one_part_is_frozen_by_its_name(run: genzoo.Run, tmp_path: Path) -> None:
    made = genzoo.run("cvae", data="digits", init=run, freeze="decoder", out=tmp_path, **OWN, limit=16)
    for name, weights in run.model.get_submodule("decoder").state_dict().items():
        assert torch.equal(made.model.get_submodule("decoder").state_dict()[name], weights)
