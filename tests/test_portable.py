"""Models out of genzoo: programs compute what the model does, and a hub folder says what it holds and loads."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

import genzoo
from genzoo.cli import cli
from genzoo.engine.tensor_files import read_tensors
from genzoo.errors import GenzooError, IncompatibleError, RunExistsError, UsageError
from genzoo.host.plugin_host import host
from genzoo.interfaces import Generator
from genzoo.portable.functions import Function, functions_of
from genzoo.portable.hub import export_hub, model_card
from genzoo.portable.programs import compared, trace
from genzoo.runs.folder import RunFolder

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

MLP: dict[str, Any] = {"network": ("mlp", {"hidden": (16,)})}
MODELS: dict[str, dict[str, Any]] = {"vae": MLP, "cvae": MLP, "gan": {}, "vq-vae": {}}
HOSTILE = '</script><img src=x> "quoted": {a: b}\n---\n| x |'


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, genzoo.Run]:
    out = tmp_path_factory.mktemp("runs")
    quick: dict[str, Any] = {"data": "digits", "epochs": 1, "limit": 64, "viz": [], "progress": False, "out": out}
    made = {name: genzoo.run(name, **quick, **more) for name, more in MODELS.items()}
    made["scored"] = genzoo.run("vae", **quick, **MLP, metrics="elbo", name="scored")
    return made


def expected(run: genzoo.Run, part: str, n: int) -> tuple[list[Tensor], list[Tensor]]:
    """Inputs and outputs of a part, by the model's own methods."""
    model, label = run.model, torch.arange(n) % 10
    conditional = "conditional" in model.capabilities
    torch.manual_seed(n)
    image = torch.rand(n, 1, 8, 8)
    if part == "decoder":
        level = model.levels[0]
        z = (
            torch.randn(n, *level.shape)
            if level.categories is None
            else torch.randint(level.categories, (n, *level.shape))
        )
        given, made = [z], [model.generate([z], label if conditional else None)]
    else:
        posterior = model.posterior(image, label if conditional else None)
        given = [image]
        made = [posterior.mean, posterior.stddev] if model.levels[0].categories is None else [posterior.mode]
    return [*given, label] if conditional else given, made


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("form", ["torch", "onnx"])
def test_programs_compute_what_the_model_does(
    runs: dict[str, genzoo.Run], name: str, form: Any, tmp_path: Path
) -> None:
    done = runs[name].export(form, tmp_path / "out")
    parts = ["decoder"] if name == "gan" else ["decoder", "encoder"]
    assert [Path(file).stem for file in done.differences] == parts
    assert set(done.absent) == {"encoder"} - set(parts)
    assert all(difference <= 1e-5 for difference in done.differences.values())
    page = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    for part in parts:
        for n in (1, 4):
            given, wanted = expected(runs[name], part, n)
            if form == "torch":
                found = torch.export.load(tmp_path / "out" / f"{part}.pt2").module()(*given)
                found = [found] if isinstance(found, Tensor) else list(found)
            else:
                session = onnxruntime.InferenceSession(tmp_path / "out" / f"{part}.onnx")
                names = [one.name for one in session.get_inputs()]
                assert all(f"`{one}`" in page for one in names)
                assert names[-1] == "label" if name == "cvae" else "label" not in names
                fed = {one: tensor.numpy() for one, tensor in zip(names, given, strict=True)}
                found = [torch.from_numpy(one) for one in session.run(None, fed)]
            for one, other in zip(found, wanted, strict=True):
                if other.is_floating_point():
                    torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
                else:  # a code between two entries falls to either
                    assert int((one != other).sum()) <= 1


def test_a_file_holds_the_weights_that_it_needs_alone(runs: dict[str, genzoo.Run], tmp_path: Path) -> None:
    runs["vae"].export("torch", tmp_path / "out")
    model = runs["vae"].model
    for part in ("encoder", "decoder"):
        stored = torch.export.load(tmp_path / "out" / f"{part}.pt2").state_dict
        needed = sum(p.numel() for name, p in model.named_parameters() if name.startswith(part))
        assert sum(tensor.numel() for tensor in stored.values()) == needed


class Bare(Generator):
    """A generator without latents."""

    capabilities = frozenset[str]()

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    def sample(self, n: int, label: Any = None, *, seed: int | None = None, mean: bool = True) -> Tensor:
        return torch.zeros(n, 1, 2, 2)


def function(of: Any) -> Function:
    return Function(torch.nn.Identity(), of, {"x": lambda n: torch.randn(n, 3)}, ["y"])


def test_what_cannot_be_exported_is_refused_by_name() -> None:
    with pytest.raises(IncompatibleError, match="must have an encoder or a decoder, got bare, which has neither"):
        functions_of(Bare(), "bare")
    with pytest.raises(IncompatibleError, match=r"torch\.export cannot trace it"):
        trace(function(lambda x: x if x.sum() > 0 else -x))
    with pytest.raises(IncompatibleError, match=r"it draws random numbers \(aten.randn"):
        trace(function(lambda x: x + torch.randn_like(x)))


def test_draws_that_change_nothing_are_left_out() -> None:
    def of(x: Tensor) -> Tensor:
        torch.randn_like(x).exp()
        return 2 * x

    program = trace(function(of))
    assert not [node for node in program.graph.nodes if "rand" in str(node.target)]


def test_a_program_that_differs_is_refused() -> None:
    twice = function(lambda x: 2 * x)
    assert compared(twice, lambda inputs: [inputs[0] * 2], "file") == 0
    for wrong in (2.001, float("nan")):
        with pytest.raises(GenzooError, match="file must compute what the model does within 1e-05"):
            compared(twice, lambda inputs, wrong=wrong: [inputs[0] * wrong], "file")
    with pytest.raises(GenzooError, match=r"must give \[1, 3\] for a batch of 1, got \[2, 3\]"):
        compared(twice, lambda inputs: [torch.zeros(2, 3)], "file")


def test_posteriors_without_a_closed_form_leave_the_encoder_out(tmp_path: Path) -> None:
    run = genzoo.run("realnvp", data="digits", epochs=1, limit=64, viz=[], progress=False, out=tmp_path)
    done = run.export("torch", tmp_path / "out")
    assert list(done.differences) == ["decoder.pt2"]
    assert done.absent == {
        "encoder": "the posterior of realnvp is not given by a mean and a standard deviation, or by codes"
    }


def test_absent_packages_are_named(
    runs: dict[str, genzoo.Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "onnxscript" else genuine(name, *a)
    )
    with pytest.raises(UsageError, match="needs onnxscript, which is not installed") as caught:
        runs["vae"].export("onnx", tmp_path / "out")
    assert "[onnx]" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_hub_folder_loads_and_its_card_says_what_it_is(runs: dict[str, genzoo.Run], tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    run = runs["scored"]
    folder = export_hub(run.folder, host(), tmp_path / "hub", licence="mit")
    loaded = genzoo.load(folder)
    z = torch.randn(3, *run.model.levels[0].shape)
    torch.testing.assert_close(loaded.model.generate([z]), run.model.generate([z]), rtol=0, atol=0)
    (weights,) = folder.glob("**/model.safetensors")
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"`{weights.relative_to(folder).as_posix()}`" in card
    assert set(read_tensors(weights)) == set(run.model.state_dict())
    _, front, body = card.split("---\n", 2)
    head = yaml.safe_load(front)
    assert head["license"] == "mit"
    assert head["library_name"] == "genzoo"
    assert head["tags"] == ["genzoo", "vae", "standard-normal"]
    (index,) = head["model-index"]
    scores = {(row["type"], row["args"]): row["value"] for row in index["results"][0]["metrics"]}
    test = run.history[-1]["test"]
    protocol = "mean over 64 test images after epoch 1, as training evaluates it"
    assert scores["elbo", protocol] == pytest.approx(test["elbo"])
    measured = run.record["metrics"]["elbo"]
    assert any(
        value in measured["values"].values()
        for (_, protocol), value in scores.items()
        if protocol == measured["protocol"]
    )
    for words in (
        "genzoo run --recipe config.toml",
        "Licence of the weights: mit.",
        "images, `digits`: CC-BY-4.0",
        "1312.6114",
    ):
        assert words in body
    assert str(Path.cwd()) in (run.path / "run.json").read_text(encoding="utf-8"), (
        "run.json says from where it was started"
    )
    assert str(Path.cwd()) not in (folder / "run.json").read_text(encoding="utf-8")
    private = [word for word in run.record["argv"] if "/" in word]
    assert not any(word in path.read_text(encoding="utf-8") for word in private for path in folder.glob("*.*"))


def test_text_from_outside_breaks_neither_yaml_nor_tables(runs: dict[str, genzoo.Run]) -> None:
    yaml = pytest.importorskip("yaml")
    record = {**runs["scored"].record, "title": HOSTILE, "verdict": HOSTILE}
    part = {**record["components"]["model"], "version": HOSTILE}
    record["components"] = {**record["components"], "model": part}
    card = model_card(record, host(), "model.safetensors", licence=HOSTILE)
    assert "<img" not in card.split("---\n", 2)[2]
    head = yaml.safe_load(card[4 : card.index("\n---\n\n#")])
    assert head["license"] == HOSTILE
    rows = [line for line in card.splitlines() if line.startswith("| model ")]
    assert len(rows) == 1
    assert rows[0].replace("\\|", "").count("|") == 4


def test_the_command_writes_each_form_and_refuses_what_does_not_go_together(
    runs: dict[str, genzoo.Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = str(runs["vae"].path)

    def call(*words: str) -> Any:
        return CliRunner().invoke(cli, ["export", path, *words])

    for form, suffix in (("torch", "torch"), ("onnx", "onnx"), ("hub-folder", "hub")):
        result = call("--to", form)
        assert result.exit_code == 0, result.output
        assert (tmp_path / f"{runs['vae'].path.name}-{suffix}" / "README.md").exists()
    assert "decoder.onnx (within" in call("--to", "onnx", "--out", "second").output
    assert isinstance(call("--to", "torch", "--out", "second").exception, RunExistsError)
    for words, message in (
        (("--to", "torch", "--licence", "mit"), "--licence goes with --to hub-folder"),
        (("--to", "hub-folder", "--best"), "--best does not go with --to hub-folder"),
        (("--to", "torch", "--viz.span", "2"), "there is no option --viz.span"),
    ):
        assert message in str(call(*words, "--out", "third").exception)
    assert not (tmp_path / "third").exists()


def test_an_unfinished_run_is_no_hub_folder(runs: dict[str, genzoo.Run], tmp_path: Path) -> None:
    import shutil

    copy = RunFolder(Path(shutil.copytree(runs["vae"].path, tmp_path / "copy")))
    copy.write_record({**copy.record(), "status": "running"})
    with pytest.raises(UsageError, match="must be finished, got running"):
        export_hub(copy, host(), tmp_path / "hub")
    assert not (tmp_path / "hub").exists()
