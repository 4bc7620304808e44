"""The commands with a run that was trained on the device: figures, metrics, samples and codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from genzoo.cli import execute
from genzoo.host.plugin_host import host
from genzoo.parts.latents import encode
from genzoo.runs.find import all_runs
from genzoo.runs.folder import RunFolder
from genzoo.runs.load import load_run

from .conftest import OPTION, PLACE

TINY = ["--data", "digits", "--limit", "64", "--epochs", "1", "--device", OPTION]


@pytest.fixture(params=["vae", "cvae", "vq-vae"])
def trained(request: pytest.FixtureRequest, tmp_path: Path, device: str) -> RunFolder:
    network = ["--network", "conv", "--network.channels", "8,8"]
    prior = ["--prior.epochs", "1", "--prior.width", "8", "--prior.layers", "1"] if request.param == "vq-vae" else []
    figures = ["--viz", "reconstructions", "--viz", "samples", "--metric", "elbo"]
    assert execute(["run", request.param, *TINY, *network, *prior, *figures, "--out", str(tmp_path)]) == 0
    (folder,) = all_runs(tmp_path)
    return folder


def test_figures_numbers_samples_and_codes(trained: RunFolder, tmp_path: Path) -> None:
    record = trained.record()
    assert record["settings"]["device"] == PLACE
    assert record["metrics"]["elbo"]["values"]
    assert {"reconstructions", "samples"} == set(record["figures"])
    run = str(trained.path)
    assert execute(["viz", run, "training-curves", "reconstructions"]) == 0
    assert execute(["eval", run, "elbo"]) == 0
    assert execute(["sample", run, "-n", "6", "--out", str(tmp_path / "samples.npz")]) == 0
    images = np.load(tmp_path / "samples.npz")["images"]
    assert images.shape == (6, 1, 8, 8)
    assert ((images >= 0) & (images <= 1)).all()
    assert execute(["encode", run, "--out", str(tmp_path / "codes.npz")]) == 0
    codes = np.load(tmp_path / "codes.npz")["codes"]
    on_cpu = load_run(trained, host(), device="cpu")
    expected = encode(on_cpu.experiment.model, on_cpu.view().batch()).top
    if expected.is_floating_point():
        torch.testing.assert_close(torch.from_numpy(codes), expected, rtol=1e-3, atol=1e-3)
    else:
        assert (torch.from_numpy(codes) == expected).double().mean() > 0.99
