"""``genzoo run`` and the commands on runs, as a person types them: what is taken, what is refused, and what is said."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from genzoo.cli import execute
from genzoo.compose.plan import plan
from genzoo.engine.listener import Tick
from genzoo.host.plugin_host import Host, Problem, host
from genzoo.recipe import Part, Recipe
from genzoo.runs.find import all_runs
from genzoo.runs.folder import RunFolder
from genzoo.runs.reports import OF_LOSSES
from genzoo.training.console import ConsoleListener
from genzoo.types import Kind

DIGITS = shlex.split("--data digits --network mlp --device cpu --precision fp32")
TINY = ["run", "vae", *DIGITS, *shlex.split("--network.hidden 8 --limit 16 --epochs 1 --batch-size 8")]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    out = tmp_path_factory.mktemp("trained")
    assert execute([*TINY, "--viz", "samples", "--metric", "elbo", "--name", "first", "--out", str(out)]) == 0
    return next(all_runs(out))


@pytest.fixture
def copy(trained: RunFolder, tmp_path: Path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(trained.path, tmp_path / "runs" / "vae" / trained.path.name)))


def planned(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """What ``--dry-run`` resolves."""
    code = execute(["run", *arguments, "--dry-run"])
    said = capsys.readouterr()
    assert code == 0, said.err
    return tomllib.loads(said.out)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """What is said of a command that must fail with ``code``, on stderr alone and in a few lines."""
    assert execute(list(arguments)) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    assert len(said.err.splitlines()) <= 3
    return said.err


# What a command line resolves to.


def test_the_plain_command_is_the_reports_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    plan = planned(capsys, "vae", "--data", "digits", "--viz", "traversal", "--scheduler", "linear-warmup")
    assert plan["model"] == {"name": "vae", "options": {"latent_dim": 2}}
    assert [plan[kind]["name"] for kind in ("network", "likelihood", "prior", "loss")] == [
        "conv",
        "bernoulli",
        "standard-normal",
        "elbo",
    ]
    assert plan["schedulers"]["beta"][0]["name"] == "linear-warmup"
    assert plan["schedulers"]["beta"][0]["options"]["epochs"] == 10
    assert list(plan["visualizers"]) == ["traversal"]
    train = plan["train"]
    assert (train["epochs"], train["batch_size"], train["lr"], train["optimizer"]) == (30, 128, 1e-3, "adam")


def test_dotted_flags_in_all_their_forms(capsys: pytest.CaptureFixture[str]) -> None:
    plan = planned(
        capsys,
        *["vae", *DIGITS, "--model.latent-dim=3", "--network.hidden", "8,4", "--data.shift", "1"],
        *["--scheduler.epochs", "4", "--viz", "wide=traversal", "--viz.wide.span", "2"],
        *["--metric", "elbo", "--likelihood", "gaussian", "--seed=7"],
    )
    assert plan["model"]["options"]["latent_dim"] == 3
    assert plan["network"]["options"]["hidden"] == [8, 4]
    assert plan["dataset"]["options"]["shift"] == 1
    assert plan["schedulers"]["beta"][0]["options"]["epochs"] == 4
    assert plan["visualizers"]["wide"]["name"] == "traversal"
    assert plan["visualizers"]["wide"]["options"]["span"] == 2
    assert plan["likelihood"]["name"] == "gaussian"
    assert plan["train"]["seed"] == 7


@pytest.mark.parametrize(
    "flag", ["--scheduler.beta.epochs", "--scheduler.beta.linear-warmup.epochs", "--scheduler.epochs"]
)
def test_three_ways_to_name_a_schedulers_option(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    plan = planned(capsys, "vae", *DIGITS, "--scheduler", "beta=linear-warmup", flag, "4")
    assert plan["schedulers"]["beta"][0]["options"]["epochs"] == 4


def test_naming_one_slot_leaves_the_others_alone(capsys: pytest.CaptureFixture[str]) -> None:
    plan = planned(capsys, "vae", *DIGITS, "--scheduler", "lr=cosine", "--scheduler", "lr=constant")
    assert [part["name"] for part in plan["schedulers"]["lr"]] == ["cosine", "constant"]
    assert [part["name"] for part in plan["schedulers"]["beta"]] == ["linear-warmup"]


def test_a_qualified_name_stays_qualified(capsys: pytest.CaptureFixture[str]) -> None:
    plan = planned(capsys, "genzoo-vae:vae", *DIGITS)
    assert plan["model"]["name"] == "genzoo-vae:vae"
    assert plan["network"]["name"] == "mlp"


def test_dry_run_prints_parameters_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute([*TINY, "--dry-run", "--out", str(tmp_path / "runs")]) == 0
    assert "parameters" in capsys.readouterr().out
    assert execute([*TINY, "--dry-run", "--json", "--out", str(tmp_path / "runs")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["recipe"]["model"]["name"] == "vae"
    assert told["parameters"]["total"] > 0
    assert list(tmp_path.iterdir()) == []


# What is refused, with the rule and the nearest match.


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("run", "MODEL must be named"),
        ("run vae --model.latnt-dim 2", "Did you mean 'latent-dim'?"),
        ("run vae --model.latent-dim two", "latent-dim must be a valid integer"),
        ("run vae --model.latent-dim 0", "latent-dim must be greater than or equal to 1, got '0'"),
        ("run vae --loss.epochs 8", "there is no option 'epochs'"),
        ("run vae --modl.latent-dim 2", "Did you mean --model?"),
        ("run vae --model.latent-dim", "must have a value"),
        ("run vae --model.latent-dim 2 --model.latent-dim 3", "must be given once, got it twice"),
        ("run vae --epochs 2 --epochs 3", "--epochs must be given once, got it twice"),
        ("run vae --compile --no-compile", "must be given once, got it twice"),
        ("run vae --epochs 0", "epochs: must be greater than or equal to 1, got '0'"),
        ("run vae --epochs many", "epochs: must be a valid integer"),
        ("run vae --lr -1", "lr: must be greater than 0"),
        ("run vae --lr nan", "lr: must be a finite number"),
        ("run vae --optimizer adamm", "optimizer: must be 'adam'"),
        ("run vae --epoch 3", "No such option"),
        ("run vae beta-vae", "unexpected extra argument"),
        ("run vae --viz.traversal.span 3", "belongs to --viz traversal, which is not asked for"),
        ("run vae --viz samples --viz samples", "--viz samples must be given once"),
        ("run vae --scheduler lr=cosine --scheduler beta=constant --scheduler.epochs 3", "there are several"),
        ("run vae --scheduler.gamma.epochs 3", "which has no scheduler; there are beta"),
        ("run vae --scheduler gamma=cosine", "declare beta, lr"),
        ("run vae --scheduler =cosine", "must be NAME or SLOT=NAME"),
        ("run beta-vae --loss iwae", "would drop"),
        ("run vae --holdout 20 --limit 20", "--holdout must be below the number of training images, 20"),
        ("run vae --device cuda:63", "--device must be a device of this machine"),
        ("run vae --format gif", "--format must be png, svg or png,svg"),
        (
            "run vae --viz latent-scatter --viz.latent-scatter.projection tsne --viz.latent-scatter.points 5",
            "perplexity",
        ),
        ("run vae --metric dci", "needs ground-truth factors, which the dataset digits has not"),
        ("run vae --viz class-swap", "needs a model that is conditional"),
        ("run vae --recipe no-such.toml", "no-such.toml does not exist"),
    ],
)
def test_a_bad_command_is_exit_2_before_a_folder_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: str, said: str
) -> None:
    words = shlex.split(arguments)
    data = ["--data", "digits", "--out", str(tmp_path / "runs")] if len(words) > 1 else []
    assert said in refused(capsys, *words, *data)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("run vea", "Did you mean 'vae'?"),
        ("run vae --data digitz", "Did you mean 'digits'?"),
        ("run vae --viz travesal", "Did you mean 'traversal'?"),
        ("run vae --recipe quick-vea", "quick-vae"),
    ],
)
def test_an_unknown_name_is_exit_3_with_the_nearest(
    capsys: pytest.CaptureFixture[str], arguments: str, said: str
) -> None:
    assert said in refused(capsys, *shlex.split(arguments), code=3)


def test_umap_that_is_not_installed_names_the_extra(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    command = [*TINY, "--viz", "latent-scatter", "--viz.latent-scatter.projection", "umap"]
    assert "pip install umap-learn" in refused(capsys, *command, code=3)


MODEL = '[model]\nname = "vae"\n'


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (MODEL + "[train\n", 3, "is not valid TOML"),
        (MODEL + "[train]\nlr = 1\nlr = 2\n", 5, "is not valid TOML"),
        (MODEL + "[train]\n\nepocs = 3\n", 5, "Did you mean epochs?"),
        (MODEL + "[train]\nepochs = 0\n", 4, "must be greater than or equal to 1, got 0"),
        ('sumary = "x"\n' + MODEL, 1, "Did you mean summary?"),
        ('[model]\nnam = "vae"\n', 2, "Did you mean name?"),
        (MODEL + '[[schedulers.beta]]\nname = "constant"\n[[schedulers.beta]]\nnam = "cosine"\n', 6, "name"),
        (MODEL + "[model.options]\nlatent-dim = 2\nlatnt-dim = 3\n", 5, "Did you mean 'latent-dim'?"),
        (MODEL + "options = { latent_dim = 0 }\n", 3, "latent-dim must be greater than or equal to 1"),
        (MODEL + '[visualizers.wide]\nname = "traversal"\noptions.sspan = 1\n', 5, "Did you mean 'span'?"),
        (MODEL + '[[schedulers.lr]]\nname = "cosine"\n[schedulers.lr.options]\nend = "low"\n', None, "end"),
        ("schema = 99\n" + MODEL, None, "schema of"),
        ("", None, "model must be given"),
    ],
)
def test_a_bad_recipe_names_its_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, line: int | None, said: str
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    err = refused(capsys, "run", "--recipe", str(file), "--data", "digits", "--dry-run")
    assert said in err
    assert str(file) in err
    assert line is None or f"line {line}" in err


def test_an_unknown_part_in_a_recipe_names_its_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(MODEL + '[network]\nname = "mpl"\n', encoding="utf-8")
    err = refused(capsys, "run", "--recipe", str(file), "--dry-run", code=3)
    assert f"{file}, line 4" in err
    assert "'mlp'" in err


def test_a_file_that_is_no_text_is_no_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "weights.pt").write_bytes(b"\x80\x04\xff")
    assert "must be UTF-8 text" in refused(capsys, "run", "--recipe", str(tmp_path / "weights.pt"))


def test_flags_change_a_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        MODEL + '[dataset]\nname = "digits"\n[network]\nname = "mlp"\n[train]\nepochs = 3\nlr = 0.5\n', encoding="utf-8"
    )
    plan = planned(capsys, "--recipe", str(file), "--epochs", "4", "--network.hidden", "8")
    assert (plan["train"]["epochs"], plan["train"]["lr"]) == (4, 0.5)
    assert plan["network"] | {"options": plan["network"]["options"]["hidden"]} == {"name": "mlp", "options": [8]}
    assert planned(capsys, "beta-vae", "--recipe", str(file))["model"]["name"] == "beta-vae"


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"images": np.full((20, 8, 8), 1.5)}, "pixels must be in [0, 1]"),
        ({"images": np.zeros((20, 8, 8)), "labels": np.full(20, -1)}, "labels must be 0 or more"),
    ],
)
def test_data_that_breaks_a_rule_is_exit_2_and_names_the_index(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arrays: dict[str, Any], said: str
) -> None:
    np.savez(tmp_path / "mine.npz", **arrays)
    command = ["run", "vae", "--data", "npz", "--data.path", str(tmp_path / "mine.npz"), "--network", "mlp"]
    err = refused(capsys, *command, "--out", str(tmp_path / "runs"))
    assert said in err
    assert "at index 0" in err
    assert not (tmp_path / "runs").exists()


def test_images_of_unequal_size_name_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "images" / "zero").mkdir(parents=True)
    for name, size in (("a", 8), ("b", 8), ("odd", 9)):
        Image.new("L", (size, size)).save(tmp_path / "images" / "zero" / f"{name}.png")
    command = ["run", "vae", "--data", "image-folder", "--data.root", str(tmp_path / "images"), "--network", "mlp"]
    assert "odd.png" in refused(capsys, *command, "--out", str(tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


def test_a_conditional_model_needs_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "mine.npz", images=np.zeros((20, 8, 8)))
    command = ["run", "cvae", "--data", "npz", "--data.path", str(tmp_path / "mine.npz"), "--network", "mlp"]
    assert "must have labels" in refused(capsys, *command, "--out", str(tmp_path / "runs"))


# What a run says and keeps.


def test_a_run_keeps_its_results_on_stdout_and_its_progress_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = ["--scheduler.beta.epochs", "10"]
    assert execute([*TINY, *slow, "--viz", "samples", "--format", "png,svg", "--json", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr()
    told = json.loads(said.out)
    folder = RunFolder(Path(told["run"]))
    assert told["row"]["test"]["elbo"] == folder.rows("epoch")[-1]["test"]["elbo"]
    assert sorted(path.name for path in folder.figures.iterdir()) == ["samples.png", "samples.svg"]
    assert "\r" not in said.err
    assert "\x1b" not in said.err
    # The warm-up is longer than the run, and it is said where it ends.
    assert "The schedule of beta is longer than the run: it ends at beta = 0.1." in said.err
    assert folder.record()["status"] == "finished"


def test_a_visualizer_that_raises_costs_its_figure_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(self: Any, view: Any) -> Any:
        print("noise")  # noqa: T201, what a plugin may do
        raise SystemExit("no licence")

    monkeypatch.setattr(host().get(Kind.VISUALIZER, "traversal").load(), "draw", draw)
    assert execute([*TINY, "--viz", "traversal", "--viz", "samples", "--json", "--out", str(tmp_path)]) == 1
    told = json.loads(capsys.readouterr().out)
    assert "no licence" in told["figures"]["traversal"]["error"]
    assert told["figures"]["samples"]["files"] == ["samples.png"]
    record = RunFolder(Path(told["run"])).record()
    assert (record["status"], record["exit_reason"]) == ("finished", "failed: traversal")
    assert execute(["sample", told["run"], "--out", str(tmp_path / "s.png")]) == 0


def test_a_metric_or_tracker_that_raises_costs_its_own_result_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Any, view: Any) -> Any:
        raise ValueError("nothing to count")

    def call(self: Host, name: str, **arguments: Any) -> list[Problem]:
        return [Problem("tracker", "tracker-zoo", "1.0", "its hook raised ValueError", "broken", "Remove it.")]

    monkeypatch.setattr(host().get(Kind.METRIC, "active-units").load(), "evaluate", broken)
    monkeypatch.setattr(Host, "call_lifecycle", call)
    assert execute([*TINY, "--metric", "active-units", "--metric", "elbo", "--out", str(tmp_path)]) == 1
    record = next(all_runs(tmp_path)).record()
    assert "nothing to count" in record["metrics"]["active-units"]["error"]
    assert record["metrics"]["elbo"]["values"]
    assert record["exit_reason"] == "failed: active-units, tracker tracker-zoo"
    assert "tracker-zoo" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), "Try a smaller --batch-size."),
        (ValueError("a shape"), "ValueError: a shape"),
        (SystemExit("bye"), "SystemExit: bye"),
    ],
)
def test_a_model_that_raises_is_one_sentence_and_a_traceback_in_the_log(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    said: str,
) -> None:
    def encode(self: Any, *_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(host().get(Kind.MODEL, "vae").load(), "forward", encode)
    assert execute([*TINY, "--out", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    folder = next(all_runs(tmp_path))
    assert folder.record()["status"] == "failed"
    assert "Traceback" in folder.log_file.read_text(encoding="utf-8")


def test_a_narrow_terminal_gets_lines_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    class Terminal:
        encoding = "ascii"

        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> None:
            written.append(text)

        def flush(self) -> None:
            pass

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "40")
    means = {"distortion": 140.0, "rate": 6.0, "elbo": -146.0}
    listener = ConsoleListener()
    listener.tick(Tick(1, 30, 20, 469, 20000.0, {"beta": 0.1}, means, OF_LOSSES))
    listener.note("naïve ± β")
    shown = "".join(written)
    assert all(len(piece) < 40 for piece in re.sub(r"\x1b\[[0-9;]*m", "", shown).replace("\n", "\r").split("\r"))
    assert "epoch 1/30" in shown
    assert shown.isascii()


def uncoloured(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_the_eta_is_that_of_all_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    now, written = [0.0], list[str]()
    monkeypatch.setattr("genzoo.training.console.time.monotonic", lambda: now[0])
    monkeypatch.setattr("genzoo.training.console.write_to_stderr", written.append)
    facts = {"parameters": {"total": 1}, "images": {"train": 160}, "stages": 2, "fit_epochs": 3, "resumed_at": 0}
    settings = {"device": "cpu", "precision": "fp32", "threads": 1}
    listener = ConsoleListener()
    listener.started(Path("run"), plan(Recipe(model=Part(name="vae"), train={"epochs": 9}), host()), settings, facts)
    now[0] = 100.0
    listener.tick(Tick(1, 9, 10, 10, 1.0, {}, {}, ()))  # 10 of 90 + 30 steps, 10 s each
    assert "ETA 18:20" in written[-1]
    listener.note("The prior's stage begins.")
    now[0] = 200.0
    listener.tick(Tick(1, 3, 10, 10, 1.0, {}, {}, (), stage="prior"))  # 10 of 30 steps, 10 s each
    assert "ETA 3:20" in written[-1]


@pytest.mark.parametrize("command", ["runs show {}", "runs list --out {}/../.."])
def test_a_closed_or_odd_stdout_is_no_traceback(trained: RunFolder, command: str) -> None:
    genzoo = f"{sys.executable} -m genzoo {command.format(trained.path)}"
    script = f"{genzoo} >&-; echo $? >&2; {genzoo} | true; {genzoo} | cat"
    environment = {**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "COLUMNS": "40"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, timeout=300, check=False)
    assert done.stderr.decode("ascii").splitlines() == ["0"]
    assert done.returncode == 0
    assert b"vae on digits" in done.stdout
    assert b"\x1b" not in done.stdout


# Commands on a run.


def test_viz_draws_anew_with_options(copy: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "drawn"
    command = ["viz", str(copy.path), "traversal", "--traversal.span", "1", "--format", "svg", "--out", str(out)]
    assert execute(command) == 0
    drawn = capsys.readouterr().out.split()
    assert drawn
    assert all(Path(path).parent == out and Path(path).stat().st_size for path in drawn)
    assert execute(["viz", str(copy.path), "training-curves"]) == 0
    assert Path(capsys.readouterr().out.split()[0]).parent == copy.figures
    assert "must belong to one of traversal" in refused(capsys, "viz", str(copy.path), "traversal", "--samples.n", "3")
    assert "is conditional" in refused(capsys, "viz", str(copy.path), "class-swap")
    assert "Did you mean" in refused(capsys, "viz", str(copy.path), "travesal", code=3)


def test_eval_keeps_its_numbers_with_those_before(copy: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["eval", str(copy.path), "active-units", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["metrics"]["active-units"]
    kept = copy.record()["metrics"]
    assert kept["active-units"]["values"] == told["values"]
    assert kept["active-units"]["checkpoint"] == "step-2"
    assert "elbo" in kept
    # And a resumed run keeps them too.
    assert execute(["run", "--resume", str(copy.path), "--epochs", "2"]) == 0
    assert "active-units" in copy.record()["metrics"]


def test_sample_writes_images_that_repeat_and_overwrites_nothing(
    copy: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, other = (tmp_path / f"{name}.npz" for name in ("one", "two", "other"))
    for target, seed in ((one, 3), (two, 3), (other, 4)):
        assert execute(["sample", str(copy.path), "-n", "5", "--seed", str(seed), "--out", str(target)]) == 0
    images = np.load(one)["images"]
    assert images.shape == (5, 1, 8, 8)
    assert 0 <= images.min() <= images.max() <= 1
    assert np.array_equal(images, np.load(two)["images"])
    assert not np.array_equal(images, np.load(other)["images"])
    capsys.readouterr()
    assert "must not exist" in refused(capsys, "sample", str(copy.path), "--out", str(one))
    assert "too long" in refused(capsys, "sample", str(copy.path), "--out", "x" * 300 + ".png")
    assert "must end in" in refused(capsys, "sample", str(copy.path), "--out", "samples.txt")
    assert "not conditional" in refused(capsys, "sample", str(copy.path), "--label", "3", "--out", str(one), "--force")
    assert execute(["sample", str(copy.path), "-n", "4", "--out", str(one.with_suffix(".png"))]) == 0
    assert one.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_encode_writes_codes_with_labels(copy: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "codes.npz"
    assert execute(["encode", str(copy.path), "--split", "train", "--limit", "6", "--out", str(target)]) == 0
    arrays = np.load(target)
    assert arrays["codes"].shape == (6, 2)
    assert arrays["labels"].shape == (6,)
    assert "codes [6, 2]" in capsys.readouterr().out


def test_encode_makes_the_same_codes_a_few_images_at_a_time(
    copy: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = tmp_path / "whole.npz", tmp_path / "parts.npz"
    assert execute(["encode", str(copy.path), "--out", str(whole)]) == 0
    monkeypatch.setattr("genzoo.cli.use.ENCODED_AT_ONCE", 7)
    assert execute(["encode", str(copy.path), "--out", str(parts)]) == 0
    with np.load(whole) as one, np.load(parts) as other:
        assert set(one) == set(other) == {"codes", "labels", "indices"}
        np.testing.assert_allclose(one["codes"], other["codes"], rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(one["labels"], other["labels"])


def test_runs_are_listed_shown_and_compared(
    copy: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "runs")
    second = RunFolder(Path(shutil.copytree(copy.path, copy.path.with_name("20990101T000000Z-000000-second"))))
    text = second.config_file.read_text(encoding="utf-8")
    figure = '\n[visualizers.more]\nname = "traversal"\n'
    second.config_file.write_text(text.replace("batch_size = 8", "batch_size = 4") + figure, encoding="utf-8")
    assert execute(["runs", "list", "--out", out, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == [copy.path.name, second.path.name]
    assert [row["differs"] for row in rows] == ["batch_size 8", "batch_size 4"]
    assert execute(["runs", "list", "--out", out]) == 0
    assert [line.split("vae on digits")[-1].strip() for line in capsys.readouterr().out.splitlines()[1:]] == [
        "batch_size 8",
        "batch_size 4",
    ]
    assert execute(["runs", "show", "first", "--out", out]) == 0
    shown = capsys.readouterr().out
    assert "vae on digits: finished" in shown
    assert "samples.png" in shown
    assert execute(["runs", "compare", "first", "second", "--out", out, "--json"]) == 0
    fields = json.loads(capsys.readouterr().out)["fields"]
    assert fields["train.batch_size"] == ["8", "4"]
    assert set(fields) == {"train.batch_size", "test distortion", "test rate", "test elbo"}
    assert "fits 2 runs" in refused(capsys, "runs", "show", "20", "--out", out)
    assert execute(["runs", "list", "--out", str(tmp_path / "empty")]) == 0
    assert "There is no run" in capsys.readouterr().err


def test_sample_draws_pixels_on_request(copy: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made: list[Any] = []
    for words in ([], ["--draw"]):
        file = tmp_path / f"samples{len(made)}.npz"
        assert execute(["sample", str(copy.path), "-n", "3", "--out", str(file), "--json", *words]) == 0
        assert json.loads(capsys.readouterr().out) == {
            "file": str(file),
            "images": 3,
            "seed": 0,
            "draw": bool(words),
        }
        made.append(np.load(file)["images"])
    assert set(np.unique(made[1])) == {0, 1}
    assert not set(np.unique(made[0])) <= {0, 1}


def test_resume_takes_epochs_and_figures_and_nothing_else(copy: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert "lr is 0.001 and 0.5 was asked for" in refused(capsys, "run", "--resume", str(copy.path), "--lr", "0.5")
    for more in (["beta-vae"], ["--data", "mnist"], ["--model.latent-dim", "3"], ["--scheduler", "constant"]):
        assert "--resume goes on with" in refused(capsys, "run", *more, "--resume", str(copy.path))
    assert execute(["run", "--resume", str(copy.path)]) == 0
    assert "is finished; nothing to resume" in capsys.readouterr().err
    assert execute(["run", "--resume", str(copy.path), "--epochs", "2", "--viz", "reconstructions"]) == 0
    assert [row["epoch"] for row in copy.rows("epoch")] == [1, 2]
    assert any(path.name.startswith("reconstructions") for path in copy.figures.iterdir())


def test_recipes_are_listed_shown_and_begun(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["recipe", "list", "--json"]) == 0
    assert "report-vae" in {row["name"] for row in json.loads(capsys.readouterr().out)}
    assert execute(["recipe", "show", "report-vae"]) == 0
    assert tomllib.loads(capsys.readouterr().out)["model"]["name"] == "vae"
    file = tmp_path / "mine.toml"
    assert execute(["recipe", "init", "beta-vae", "--out", str(file)]) == 0
    capsys.readouterr()
    assert planned(capsys, "--recipe", str(file), "--data", "digits")["model"]["name"] == "beta-vae"
    assert "must not exist" in refused(capsys, "recipe", "init", "vae", "--out", str(file))
    assert tomllib.loads(file.read_text(encoding="utf-8"))["model"]["name"] == "beta-vae"
