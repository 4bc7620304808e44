"""A run folder back as objects: its experiment with trained weights, and what visualizers and metrics see of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from genzoo.compose.build import Experiment, build
from genzoo.compose.plan import Plan, plan
from genzoo.engine.checkpoint import RETRIES, find, has_checkpoint, load_checkpoint, read_manifest
from genzoo.engine.checkpoint_folder import BEST
from genzoo.engine.settings import choose
from genzoo.engine.tensor_files import stored_tensors
from genzoo.errors import CorruptError, UsageError
from genzoo.host.plugin_host import Host
from genzoo.interfaces.dataset import Dataset
from genzoo.interfaces.model import Model
from genzoo.interfaces.view import RunView
from genzoo.process import own_state
from genzoo.randomness import derive
from genzoo.recipe import TrainOptions, read_recipe
from genzoo.runs.data import DataRecord, Numbered, RunData, Splits, moved, warn_of_other
from genzoo.runs.folder import RunFolder
from genzoo.runs.identity import refuse_edited, refuse_foreign
from genzoo.runs.reports import reports_of
from genzoo.subsets import subset_rows
from genzoo.types import Split

_log = logging.getLogger("genzoo.run")


@dataclass(frozen=True)
class LoadedRun:
    """A run with its weights loaded, in eval mode."""

    folder: RunFolder
    experiment: Experiment
    checkpoint: Path
    epoch: int
    data: RunData

    def view(self) -> RunView:
        """What visualizers and metrics see; the data are read when a split is first asked for."""
        train = self.experiment.plan.train
        names = ("train", "test", *(("holdout",) if train.holdout else ()))
        return make_view(self.experiment, Splits(names, lambda: splits(self.data, train)), self.folder)

    def rows(self, split: str, n: int | None = None) -> Tensor:
        """Which images of the dataset's own split ``RunView.batches`` goes through, int64, in its order.

        Those of ``"holdout"`` are images of the dataset's training split.
        """
        numbered = Numbered(self.data)
        parts = splits(numbered, self.experiment.plan.train)
        view = replace(make_view(self.experiment, parts, None), dataset=numbered)
        found = [batch.image.flatten().long().cpu() for batch in view.batches(65_536, n, split)]
        return torch.cat(found)


@own_state()
def load_run(
    folder: RunFolder,
    host: Host,
    *,
    device: str = "auto",
    best: bool = False,
    data: Mapping[str, Any] | None = None,
    warn: Callable[[str], None] = _log.warning,
) -> LoadedRun:
    """Load a run's newest sound checkpoint (or its best) into a fresh experiment.

    Args:
        folder: The run.
        host: Where its plugins come from.
        device: ``auto`` or a device.
        best: Take the checkpoint with the best held-out elbo.
        data: Options of the dataset that say where its files lie now, where they were moved.
        warn: Told of damaged checkpoints, of plugins at another version than the run recorded, and of other data.

    Raises:
        UsageError: If the run has no checkpoint yet, or no best one, or its config.toml was edited.
        CorruptError: If no checkpoint is intact, or it is of another run.
        PluginError: If a plugin of the run is absent or broken.
    """
    if best and not (folder.checkpoints / BEST).is_file():
        why, way_out = "it holds no images out to choose one", "; `genzoo run --holdout N` keeps one."
        if folder.record().get("headline", "") is None:
            why, way_out = "its objective has no number that tells a better epoch", "."
        raise UsageError(f"run: {folder.path} has no best checkpoint, since {why}.", "Leave --best out" + way_out)
    if not has_checkpoint(folder.checkpoints):
        raise UsageError(
            f"run: {folder.path} has no checkpoint yet.", "Wait for its first epoch, or resume it with `--resume`."
        )
    resolved = plan(moved(read_recipe(folder.config_file), data or {}, host), host)
    refuse_edited(folder, resolved, host)
    warn_of_versions(folder, resolved, warn)
    recorded = DataRecord.read(folder.record(), str(folder.record_file))
    source = RunData(resolved, recorded, warn_of_other(warn), warn)
    experiment = build(resolved, source)
    checkpoint, state = _load_newest(folder, experiment, best=best, warn=warn)
    settings = choose(resolved.train.model_copy(update={"device": device}), experiment.model)
    experiment.model.to(settings.device).eval().requires_grad_(False)
    if settings.channels_last:
        experiment.model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    experiment.loss.to(settings.device)
    status = folder.record().get("status")
    if status in {"failed", "interrupted"}:
        ended = "was interrupted" if status == "interrupted" else "failed"
        warn(f"This run {ended}; its last sound checkpoint, {checkpoint.name}, is used.")
    return LoadedRun(folder, experiment, checkpoint, state["epochs_done"], source)


def _load_newest(
    folder: RunFolder, experiment: Experiment, *, best: bool, warn: Callable[[str], None]
) -> tuple[Path, dict[str, Any]]:
    """The newest sound checkpoint, or the best, loaded. A run that goes on may remove the chosen one meanwhile; then
    there is a newer one.
    """
    for _ in range(RETRIES):
        checkpoint = find(folder.checkpoints, best=best, warn=warn)
        if checkpoint is None:
            break
        try:
            refuse_foreign(folder, read_manifest(checkpoint), warn)
            state = load_checkpoint(checkpoint, experiment.model, loss=experiment.loss)
            experiment.model.load_state_dict(
                {**experiment.model.state_dict(), **stored_tensors(checkpoint, "averages")}
            )
            return checkpoint, state
        except CorruptError:
            if checkpoint.exists():
                raise
    raise CorruptError(f"checkpoint: those of {folder.path} were removed while they were read.", "Try again.")


def splits(dataset: Dataset, train: TrainOptions) -> dict[str, Split]:
    """The splits as the run uses them, limited and held out by the run's seed, in every class; see `Split.subset`.

    Raises:
        UsageError: If nothing would be left to train on.
    """
    parts = {
        name: dataset.split(name).subset(train.limit, derive(train.seed, "limit", name)) for name in ("train", "test")
    }
    whole = parts["train"]
    if len(whole) <= train.holdout:
        raise UsageError(
            f"run: --holdout must be below the number of training images, {len(whole)}, got {train.holdout}."
        )
    if train.holdout:
        held = subset_rows(len(whole), train.holdout, derive(train.seed, "holdout"), whole.labels, leave=True)
        kept = torch.ones(len(whole), dtype=torch.bool)
        kept[held] = False
        parts = {**parts, "train": whole.at(kept.nonzero().squeeze(1)), "holdout": whole.at(held)}
    return parts


def make_view(experiment: Experiment, parts: Mapping[str, Split], folder: RunFolder | None) -> RunView:
    """A `RunView` of an experiment as it is now."""
    return RunView(
        title=experiment.title,
        model=cast("Model", experiment.model),
        dataset=experiment.dataset,
        splits=parts,
        history=folder.rows("epoch") if folder else [],
        seed=experiment.plan.train.seed,
        loss=experiment.loss,
        reports=reports_of(folder.record()) if folder else experiment.loss.reports,
    )


def warn_of_versions(folder: RunFolder, resolved: Plan, warn: Callable[[str], None]) -> list[str]:
    """Tell of components whose version is not the one that the run recorded; return what was told."""
    recorded: dict[str, Any] = folder.record().get("components", {})
    told: list[str] = []

    def compare(old: Any, new: Any) -> None:
        if isinstance(new, dict) and "distribution" in new:
            if isinstance(old, dict) and old.get("version") != new["version"]:
                told.append(
                    f"{new['kind']} {new['name']}: the run was made with {old.get('distribution')} "
                    f"{old.get('version')}, and {new['distribution']} {new['version']} is installed."
                )
        elif isinstance(new, dict) and isinstance(old, dict):
            for key, value in new.items():
                compare(old.get(key), value)
        elif isinstance(new, list) and isinstance(old, list):
            for before, after in zip(old, new, strict=False):
                compare(before, after)

    compare(recorded, json.loads(json.dumps(resolved.records())))
    for message in told:
        warn(message)
    return told
