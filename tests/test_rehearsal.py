"""The tests of CUDA, rehearsed where there is none: on a device that computes on the CPU and refuses what CUDA refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HANDFUL = (
    "test_components.py::test_outputs_gradients_and_a_step[model-vae-float64]",
    "test_components.py::test_terms_of_a_loss_and_their_gradients[loss-beta-tc-float64]",
    "test_components.py::test_numbers_of_a_model_on_the_device[metric-elbo]",
    "test_training.py::test_training_gives_what_the_cpu_gives[vae-conv]",
    "test_training.py::test_a_loss_that_is_not_finite_leaves_the_weights_alone[adam-1.0-loss]",
    "test_training.py::test_no_step_waits_for_the_device[vae-conv-adam-1.0]",
    "test_training.py::test_batches_of_a_mapped_file_are_those_of_memory",
)


def rehearse(*asked: str, device: str = "apart") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *asked],
        cwd=ROOT,
        env=os.environ | {"GENZOO_TEST_DEVICE": device},
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )


def test_a_handful_of_the_tests_of_cuda_pass_on_the_stand_in() -> None:
    result = rehearse(*[f"tests/cuda/{name}" for name in HANDFUL])
    assert result.returncode == 0, result.stdout[-3000:]
    assert f"{len(HANDFUL)} passed" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("device", ["apart", "cpu"])
def test_all_tests_of_cuda_pass_in_a_rehearsal(device: str) -> None:
    result = rehearse("tests/cuda", device=device)
    assert result.returncode == 0, result.stdout[-3000:]
    assert " passed" in result.stdout


MISTAKES = {
    "a tensor of the CPU": ("torch.tensor(1.0) * torch.ones(2, device=x.device) + torch.ones(2)", "same device"),
    "an index of the device into the CPU": (
        "torch.ones(3)[torch.zeros(1, dtype=torch.int64, device=x.device)]",
        "same device",
    ),
    "an item": ("x.item()", "synchronizing"),
    "a copy to the CPU": ("x.cpu()", "synchronizing"),
    "a number copied to the device": ("torch.tensor(1.0, device=x.device)", "synchronizing"),
    "a mask": ("x.reshape(1)[x.reshape(1) > 0]", "synchronizing"),
    "a branch": ("1 if x > 0 else 2", "synchronizing"),
    "numpy": ("x.numpy()", "numpy"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_stand_in_refuses_what_cuda_refuses(mistake: str, stand_in: dict[str, str]) -> None:
    assert MISTAKES[mistake][1] in stand_in[mistake], stand_in[mistake]


@pytest.fixture(scope="module")
def stand_in() -> dict[str, str]:
    """What each mistake raises on the stand-in, in one process."""
    program = f"""
import json, sys
sys.path.insert(0, {str(ROOT / "tests" / "cuda")!r})
import torch, apart
said = {{}}
with apart.entered():
    x = torch.ones((), device=apart.PLACE)
    apart.may_wait(False)
    x + 1, x * 2.0, torch.full((2,), 3.0, device=x.device) + torch.ones(())
    for name, line in { ({name: line for name, (line, _) in MISTAKES.items()})!r}.items():
        try:
            eval(line)
            said[name] = "nothing was raised"
        except Exception as error:
            said[name] = str(error)
print(json.dumps(said))
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, encoding="utf-8"
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout)
