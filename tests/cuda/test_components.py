"""Every installed component gives on the device what it gives on the CPU: outputs, gradients, a step, samples.

In float64 to 1e-9, which rounding stays below and no wrong formula does; in float32 to 1e-4.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genzoo.engine.arithmetic import full_float32
from genzoo.host.plugin_host import host
from genzoo.interfaces import Loss, Model
from genzoo.randomness import seeded
from genzoo.testing.bench import images
from genzoo.testing.building import cases_for, first_view
from genzoo.testing.modules import MODULE_KINDS, module_of, run
from genzoo.testing.subject import Subject
from genzoo.training.draw import draw, measure
from genzoo.types import Capability, Context, Kind

from .conftest import PLACE, assert_close, same_noise

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
DTYPES = pytest.mark.parametrize("dtype", list(TOLERANCE), ids=["float64", "float32"])


def components(*kinds: Kind) -> list[Any]:
    return [pytest.param(item, id=f"{item.kind}-{item.name}") for kind in kinds for item in host().components(kind)]


@pytest.fixture
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    made = Subject(request.param)
    yield made
    made.close()


def of(*kinds: Kind) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("subject", components(*kinds), indirect=True)


@DTYPES
@of(*(kind for kind in MODULE_KINDS if kind != Kind.LOSS))
def test_outputs_gradients_and_a_step(subject: Subject, dtype: torch.dtype) -> None:
    on_cpu = worked(subject, "cpu", dtype)
    gradients = {name: value for name, value in on_cpu.items() if name.startswith("gradient ")}
    on_device = worked(subject, PLACE, dtype, gradients)
    assert_close(on_device, on_cpu, TOLERANCE[dtype])
    assert any(name.startswith(("log p", "code", "fit", "field", "images")) for name in on_device)


def worked(
    subject: Subject, place: str, dtype: torch.dtype, gradients: dict[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """What a component does in training, its gradients, and what one fused step of Adam makes of it.

    Args:
        subject: The component.
        place, dtype: Where, and of what numbers.
        gradients: What the step is taken from in place of its own gradients: a step of Adam has the size of the learning
            rate, however small the gradient, and would make a lot of what rounds to another side of zero.
    """
    module = module_of(subject).to(place, dtype).train()
    with seeded(5), same_noise(), full_float32():
        found = run(subject, module, dtype, place)
        parts = [value.sum() for name, value in found.items() if value.requires_grad and not name.startswith("sample")]
        parameters = {name: item for name, item in module.named_parameters() if item.requires_grad}
        if parts and parameters:
            torch.stack(parts).sum().backward()
            found |= {
                f"gradient {name}": item.grad.clone() for name, item in parameters.items() if item.grad is not None
            }
            step(parameters, gradients)
            found |= {f"stepped {name}": item.detach() for name, item in parameters.items()}
        with torch.no_grad():
            found |= {f"afterwards {name}": value for name, value in run(subject, module.eval(), dtype, place).items()}
    for name, value in found.items():
        assert value.device == torch.device(place), f"{name} lies elsewhere"
    return found


def step(parameters: dict[str, nn.Parameter], gradients: dict[str, Tensor] | None) -> None:
    for name, item in parameters.items():
        if gradients is not None and item.grad is not None:
            item.grad = torch.empty_like(item).copy_(gradients[f"gradient {name}"])
    torch.optim.Adam(parameters.values(), lr=1e-3, fused=True).step()


@DTYPES
@of(Kind.LOSS)
def test_terms_of_a_loss_and_their_gradients(subject: Subject, dtype: torch.dtype) -> None:
    if "objective" in subject.families:
        assert_close(worked(subject, PLACE, dtype), worked(subject, "cpu", dtype), TOLERANCE[dtype])
        return
    loss: Loss = subject.build()
    for number, case in enumerate(cases_for(loss)):
        found = [terms_of(subject, number, place, dtype) for place in ("cpu", PLACE)]
        assert_close(found[1], found[0], TOLERANCE[dtype])
        assert case.size


def terms_of(subject: Subject, number: int, place: str, dtype: torch.dtype) -> dict[str, Tensor]:
    loss: Loss = subject.build().to(place)
    case = cases_for(loss)[number].to(dtype).to(place)
    leaves = tuple(leaf.detach().requires_grad_() for leaf in case.leaves())
    case = case.with_leaves(*leaves)
    data = case.batch().to(place)
    with seeded(5), same_noise(), full_float32():
        terms = loss(case.output(), data, Context(dict.fromkeys(loss.quantities, 0.5), 100))
        terms.objective.backward()
    found = {"objective": terms.objective, "distortion": terms.distortion, "rates": terms.rates}
    found |= {f"term {name}": value for name, value in terms.terms.items()}
    return found | {f"gradient {name}": leaf.grad for name, leaf in enumerate(leaves) if leaf.grad is not None}


@DTYPES
@of(Kind.MODEL)
def test_samples_of_a_model(subject: Subject, dtype: torch.dtype) -> None:
    drawn: list[dict[str, Tensor]] = []
    for place in ("cpu", PLACE):
        model: Model = module_of(subject).to(place, dtype).eval()
        label = torch.arange(5, device=place) % 3 if Capability.CONDITIONAL in model.capabilities else None
        with same_noise(), full_float32():
            means, drawings = model.sample(5, label, seed=3), model.sample(5, label, seed=3, mean=False)
        assert means.device == torch.device(place)
        assert means.shape == drawings.shape == (5, *model.image.shape)
        assert bool(((means >= 0) & (means <= 1)).all())
        drawn.append({"means": means})
    assert_close(drawn[1], drawn[0], TOLERANCE[drawn[0]["means"].dtype])


PIXELS = [{}, {"shift": 2, "flip": True}, {"binarize": "dynamic"}, {"binarize": "static"}, {"binarize": "threshold"}]


@pytest.mark.parametrize("changes", PIXELS, ids=lambda changes: "-".join(map(str, changes.values())) or "plain")
@of(Kind.DATASET)
def test_transforms_of_a_data_set(subject: Subject, changes: dict[str, Any]) -> None:
    if not changes.keys() <= subject.options_class.model_fields.keys():
        pytest.skip("it has no such options")
    dataset = subject.cls(subject.options(**changes))
    grey = (images(subject_spec(), 300) * 255).round() / 255
    for training in (True, False):
        found: list[dict[str, Tensor]] = []
        for place in ("cpu", PLACE):
            with seeded(2), same_noise():
                image = dataset.transform(grey.to(place), training=training)
            assert image.device == torch.device(place)
            found.append({"image": image})
        assert_close(found[1], found[0], 0.0)


def subject_spec() -> Any:
    from genzoo.testing.bench import USUAL

    return USUAL


@of(Kind.VISUALIZER)
def test_figures_of_a_model_on_the_device(subject: Subject, tmp_path: Any) -> None:
    visualizer = subject.build()
    view = first_view(visualizer, subject)
    view.model.to(PLACE)
    with same_noise():
        made = draw({"figure": visualizer}, view, tmp_path)
    assert made["figure"].get("files"), made


@of(Kind.METRIC)
def test_numbers_of_a_model_on_the_device(subject: Subject) -> None:
    metric = subject.build()
    view = first_view(metric, subject)
    found: list[Any] = []
    for place in ("cpu", PLACE):
        view.model.to(place)
        with same_noise():
            found.append(measure({"metric": metric}, view)["metric"])
    assert found[0].get("values"), found[0]
    assert found[1].get("values"), found[1]
    units: dict[str, str] = found[0].get("units", {})
    for name, value in found[0]["values"].items():
        if units.get(name, metric.unit) == "seconds":  # the clock's
            continue
        assert found[1]["values"][name] == pytest.approx(value, rel=2e-3, abs=2e-3, nan_ok=True), name
