"""The metrics and the visualizer of codes, on runs whose numbers are known."""

from __future__ import annotations

import math

import pytest
import torch

from genzoo.interfaces import RunView
from genzoo.testing.bench import COLOUR, GREY, View
from genzoo.testing.reference import DiscreteModel, PlainModel, reference_parts
from genzoo.types import ImageSpec
from genzoo_vq_vae.code_maps import CodeMaps
from genzoo_vq_vae.options import BatchOptions, CodeMapsOptions, VQVAEOptions
from genzoo_vq_vae.perplexity import CodebookPerplexity
from genzoo_vq_vae.reconstruction_mse import ReconstructionMSE
from genzoo_vq_vae.vq_vae import VQVAE


def run(spec: ImageSpec = GREY, sizes: tuple[int, int] = (12, 10)) -> RunView:
    torch.manual_seed(0)
    model = VQVAE(VQVAEOptions(codes=6, code_dim=3), reference_parts(spec))
    with torch.no_grad():
        model.codebook.vectors.normal_()
    return View.of(model.eval().requires_grad_(False), spec, sizes=sizes)


@pytest.mark.parametrize("size", [3, 100])
def test_perplexity_by_hand(size: int) -> None:
    view = run()
    numbers = CodebookPerplexity(BatchOptions(batch_size=size)).evaluate(view)
    codes = view.model.encode(view.batch()).latents[0].sample
    frequency = torch.bincount(codes.flatten(), minlength=6).double() / codes.numel()
    entropy = -sum(p * math.log(p) for p in frequency.tolist() if p)
    assert numbers[""] == pytest.approx(math.exp(entropy))
    assert numbers["unigram"] == pytest.approx(entropy)
    assert numbers["usage"] == pytest.approx((frequency > 0).double().mean().item())
    assert numbers["prior"] == pytest.approx(math.log(6), rel=1e-6)


@pytest.mark.parametrize("size", [3, 100])
def test_mse_by_hand(size: int) -> None:
    view = run()
    numbers = ReconstructionMSE(BatchOptions(batch_size=size)).evaluate(view)
    image = view.batch().image
    shown = view.model(view.batch()).likelihood.mean[0]
    mse = (image - shown).square().mean().item()
    assert numbers[""] == pytest.approx(mse, rel=1e-5)
    assert numbers["normalised"] == pytest.approx(mse / image.var(correction=0).item(), rel=1e-4)


def test_metrics_take_other_models() -> None:
    torch.manual_seed(0)
    assert 1 <= CodebookPerplexity(BatchOptions()).evaluate(View.of(DiscreteModel))[""] <= 4
    assert ReconstructionMSE(BatchOptions()).evaluate(View.of(PlainModel))["normalised"] > 0


@pytest.mark.parametrize("view", [run(), run(COLOUR), run(sizes=(4, 1)), View.of(DiscreteModel)])
def test_code_maps(view: RunView) -> None:
    figure = CodeMaps(CodeMapsOptions(images=3)).draw(view)[""]
    figure.draw_without_rendering()
    columns = min(3, len(view.split("test")))
    assert len(figure.axes) == 5 * columns
    names = [axis.get_ylabel() for axis in figure.axes if axis.get_ylabel()]
    assert names == ["images", "codes", "reconstructions", "samples", "their codes"]


def test_map_colours_tell_codes_apart() -> None:
    view = run()
    codes = torch.arange(6)[:4].reshape(1, 2, 2)
    colours = CodeMaps._maps(view, codes)[0].flatten(1).T
    assert len({tuple(colour.tolist()) for colour in colours}) == 4
    assert torch.equal(CodeMaps._maps(view, codes), CodeMaps._maps(view, codes.clone()))
