"""What a component of each kind is made to do on the bench: a trace of all that it gives, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from genzoo import estimators
from genzoo.options import Options
from genzoo.testing.bench import GREY, batch, images
from genzoo.testing.building import (
    Trace,
    case_model,
    cases_for,
    first_view,
    generator_for,
    labels_for,
    latents_for,
    moments,
    prior_at,
    read_splits,
    render,
    timeless,
    train,
)
from genzoo.types import Capability, Context, Kind

if TYPE_CHECKING:
    from genzoo.testing.subject import Subject


def _trainable(module: nn.Module) -> Trace:
    return {f"parameter {name}": [*value.shape, value.requires_grad] for name, value in module.named_parameters()}


def _exercise_model(subject: Subject, options: Options) -> Trace:
    model = subject.build(options)
    if "generator" in subject.families:
        return _exercise_generator(model)
    found = _trainable(model) | {"capabilities": sorted(model.capabilities), "levels": str(model.levels)}
    train(model)
    data = batch(model.image, 4, seed=1)
    with torch.no_grad():
        output = model(data, samples=2)
    for level, latent in enumerate(output.latents):
        found[f"sample {level}"] = latent.sample
        found[f"log q {level}"] = latent.posterior.log_prob(latent.sample)
    found["distortion"] = estimators.distortion(output, data.image)
    found |= {f"auxiliary {name}": value for name, value in output.auxiliary.items()}
    label = torch.arange(3) % 3 if Capability.CONDITIONAL in model.capabilities else None
    found["images"] = model.sample(3, label)
    found["quantities"] = dict(model.quantities)
    return found


def _exercise_generator(model: Any) -> Trace:
    found = _trainable(model) | {"capabilities": sorted(model.capabilities), "quantities": dict(model.quantities)}
    train(model)
    label = torch.arange(3) % 3 if Capability.CONDITIONAL in model.capabilities else None
    found["images"] = model.sample(3, label)
    return found


def _exercise_loss(subject: Subject, options: Options) -> Trace:
    loss = subject.build(options)
    if "objective" in subject.families:
        return _exercise_objective(loss)
    found: Trace = {"quantities": dict(loss.quantities), "samples": loss.samples}
    found |= _players(loss, case_model())
    for near in (0.05, 1.0, 3.0):
        for index, case in enumerate(cases_for(loss, rate=near)):
            terms = loss(case.output(), case.batch(), Context(dataset_size=100))
            found[f"objective {near} {index}"] = terms.objective
            found |= {f"{name} {near} {index}": value for name, value in terms.terms.items()}
    return found


def _players(objective: Any, model: Any) -> Trace:
    return {
        f"player {player.name}": [player.every, player.lr, player.betas, [[*p.shape] for p in player.parameters]]
        for player in objective.players(model)
    }


def _exercise_objective(objective: Any) -> Trace:
    model, data = generator_for(objective), batch(GREY, 6)
    found: Trace = {"quantities": dict(objective.quantities)} | _players(objective, model)
    for player in objective.players(model):
        terms = objective.step(model, data, Context(dataset_size=100), player.name)
        found[f"objective {player.name}"] = terms.objective.detach()
        found |= {f"{player.name} {name}": value.detach() for name, value in terms.terms.items()}
        found |= {f"{player.name} reports {name}": value.detach() for name, value in terms.report.items()}
    return found


def _exercise_prior(subject: Subject, options: Options) -> Trace:
    prior = subject.build(options)
    prior.initialise(images(prior.image, 20))
    found = _trainable(prior) | {"fitted": prior.fitted, "conditional": prior.conditional}
    z = latents_for(prior.latent, 5)
    label = labels_for(prior, 5)
    with torch.no_grad():
        distribution = prior_at(prior, label)
        found["log p"] = distribution.log_prob(z)
        found["sample"] = distribution.sample()
    for _ in range(2):  # what acts in training alone, such as dropout
        prior.train()
        found["log p in training"] = prior_at(prior, label).log_prob(z)
    if prior.density == "none" or "after" in {prior.fitted, *prior.fits}:  # what it is once its fit has begun
        found["fit"] = prior.fit_loss(z, label).detach()
        found["sample after"] = prior_at(prior.eval(), label).sample()
    return found


def _exercise_scheduler(subject: Subject, options: Options) -> Trace:
    scheduler = subject.build(options)
    return {"factors": [scheduler.factor(moment) for moment in moments()], "bounds": list(scheduler.bounds)}


def _exercise_likelihood(subject: Subject, options: Options) -> Trace:
    likelihood = subject.build(options)
    channels = likelihood.channels(GREY)
    raw = torch.randn(4, channels, 8, 8, generator=torch.Generator().manual_seed(5)) * 2
    with torch.no_grad():
        distribution = likelihood(raw)
        return _trainable(likelihood) | {
            "channels": channels,
            "log p": distribution.log_prob(images(GREY, 4)),
            "display": likelihood.display(distribution),
            "draw": likelihood.draw(distribution),
        }


def _exercise_network(subject: Subject, options: Options) -> Trace:
    network = subject.build(options)
    spec = subject.image
    if "bodies" not in subject.families:
        field = network.field(spec.shape, (5,))
        inputs = images(spec, 3), torch.linspace(-1, 1, 15).reshape(3, 5)
        return _trainable(field) | {"field": field(*inputs).detach()}
    encoder, decoder = network.encoder(spec.shape, (4,)), network.decoder((4,), spec.shape)
    found = _trainable(encoder) | {f"decoder {name}": value for name, value in _trainable(decoder).items()}
    for mode in (True, False):
        code = encoder.train(mode)(images(spec, 6))
        found |= {f"code {mode}": code.detach(), f"raw {mode}": decoder.train(mode)(code).detach()}
    return found


def _exercise_visualizer(subject: Subject, options: Options) -> Trace:
    visualizer = subject.build(options)
    view = first_view(visualizer, subject)
    with torch.no_grad():
        return {f"figure {name}": render(figure) for name, figure in visualizer.draw(view).items()}


def _exercise_dataset(subject: Subject, options: Options) -> Trace:
    dataset = subject.build(options)
    splits = read_splits(dataset)
    found: Trace = {"spec": str(dataset.spec)}
    for name, whole in splits.items():
        split = whole.subset(1000)
        found[f"{name} size"] = len(whole)
        found |= {f"{name} images": split.images, f"{name} labels": split.labels, f"{name} factors": split.factors}
    some = splits[dataset.splits[0]].head(8).batch().image
    for training in (True, False):
        found[f"drawn {training}"] = dataset.transform(some.clone(), training=training)
    return found


def _exercise_metric(subject: Subject, options: Options) -> Trace:
    metric = subject.build(options)
    view = first_view(metric, subject)
    with torch.no_grad():
        return {**timeless(metric.evaluate(view), metric), "protocol": metric.protocol}


EXERCISES: Mapping[Kind, Callable[[Subject, Options], Trace]] = {
    Kind.MODEL: _exercise_model,
    Kind.LOSS: _exercise_loss,
    Kind.PRIOR: _exercise_prior,
    Kind.SCHEDULER: _exercise_scheduler,
    Kind.VISUALIZER: _exercise_visualizer,
    Kind.LIKELIHOOD: _exercise_likelihood,
    Kind.NETWORK: _exercise_network,
    Kind.DATASET: _exercise_dataset,
    Kind.METRIC: _exercise_metric,
}
