"""The step's arithmetic is the one chosen, whatever the caller's."""

from __future__ import annotations

import pytest
import torch

from genzoo.engine.settings import Settings


@pytest.mark.parametrize("ambient", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_step_runs_in_the_precision_chosen_under_any_callers_autocast(precision: str, *, ambient: bool) -> None:
    settings = Settings("cpu", precision, channels_last=False, compile=False, threads=1)
    layer = torch.nn.Linear(2, 2)
    with torch.autocast("cpu", torch.bfloat16, enabled=ambient):
        with settings.autocast():
            found = layer(torch.zeros(1, 2)).dtype
        assert torch.is_autocast_enabled("cpu") is ambient
    assert found is (torch.float32 if precision == "fp32" else torch.bfloat16)
