"""genzoo from Python: ``run``, ``load`` and what a `Run` can do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure

import genzoo
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
