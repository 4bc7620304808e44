"""Starting from another run's weights: which run, which of its weights, and what stays as it is."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from torch import Tensor

from genzoo import storage
from genzoo.compose.build import Experiment
from genzoo.engine.checkpoint import find
from genzoo.engine.tensor_files import read_tensors
from genzoo.errors import CorruptError, UsageError
from genzoo.recipe import Init
from genzoo.runs.find import elsewhere, find_run
from genzoo.runs.folder import RunFolder

PRIOR = "prior"
ALL_BUT_PRIOR = "all-but-prior"
"""As a frozen part: everything of the model but its prior."""


def init_from(name: str, frozen: Collection[str] = (), root: Path | None = None) -> Init:
    """What a recipe records of starting from a run.

    Args:
        name: The run: a folder, ``last``, or ``zoo:NAME``.
        frozen: Direct parts of the model that are not trained, or `ALL_BUT_PRIOR`.
        root: Folder of runs.

    Raises:
        UsageError: If the run has no checkpoint.
    """
    weights = _weights(find_run(name, root))
    run = name if elsewhere(name) else str(find_run(name, root).path.resolve())
    return Init(run=run, sha256=storage.sha256(weights), frozen=tuple(frozen))


def freeze(experiment: Experiment) -> None:
    """Switch off the gradients of what the recipe says is frozen.

    Raises:
        UsageError: If it names a part that the model has not.
    """
    init = experiment.plan.init
    if init is None:
        return
    parts = dict(experiment.model.named_children())
    for name in init.frozen:
        if name == ALL_BUT_PRIOR:
            own = set(parts[PRIOR].parameters()) if PRIOR in parts else set()
            for parameter in experiment.model.parameters():
                if parameter not in own:
                    parameter.requires_grad_(False)
        elif name in parts:
            parts[name].requires_grad_(False)
        else:
            raise UsageError(f"run: --freeze must be one of {', '.join([*parts, ALL_BUT_PRIOR])}, got {name!r}.")


def copy_weights(experiment: Experiment) -> list[str]:
    """Give the model the weights of the run that the recipe starts from, where names and shapes agree.

    Returns:
        Names of the model's tensors that keep their fresh start.

    Raises:
        CorruptError: If that run's weights are no longer those that the recipe recorded.
        UsageError: If nothing fits, or a frozen part does not.
    """
    init = experiment.plan.init
    if init is None:
        return []
    weights = _weights(find_run(init.run))
    digest = storage.sha256(weights)
    if digest != init.sha256:
        raise CorruptError(
            f"run: the weights of {init.run} are not those that the recipe starts from (SHA-256 {digest[:12]}…, recorded "
            f"{init.sha256[:12]}…).",
            "Give --init RUN again to start from its present weights.",
        )
    own = experiment.model.state_dict()
    found = read_tensors(weights)
    fits: dict[str, Tensor] = {name: t for name, t in found.items() if name in own and own[name].shape == t.shape}
    left = [name for name in own if name not in fits]
    trained = {name for name, parameter in experiment.model.named_parameters() if parameter.requires_grad}
    fixed = [name for name in left if name not in trained and name.partition(".")[0] != PRIOR]
    if not fits or fixed:
        what = fixed[0] if fixed else "anything"
        raise UsageError(
            f"run: {init.run} must have weights for {what} of {experiment.plan.model.name}, in the same shape.",
            "Start from a run of the same model, network and data.",
        )
    experiment.model.load_state_dict(fits, strict=False)
    return left


def _weights(run: RunFolder) -> Path:
    checkpoint = find(run.checkpoints)
    if checkpoint is None:
        raise UsageError(f"run: {run.path} has no checkpoint to start from.", "Wait for its first epoch.")
    averaged = checkpoint / "averages.safetensors"
    return averaged if averaged.exists() else checkpoint / "model.safetensors"
