"""The command that `genzoo info` shows for a plugin is one that genzoo accepts."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genzoo.cli import execute
from genzoo.cli.info import _about
from genzoo.host.installed import Installed
from genzoo.host.plugin_host import host
from genzoo.types import Kind

OF_RUNS = (Kind.VISUALIZER, Kind.METRIC)
RUN_LINES = [item for item in host().components() if item.kind not in OF_RUNS]


@pytest.fixture(autouse=True)
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What FOLDER and FILE.npz stand for."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez("FILE.npz", images=rng.integers(0, 256, (8, 28, 28), dtype=np.uint8))
    for name in ("a/1", "a/2", "b/1", "b/2"):
        path = Path("FOLDER", f"{name}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32), dtype=np.uint8)).save(path)


@pytest.mark.parametrize("item", RUN_LINES, ids=lambda item: f"{item.kind}/{item.name}")
def test_the_usage_line_of_a_plugin_is_valid(item: Installed, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(_about(item)["usage"])
    assert words[:2] == ["genzoo", "run"]
    assert item.name in words
    assert execute([*words[1:], "--dry-run"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("unet", r"genzoo run pixels --prior \S+ --field unet"),
        ("autoregressive", r"genzoo run (pixelcnn|vq-vae) --prior autoregressive"),
        ("uniform-codes", r"genzoo run (pixelcnn|vq-vae) --prior uniform-codes"),
        ("adversarial", r"genzoo run gan --loss adversarial"),
        ("npz", r"genzoo run vae --data npz --data\.path FILE\.npz"),
        ("traversal", r"genzoo viz last traversal"),
        ("mixture", r"genzoo run vae --prior mixture"),
    ],
)
def test_a_usage_line_has_what_the_plugin_needs_beside_it(name: str, usage: str) -> None:
    assert re.fullmatch(usage, _about(host().one(name))["usage"])
