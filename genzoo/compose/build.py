"""Make the objects of a plan and refuse, before training and by name, what does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genzoo.compose.plan import Choice, Plan
from genzoo.compose.schedule import Schedule
from genzoo.errors import GenzooError, IncompatibleError, PluginError, UsageError, describe
from genzoo.interfaces.dataset import Dataset
from genzoo.interfaces.likelihood import Likelihood
from genzoo.interfaces.loss import Loss
from genzoo.interfaces.metric import Metric
from genzoo.interfaces.model import Model, Parts
from genzoo.interfaces.network import Network
from genzoo.interfaces.prior import Prior
from genzoo.interfaces.scheduler import Scheduler
from genzoo.interfaces.visualizer import Visualizer
from genzoo.randomness import derive, seeded
from genzoo.types import Capability, Kind, LatentSpec

LR = "lr"
"""The slot of the learning rate, which the engine owns."""


@dataclass(frozen=True)
class Experiment:
    """A checked experiment, ready to train or to look at."""

    plan: Plan
    dataset: Dataset
    model: Model
    loss: Loss
    schedule: Schedule
    visualizers: Mapping[str, Visualizer]
    metrics: Mapping[str, Metric]

    @property
    def title(self) -> str:
        return self.plan.title

    def parameters(self) -> dict[str, int]:
        """Number of parameters of the model's direct parts, and of the whole under ``total``."""
        counts = {name: sum(p.numel() for p in child.parameters()) for name, child in self.model.named_children()}
        counts["total"] = sum(p.numel() for p in self.model.parameters())
        return counts


def build(plan: Plan, dataset: Dataset | None = None) -> Experiment:
    """Construct every part, with weights drawn under the plan's seed, and check that they fit.

    Args:
        plan: What to construct.
        dataset: What stands for the plan's dataset, which is then not constructed.

    Raises:
        IncompatibleError: If two parts do not fit, naming both.
        UsageError: If a scheduler drives a quantity that nothing declares.
        PluginError: If a plugin raises while it is constructed.
    """
    dataset = make_dataset(plan) if dataset is None else dataset
    image = dataset.spec
    network: Network = _construct(plan[Kind.NETWORK], Network)
    likelihood: Likelihood = _construct(plan[Kind.LIKELIHOOD], Likelihood)
    prior_choice = plan[Kind.PRIOR]

    def prior(latent: LatentSpec) -> Prior:
        _fit_prior(plan, latent, image.classes)
        return _construct(prior_choice, Prior, latent, image)

    with seeded(derive(plan.train.seed, "weights")):
        model: Model = _construct(plan.model, Model, Parts(image, network, likelihood, prior))
        loss: Loss = _construct(plan[Kind.LOSS], Loss)
    if Capability.CONDITIONAL in model.capabilities and image.classes is None:
        raise IncompatibleError(
            f"compose: the model {plan.model.name} is conditional and needs labels, which the dataset "
            f"{plan[Kind.DATASET].name} has not.",
            "Choose a dataset with labels or an unconditional model.",
        )
    _fit(plan, plan[Kind.LOSS], loss, model)
    visualizers = {key: _construct(choice, Visualizer) for key, choice in plan.visualizers.items()}
    metrics = {key: _construct(choice, Metric) for key, choice in plan.metrics.items()}
    for key, figure in visualizers.items():
        check_fit(plan, plan.visualizers[key], figure, dataset, model)
    for key, metric in metrics.items():
        check_fit(plan, plan.metrics[key], metric, dataset, model)
    return Experiment(plan, dataset, model, loss, _schedule(plan, model, loss), visualizers, metrics)


def make_dataset(plan: Plan) -> Dataset:
    """The dataset of a plan. See `build`."""
    return _construct(plan[Kind.DATASET], Dataset)


def add_visualizer(experiment: Experiment, choice: Choice) -> Visualizer:
    """A visualizer for a finished experiment, checked against its model and data."""
    visualizer: Visualizer = _construct(choice, Visualizer)
    check_fit(experiment.plan, choice, visualizer, experiment.dataset, experiment.model)
    return visualizer


def add_metric(experiment: Experiment, choice: Choice) -> Metric:
    """A metric for a finished experiment, checked against its model and data."""
    metric: Metric = _construct(choice, Metric)
    check_fit(experiment.plan, choice, metric, experiment.dataset, experiment.model)
    return metric


def check_fit(plan: Plan, choice: Choice, part: Visualizer | Metric, dataset: Dataset, model: Model) -> None:
    """Refuse a visualizer or metric that the model or the data cannot serve. See `build`."""
    _fit(plan, choice, part, model)
    wants = f"compose: the {choice.installed.kind} {choice.name} needs"
    data = plan[Kind.DATASET].name
    if part.needs_labels and dataset.spec.classes is None:
        raise IncompatibleError(f"{wants} labels, which the dataset {data} has not.")
    if part.needs_factors and not dataset.factor_names:
        raise IncompatibleError(f"{wants} ground-truth factors, which the dataset {data} has not.")
    part.check(model, dataset.spec)


def _fit(plan: Plan, choice: Choice, part: Loss | Visualizer | Metric, model: Model) -> None:
    missing = part.requires - model.capabilities
    if missing:
        raise IncompatibleError(
            f"compose: the {choice.installed.kind} {choice.name} needs a model that is {_join(missing)}, "
            f"which {plan.model.name} is not (it is {_join(model.capabilities)})."
        )
    refused = (frozenset() if isinstance(part, Visualizer) else part.forbids) & model.capabilities
    if refused:
        raise IncompatibleError(
            f"compose: the {choice.installed.kind} {choice.name} says nothing of a model that is {_join(refused)}, "
            f"as {plan.model.name} is."
        )


def _fit_prior(plan: Plan, latent: LatentSpec, classes: int | None) -> None:
    choice = plan[Kind.PRIOR]
    prior: type[Prior] = choice.installed.load()
    if latent.support not in prior.supports:
        raise IncompatibleError(
            f"compose: the prior {choice.name} supports {_join(prior.supports)} latents, and those of the model "
            f"{plan.model.name} are {latent.support}."
        )
    if prior.conditional and classes is None:
        raise IncompatibleError(
            f"compose: the prior {choice.name} needs labels, which the dataset {plan[Kind.DATASET].name} has not."
        )


def _schedule(plan: Plan, model: Model, loss: Loss) -> Schedule:
    configured: dict[str, float] = {**model.quantities, **loss.quantities, LR: plan.train.lr}
    schedulers: dict[str, list[Scheduler]] = {}
    for slot, choices in plan.schedulers.items():
        if slot in configured:
            schedulers[slot] = [_construct(choice, Scheduler) for choice in choices]
        elif any(choice.asked for choice in choices):
            raise UsageError(
                f"compose: nothing in this experiment has a quantity {slot!r} for the scheduler {choices[0].name} to "
                f"drive; the loss {plan[Kind.LOSS].name} and the run declare {_join(configured)}.",
                f"Write --scheduler {next(iter(configured))}={choices[0].name}, or another of these.",
            )
    return Schedule(configured, schedulers)


def _construct(choice: Choice, interface: type[Any], *arguments: Any) -> Any:
    target = choice.installed.load()
    if not issubclass(target, interface):
        raise PluginError(
            f"{choice.installed.qualified}: {target.__name__} must be a {interface.__name__}, and is not one.",
            "Subclass the interface of its kind.",
        )
    try:
        return target(choice.options, *arguments)
    except IncompatibleError:
        raise
    except GenzooError as error:
        installed = choice.installed
        error.message = (
            f"{installed.kind} {installed.name} ({installed.distribution} {installed.version}): {error.message}"
        )
        raise
    except Exception as error:
        installed = choice.installed
        raise PluginError(
            f"{installed.kind} {installed.name} ({installed.distribution} {installed.version}) raised while "
            f"it was made: {describe(error)}.",
            f"Run `genzoo check {installed.kind}/{installed.name}` and report it to the plugin's authors.",
        ) from error


def _join(names: Any) -> str:
    return ", ".join(sorted(str(name) for name in names)) or "none"
