"""Checks of what a loss promises by its names and declarations: measured terms, a weight β, a bound, a discrepancy."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from genzoo.distributions import DiagonalNormal, StandardNormal
from genzoo.errors import GenzooError
from genzoo.interfaces.objective import Objective
from genzoo.randomness import seeded
from genzoo.testing import oracle
from genzoo.testing.bench import batch, generator
from genzoo.testing.building import cases_for, generator_for
from genzoo.testing.checking import check, expect
from genzoo.testing.checks.loss import LOSS, SIZE, close, measure, objective
from genzoo.testing.checks.options import alternatives
from genzoo.testing.reference import reference_parts
from genzoo.testing.subject import Subject
from genzoo.types import Batch, Capability, Context, Latent, ModelOutput

_SEEDS = 60


def _beta(subject: Subject) -> str | None:
    return None if "beta" in subject.build().quantities else "it has no beta"


@check(
    "named-terms-are-measured",
    LOSS,
    why="Terms are drawn and compared by their names: a rate without its ½, or per pixel, looks like a better model.",
    mend="Name a term that is something else otherwise, or declare it in `surrogates` with the reason.",
)
def named_terms_are_measured(subject: Subject) -> None:
    """At β = 1 the terms called `distortion` and `rate` are the measured ones, unless `surrogates` names them.

    It looks where the rate is large, so that a term with free bits, which is the rate there, may be called one.
    """
    loss = subject.build()
    one: dict[str, Any] = {"beta": 1.0} if "beta" in loss.quantities else {}
    for near in (3.0, 4.0):
        for case in cases_for(loss, rate=near, samples=max(2, loss.samples)):
            output, found = case.output(), measure(loss, case, **one).terms
            rates = [oracle.rate(latent).mean() for latent in output.latents]
            want = {"distortion": oracle.distortion(output, case.image).mean(), "rate": torch.stack(rates).sum()}
            for name, value in want.items():
                if name in found and name not in loss.surrogates:
                    expect(close(float(found[name]), float(value), 1e-5), f"{name} of {value:.6g}", float(found[name]))


@check(
    "beta-is-a-weight",
    LOSS,
    why="With β² instead of β, every β except 0 and 1 differs from the user's.",
    mend="Multiply the rate by self.quantity(context, 'beta') once.",
    applies=_beta,
)
def beta_is_a_weight(subject: Subject) -> None:
    """The objective is linear in β: from 0 to 1, to 2 and to 4 it grows in proportion."""
    loss = subject.build()
    for near in (0.3, 1.0, 3.0):
        for case in cases_for(loss, rate=near):
            zero, one, two, four = (objective(loss, case, beta=value) for value in (0.0, 1.0, 2.0, 4.0))
            slope = one - zero
            for beta, value in ((2, two), (4, four)):
                good = close(value, zero + beta * slope, 1e-6)
                expect(good, f"{beta} times {slope:.5g} nats from β at β = {beta}", f"{value - zero:.5g}")


@check(
    "schedule-replaces-configured",
    LOSS,
    why="The engine passes loss.beta times the schedule's factor; a loss that multiplies by its option again applies β "
    "twice, which a configured 1 hides.",
    mend="Read each quantity by self.quantity(context, name) alone, and no option of the same name beside it.",
    applies=lambda subject: None if _both(subject) else "no quantity of its own is an option",
)
def schedule_replaces_configured(subject: Subject) -> None:
    """With a quantity scheduled to one value, the configured one does not matter."""
    for name in _both(subject):
        field = subject.options_class.model_fields[name]
        now = getattr(subject.options(), name)
        found: dict[float, float] = {}
        for value in (now, *alternatives(field, now)):
            if value is None or isinstance(value, bool):
                continue
            try:
                loss = subject.build(subject.options(**{name: value}))
            except GenzooError:
                continue
            if loss.quantities.get(name) == value:
                found[value] = objective(loss, cases_for(loss)[0], **{name: 0.7})
        first = next(iter(found.values()), 0.0)
        for value, other in found.items():
            said = f"{first:.6g} at {name} scheduled to 0.7, with {name}={value} configured too"
            expect(close(first, other, 1e-9), said, f"{other:.6g}")


def _both(subject: Subject) -> list[str]:
    return [name for name in subject.build().quantities if name in subject.options_class.model_fields]


def linear_normal(samples: int, *, wider: float = 1.0) -> tuple[ModelOutput, Batch, float]:
    """An output of a linear normal model at its exact posterior, its images, and the mean of −log p(x).

    Args:
        samples: K. With ``wider`` 1 and K a multiple of 6 they are sigma points, over which every quadratic function has
            its expectation; otherwise they are draws.
        wider: By what the posterior's standard deviation is too large.
    """
    draw = generator(21)
    pixels, width, noise, scale = 16, 3, 0.5, 1.3
    basis = torch.linalg.qr(torch.randn(pixels, width, generator=draw, dtype=torch.float64))[0] * scale
    image = torch.randn(5, pixels, generator=draw, dtype=torch.float64)
    variance = 1 / (1 + scale**2 / noise**2)
    mean = variance / noise**2 * image @ basis
    spread = wider * variance**0.5
    if wider == 1.0:
        points = torch.cat([torch.eye(width), -torch.eye(width)]).double() * width**0.5
        steps = points.repeat(samples // len(points), 1)[:, None, :]
    else:
        steps = torch.randn(samples, len(image), width, generator=draw, dtype=torch.float64)
    z = mean + spread * steps
    q = DiagonalNormal(mean, torch.full_like(mean, 2 * math.log(spread)))
    p = StandardNormal((width,), dtype=torch.float64)
    shown = (z @ basis.T).reshape(*z.shape[:-1], 1, 4, 4)
    likelihood = Independent(Normal(shown, torch.full_like(shown, noise), validate_args=False), 3, validate_args=False)
    covariance = basis @ basis.T + noise**2 * torch.eye(pixels, dtype=torch.float64)
    truth = torch.distributions.MultivariateNormal(torch.zeros(pixels, dtype=torch.float64), covariance)
    return (
        ModelOutput((Latent(q, p, z),), likelihood),
        Batch(image.reshape(-1, 1, 4, 4), torch.arange(5) % 3),
        float(-truth.log_prob(image).mean()),
    )


def _bound(subject: Subject) -> str | None:
    loss = subject.build()
    if not loss.bound:
        return "it does not declare that its objective is a bound"
    return "it takes codes or several levels" if _no_normal(subject) else None


def _no_normal(subject: Subject) -> bool:
    return bool({Capability.CATEGORICAL_LATENT, Capability.HIERARCHICAL} & set(subject.build().requires))


@check(
    "bound-reaches-the-likelihood",
    LOSS,
    why="A bound is compared with log p(x); one with its weights upside down, or a constant left out, bounds nothing.",
    mend="Check against -log p(x) of a linear normal model, where it is known; or do not declare `bound`.",
    applies=_bound,
)
def bound_reaches_the_likelihood(subject: Subject) -> None:
    """At β = 1 and the exact posterior of a linear normal model it is −log p(x) for every K; elsewhere it is no lower.

    The second part draws 4000 seeded samples: it fails a bound below −log p(x) by 0.1 nats, more than 8 standard errors,
    so that a right one fails with a probability below 1e-15.
    """
    loss = subject.build()
    values = {"beta": 1.0} if "beta" in loss.quantities else {}
    for samples in (6, 12):
        output, batch, truth = linear_normal(samples)
        found = float(loss(output, batch, Context(values, SIZE)).objective)
        expect(close(found, truth, 1e-6), f"−log p(x) = {truth:.6g} at the exact posterior, K = {samples}", found)
    output, batch, truth = linear_normal(4000, wider=1.3)
    found = float(loss(output, batch, Context(values, SIZE)).objective)
    expect(found > truth - 0.1, f"no less than −log p(x) = {truth:.6g} at a wider posterior", found)


@check(
    "discrepancy-unbiased",
    LOSS,
    why="A discrepancy that is not 0 where q(z) = p(z) pulls a perfect posterior away from the prior, the more the smaller "
    "the batch is.",
    mend="Leave the diagonal out of the means of kernels, or do not list the term in `discrepancies`.",
    applies=lambda subject: (
        None if subject.build().discrepancies and not _no_normal(subject) else "it lists no term in `discrepancies`"
    ),
)
def discrepancy_unbiased(subject: Subject) -> None:
    """Where q(z) = p(z), each term of `discrepancies` has mean 0 for batches of 3 and of 12; where not, it is positive.

    Over 60 seeded batches the mean is held to 6 standard errors: a right one fails with a probability below 1e-7.
    """
    loss = subject.build()
    for size in (3, 12):
        for shift in (0.0, 2.0):
            found: dict[str, list[float]] = {name: [] for name in loss.discrepancies}
            for seed in range(_SEEDS):
                case = cases_for(loss, n=size, rate=0.0, seed=seed)[0]
                case = case.map({"mean": case.mean + shift})
                with seeded(seed):
                    terms = loss(case.output(), case.batch(), Context(dataset_size=SIZE)).terms
                for name in found:
                    expect(name in terms, f"a term {name}, as `discrepancies` says", ", ".join(terms))
                    found[name].append(float(terms[name]))
            for name, values in found.items():
                each = torch.tensor(values, dtype=torch.float64)
                gap = float(each.mean() / (each.std() / _SEEDS**0.5 + 1e-12))
                if shift:
                    expect(
                        gap > 6, f"{name} above 0 for q(z) two standard deviations away", f"{float(each.mean()):.3g}"
                    )
                else:
                    said = f"{name} within 6 standard errors of 0 where q(z) = p(z), batches of {size}"
                    expect(abs(gap) < 6, said, f"{gap:.1f} standard errors from it")


@check(
    "gradient-reaches-the-prior",
    LOSS,
    why="A learned prior that the objective does not reach keeps its first weights, and nothing says so.",
    mend="Detach neither the prior nor its samples; draw with rsample where there is one.",
    applies=lambda subject: "it takes codes or several levels" if _no_normal(subject) else None,
)
def gradient_reaches_the_prior(subject: Subject) -> None:
    """A learned prior gets the gradient of every term that it changes, as finite differences have it."""
    loss = subject.build()
    case = cases_for(loss, rate=1.0)[0]

    def terms(mean: Tensor) -> dict[str, Tensor]:
        output = case.output()
        prior = DiagonalNormal(mean, torch.zeros_like(mean))
        output = replace(output, latents=(replace(output.latents[0], prior=prior), *output.latents[1:]))
        with seeded(2):
            return dict(loss(output, case.batch(), Context(dataset_size=SIZE)).terms)

    at = torch.full((3,), 0.3, dtype=torch.float64)
    step = torch.full_like(at, 1e-5)
    above, below = terms(at + step), terms(at - step)
    want = float(sum(above.values()) - sum(below.values())) / 2e-5
    leaf = at.clone().requires_grad_(True)
    total = torch.stack(list(terms(leaf).values())).sum()
    grad = torch.autograd.grad(total, leaf, allow_unused=True)[0] if total.requires_grad else None
    found = 0.0 if grad is None else float(grad.sum())
    expect(close(found, want, 1e-3), f"a slope of {want:.4g} along the prior's mean", f"{found:.4g}")


@check(
    "steps-are-remembered",
    LOSS,
    why="A resumed run loses what `after_step` moves and no buffer holds.",
    mend="Keep what `after_step` changes in a buffer: self.register_buffer(...), and self.value.copy_(...).",
    applies=lambda subject: (
        "it does nothing after a step" if type(subject.build()).after_step is Objective.after_step else None
    ),
)
def steps_are_remembered(subject: Subject) -> None:
    """What a loss learns from its steps comes back with its state."""
    loss = subject.build().train()
    for seed in range(3):
        case = cases_for(loss, seed=seed)[0]
        with torch.no_grad():
            found = measure(loss, case)
        report = {"objective": found.objective, "distortion": found.distortion, "rates": found.rates, **found.terms}
        loss.after_step(report)
    case = cases_for(loss)[0]
    other = subject.build().train()
    other.load_state_dict(loss.state_dict())
    first, second = objective(loss, case), objective(other, case)
    expect(close(first, second, 1e-9), f"{first:.6g} from the state after three steps", f"{second:.6g}")


@check(
    "players-do-not-fight",
    LOSS,
    why="A critic's step that also moves the encoder makes codes easy to tell, while the model is trained for the opposite.",
    mend="Give each player its own parameters, and detach in each player's step what belongs to the other.",
)
def players_do_not_fight(subject: Subject) -> None:
    """No term of one player pulls parameters that it shares with another against a term of that one."""
    loss = subject.cls(subject.options())
    with seeded(0):
        model = generator_for(loss)
        loss.prepare(model, reference_parts(model.image))
    players = list(loss.players(model))
    for first, second in itertools.combinations(players, 2):
        shared = [p for p in first.parameters if p.requires_grad and any(p is q for q in second.parameters)]
        if not shared:
            continue
        sides: list[dict[str, Tensor]] = []
        for player in (first, second):
            with seeded(3):
                terms = loss.step(model, batch(model.image, 6), Context(dataset_size=SIZE), player.name).terms
            sides.append({name: _pull(value, shared) for name, value in terms.items()})
        for (a, one), (b, two) in itertools.product(sides[0].items(), sides[1].items()):
            agree = float(torch.nn.functional.cosine_similarity(one, two, dim=0))
            said = (
                f"{a} of {first.name} and {b} of {second.name} not to pull the same parameters in opposite directions"
            )
            expect(agree > -0.7, said, f"gradients at a cosine of {agree:.2f}")


def _pull(value: Tensor, shared: list[torch.nn.Parameter]) -> Tensor:
    found: Any = [None] * len(shared)
    if value.requires_grad:
        found = torch.autograd.grad(value, shared, retain_graph=True, allow_unused=True)
    pairs = zip(shared, found, strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for p, g in pairs])
