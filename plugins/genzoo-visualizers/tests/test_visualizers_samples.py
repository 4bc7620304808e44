"""What `nearest` finds and `denoising` shows, where the answer is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

import genzoo
from genzoo.errors import IncompatibleError
from genzoo.interfaces import RunView
from genzoo.options import NoOptions
from genzoo.randomness import seeded
from genzoo.testing.bench import GREY, BenchData, View
from genzoo.testing.reference import CarriedModel, PlainGenerator, reference_parts
from genzoo.types import ImageSpec
from genzoo_visualizers.denoising import path
from genzoo_visualizers.nearest import Nearest
from genzoo_visualizers.options import NearestOptions

QUICK = {"data": "digits", "epochs": 1, "limit": 48, "progress": False}


class Copier(PlainGenerator):
    """Gives the training images 5, 6, 7 … of the bench, a little darker."""

    def generate(self, latents: Sequence[Tensor], label: Tensor | None = None) -> Tensor:
        return 0.999 * BenchData().split("train").images[5 : 5 + len(latents[0])]


def test_a_copy_is_found_beside_its_original(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Copier(NoOptions(), reference_parts(GREY)).eval()
    data = BenchData()
    run = RunView("copier", model, data, {name: data.split(name) for name in data.splits})  # type: ignore[arg-type]
    images = data.split("train").images
    samples = model.generate([torch.zeros(4, 3)])
    for chunk in (7, 1000):
        monkeypatch.setattr("genzoo_visualizers.nearest._CHUNK", chunk)
        found, distance = Nearest(NearestOptions(count=4, neighbours=3))._found(run, samples, None)
        assert torch.equal(found[:, 0], images[5:9])
        assert torch.allclose(distance, 0.001 * images[5:9].flatten(1).norm(dim=1), rtol=1e-2)
        order = torch.cdist(samples.flatten(1), images.flatten(1)).argsort(1)[:, :3]
        assert torch.equal(found, images[order])


def test_the_path_is_what_the_field_sees_and_ends_in_the_draw() -> None:
    model = View.of(CarriedModel).model
    with torch.no_grad(), seeded(4):
        states = path(model, 5)
    assert states.shape == (4, 5, 2)
    with torch.no_grad():
        for step in range(3):
            time = torch.full((5,), step / 3)
            assert torch.allclose(states[step + 1], states[step] + model.prior.at(states[step], time) / 3, atol=1e-6)
        with seeded(4):
            assert torch.equal(states[-1], model.sample_top(5))
    assert not model.prior.field._forward_pre_hooks


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_figures_of_runs_with_a_field(guidance: float, tmp_path: Path) -> None:
    prior = ("flow-matching", {"steps": 4, "epochs": 1, "conditional": True, "guidance": guidance})
    viz = {"denoising": ("denoising", {"count": 2}), "nearest": ("nearest", {"count": 2, "neighbours": 2})}
    run = genzoo.run("flow-matching", prior=prior, field=("unet", {"width": 8}), viz=viz, out=tmp_path, **QUICK)
    assert {"denoising.png", "nearest.png"} <= {file.name for file in run.folder.figures.iterdir()}


def test_nearest_takes_a_gan_and_denoising_refuses_it_by_name(tmp_path: Path) -> None:
    run = genzoo.run("gan", network="mlp", viz={"nearest": ("nearest", {"count": 2})}, out=tmp_path, **QUICK)
    assert (run.folder.figures / "nearest.png").exists()
    with pytest.raises(
        IncompatibleError, match="denoising: the prior must carry noise along a field, got StandardNormal"
    ):
        genzoo.run("gan", network="mlp", viz="denoising", out=tmp_path, **QUICK)


def test_a_judge_needs_classes() -> None:
    view = View.of(labels=False)
    with pytest.raises(IncompatibleError, match="must have classes for a judge"):
        Nearest(NearestOptions(space="judge")).check(view.model, ImageSpec((1, 8, 8)))
