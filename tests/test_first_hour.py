"""What a newcomer is told to run first shows what the pages say: digits, no warning, and a verdict that is true."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

import genzoo
from genzoo.api import Run
from genzoo.parts.judge import Judge, JudgeSettings, judge_of
from genzoo.parts.latents import axis

ROOT = Path(__file__).parent.parent
FIRST = ["genzoo viz zoo:report-vae traversal", "genzoo run --recipe one-minute"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def judge() -> Judge:
    dataset = genzoo.load("zoo:report-vae").loaded.experiment.dataset
    return judge_of(dataset, JudgeSettings(images=120_000))[0]


def said(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *line.split()]
    environment = {**os.environ, "MPLBACKEND": "Agg"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", check=False
    )


def read_with_confidence(run: Run, judge: Judge) -> tuple[float, int]:
    """The part of the tiles of the latent plane in which the judge gives one class more than half its belief, and how many
    classes those tiles show. No model is sure of the tiles between two classes."""
    offsets = axis(3, 13)
    across, up = torch.meshgrid(offsets, offsets.flip(0), indexing="xy")
    plane = torch.stack([across, up], -1).reshape(-1, 2).float()
    with torch.no_grad():
        beliefs = judge(run.model.decode([plane[None]]).mean[0]).softmax(1)
    sure = beliefs.amax(1) > 0.5
    return float(sure.double().mean()), len(set(beliefs.argmax(1)[sure].tolist()))


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_the_pages_begin_with_them(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    places = [text.index(line) for line in FIRST]
    assert places == sorted(places)


def test_the_trained_model_is_drawn(tmp_path: Path, judge: Judge) -> None:
    done = said(FIRST[0], tmp_path)
    assert (done.returncode, "Warning" in done.stderr) == (0, False), done.stderr
    with Image.open(tmp_path / done.stdout.split()[-1]) as picture:
        assert picture.width >= 1200
    part, classes = read_with_confidence(genzoo.load("zoo:report-vae"), judge)
    assert part >= 0.75
    assert classes >= 7


def test_the_model_that_is_trained_in_a_minute_draws_digits(tmp_path: Path, judge: Judge) -> None:
    done = said(FIRST[1], tmp_path)
    assert (done.returncode, "Warning" in done.stderr) == (0, False), done.stderr
    assert "The latents are in use" in done.stdout
    assert "Try " not in done.stdout
    (folder,) = (tmp_path / "runs" / "vae").iterdir()
    run = genzoo.load(folder)
    assert (folder / "figures" / "traversal.png").stat().st_size > 10_000
    assert -run.metrics["elbo"] < 149
    assert {finding["severity"] for finding in run.record["findings"]} == {"good"}
    part, classes = read_with_confidence(run, judge)
    assert part >= 0.65
    assert classes >= 6
