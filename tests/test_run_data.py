"""A run knows its data: other data are refused or named, moved data are found, and what needs none works without."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import genzoo
from genzoo.cli import execute
from genzoo.compose.build import make_dataset
from genzoo.compose.plan import plan
from genzoo.errors import CorruptError, UsageError
from genzoo.host.plugin_host import host
from genzoo.parts.decoded import Source, decoded
from genzoo.parts.fingerprint import fingerprint
from genzoo.parts.mapped import map_images
from genzoo.recipe import Part, Recipe
from genzoo.runs.data import RunData
from genzoo.runs.export import export_run
from genzoo.runs.find import find_run
from genzoo.runs.folder import RunFolder
from genzoo.runs.load import load_run
from genzoo.types import Split

TINY = ["--network", "mlp", "--network.hidden", "8", "--epochs", "1", "--batch-size", "8", "--device", "cpu"]


def arrays(seed: int = 0, n: int = 40, **changes: Any) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    images = draw.integers(256, size=(n, 8, 8), dtype=np.uint8)
    return {"images": images, "labels": np.arange(n) % 2, **changes}


def save(path: Path, **content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **content)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data.npz and a run on it, which each test copies."""
    folder = tmp_path_factory.mktemp("trained")
    save(folder / "data.npz", **arrays())
    command = ["run", "cvae", "--data", "npz", "--data.path", str(folder / "data.npz"), "--name", "tiny"]
    assert execute([*command, *TINY, "--holdout", "4", "--out", str(folder / "runs")]) == 0
    return folder


@pytest.fixture
def place(trained: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A copy of the run, and the data that it names."""
    run = next((trained / "runs").glob("cvae/*"))
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    data = tmp_path / "data.npz"
    shutil.copy(trained / "data.npz", data)
    for file in (copy / "config.toml", copy / "run.json"):
        file.write_text(
            file.read_text(encoding="utf-8").replace(str(trained / "data.npz"), str(data)), encoding="utf-8"
        )
    return copy, data


def record(run: Path) -> dict[str, Any]:
    return json.loads((run / "run.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(shipped.resource.name for shipped in host().resources("run")))
def test_a_shipped_run_says_which_images_it_was_trained_on(name: str) -> None:
    warned: list[str] = []
    loaded = load_run(find_run(f"zoo:{name}"), host(), warn=warned.append)
    record = loaded.folder.record()
    assert record["data"]["splits"].keys() == record["images"].keys() == {"train", "test"}
    assert not {"places", "folder"} & record["data"].keys()
    for split in record["images"]:
        assert len(loaded.data.split(split)) == record["images"][split]
    assert loaded.data.differences == warned == []
    assert loaded.data.record()["splits"] == record["data"]["splits"]


def test_what_a_run_is_trained_on_is_recorded(place: tuple[Path, Path]) -> None:
    run, data = place
    found = record(run)["data"]
    assert found["places"] == {"path": str(data)}
    assert found["spec"] == {"shape": [1, 8, 8], "classes": 2, "levels": 256, "class_names": None, "conditions": []}
    assert {name: split["count"] for name, split in found["splits"].items()} == {"train": 32, "test": 8}
    assert len({split["images"] for split in found["splits"].values()}) == 2
    assert f'path = "{data}"' in (run / "config.toml").read_text(encoding="utf-8")


def test_a_relative_path_is_recorded_as_an_absolute_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "here" / "data.npz", **arrays())
    monkeypatch.chdir(tmp_path / "here")
    recipe = Recipe(model=Part(name="vae"), dataset=Part(name="npz", options={"path": "data.npz"}))
    made = plan(recipe, host()).recipe()
    assert made.dataset is not None
    assert made.dataset.options["path"] == str(tmp_path / "here" / "data.npz")
    monkeypatch.chdir(tmp_path)
    assert plan(made, host()).recipe() == made


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "images": (arrays(1), "has other images"),
    "labels": (arrays(labels=np.arange(40)[::-1] % 2), "has other labels"),
    "count": (arrays(n=45), "has 36 images and had 32"),
    "one pixel": (arrays(images=arrays()["images"] ^ (np.arange(40 * 64) == 5).reshape(40, 8, 8)), "other images"),
    "dtype": (arrays(images=(arrays()["images"] / 255).astype(np.float32)), "of float32 and had [1, 8, 8] of uint8"),
    "a class more": (
        arrays(labels=np.where(np.arange(40) == 7, 2, np.arange(40) % 2)),
        "there are 3 classes and were 2",
    ),
    "shape": (arrays(images=np.zeros((40, 6, 6), np.uint8)), "must be [1, 8, 8], got [1, 6, 6]"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_run_is_not_resumed_on_other_data(
    place: tuple[Path, Path], other: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run, data = place
    content, said = OTHERS[other]
    save(data, **content)
    before = record(run), sorted(path.name for path in run.rglob("*"))
    assert execute(["run", "--resume", str(run), "--epochs", "2"]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert str(data) in err or "must be" in said
    assert (record(run), sorted(path.name for path in run.rglob("*"))) == before


def test_encode_and_eval_name_other_data_and_keep_none_of_their_numbers(
    place: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, data = place
    save(data, **arrays(1))
    assert execute(["encode", str(run), "--out", str(tmp_path / "codes.npz")]) == 0
    assert "Warning: These are not the data that the run was trained on" in capsys.readouterr().err
    assert execute(["eval", str(run), "elbo"]) == 0
    err = capsys.readouterr().err
    assert "the test split has other images" in err
    assert "not kept" in err
    assert record(run)["metrics"] == {}


def test_figures_of_other_data_are_not_drawn_into_the_run(
    place: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, data = place
    save(data, **arrays(1))
    assert execute(["viz", str(run), "reconstructions"]) == 1
    assert "has other images" in capsys.readouterr().err
    assert list((run / "figures").iterdir()) == []
    assert execute(["viz", str(run), "reconstructions", "--out", str(tmp_path / "elsewhere")]) == 0
    assert "Warning: These are not the data" in capsys.readouterr().err


def test_the_same_data_are_read_in_silence(place: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    run, data = place
    save(data, **arrays())  # Another file with the same content.
    assert execute(["eval", str(run), "elbo"]) == 0
    assert execute(["run", "--resume", str(run), "--epochs", "2"]) == 0
    err = capsys.readouterr().err
    assert "data" not in err.replace(str(data.parent), "")
    assert "elbo" in record(run)["metrics"]


def test_moved_data_can_be_pointed_at(
    place: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, data = place
    there = tmp_path / "there.npz"
    data.rename(there)
    assert execute(["eval", str(run), "elbo"]) == 1
    assert "--data.path PATH" in capsys.readouterr().err
    point = ["--data.path", str(there)]
    assert execute(["eval", str(run), "elbo", *point]) == 0
    assert execute(["viz", str(run), "reconstructions", *point]) == 0
    assert execute(["encode", str(run), "--out", str(tmp_path / "codes.npz"), *point]) == 0
    assert execute(["sample", str(run), "--out", str(tmp_path / "s.png"), *point]) == 0
    assert genzoo.load(run, data={"path": there}).view.split("train").images.shape == (28, 1, 8, 8)
    assert execute(["run", "--resume", str(run), "--epochs", "2", *point]) == 0
    assert record(run)["data"]["places"] == {"path": str(there)}
    capsys.readouterr()
    assert execute(["run", "--resume", str(run), "--epochs", "3"]) == 0, "where they are now is kept"


def test_only_a_place_can_be_named(place: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    run, _ = place
    assert execute(["eval", str(run), "elbo", "--data.test-fraction", "0.5"]) == 2
    assert "must say where the dataset npz lies (path), got test_fraction" in capsys.readouterr().err
    assert execute(["eval", "zoo:report-vae", "elbo", "--data.path", "x"]) == 2
    assert "has no option that says where it lies" in capsys.readouterr().err
    assert execute(["encode", str(run), "--out", "c.npz", "--model.latent-dim", "3"]) == 2


def test_a_namesake_in_this_folder_is_named(
    place: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, data = place
    found = record(run)
    found["data"]["folder"] = str(tmp_path)
    (run / "run.json").write_text(json.dumps(found), encoding="utf-8")
    save(tmp_path / "two" / "data.npz", **arrays(1))
    monkeypatch.chdir(tmp_path / "two")
    assert execute(["eval", str(run), "elbo"]) == 0
    assert f"Warning: The data of the run are {data}; data.npz in this folder is another" in capsys.readouterr().err


@pytest.mark.parametrize("figure", ["traversal", "class-swap", "samples", "training-curves"])
def test_what_looks_at_no_image_works_without_the_data(
    place: tuple[Path, Path], figure: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run, data = place
    data.unlink()
    code = execute(["viz", str(run), figure])
    assert code == 0, capsys.readouterr().err


def test_samples_need_no_data(place: tuple[Path, Path], tmp_path: Path) -> None:
    run, data = place
    data.unlink()
    assert execute(["sample", str(run), "--out", str(tmp_path / "s.npz")]) == 0
    loaded = genzoo.load(run)
    assert loaded.sample(3, label=1).shape == (3, 1, 8, 8)
    assert loaded.encode(torch.zeros(2, 1, 8, 8), torch.tensor([0, 1])).shape == (2, 2)
    with pytest.raises(UsageError, match="If the data of the run were moved"):
        loaded.view.batch(1)


def test_a_prior_whose_weights_are_kept_needs_no_data(tmp_path: Path) -> None:
    data = save(tmp_path / "d.npz", **arrays())
    command = [
        "run",
        "vae",
        "--prior",
        "vampprior",
        "--prior.pseudo-inputs",
        "4",
        "--data",
        "npz",
        "--data.path",
        str(data),
    ]
    assert execute([*command, *TINY, "--out", str(tmp_path / "runs")]) == 0
    data.unlink()
    run = next((tmp_path / "runs").glob("vae/*"))
    assert execute(["sample", str(run), "--out", str(tmp_path / "s.png")]) == 0


def folder_of_images(root: Path, classes: tuple[str, ...] = ("cat", "dog"), n: int = 10) -> Path:
    draw = np.random.default_rng(0)
    for name in classes:
        (root / name).mkdir(parents=True)
        for index in range(n):
            Image.fromarray(draw.integers(255, size=(8, 8), dtype=np.uint8)).save(root / name / f"{index}.png")
    return root


def added(root: Path) -> None:
    Image.new("L", (8, 8)).save(root / "cat" / "new.png")


def renamed(root: Path) -> None:
    (root / "cat").rename(root / "bat")


def touched(root: Path) -> None:
    for path in root.rglob("*.png"):
        path.touch()


@pytest.mark.parametrize(
    ("change", "said"), [(added, "has 17 images and had 16"), (renamed, "are called bat, dog"), (touched, "")]
)
def test_a_folder_that_changed_is_named(
    tmp_path: Path, change: Callable[[Path], None], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folder_of_images(tmp_path / "images")
    command = ["run", "vae", "--data", "image-folder", "--data.root", str(root), *TINY]
    assert execute([*command, "--out", str(tmp_path / "runs")]) == 0
    change(root)
    run = next((tmp_path / "runs").glob("vae/*"))
    assert execute(["run", "--resume", str(run), "--epochs", "2"]) == (2 if said else 0)
    assert said in capsys.readouterr().err


def test_encode_tells_which_images_the_codes_are_of(tmp_path: Path) -> None:
    root = folder_of_images(tmp_path / "images")
    command = ["run", "vae", "--data", "image-folder", "--data.root", str(root), "--limit", "6", *TINY]
    assert execute([*command, "--holdout", "2", "--out", str(tmp_path / "runs")]) == 0
    run = next((tmp_path / "runs").glob("vae/*"))
    loaded = genzoo.load(run)
    for split, whole in (("train", "train"), ("holdout", "train"), ("test", "test")):
        out = tmp_path / f"{split}.npz"
        assert execute(["encode", str(run), "--split", split, "--limit", "3", "--out", str(out)]) == 0
        with np.load(out) as codes:
            assert len(codes["codes"]) == len(codes["indices"]) == len(codes["files"])
            stored = loaded.loaded.data.split(whole).images[torch.from_numpy(codes["indices"])]
            for image, file in zip(stored, codes["files"], strict=True):
                assert np.array_equal(np.asarray(Image.open(root / str(file))), image[0].numpy())
            again = loaded.encode(stored.float() / 255).numpy()
            assert np.allclose(codes["codes"], again, atol=1e-5)


def test_a_decoded_cache_has_the_fingerprint_of_the_images_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENZOO_DATA", str(tmp_path))
    monkeypatch.setattr("genzoo.parts.decoded.MOST_IN_CHUNK", 7)
    images = torch.randint(256, (20, 1, 4, 4), dtype=torch.uint8)
    source = Source(
        "test", (20, 1, 4, 4), {"n": 20}, lambda chunks: (images[c.start : c.stop].numpy().data for c in chunks)
    )
    mapped, pages = map_images(decoded(source), (20, 1, 4, 4))
    whole = Split(mapped, pages=pages)
    assert fingerprint(whole) == fingerprint(Split(images))
    assert fingerprint(whole.select(slice(0, 14))) == fingerprint(Split(images[:14]))
    (pages.path.parent / "manifest.json").unlink()
    assert fingerprint(whole) == fingerprint(Split(images)), "without the manifest the images are read"


def test_what_stands_for_a_dataset_has_all_of_it() -> None:
    resolved = plan(
        Recipe(model=Part(name="vae"), dataset=Part(name="sprites", options={"binarize": "dynamic"})), host()
    )
    real = make_dataset(resolved)
    data = RunData(resolved, None, pytest.fail)
    image, factors = torch.full((2, 1, 4, 4), 0.4), torch.zeros(2, len(real.factor_names), dtype=torch.int64)
    assert torch.equal(data.transform(image, training=False), real.transform(image, training=False))
    assert torch.equal(data.identifiable(factors), real.identifiable(factors))
    drawn, expected = data.render(factors), real.render(factors)
    assert drawn is not None
    assert expected is not None
    assert torch.equal(drawn.images, expected.images)
    assert data.implementation is type(real)
    assert (data.splits, data.factor_sizes, data.spec) == (real.splits, real.factor_sizes, real.spec)


def test_an_exported_run_names_no_path_and_is_used_without_its_data(place: tuple[Path, Path], tmp_path: Path) -> None:
    run, data = place
    export_run(RunFolder(run), tmp_path / "exported")
    for file in (tmp_path / "exported").rglob("*.*"):
        assert file.suffix == ".safetensors" or str(data.parent) not in file.read_text(encoding="utf-8"), file
    assert genzoo.load(tmp_path / "exported").sample(1, 0).shape == (1, 1, 8, 8)
    assert genzoo.load(tmp_path / "exported", data={"path": data}).evaluate("elbo")


@pytest.mark.parametrize(
    "damage", [[], "x", {"dataset": "npz"}, {"dataset": "npz", "spec": {"shape": [1, 8]}, "splits": {}}]
)
def test_a_damaged_record_of_data_is_named(place: tuple[Path, Path], damage: Any) -> None:
    run, _ = place
    found = record(run)
    found["data"] = damage
    (run / "run.json").write_text(json.dumps(found), encoding="utf-8")
    with pytest.raises(CorruptError, match=r"run\.json is damaged: data"):
        genzoo.load(run).sample(1, label=0)


def test_a_run_of_an_earlier_release_is_loaded_and_its_data_recorded_when_it_is_resumed(
    place: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = place
    found = record(run)
    expected = found.pop("data")
    (run / "run.json").write_text(json.dumps(found), encoding="utf-8")
    assert execute(["eval", str(run), "elbo"]) == 0
    assert execute(["run", "--resume", str(run), "--epochs", "2"]) == 0
    assert "recorded nothing of its data" in capsys.readouterr().err
    assert record(run)["data"]["splits"] == expected["splits"]
