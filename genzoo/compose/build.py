"""Make the objects of a plan and refuse, before training and by name, what does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genzoo.compose.plan import Choice, Plan
from genzoo.compose.schedule import Schedule
from genzoo.declare import FIELD
from genzoo.errors import GenzooError, IncompatibleError, PluginError, UsageError, describe
from genzoo.interfaces.dataset import Dataset
from genzoo.interfaces.generator import Generator, LatentGenerator
from genzoo.interfaces.likelihood import Likelihood
from genzoo.interfaces.metric import Metric
from genzoo.interfaces.model import Parts
from genzoo.interfaces.network import Network
from genzoo.interfaces.objective import Objective
from genzoo.interfaces.prior import Prior
from genzoo.interfaces.scheduler import Scheduler
from genzoo.interfaces.visualizer import Visualizer
from genzoo.randomness import derive, seeded
from genzoo.types import Capability, Kind, LatentSpec

LR = "lr"
"""The slot of the learning rate, which the engine owns."""

_WAYS = {"joint": "together with the model", "after": "after the model"}
_DENSITIES = {"bound": "a bound", "estimate": "an estimate", "none": "not known"}
_INTERFACES = {"Model": "a model that encodes and decodes", "LatentGenerator": "a model with latents"}


@dataclass(frozen=True)
class Experiment:
    """A checked experiment, ready to train or to look at."""

    plan: Plan
    dataset: Dataset
    model: Generator
    loss: Objective
    schedule: Schedule
    visualizers: Mapping[str, Visualizer]
    metrics: Mapping[str, Metric]

    @property
    def title(self) -> str:
        return self.plan.title

    @property
    def fits_prior_after(self) -> bool:
        """Whether the prior is fitted in a stage of its own, after the model."""
        if not isinstance(self.model, LatentGenerator):
            return False
        wanted = self.plan.train.fit_prior
        return (self.model.prior.fitted if wanted == "auto" else wanted) == "after"

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
    absent: Any = None  # A model that takes no part of a kind does not look for one.
    network: Network = _construct(plan[Kind.NETWORK], Network) if Kind.NETWORK in plan.parts else absent
    likelihood: Likelihood = _construct(plan[Kind.LIKELIHOOD], Likelihood) if Kind.LIKELIHOOD in plan.parts else absent

    def prior(latent: LatentSpec) -> Prior:
        _fit_prior(plan, latent, labelled=image.labelled)
        made: Prior = _construct(plan[Kind.PRIOR], Prior, latent, image)
        _give_field(plan, made)
        return made

    supports = plan[Kind.PRIOR].installed.load().supports if Kind.PRIOR in plan.parts else frozenset[str]()
    parts = Parts(image, network, likelihood, prior, supports)
    with seeded(derive(plan.train.seed, "weights")):
        model: Generator = _construct(plan.model, Generator, parts)
        loss: Objective = _construct(plan[Kind.LOSS], Objective)
        _fit(plan, plan[Kind.LOSS], loss, model)
        loss.prepare(model, parts)
    if Capability.CONDITIONAL in model.capabilities and not image.labelled:
        raise IncompatibleError(
            f"compose: the model {plan.model.name} is conditional and needs labels, which the dataset "
            f"{plan[Kind.DATASET].name} has not.",
            "Choose a dataset with labels or an unconditional model.",
        )
    visualizers = {key: _construct(choice, Visualizer) for key, choice in plan.visualizers.items()}
    metrics = {key: _construct(choice, Metric) for key, choice in plan.metrics.items()}
    for key, figure in visualizers.items():
        check_fit(plan, plan.visualizers[key], figure, dataset, model)
    for key, metric in metrics.items():
        check_fit(plan, plan.metrics[key], metric, dataset, model)
    experiment = Experiment(plan, dataset, model, loss, _schedule(plan, model, loss), visualizers, metrics)
    _refuse_idle_schedulers(experiment)
    return experiment


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


def check_fit(plan: Plan, choice: Choice, part: Visualizer | Metric, dataset: Dataset, model: Generator) -> None:
    """Refuse a visualizer or metric that the model or the data cannot serve. See `build`."""
    _fit(plan, choice, part, model)
    wants = f"compose: the {choice.installed.kind} {choice.name} needs"
    data = plan[Kind.DATASET].name
    if part.needs_labels and dataset.spec.classes is None:
        raise IncompatibleError(f"{wants} labels, which the dataset {data} has not.")
    if part.needs_factors and not dataset.factor_names:
        raise IncompatibleError(f"{wants} ground-truth factors, which the dataset {data} has not.")
    part.check(model, dataset.spec)  # pyright: ignore[reportArgumentType]


def _fit(plan: Plan, choice: Choice, part: Objective | Visualizer | Metric, model: Generator) -> None:
    which = f"compose: the {choice.installed.kind} {choice.name}"
    if not isinstance(model, part.on):
        raise IncompatibleError(
            f"{which} needs {_INTERFACES.get(part.on.__name__, part.on.__name__)}, which {plan.model.name} is not.",
            f"`genzoo list {choice.installed.kind}` shows what else there is.",
        )
    if not isinstance(part, Visualizer) and part.exact_density:
        for name, of in (("prior", getattr(model, "prior", None)), ("likelihood", getattr(model, "likelihood", None))):
            density = getattr(of, "density", "exact")
            if density != "exact":
                raise IncompatibleError(
                    f"{which} needs exact densities for its importance weights; that of the {name} "
                    f"{plan[name].name} is {_DENSITIES[density]}."
                )
    missing = part.requires - model.capabilities
    if missing:
        raise IncompatibleError(
            f"{which} needs a model that is {_join(missing)}, "
            f"which {plan.model.name} is not (it is {_join(model.capabilities)})."
        )
    refused = (frozenset() if isinstance(part, Visualizer) else part.forbids) & model.capabilities
    if Capability.EXACT_POSTERIOR in model.capabilities:
        refused -= {Capability.DETERMINISTIC_POSTERIOR}
    if refused:
        raise IncompatibleError(f"{which} does not support a model that is {_join(refused)}, as {plan.model.name} is.")


def _fit_prior(plan: Plan, latent: LatentSpec, *, labelled: bool) -> None:
    choice = plan[Kind.PRIOR]
    prior: type[Prior] = choice.installed.load()
    if latent.support not in prior.supports:
        raise IncompatibleError(
            f"compose: the prior {choice.name} supports {_join(prior.supports)} latents, and those of the model "
            f"{plan.model.name} are {latent.support}."
        )
    wanted = plan.train.fit_prior
    if wanted not in {"auto", prior.fitted, *prior.fits}:
        raise IncompatibleError(
            f"compose: the prior {choice.name} cannot be fitted {_WAYS[wanted]}.",
            f"Leave out --fit-prior: it is fitted {_WAYS[prior.fitted]}.",
        )
    if prior.conditional and not labelled:
        raise IncompatibleError(
            f"compose: the prior {choice.name} needs labels, which the dataset {plan[Kind.DATASET].name} has not."
        )


def _give_field(plan: Plan, prior: Prior) -> None:
    if prior.needs_field:
        if FIELD not in plan.parts:
            raise UsageError(
                f"compose: the prior {plan[Kind.PRIOR].name} is made of a field, and none is named.",
                "Add --field unet.",
            )
        network: Network = _construct(plan[FIELD], Network)
        if "field" not in network.offers:
            raise IncompatibleError(
                f"compose: the network {plan[FIELD].name} offers no field, which the prior {plan[Kind.PRIOR].name} is made "
                "of.",
                "Choose --field unet for images, or --field mlp for vectors.",
            )
        prior.prepare(network.field)
    elif FIELD in plan.parts:
        raise IncompatibleError(
            f"compose: the prior {plan[Kind.PRIOR].name} takes no field, got {plan[FIELD].name}.", "Leave out --field."
        )


def _schedule(plan: Plan, model: Generator, loss: Objective) -> Schedule:
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


def _refuse_idle_schedulers(experiment: Experiment) -> None:
    """Refuse a scheduler that was asked for and drives a quantity of a loss that trains nothing."""
    model, plan = experiment.model, experiment.plan
    if not experiment.fits_prior_after or not isinstance(model, LatentGenerator):
        return
    fitted = set(model.prior.parameters())
    if any(parameter not in fitted for parameter in model.parameters()):
        return
    for slot, choices in plan.schedulers.items():
        if slot != LR and slot in experiment.schedule.schedulers and any(choice.asked for choice in choices):
            raise UsageError(
                f"compose: the scheduler {choices[0].name} of {slot} drives nothing: {plan.model.name} has no parameters "
                f"beside those of the prior {plan[Kind.PRIOR].name}, which is fitted without the loss.",
                f"Leave it out, or write --scheduler {LR}={choices[0].name}.",
            )


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
