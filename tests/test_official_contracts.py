"""Every official component under contract, one line a plugin."""

from __future__ import annotations

from pathlib import Path

import pytest

from genzoo.testing import contract
from genzoo.types import Kind

test_label_prior = contract("genzoo-label-prior")
test_likelihoods = contract("genzoo-likelihoods")
test_priors = contract("genzoo-priors")
test_schedulers = contract("genzoo-schedulers")
test_vampprior = contract("genzoo-vampprior")

test_autoregressive = pytest.mark.slow(contract("genzoo-autoregressive"))
test_beta_vae = pytest.mark.slow(contract("genzoo-beta-vae"))
test_cvae = pytest.mark.slow(contract("genzoo-cvae"))
test_datasets = pytest.mark.slow(contract("genzoo-datasets"))
test_disentanglement = pytest.mark.slow(contract("genzoo-disentanglement"))
test_flow_prior = pytest.mark.slow(contract("genzoo-flow-prior"))
test_info_vae = pytest.mark.slow(contract("genzoo-info-vae"))
test_iwae = pytest.mark.slow(contract("genzoo-iwae"))
test_ladder_vae = pytest.mark.slow(contract("genzoo-ladder-vae"))
test_losses = pytest.mark.slow(contract("genzoo-losses"))
test_metrics = pytest.mark.slow(contract("genzoo-metrics"))
test_mnist = pytest.mark.slow(contract("genzoo-mnist"))
test_networks = pytest.mark.slow(contract("genzoo-networks"))
test_nll = pytest.mark.slow(contract("genzoo-nll"))
test_report = pytest.mark.slow(contract("genzoo-report"))
test_sprites = pytest.mark.slow(contract("genzoo-sprites"))
test_tc = pytest.mark.slow(contract("genzoo-tc"))
test_vae = pytest.mark.slow(contract("genzoo-vae"))
test_visualizers = pytest.mark.slow(contract("genzoo-visualizers"))
test_vq_vae = pytest.mark.slow(contract("genzoo-vq-vae"))


def test_every_official_distribution_is_under_contract():
    folders = (Path(__file__).parents[1] / "plugins").glob("genzoo-*/src/*/plugin.py")
    declaring = [file for file in folders if any(f'"{kind}"' in file.read_text(encoding="utf-8") for kind in Kind)]
    names = {file.parts[-4].removeprefix("genzoo-").replace("-", "_") for file in declaring}
    assert names <= {name.removeprefix("test_") for name in globals()}
