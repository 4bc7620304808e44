"""Checks of models in training: terms an image, exact resumption, compilation, export, and that they learn."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from genzoo.randomness import seeded
from genzoo.testing.bench import batch
from genzoo.testing.building import negative_elbo
from genzoo.testing.checking import CheckFailure, check, expect
from genzoo.testing.checks.model import MODEL, built, labels, top_samples
from genzoo.testing.modules import has_parameters, is_conditional, snapshot, state_of
from genzoo.testing.subject import Subject
from genzoo.types import Batch


def _has_auxiliary(subject: Subject) -> str | None:
    model = built(subject)
    return None if model(batch(model.image, 2)).auxiliary else "it has no auxiliary terms"


@check(
    "auxiliary-per-image",
    MODEL,
    why="A term summed over the batch and added to a mean weighs more the larger the batch is.",
    mend="Sum auxiliary terms over the dimensions of an image and leave the batch dimension: one value an image.",
    applies=_has_auxiliary,
)
def auxiliary_per_image(subject: Subject) -> None:
    """Auxiliary terms do not grow with the batch: four copies of it give the same mean."""
    model = built(subject)
    data = batch(model.image, 6)
    again = data[torch.arange(24) % 6]
    with seeded(1):
        once = model.encode(data, samples=16).auxiliary
    with seeded(1):
        often = model.encode(again, samples=16).auxiliary
    for name, value in once.items():
        first, second = float(value.mean()), float(often[name].mean())
        close = abs(second - first) <= 0.5 * abs(first) + 1e-6
        expect(close, f"{name} of about {first:.4g} for the batch four times over", f"{second:.4g}")


@check(
    "resumes-exactly",
    MODEL,
    why="A resumed run must be the run that was stopped, not one like it.",
    mend="Register everything that training changes, moving averages too, as buffers.",
)
def resumes_exactly(subject: Subject) -> None:
    """Saved, loaded and trained one more step, it equals a model that never stopped."""
    model = subject.build()
    optimizer = _optimizer(model)
    for step in range(2):
        _step(model, optimizer, step)
    resumed = subject.build(seed=9)
    resumed.load_state_dict(state_of(model))
    other = _optimizer(resumed)
    if optimizer and other:
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    _step(model, optimizer, 2)
    _step(resumed, other, 2)
    before, after = snapshot(model), snapshot(resumed)
    differs = [name for name, value in before.items() if not torch.equal(value, after[name])]
    expect(not differs, "the same weights as without stopping", f"{', '.join(differs)} differ")


def _optimizer(model: nn.Module, lr: float = 1e-2) -> torch.optim.Optimizer | None:
    parameters = [item for item in model.parameters() if item.requires_grad]
    return torch.optim.Adam(parameters, lr=lr) if parameters else None


def _step(model: Any, optimizer: torch.optim.Optimizer | None, step: int, data: Batch | None = None) -> float:
    model.train()
    data = data or batch(model.image, 6, seed=step)
    with seeded(step):
        output = model(data)
        objective = negative_elbo(output, data.image)
        if optimizer:
            optimizer.zero_grad()
            objective.backward()
            optimizer.step()
        model.after_step(output)
    return float(objective.detach())


@check(
    "overfits-one-batch",
    MODEL,
    why="A model that cannot learn four images by heart has a broken gradient, scale or wiring.",
    mend="Check the sign of the terms, that nothing is detached, and that the decoder reads the latents.",
    applies=has_parameters,
)
def overfits_one_batch(subject: Subject) -> None:
    """Trained on four images, its objective falls by a fifth at least."""
    model = subject.build()
    data = batch(model.image, 4)
    data = data.with_image((data.image > 0.5).float())
    optimizer = _optimizer(model)
    values = [_step(model, optimizer, step, data) for step in range(120)]
    start, end = sum(values[:3]) / 3, sum(values[-5:]) / 5
    expect(end < start - 0.2 * abs(start), f"an objective below {0.8 * start:.3g} nats", f"{end:.4g} from {start:.4g}")


class _Decoder(nn.Module):
    def __init__(self, model: Any, label: Tensor | None) -> None:
        super().__init__()
        self.model = model
        self.label = label

    def forward(self, z: Tensor) -> Tensor:
        return self.model.decode([z], self.label, mean=True).mean


class _Encoder(nn.Module):
    def __init__(self, model: Any, label: Tensor | None) -> None:
        super().__init__()
        self.model = model
        self.label = label
        posterior = self._posterior(batch(model.image, 3).image)
        readers = (_mean_of, _logits_of, _mode_of)
        self.read = next((item for item in readers if _finite(item, posterior)), _density_of)

    def _posterior(self, image: Tensor) -> Any:
        return self.model.encode(Batch(image, self.label)).latents[0].posterior

    def forward(self, image: Tensor) -> Tensor:
        return self.read(self._posterior(image))


def _mean_of(posterior: Any) -> Tensor:
    return posterior.mean


def _logits_of(posterior: Any) -> Tensor:
    return getattr(posterior, "base_dist", posterior).logits


def _mode_of(posterior: Any) -> Tensor:
    return posterior.mode


def _density_of(posterior: Any) -> Tensor:
    """Of a posterior that has no mean or mode, such as one pushed through a flow: its density at one point."""
    return posterior.log_prob(torch.zeros(posterior.event_shape))


def _finite(read: Callable[[Any], Tensor], posterior: Any) -> bool:
    try:
        return bool(read(posterior).isfinite().all())
    except (AttributeError, NotImplementedError):
        return False


def _sides(model: Any) -> tuple[tuple[str, nn.Module, Tensor], ...]:
    label = labels(model, 3) if is_conditional(model) else None
    return (
        ("encoder", _Encoder(model, label), batch(model.image, 3).image),
        ("decoder", _Decoder(model, label), top_samples(model, 3).contiguous()),
    )


def _same(model: Any, how: str, transform: Callable[[nn.Module, Tensor], Callable[[Tensor], Tensor]]) -> None:
    for name, side, argument in _sides(model):
        with torch.no_grad():
            plain = side(argument)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found = transform(side, argument)(argument)
            except Exception as error:
                text = " ".join(str(error).split())[:200]
                raise CheckFailure(f"the {name} to be {how}", f"{type(error).__name__}: {text}") from error
        expect(torch.allclose(plain, found, atol=1e-5), f"the same result from the {how} {name}", "another")


@check(
    "compiles",
    MODEL,
    why="torch.compile makes small models several times faster, if it gives the same result.",
    mend="Do not branch on torch.compiler.is_compiling(), on values or on types that only exist at run time.",
)
def compiles(subject: Subject) -> None:
    """Compiled (`aot_eager`), encoder and decoder give the same results."""
    torch.compiler.reset()
    model = built(subject)
    _same(model, "compiled", lambda side, argument: torch.compile(side, backend="aot_eager"))


@check(
    "exports",
    MODEL,
    why="An exported decoder runs without Python, in a browser or a phone.",
    mend="Branch on no tensor's value in encode and decode, and convert none with .item(), float() or numpy().",
)
def exports(subject: Subject) -> None:
    """torch.export takes encoder and decoder, from tensors to tensors, and the result is the same."""
    model = built(subject)
    _same(model, "exported", lambda side, argument: torch.export.export(side, (argument,), strict=False).module())
