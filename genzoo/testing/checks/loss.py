"""Checks of losses: terms, batches, quantities."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genzoo import estimators
from genzoo.randomness import seeded
from genzoo.testing import oracle
from genzoo.testing.building import case_model, cases_for
from genzoo.testing.checking import CheckFailure, check, expect
from genzoo.testing.outputs import Case
from genzoo.testing.subject import Subject
from genzoo.types import Capability, Context, Kind, LossTerms

LOSS = Kind.LOSS
SIZE = 100


def measure(loss: Any, case: Case, seed: int = 2, **values: Any) -> LossTerms:
    """The loss of a case, with those quantities scheduled, under a seed."""
    with seeded(seed):
        return loss(case.output(), case.batch(), Context(values, dataset_size=SIZE))


def objective(loss: Any, case: Case, **values: Any) -> float:
    """Its objective."""
    return float(measure(loss, case, **values).objective)


def close(a: float, b: float, tolerance: float = 1e-6) -> bool:
    """Whether two numbers agree."""
    return abs(a - b) <= tolerance * max(1.0, abs(a), abs(b))


@check(
    "finite-scalars",
    LOSS,
    why="The engine takes the gradient of one number and writes the others down, one a run and epoch.",
    mend="Reduce every term to one number: sums over pixels and latents, one mean over the batch.",
)
def finite_scalars(subject: Subject) -> None:
    """Objective, terms and distortion are finite numbers, rates one a level."""
    loss = subject.build()
    for case in cases_for(loss):
        found = measure(loss, case)
        for name, value in {"objective": found.objective, "distortion": found.distortion, **found.terms}.items():
            expect(value.dim() == 0, f"{name} of shape []", list(value.shape))
            expect(bool(value.isfinite()), f"a finite {name}", float(value))
        levels = len(case.output().latents)
        expect(tuple(found.rates.shape) == (levels,), f"rates [{levels}]", list(found.rates.shape))


@check(
    "terms-sum-to-objective",
    LOSS,
    why="The terms are what the report shows of the objective; a hidden remainder explains nothing.",
    mend="Return every part as a weighted term, a remainder under a name of its own, and leave `forward` to the base.",
)
def terms_sum(subject: Subject) -> None:
    """The named terms, with their weights, sum to the objective."""
    loss = subject.build()
    for case in cases_for(loss):
        found = measure(loss, case)
        total = float(sum(found.terms.values(), torch.zeros(())))
        expect(close(total, float(found.objective), 1e-5), f"terms that sum to {float(found.objective):.6g}", total)


@check(
    "auxiliary-added-once",
    LOSS,
    why="A codebook or commitment term that the loss forgets is never trained; added twice it has twice its weight.",
    mend="Leave `forward` to the base class, which adds the model's auxiliary terms.",
)
def auxiliary_added_once(subject: Subject) -> None:
    """A model's auxiliary term enters the objective once, by its batch mean."""
    loss = subject.build()
    case = cases_for(loss)[0]
    extra = torch.linspace(1, 2, case.size, dtype=torch.float64)
    plain = objective(loss, case)
    found = measure(loss, case.map({"auxiliary": {"codebook": extra}}))
    grown = float(found.objective) - plain
    expect(close(grown, 1.5), "an objective 1.5 nats higher", f"{grown:.4g} nats higher")
    expect("codebook" in found.terms, "a term named as the model names it", ", ".join(found.terms))


@check(
    "gradient-matches-differences",
    LOSS,
    why="A wrong gradient trains something else than what the log shows.",
    mend="Detach nothing that the objective depends on; a surrogate gradient is an expected failure, with its reason.",
)
def gradient_matches_differences(subject: Subject) -> None:
    """In float64 the gradient is that of finite differences."""
    loss = subject.build()
    case = cases_for(loss, n=3)[0]
    if case.categorical:
        case = case.map({"noise": torch.zeros_like(case.noise)})
        leaves = (case.logits.clone().requires_grad_(True),)

        def value(logits: Tensor) -> Tensor:
            return measure(loss, case.with_leaves(case.mean, case.log_variance, logits)).objective

        torch.autograd.gradcheck(value, leaves, eps=1e-6, atol=1e-4, rtol=1e-3)
        return
    leaves = tuple(item.clone().requires_grad_(True) for item in case.leaves())

    def value_of_all(*parts: Tensor) -> Tensor:
        return measure(loss, case.with_leaves(*parts)).objective

    try:
        torch.autograd.gradcheck(value_of_all, leaves, eps=1e-6, atol=1e-4, rtol=1e-3)
    except RuntimeError as error:
        text = str(error)
        if "Jacobian mismatch" not in text and "does not require grad" not in text:
            raise
        raise CheckFailure("the gradient of finite differences", " ".join(text.split())[:160]) from error


@check(
    "independent-of-batch-size",
    LOSS,
    why="A term summed over the batch, beside terms that are means, weighs more the larger the batch is.",
    mend="Take the batch mean of every term, once; declare batch_coupled = True where images of a batch interact.",
    applies=lambda subject: "it declares batch_coupled" if subject.build().batch_coupled else None,
)
def independent_of_batch_size(subject: Subject) -> None:
    """The batch twice over gives the same objective."""
    loss = subject.build()
    for case in cases_for(loss):
        once = objective(loss, case)
        twice = objective(loss, case.pick(torch.arange(2 * case.size) % case.size))
        expect(close(once, twice, 1e-5), f"{once:.6g} for the batch twice over", f"{twice:.6g}")


@check(
    "coupling-declared",
    LOSS,
    why="Several processes split a batch between them; a loss that couples its images must say so.",
    mend="Declare batch_coupled = True, or compute each image's terms from that image alone.",
    applies=lambda subject: "it declares batch_coupled" if subject.build().batch_coupled else None,
)
def coupling_declared(subject: Subject) -> None:
    """The objective is the mean of the images' own, since batch_coupled is not declared."""
    loss = subject.build()
    for near in (0.05, 1.0):
        case = cases_for(loss, rate=near)[0]
        together = objective(loss, case)
        alone = sum(objective(loss, case.pick(torch.tensor([i]))) for i in range(case.size)) / case.size
        expect(close(together, alone, 1e-5), f"{alone:.6g}, the mean of the images' own", f"{together:.6g}")


@check(
    "order-free",
    LOSS,
    why="The order of images in a batch is chance.",
    mend="Pair images with nothing but themselves, or with all the others alike.",
)
def order_free(subject: Subject) -> None:
    """Images in another order give the same objective."""
    loss = subject.build()
    case = cases_for(loss)[0]
    first, second = objective(loss, case), objective(loss, case.pick(torch.tensor([3, 0, 5, 1, 4, 2])))
    expect(close(first, second, 1e-5), f"{first:.6g} in another order", f"{second:.6g}")


@check(
    "quantities-take-effect",
    LOSS,
    why="A β that is silently unused makes a β-VAE a VAE; it has happened in released libraries.",
    mend="Read each quantity by self.quantity(context, name), not from the options.",
    applies=lambda subject: None if subject.build().quantities else "it has no quantities",
)
def quantities_take_effect(subject: Subject) -> None:
    """Each declared quantity, scheduled to another value, changes the objective."""
    loss = subject.build()
    rates = {player.lr for player in loss.players(case_model())}
    for name, configured in loss.quantities.items():
        expect(isinstance(configured, (int, float)), f"a number for {name}", repr(configured))
        if name in rates:  # The learning rate of a player.
            continue
        changed = False
        for near in (0.05, 1.0, 3.0):
            for case in cases_for(loss, rate=near):
                plain = objective(loss, case)
                for value in (0.5 * configured, 2 * configured + 1.0):
                    changed |= not close(plain, objective(loss, case, **{name: value}), 1e-9)
        expect(changed, f"another objective for another {name}", "the same one")


@check(
    "quantities-as-tensors",
    LOSS,
    why="A quantity may come as a float or as a 0-d tensor; one that is told by its type is another number in some callers.",
    mend="Use quantities in arithmetic only; do not ask for their type or their float.",
    applies=lambda subject: None if subject.build().quantities else "it has no quantities",
)
def quantities_as_tensors(subject: Subject) -> None:
    """A quantity given as a tensor counts as the same number."""
    loss = subject.build()
    case = cases_for(loss)[0]
    for name, configured in loss.quantities.items():
        value = 0.7 * configured + 0.1
        number = objective(loss, case, **{name: value})
        tensor = objective(loss, case, **{name: torch.tensor(value, dtype=torch.float64)})
        expect(close(number, tensor, 1e-9), f"{number:.8g} for {name} as a tensor", f"{tensor:.8g}")


@check(
    "configured-without-schedule",
    LOSS,
    why="The configured value is what applies where no scheduler drives the quantity, and what validation uses.",
    mend="Read each quantity by self.quantity(context, name), which falls back to the configured value.",
    applies=lambda subject: None if subject.build().quantities else "it has no quantities",
)
def configured_without_schedule(subject: Subject) -> None:
    """Without a schedule it uses the configured values."""
    loss = subject.build()
    case = cases_for(loss)[0]
    plain, told = objective(loss, case), objective(loss, case, **loss.quantities)
    expect(close(plain, told, 1e-9), f"{told:.8g}, as with the configured values scheduled", f"{plain:.8g}")


@check(
    "training-and-evaluation-agree",
    LOSS,
    why="A validation curve of another objective than the training curve's shows over- or underfitting that is not there.",
    mend="Do not branch on self.training.",
)
def training_and_evaluation_agree(subject: Subject) -> None:
    """In training and in eval mode the objective is the same."""
    loss = subject.build()
    case = cases_for(loss)[0]
    first, second = objective(loss.train(), case), objective(loss.eval(), case)
    expect(close(first, second, 1e-9), f"{first:.8g} in eval mode too", f"{second:.8g}")


@check(
    "reports-true-elbo",
    LOSS,
    why="Distortion and rate are compared across losses and papers; weighted or with a flipped sign they mean nothing.",
    mend="Leave `forward` to the base class, which measures distortion and rates with genzoo.estimators.",
)
def reports_true_elbo(subject: Subject) -> None:
    """It reports the unweighted distortion and rates, and an elbo below the importance-weighted bound."""
    loss = subject.build()
    for case in cases_for(loss, samples=max(2, loss.samples)):
        output, found = case.output(), measure(loss, case)
        want = float(oracle.distortion(output, case.image).mean())
        expect(close(float(found.distortion), want, 1e-5), f"a distortion of {want:.6g}", float(found.distortion))
        for level, latent in enumerate(output.latents):
            rate = float(oracle.rate(latent).mean())
            expect(close(float(found.rates[level]), rate, 1e-5), f"a rate of {rate:.6g}", float(found.rates[level]))
        weights = estimators.log_weights(output, case.image)
        bound = float(estimators.importance_weighted_bound(weights).mean())
        slack = float((weights.mean(0) - estimators.elbo(output, case.image).mean(0)).abs().mean()) + 1e-6
        expect(float(found.elbo) <= bound + slack, f"an elbo of at most {bound + slack:.5g}", float(found.elbo))


@check(
    "requires-are-capabilities",
    LOSS,
    why="A misspelt capability is one that no model has.",
    mend="Use members of genzoo.types.Capability.",
)
def requires_are_capabilities(subject: Subject) -> None:
    """What it requires and forbids are capabilities, and the bench has a model for them."""
    loss = subject.build()
    unknown = (set(loss.requires) | set(loss.forbids)) - set(Capability)
    expect(not unknown, "members of Capability", f"{', '.join(sorted(unknown))}")
    expect(not set(loss.requires) & set(loss.forbids), "none both required and forbidden", "some")
