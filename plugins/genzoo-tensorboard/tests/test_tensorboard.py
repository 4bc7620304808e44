"""A run writes its numbers and figures as TensorBoard events when asked, and nothing when not."""

from __future__ import annotations

from pathlib import Path

import pytest

import genzoo

tensorboard = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def train(out: Path) -> genzoo.Run:
    return genzoo.run(
        "vae",
        data="digits",
        network=("mlp", {"hidden": [8]}),
        viz=["training-curves"],
        epochs=2,
        limit=32,
        out=out,
        progress=False,
    )


def test_numbers_and_figures_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENZOO_TENSORBOARD", "1")
    run = train(tmp_path)
    events = tensorboard.EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    for name in ("distortion", "rate", "elbo"):
        logged = [(event.step, event.value) for event in events.Scalars(f"test/{name}")]
        written = [(row["epoch"], row["test"][name]) for row in run.history]
        assert [step for step, _ in logged] == [1, 2]
        assert [value for _, value in logged] == pytest.approx([value for _, value in written], rel=1e-6)
    assert [event.value for event in events.Scalars("quantities/beta")] == [1, 1]
    assert "training-curves" in events.Tags()["images"]
    assert "recipe/text_summary" in events.Tags()["tensors"]


def test_nothing_is_written_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GENZOO_TENSORBOARD", raising=False)
    assert not (train(tmp_path).path / "tensorboard").exists()
