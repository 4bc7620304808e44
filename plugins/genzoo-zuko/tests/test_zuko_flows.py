"""The flows of zuko as priors: exact densities, samples that follow them, labels, and refusals."""

from __future__ import annotations

import math
import subprocess
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import genzoo
from genzoo.distributions import StandardNormal
from genzoo.errors import IncompatibleError
from genzoo.host.needs import unmet
from genzoo.host.plugin_host import host
from genzoo.interfaces import Prior
from genzoo.runs.folder import RunFolder
from genzoo.training.start import resume
from genzoo.types import ImageSpec, LatentSpec
from genzoo_zuko.flows import AutoregressiveFlow, SplineFlow
from genzoo_zuko.options import AutoregressiveFlowOptions, SplineFlowOptions

IMAGE = ImageSpec((1, 8, 8), classes=3)
KINDS = {"maf": (AutoregressiveFlow, AutoregressiveFlowOptions), "nsf": (SplineFlow, SplineFlowOptions)}
BOTH = pytest.mark.parametrize("kind", list(KINDS))


def make(kind: str, shape: tuple[int, ...], *, bent: float = 0.15, image: ImageSpec = IMAGE, **options: Any) -> Any:
    torch.manual_seed(0)
    made, options_of = KINDS[kind]
    prior = made(options_of(**{"width": 16, **options}), LatentSpec(shape), image).double()
    with torch.no_grad():
        for p in prior.parameters():
            p.add_(bent * torch.randn_like(p))
    return prior


def grid(dimensions: int) -> tuple[Tensor, float]:
    """Points ``[N, D]`` and the volume of each."""
    axis = torch.linspace(-10, 10, 301 if dimensions == 2 else 10001, dtype=torch.float64)
    return torch.cartesian_prod(*([axis] * dimensions)).reshape(-1, dimensions), float(axis[1] - axis[0]) ** dimensions


@BOTH
@pytest.mark.parametrize("shape", [(1,), (3,), (2, 3, 4), (1, 6, 8)])
@pytest.mark.parametrize("conditional", [False, True])
def test_it_starts_as_the_standard_normal(kind: str, shape: tuple[int, ...], conditional: bool) -> None:
    prior = make(kind, shape, bent=0, conditional=conditional)
    z, label = torch.randn(5, *shape, dtype=torch.float64), torch.arange(5) % 3
    for found in (prior(), prior(label=label)):
        torch.testing.assert_close(found.log_prob(z), StandardNormal(shape).log_prob(z))


@BOTH
@pytest.mark.parametrize("dimensions", [1, 2])
@torch.no_grad()
def test_the_density_integrates_to_one_for_each_label_and_for_their_mixture(kind: str, dimensions: int) -> None:
    plain, prior = make(kind, (dimensions,)), make(kind, (dimensions,), conditional=True)
    z, volume = grid(dimensions)
    each = [prior(label=torch.tensor([c])).log_prob(z) for c in range(3)]
    for log_prob in (plain().log_prob(z), prior().log_prob(z), *each):
        assert float(log_prob.exp().sum() * volume) == pytest.approx(1, abs=2e-3)
    mixture = torch.stack(each).logsumexp(0) - math.log(3)
    torch.testing.assert_close(prior().log_prob(z), mixture)
    assert float((each[0] - each[1]).abs().max()) > 0.1


@BOTH
@torch.no_grad()
def test_samples_have_the_moments_of_their_label(kind: str) -> None:
    prior = make(kind, (2,), conditional=True)
    z, volume = grid(2)
    label = torch.tensor([2, 0])
    drawn = prior(label=label).sample((50_000,))
    whole = prior().sample((100_000,))
    assert drawn.shape == (50_000, 2, 2)
    cases = [(drawn[:, place], prior(label=label[place : place + 1])) for place in range(2)] + [(whole, prior())]
    for found, density in cases:
        weight = (density.log_prob(z).exp() * volume)[:, None]
        mean, second = (weight * z).sum(0), (weight * z.square()).sum(0)
        deviation = (second - mean.square()).sqrt()
        assert bool(((found.mean(0) - mean).abs() < 5 * deviation / len(found) ** 0.5).all())
        torch.testing.assert_close(found.var(0), deviation.square(), atol=0, rtol=0.05)


@BOTH
@pytest.mark.parametrize(
    ("shape", "options"), [((5,), {}), ((2, 3), {"passes": 2}), ((40,), {}), ((6,), {"passes": 3})]
)
@torch.no_grad()
def test_draws_are_the_inverse_of_what_the_density_reads(
    kind: str, shape: tuple[int, ...], options: dict[str, Any]
) -> None:
    prior = make(kind, shape, bent=0.15, conditional=True, **options)
    label = torch.arange(7) % 3
    torch.manual_seed(1)
    drawn = prior(label=label).sample((4,))
    torch.manual_seed(1)
    noise = torch.randn(4, 7, math.prod(shape), dtype=torch.float64)
    context = torch.nn.functional.one_hot(label, 3).double().expand(4, 7, 3)
    u, log_det = prior.carry(drawn.flatten(2), context)
    torch.testing.assert_close(u, noise, rtol=1e-6, atol=1e-6)
    jacobian = torch.autograd.functional.jacobian(lambda z: prior.carry(z, context[0, 0])[0], drawn[0, 0].flatten())
    torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], log_det[0, 0])
    expected = log_det - 0.5 * (noise.square() + math.log(2 * math.pi)).sum(-1)
    torch.testing.assert_close(prior(label=label).log_prob(drawn), expected, rtol=1e-6, atol=1e-6)


def reached(prior: Any) -> Tensor:
    """bool ``[D, D]``: whether a number of f(z) depends on a number of z, at one of 20 places."""
    z = 2 * torch.randn(20, prior.latent.size, dtype=torch.float64)
    each = [torch.autograd.functional.jacobian(lambda x: prior.carry(x, None)[0], one) for one in z]
    return torch.stack(each).abs().sum(0) > 0


@BOTH
@pytest.mark.parametrize("passes", [None, 2])
def test_every_dimension_is_moved_by_what_the_others_are(kind: str, passes: int | None) -> None:
    assert bool(reached(make(kind, (6,), width=64, transforms=6, passes=passes)).all())


@BOTH
@pytest.mark.parametrize(("passes", "groups"), [(None, 6), (6, 6), (3, 3), (2, 2), (99, 6)])
def test_dimensions_of_a_group_are_independent_in_one_transform(kind: str, passes: int | None, groups: int) -> None:
    found = reached(make(kind, (6,), width=64, transforms=1, passes=passes))
    assert int(found.sum()) == 6 + (36 - 36 // groups) // 2


def test_importing_it_leaves_the_validation_of_distributions_as_it_was() -> None:
    code = """
import genzoo_zuko.flows, torch, warnings
try:
    torch.distributions.Normal(torch.zeros(1), -torch.ones(1))
except ValueError:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", check=True)
    assert done.stdout == "refused\n"


@BOTH
def test_refusals(kind: str) -> None:
    with pytest.raises(IncompatibleError, match=f"{kind}: the dataset must have labels"):
        make(kind, (2,), image=ImageSpec((1, 8, 8)), conditional=True)
    with pytest.raises(IncompatibleError, match="width must be at least the number of groups, got 16 for 40"):
        make(kind, (40,), passes=40)
    assert isinstance(make(kind, (40,)), Prior)  # two groups


def test_doctor_says_how_to_install_zuko() -> None:
    def find(name: str) -> Distribution:
        if name == "zuko":
            raise PackageNotFoundError(name)
        return distribution(name)

    (problem,) = [found for found in unmet(["genzoo-zuko"], find) if found.distribution == "zuko"]
    assert problem.kind == "missing"
    assert "genzoo-zuko 0.1.0 requires zuko>=1.4, and it is not installed" in problem.cause
    assert "zuko>=1.4" in problem.fix


@BOTH
def test_it_learns_two_bent_classes(kind: str) -> None:
    """A half circle for each class: with the label the flow tells them apart, and its samples lie on the right half."""
    torch.manual_seed(0)
    made, options_of = KINDS[kind]
    prior = made(options_of(conditional=True), LatentSpec((2,)), ImageSpec((1, 2, 2), classes=2))
    label = torch.arange(512) % 2
    angle = math.pi * (torch.rand(512) + label)
    z = torch.stack([angle.cos(), angle.sin()], -1) * 2 + 0.1 * torch.randn(512, 2)
    before = float(prior.nll(z, label).mean().detach())
    optimizer = torch.optim.Adam(prior.parameters(), lr=5e-3)
    for _ in range(150):
        optimizer.zero_grad()
        loss = prior.nll(z, label).mean()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < before - 1.5
    drawn = prior(label=torch.tensor([0, 1])).sample((200,))
    assert float((drawn[:, 0, 1] > -0.3).float().mean()) > 0.95
    assert float((drawn[:, 1, 1] < 0.3).float().mean()) > 0.95


@BOTH
def test_a_run_that_is_stopped_resumes_to_the_same_weights(kind: str, tmp_path: Path) -> None:
    """Over pixels and as a VAE's prior, with labels; the elbo of pixels is exact."""
    for model in ("pixels", "cvae"):
        prior = (kind, {"conditional": True, "transforms": 2, "width": 16})
        network = {"network": ("mlp", {"hidden": [8]})} if model == "cvae" else {}
        common: Any = {"data": "digits", "prior": prior, "limit": 64, "viz": [], "progress": False, **network}
        whole = genzoo.run(model, epochs=2, out=tmp_path / "whole", **common)
        run = genzoo.run(model, epochs=1, out=tmp_path / "half", **common)
        resume(RunFolder(run.path), host(), changes={"epochs": 2})
        again = genzoo.load(run.path)
        expected, found = whole.model.state_dict(), again.model.state_dict()
        assert all(torch.equal(found[name], value) for name, value in expected.items())
        assert whole.history[-1]["test"]["elbo"] == again.history[-1]["test"]["elbo"]
