"""Programs for pages compute in JavaScript what torch computes; what they cannot, they refuse by name."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from genzoo.parts.browser import UnsupportedNetwork, case, export_program, pack, runtime

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node runs the pages' script")


def error_in_javascript(folder: Path, function: Callable[..., Any], inputs: Sequence[Tensor], cases: int = 2) -> float:
    """The largest difference from torch, as the page's own check finds it."""
    program = export_program(function, inputs)
    made = [case("f", function, [torch.rand_like(value) if value.is_floating_point() else value for value in inputs])]
    made += [case("f", function, inputs)] * (cases - 1)
    script = folder / "check.cjs"
    packed = json.dumps(pack({"f": program}, made))
    end = f"genzooPrograms({packed}).then((programs) => console.log(programs.check()));"
    script.write_text(f"{runtime()}\n{end}", encoding="utf-8")
    done = subprocess.run(
        [str(NODE), str(script)], capture_output=True, text=True, encoding="utf-8", check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return float(done.stdout)


class Residual(nn.Module):
    """What a residual network is made of: two convolutions with normalisation beside a skip, upsampled."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(2, channels),
            nn.GELU(),
            nn.Conv2d(channels, channels, 3, padding=1, groups=2),
        )

    def forward(self, image: Tensor) -> Tensor:
        return functional.interpolate(image + self.body(image), scale_factor=2, mode="nearest")


def attention(value: Tensor) -> Tensor:
    split = value.reshape(1, 6, 3, 4).transpose(1, 2)
    weights = (split @ split.transpose(-1, -2) / 2).softmax(-1)
    return (weights @ split).permute(0, 2, 1, 3).flatten(2)


def started(module: nn.Module) -> nn.Module:
    """With statistics and scales that are not those of the start."""
    generator = torch.Generator().manual_seed(1)
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) * 0.6 + (0.5 if "var" in name else -0.3))
    return module.eval()


NETWORKS: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "linear": (nn.Linear(3, 5), (1, 3)),
    "no bias": (nn.Linear(3, 5, bias=False), (1, 2, 3)),
    "strided convolution": (nn.Conv2d(3, 4, (3, 4), (2, 1), (1, 2), dilation=(1, 2)), (1, 3, 7, 9)),
    "grouped convolution": (nn.Conv2d(4, 6, 3, groups=2), (1, 4, 5, 5)),
    "convolution in one dimension": (nn.Conv1d(2, 3, 3, stride=2, padding=1), (1, 2, 9)),
    "transposed": (nn.ConvTranspose2d(3, 4, (4, 3), (2, 3), (1, 0), output_padding=(1, 0)), (1, 3, 4, 5)),
    "transposed in groups": (nn.ConvTranspose2d(4, 6, 4, 2, 1, groups=2, bias=False), (1, 4, 4, 4)),
    "residual": (Residual(4), (1, 4, 4, 4)),
    "layer norm": (nn.LayerNorm(6), (1, 3, 6)),
    "batch norm of vectors": (nn.BatchNorm1d(6), (1, 6)),
    "pooling": (nn.Sequential(nn.MaxPool2d(2), nn.AvgPool2d(3, 1, 1)), (1, 2, 8, 8)),
    "pooling of what is inside": (nn.AvgPool2d(3, 2, 1, count_include_pad=False), (1, 2, 7, 7)),
    "bilinear": (lambda x: functional.interpolate(x, size=(7, 5), mode="bilinear"), (1, 2, 4, 4)),
    "bilinear by corners": (
        lambda x: functional.interpolate(x, size=(7, 5), mode="bilinear", align_corners=True),
        (1, 2, 4, 4),
    ),
    "pixel shuffle": (nn.PixelShuffle(2), (1, 8, 3, 2)),
    "activations": (
        lambda x: torch.cat(
            [
                f(4 * x - 2)
                for f in (torch.tanh, nn.ELU(0.5), nn.LeakyReLU(0.2), nn.Softplus(), nn.GELU("tanh"), torch.erf)
            ]
        ),
        (1, 40),
    ),
    "arithmetic": (
        lambda x: (
            ((x + 1).log() * (x - 0.5).abs().exp() / (x.square() + 1).sqrt()).clamp(0.1, 0.7) ** 2 + x.mean(1, True)
        ),
        (1, 7),
    ),
    "shapes": (
        lambda x: torch.cat(
            [x[:, 1::2].transpose(1, 2)[..., -1], x.chunk(2, 1)[1].sum((1, 2))[:, None].expand(1, 3)], 1
        ),
        (1, 4, 5),
    ),
    "choices": (
        lambda x: torch.stack([torch.where(x > 0.5, x, torch.zeros_like(x)), *torch.broadcast_tensors(x, x[:, :1])], 1),
        (1, 6),
    ),
    "attention of torch": (lambda x: functional.scaled_dot_product_attention(x, 2 * x, x + 1), (1, 2, 5, 3)),
    "attention": (attention, (1, 6, 12)),
}


@needs_node
@pytest.mark.parametrize("name", NETWORKS)
def test_javascript_computes_what_torch_does(name: str, tmp_path: Path) -> None:
    function, shape = NETWORKS[name]
    if isinstance(function, nn.Module):
        started(function)
    inputs = (torch.rand(shape, generator=torch.Generator().manual_seed(2)),)
    assert error_in_javascript(tmp_path, function, inputs) < 2e-5


@needs_node
def test_a_label_selects_its_class(tmp_path: Path) -> None:
    table = started(nn.Embedding(4, 3))

    def function(value: Tensor, label: Tensor) -> Tensor:
        return torch.cat([value, (label[:, None] == torch.arange(4)).float(), table(label)], 1)

    assert error_in_javascript(tmp_path, function, (torch.rand(1, 2), torch.tensor([2]))) < 1e-6


@needs_node
def test_large_weights_are_rounded_to_half_precision_and_measured(tmp_path: Path) -> None:
    wide = nn.Linear(300, 40)
    error = error_in_javascript(tmp_path, wide, (torch.rand(1, 300),))
    assert 1e-6 < error < 2e-3


@needs_node
def test_the_check_finds_a_program_that_is_not_the_network(tmp_path: Path) -> None:
    layer = nn.Linear(3, 2)
    program = export_program(layer, (torch.rand(1, 3),))
    with torch.no_grad():
        layer.bias.add_(0.01)
    packed = pack({"f": program}, [case("f", layer, [torch.rand(1, 3)])])
    script = tmp_path / "check.cjs"
    end = f"genzooPrograms({json.dumps(packed)}).then((programs) => console.log(programs.check()));"
    script.write_text(f"{runtime()}\n{end}", encoding="utf-8")
    done = subprocess.run(
        [str(NODE), str(script)], capture_output=True, text=True, encoding="utf-8", check=True, timeout=60
    )
    assert float(done.stdout) == pytest.approx(0.01, rel=0.02)


def test_what_depends_on_no_input_is_a_constant_and_what_is_unused_is_left_out() -> None:
    body = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))
    scale = nn.Parameter(torch.ones(3))

    def function(value: Tensor) -> Tensor:
        body[1](torch.zeros(1, 3))
        return body[0](value) * (scale.exp() + 1)

    program = export_program(function, (torch.zeros(1, 2),))
    assert [op["op"] for op in program.ops] == ["linear", "mul"]
    assert program.weights == 2 * 3 + 3 + 3


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda x: x.cumsum(0), "aten.cumsum.default"),
        (lambda x: x + torch.randn(1, 2), "draw random numbers"),
        (lambda x: x * 2 if float(x.sum()) > 0 else x, "traceable"),
        (lambda x: torch.softmax(x[None], 0), "last dimension"),
    ],
)
def test_what_pages_do_not_know_is_refused_by_name(function: Callable[..., Any], told: str) -> None:
    with pytest.raises(UnsupportedNetwork, match=told):
        export_program(function, (torch.rand(1, 2),))


def test_too_many_weights_are_refused() -> None:
    with pytest.raises(UnsupportedNetwork, match="at most 10 weights"):
        export_program(nn.Linear(5, 5), (torch.zeros(1, 5),), most=10)
