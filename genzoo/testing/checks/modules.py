"""Checks shared by the kinds that hold weights: model, prior, likelihood, loss, and the bodies of a network."""

from __future__ import annotations

import pickle
import re
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import torch

from genzoo.interfaces import LatentGenerator
from genzoo.randomness import seeded
from genzoo.testing.building import difference
from genzoo.testing.checking import CheckFailure, NotApplicable, check, expect
from genzoo.testing.modules import (
    MODULE_KINDS,
    has_parameters,
    has_state,
    module_of,
    move_from_start,
    run,
    snapshot,
    state_of,
)
from genzoo.testing.prober import ask
from genzoo.testing.subject import Subject
from genzoo.types import Kind


@check(
    "state-round-trip",
    *MODULE_KINDS,
    why="A checkpoint that does not bring everything back resumes another run than the one that was stopped.",
    mend="Register what training changes as parameters or buffers, not as plain attributes.",
    applies=has_state,
)
def state_round_trip(subject: Subject) -> None:
    """A trained state loaded into a new instance gives the same results."""
    trained = module_of(subject)
    move_from_start(subject, trained)
    other = module_of(subject, seed=9)
    other.load_state_dict(state_of(trained))
    with torch.no_grad():
        with seeded(6):
            before = run(subject, trained.eval())
        with seeded(6):
            after = run(subject, other.eval())
    differs = difference(before, after, 1e-6)
    expect(differs is None, "the same results from the loaded state", f"{differs} differs")


@check(
    "fresh-process-round-trip",
    *MODULE_KINDS,
    why="genzoo writes safetensors and reads no pickle; weights must come back on another machine, from tensors alone.",
    mend="Keep every tensor of the state in its own memory, and build all modules in the constructor, not at first use.",
    applies=has_state,
)
def fresh_process_round_trip(subject: Subject) -> None:
    """Weights written as safetensors give the same results in a fresh process."""
    from safetensors.torch import load_file, save_file

    trained = module_of(subject)
    move_from_start(subject, trained)
    files = {name: subject.folder / f"{name}.safetensors" for name in ("weights", "result")}
    save_file(state_of(trained), files["weights"])
    plugin = subject.folder / "plugin.pickle"
    plugin.write_bytes(pickle.dumps(subject.plugin))
    found = ask("reload", torch=True, plugin=str(plugin), weights=str(files["weights"]), result=str(files["result"]))
    if "error" in found:
        raise CheckFailure("a fresh process to load the weights", found["error"])
    with torch.no_grad(), seeded(6):
        before = run(subject, trained.eval())
    differs = difference(before, load_file(files["result"]), 1e-5)
    expect(differs is None, "the same results in a fresh process", f"{differs} differs")


@check(
    "follows-dtype",
    *MODULE_KINDS,
    why="Tests compare in float64 and training runs in lower precision; a fixed dtype fails or loses digits in both.",
    mend="Create tensors with the dtype of an input or parameter (x.new_zeros, dtype=x.dtype), or register a buffer.",
)
def follows_dtype(subject: Subject) -> None:
    """In float64 every result is float64."""
    module = module_of(subject).double().eval()
    with torch.no_grad():
        found = run(subject, module, torch.float64)
    for name, value in found.items():
        if value.is_floating_point():
            expect(value.dtype == torch.float64, f"{name} in float64", value.dtype)


@contextmanager
def _kernels_for_meta() -> Generator[None]:
    """Gives the device meta the draws of gamma and Dirichlet distributions that torch lacks there."""
    names = ("_standard_gamma", "_sample_dirichlet")
    kept = {name: getattr(torch, name) for name in names}

    def standing_for(draw: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def drawn(parameter: torch.Tensor, *more: Any, **named: Any) -> torch.Tensor:
            return torch.empty_like(parameter) if parameter.device.type == "meta" else draw(parameter, *more, **named)

        return drawn

    try:
        for name, draw in kept.items():
            setattr(torch, name, standing_for(draw))
        yield
    finally:
        for name, draw in kept.items():
            setattr(torch, name, draw)


@check(
    "follows-device",
    *MODULE_KINDS,
    why="A tensor made on the CPU stops a run on a GPU, and `.item()` in a step makes every step wait for the device.",
    mend="Create tensors on the device of an input or parameter, or register a buffer; keep values as tensors.",
)
def follows_device(subject: Subject) -> None:
    """Moved to another device (`meta`), every result is on it, and none is read back."""
    module = module_of(subject).to("meta").eval()
    with torch.no_grad(), _kernels_for_meta():
        try:
            found = run(subject, module, device="meta")
        except NotImplementedError as error:
            operator = re.search(r"aten::\w+", str(error))
            if operator is None:
                raise
            raise NotApplicable(f"torch has no {operator[0]} for the device meta") from error
        except RuntimeError as error:
            if "_meta_registrations" not in traceback.extract_tb(error.__traceback__)[-1].filename:
                raise
            raise NotApplicable("torch's own code for the device meta fails where it is used") from error
    for name, value in found.items():
        expect(value.device.type == "meta", f"{name} on the device of its inputs", value.device.type)


@check(
    "gradient-reaches-every-parameter",
    Kind.MODEL,
    Kind.PRIOR,
    Kind.NETWORK,
    Kind.LIKELIHOOD,
    why="A parameter without a gradient is never trained, and stops distributed training.",
    mend="Use the parameter, remove it, or set requires_grad=False; detach nothing that should learn.",
    applies=has_parameters,
)
def gradient_reaches_every_parameter(subject: Subject) -> None:
    """A finite gradient reaches every parameter."""
    module = module_of(subject).train()
    found = run(subject, module)
    parts = [value.sum() for name, value in found.items() if value.requires_grad and not name.startswith("sample")]
    if not parts and "generator" in subject.families and not isinstance(module, LatentGenerator):
        raise NotApplicable("it makes images without latents, and its objective asks it for another result")
    expect(parts, "a result with a gradient", "none")
    torch.stack(parts).sum().backward()
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            expect(parameter.grad is not None, f"a gradient at {name}", "none")
            assert parameter.grad is not None
            expect(bool(parameter.grad.isfinite().all()), f"a finite gradient at {name}", "inf or nan")


@check(
    "evaluation-leaves-it-alone",
    Kind.MODEL,
    Kind.PRIOR,
    Kind.NETWORK,
    Kind.LIKELIHOOD,
    why="Evaluation between epochs must not change what is trained, or a run depends on how often it is looked at.",
    mend="Update running statistics in training mode only (if self.training), and never change the mode or a gradient flag.",
)
def evaluation_leaves_it_alone(subject: Subject) -> None:
    """In eval mode it builds no graph, and changes neither its mode, parameters nor buffers."""
    module = module_of(subject).eval()
    before, flags = snapshot(module), {name: item.requires_grad for name, item in module.named_parameters()}
    with torch.no_grad():
        found = run(subject, module)
    for name, value in found.items():
        expect(not value.requires_grad, f"no graph behind {name} under no_grad", "one")
    expect(not any(item.training for item in module.modules()), "eval mode kept", "training mode")
    after = snapshot(module)
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    expect(not changed, "parameters and buffers as they were", f"{', '.join(changed)} changed")
    now = {name: item.requires_grad for name, item in module.named_parameters()}
    expect(flags == now, "gradient flags as they were", "others")


@check(
    "inputs-unchanged",
    *MODULE_KINDS,
    why="The loss, metrics and visualizers read the same images after it.",
    mend="Use no in-place operation on an argument: x = x.clamp(...), not x.clamp_(...).",
)
def inputs_unchanged(subject: Subject) -> None:
    """It changes none of its inputs in place."""
    module = module_of(subject).eval()
    given: list[tuple[torch.Tensor, torch.Tensor]] = []
    with torch.no_grad():
        run(subject, module, given=given)
    for tensor, copy in given:
        expect(torch.equal(tensor, copy), "its inputs as they were", f"a tensor of shape {list(tensor.shape)} changed")
