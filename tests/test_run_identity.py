"""A checkpoint belongs to one run and a run to one recipe: what was mixed or edited is refused with the difference."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from genzoo.cli import execute
from genzoo.engine.checkpoint import find, read_manifest
from genzoo.runs.find import all_runs
from genzoo.runs.folder import RunFolder
from genzoo.runs.identity import identity

TINY = ["--network", "mlp", "--network.hidden", "8", "--limit", "16", "--batch-size", "8", "--device", "cpu"]


def trained(out: Path, *more: str) -> RunFolder:
    assert execute(["run", "vae", "--data", "digits", *TINY, "--epochs", "1", "--out", str(out), *more]) == 0
    return next(all_runs(out))


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, RunFolder]:
    """Two runs that differ in their seed alone."""
    out = tmp_path_factory.mktemp("originals")
    return trained(out / "a"), trained(out / "b", "--seed", "1")


@pytest.fixture
def copy(originals: tuple[RunFolder, RunFolder], tmp_path: Path) -> RunFolder:
    path = originals[0].path
    return RunFolder(Path(shutil.copytree(path, tmp_path / "runs" / "vae" / path.name)))


@pytest.fixture
def other(originals: tuple[RunFolder, RunFolder]) -> RunFolder:
    return originals[1]


def commands(run: RunFolder) -> list[list[str]]:
    """Every command that reads weights."""
    path = str(run.path)
    return [
        ["run", "--resume", path, "--epochs", "2"],
        ["sample", path, "-n", "2", "--force", "--out", str(run.path.parent / "samples.npz")],
        ["eval", path, "elbo"],
        ["viz", path, "samples"],
        ["encode", path, "--force", "--out", str(run.path.parent / "codes.npz")],
    ]


def edit(run: RunFolder, pattern: str, by: str) -> None:
    text, count = re.subn(pattern, by, run.config_file.read_text(encoding="utf-8"), count=1, flags=re.MULTILINE)
    assert count == 1
    run.config_file.write_text(text, encoding="utf-8")


def all_checkpoints(run: RunFolder, other: RunFolder) -> None:
    shutil.rmtree(run.checkpoints)
    shutil.copytree(other.checkpoints, run.checkpoints)


def the_newest_checkpoint(run: RunFolder, other: RunFolder) -> None:
    """Of more steps than the run's own."""
    foreign = shutil.copytree(find(other.checkpoints) or Path(), run.checkpoints / "step-9")
    manifest = json.loads((foreign / "manifest.json").read_text(encoding="utf-8"))
    (foreign / "manifest.json").write_text(json.dumps({**manifest, "step": 9}), encoding="utf-8")


def the_record(run: RunFolder, other: RunFolder) -> None:
    shutil.copy(other.record_file, run.record_file)
    shutil.copy(other.config_file, run.config_file)


def the_record_of_an_earlier_release(run: RunFolder, other: RunFolder) -> None:
    record = other.record()
    del record["identity"]
    run.write_record(record)


@pytest.mark.parametrize("mix", [all_checkpoints, the_newest_checkpoint, the_record, the_record_of_an_earlier_release])
def test_parts_of_two_runs_are_refused(
    copy: RunFolder,
    other: RunFolder,
    mix: Callable[[RunFolder, RunFolder], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    mix(copy, other)
    rows = copy.metrics_file.read_bytes()
    for command in commands(copy):
        assert execute(command) == 4, command
        said = capsys.readouterr().err
        assert "is of another run" in said
        assert mix is the_record_of_an_earlier_release or "train.seed is" in said
    assert copy.metrics_file.read_bytes() == rows


@pytest.mark.parametrize(
    ("pattern", "by", "said"),
    [
        ("^lr = 0.001", "lr = 0.01", "train.lr is 0.01 and was 0.001"),
        ("^batch_size = 8", "batch_size = 4", "train.batch_size is 4 and was 8"),
        ("^seed = 0", "seed = 5", "train.seed is 5 and was 0"),
        ("^latent_dim = 2", "latent_dim = 3", "model.options.latent_dim is 3 and was 2"),
        ("^test_fraction = 0.2", "test_fraction = 0.5", "dataset.options.test_fraction is 0.5 and was 0.2"),
        ('^name = "bernoulli"', 'name = "continuous-bernoulli"', "likelihood.name is continuous-bernoulli and was"),
        (r"epochs = 0\.3+", "epochs = 11", "schedulers.beta.0.options.epochs is 11.0 and was 0.33"),
    ],
)
def test_an_edited_recipe_is_refused_with_the_difference(
    copy: RunFolder, pattern: str, by: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if "name" in by:
        # The options of the part before are not those of the one that it becomes.
        edit(copy, rf"{pattern}\n+\[.*options\]\n(\w+ = .*\n)*", f"{by}\n")
    else:
        edit(copy, pattern, by)
    before = copy.record_file.read_bytes()
    resume, *others = commands(copy)
    for command in (resume, others[len(pattern) % 4]):
        assert execute(command) == 2, command
        assert said in capsys.readouterr().err
    assert copy.record_file.read_bytes() == before


def test_an_edited_recipe_is_refused_before_the_first_checkpoint_too(
    copy: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(copy.checkpoints)
    copy.checkpoints.mkdir()
    edit(copy, "^lr = 0.001", "lr = 0.01")
    assert execute(["run", "--resume", str(copy.path)]) == 2
    assert "train.lr is 0.01 and was 0.001" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("pattern", "by"),
    [
        ("^epochs = 1$", "epochs = 3"),
        ("^viz_every = 5", "viz_every = 2"),
        ('^device = "cpu"', 'device = "auto"'),
        (r"\Z", '\n[visualizers.drawn]\nname = "samples"\n[metrics.bound]\nname = "elbo"\n'),
    ],
)
def test_what_a_resume_may_change_may_be_edited(copy: RunFolder, pattern: str, by: str) -> None:
    edit(copy, pattern, by)
    assert execute(commands(copy)[1]) == 0
    assert execute(["run", "--resume", str(copy.path), "--epochs", "4"]) == 0


def test_a_run_that_moved_and_has_another_name_goes_on(copy: RunFolder, tmp_path: Path) -> None:
    moved = RunFolder(copy.path.rename(tmp_path / "my best one"))
    for command in commands(moved)[:3]:
        assert execute(command) == 0, command
    assert read_manifest(find(moved.checkpoints) or Path())["identity"] == moved.record()["identity"]


def test_where_the_images_lie_is_no_part_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = np.random.default_rng(0).integers(256, size=(20, 8, 8, 1), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", images=images)
    place = ["--data.path", str(tmp_path / "images.npz")]
    assert (
        execute(["run", "vae", "--data", "npz", *place, *TINY, "--epochs", "1", "--out", str(tmp_path / "runs")]) == 0
    )
    run = next(all_runs(tmp_path / "runs"))
    (tmp_path / "images.npz").rename(tmp_path / "moved.npz")
    edit(run, "images.npz", "moved.npz")
    for command in commands(run)[:3]:
        assert execute(command) == 0, command
    edit(run, "^test_fraction = 0.2", "test_fraction = 0.3")
    assert execute(["sample", str(run.path)]) == 2
    assert "path" not in capsys.readouterr().err.rpartition("but ")[2]


def test_a_run_of_an_earlier_release_goes_on_with_a_warning_and_is_named_then(
    copy: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    record = copy.record()
    del record["identity"]
    copy.write_record(record)
    newest = find(copy.checkpoints)
    assert newest is not None
    manifest = json.loads((newest / "manifest.json").read_text(encoding="utf-8"))
    del manifest["identity"]
    (newest / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert execute(["sample", str(copy.path), "-n", "2", "--out", str(copy.path.parent / "samples.npz")]) == 0
    assert "does not say which run it is of" in capsys.readouterr().err
    assert execute(["run", "--resume", str(copy.path), "--epochs", "2"]) == 0
    assert "does not say which run it is of" in capsys.readouterr().err
    assert execute(["run", "--resume", str(copy.path), "--epochs", "3"]) == 0
    assert "does not say" not in capsys.readouterr().err
    assert read_manifest(find(copy.checkpoints) or Path())["identity"] == copy.record()["identity"]


def test_a_run_that_a_plugin_ships_is_known_by_its_digest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["sample", "zoo:report-vae", "-n", "2", "--out", str(tmp_path / "samples.npz")]) == 0
    assert capsys.readouterr().err == ""


def test_an_exported_run_keeps_its_name(copy: RunFolder, tmp_path: Path, other: RunFolder) -> None:
    assert execute(["runs", "export", str(copy.path), "--to", str(tmp_path / "slim")]) == 0
    slim = RunFolder(tmp_path / "slim")
    assert slim.record()["identity"] == copy.record()["identity"]
    assert execute(["eval", str(slim.path), "elbo"]) == 0
    all_checkpoints(slim, other)
    assert execute(["eval", str(slim.path), "elbo"]) == 4


def test_an_option_that_a_plugin_gained_since_counts_as_its_default(copy: RunFolder) -> None:
    record = copy.record()
    del record["identity"]["recipe"]["network"]["options"]["norm"]
    record["identity"]["recipe_sha256"] = "0" * 64
    copy.write_record(record)
    manifest_file = (find(copy.checkpoints) or Path()) / "manifest.json"
    manifest = {**json.loads(manifest_file.read_text(encoding="utf-8")), "identity": record["identity"]}
    manifest_file.write_text(json.dumps(manifest), encoding="utf-8")
    assert execute(["run", "--resume", str(copy.path), "--epochs", "2"]) == 0
    edit(copy, '^norm = "none"', 'norm = "layer"')
    assert execute(["run", "--resume", str(copy.path), "--epochs", "3"]) == 2


def test_two_runs_of_one_recipe_have_one_digest_and_two_names() -> None:
    from genzoo.compose.plan import plan
    from genzoo.host.plugin_host import host
    from genzoo.recipe import Part, Recipe

    resolved = plan(Recipe(model=Part(name="vae")), host())
    first, second = identity(resolved), identity(resolved)
    assert first["recipe_sha256"] == second["recipe_sha256"]
    assert first["run"] != second["run"]
