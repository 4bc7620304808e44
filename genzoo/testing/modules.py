"""What the kinds that hold weights (model, prior, likelihood, loss, and the bodies a network makes) have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from genzoo.interfaces import LatentGenerator
from genzoo.randomness import seeded
from genzoo.testing import building
from genzoo.testing.bench import GREY, batch, images
from genzoo.testing.building import cases_for, labels_for, latents_for, prior_at
from genzoo.types import Batch, Capability, Context, Kind

if TYPE_CHECKING:
    from genzoo.testing.subject import Plugin, Subject

MODULE_KINDS = (Kind.MODEL, Kind.PRIOR, Kind.LIKELIHOOD, Kind.NETWORK, Kind.LOSS)


def module_of(subject: Subject, seed: int = 0) -> nn.Module:
    """The component as a module: itself, or for a network its encoder and decoder."""
    built = subject.build(seed=seed)
    if subject.kind == Kind.NETWORK:
        with seeded(seed):
            shape = subject.image.shape
            if "bodies" not in subject.families:
                return nn.ModuleDict({"field": built.field(shape, (5,))})
            return nn.ModuleDict({"encoder": built.encoder(shape, (4,)), "decoder": built.decoder((4,), shape)})
    if subject.kind == Kind.PRIOR:
        with seeded(seed):
            built.initialise(images(built.image, 20, seed))
    return built


Given = list[tuple[Tensor, Tensor]]


def run(
    subject: Subject,
    module: Any,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    given: Given | None = None,
) -> dict[str, Tensor]:
    """What a module makes of the bench's inputs, by name.

    Args:
        subject: The component under test.
        module: What `module_of` returned.
        dtype, device: Of the inputs.
        given: Filled with each input tensor beside a copy of it.
    """

    def place(tensor: Tensor) -> Tensor:
        tensor = tensor.to(device, dtype) if tensor.is_floating_point() else tensor.to(device)
        if given is not None:
            given.append((tensor, tensor.clone()))
        return tensor

    return _RUNS[subject.kind](subject, module, place)


Place = Callable[[Tensor], Tensor]


def _model(subject: Subject, model: Any, place: Place) -> dict[str, Tensor]:
    if "generator" in subject.families:
        label = place(torch.arange(3)) if is_conditional(model) else None
        if not isinstance(model, LatentGenerator):
            return {"images": model.sample(3, label, seed=2)}
        draw = torch.Generator().manual_seed(2)
        latents = [torch.randn(3, *level.shape, generator=draw, dtype=torch.float64) for level in model.levels]
        return {"images": model.generate([place(z) for z in latents], label)}
    plain = batch(model.image, 3, dtype=torch.float64)
    data = Batch(place(plain.image), None if plain.label is None else place(plain.label))
    output = model(data, samples=2)
    found = {"log p(x|z)": output.likelihood.log_prob(data.image)}
    for level, latent in enumerate(output.latents):
        found[f"sample {level}"] = latent.sample
        found[f"log q {level}"] = latent.posterior.log_prob(latent.sample)
        found[f"log p {level}"] = latent.prior.log_prob(latent.sample)
    return found | {f"auxiliary {name}": value for name, value in output.auxiliary.items()}


def _prior(subject: Subject, prior: Any, place: Place) -> dict[str, Tensor]:
    label = labels_for(prior, 4)
    distribution = prior_at(prior, None if label is None else place(label))
    z = place(latents_for(prior.latent, 4, torch.float64))
    if prior.training and prior.fitted == "after":
        return {"fit": prior.fit_loss(z, None if label is None else place(label))}
    if prior.density == "none" and prior.fitted == "after":
        return {"sample": distribution.sample()}
    return {"log p": distribution.log_prob(z), "sample": distribution.sample()}


def _likelihood(subject: Subject, likelihood: Any, place: Place) -> dict[str, Tensor]:
    raw = place(torch.randn(3, likelihood.channels(GREY), 8, 8, generator=torch.Generator().manual_seed(5)))
    distribution = likelihood(raw)
    image = place(images(GREY, 3, dtype=torch.float64))
    return {"log p(x|z)": distribution.log_prob(image), "display": likelihood.display(distribution)}


def _network(subject: Subject, bodies: Any, place: Place) -> dict[str, Tensor]:
    if "field" in bodies:
        condition = torch.linspace(-1, 1, 15, dtype=torch.float64).reshape(3, 5)
        return {"field": bodies["field"](place(images(subject.image, 3, dtype=torch.float64)), place(condition))}
    code = bodies["encoder"](place(images(subject.image, 3, dtype=torch.float64)))
    return {"code": code, "raw": bodies["decoder"](place(code.detach()) + 0 * code)}


def _loss(subject: Subject, loss: Any, place: Place) -> dict[str, Tensor]:
    if "objective" in subject.families:
        return _objective(loss, place)
    case = cases_for(loss)[0]
    names = ("mean", "log_variance", "noise", "logits", "image")
    case = case.map({name: place(getattr(case, name)) for name in names})
    data = case.batch()
    terms = loss(case.output(), Batch(data.image, None if data.label is None else place(data.label)))
    return {"objective": terms.objective, **terms.terms}


def _objective(objective: Any, place: Place) -> dict[str, Tensor]:
    image = place(images(GREY, 4, dtype=torch.float64))
    data = Batch(image, place(torch.arange(4) % 3))
    model = building.generator_for(objective).to(image.device, image.dtype)
    found: dict[str, Tensor] = {}
    for player in objective.players(model):
        with torch.enable_grad():  # as the engine calls it; a penalty on gradients needs them
            terms = objective.step(model, data, Context(), player.name)
        found |= {f"{player.name} objective": terms.objective, **terms.terms}
    return found if torch.is_grad_enabled() else {name: value.detach() for name, value in found.items()}


_RUNS: Mapping[Kind, Callable[[Subject, Any, Place], dict[str, Tensor]]] = {
    Kind.MODEL: _model,
    Kind.PRIOR: _prior,
    Kind.LIKELIHOOD: _likelihood,
    Kind.NETWORK: _network,
    Kind.LOSS: _loss,
}


def has_state(subject: Subject) -> str | None:
    """Why a check of weights does not apply: there are none."""
    return None if module_of(subject).state_dict() else "it has no state"


def has_parameters(subject: Subject) -> str | None:
    """Why a check of training does not apply: no parameter takes a gradient."""
    module = module_of(subject)
    return None if any(item.requires_grad for item in module.parameters()) else "it has no parameters to train"


def is_conditional(component: Any) -> bool:
    """Whether a model or prior takes a label."""
    declared = getattr(component, "conditional", None)
    return bool(declared) if declared is not None else Capability.CONDITIONAL in component.capabilities


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """Its state as safetensors takes it: contiguous, and no two sharing memory."""
    return {name: value.detach().clone().contiguous() for name, value in module.state_dict().items()}


def snapshot(module: nn.Module) -> Mapping[str, Tensor]:
    """A copy of every parameter and buffer, those left out of the state too."""
    return {
        name: value.detach().clone()
        for name, value in (*module.named_parameters(), *module.named_buffers(remove_duplicate=False))
    }


def states(subject: Subject) -> Iterator[tuple[str, Any]]:
    """A model in eval mode at the start, with moved weights, and trained for a few steps.

    Initial weights hide faults: log σ² near 0, symmetric means, layers that are zero.
    """
    yield "at the start", subject.build().eval()
    moved = subject.build().eval()
    draw = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in moved.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=draw))
    yield "with moved weights", moved
    trained = subject.build()
    with seeded(4):
        building.train(trained, steps=3, lr=1e-2)
    yield "trained for three steps", trained


def move_from_start(subject: Subject, module: Any) -> None:
    """Move a module away from its initial state, as training would."""
    if subject.kind == Kind.MODEL:
        with seeded(4):
            building.train(module, steps=3, lr=1e-2)
    else:
        if subject.kind == Kind.PRIOR and module.fitted == "after":  # its second stage begins
            module.train()
            run(subject, module)
            module.eval()
        draw = torch.Generator().manual_seed(4)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw))


def restored(plugin: Plugin, weights: Path) -> dict[str, Tensor]:
    """What a component makes of the bench with the weights in a safetensors file; called in a fresh process."""
    from safetensors.torch import load_file

    from genzoo.testing.subject import Subject

    subject = Subject(plugin)
    try:
        module = module_of(subject, seed=9)
        module.load_state_dict(load_file(weights))
        with torch.no_grad(), seeded(6):
            return {name: value.clone().contiguous() for name, value in run(subject, module.eval()).items()}
    finally:
        subject.close()
