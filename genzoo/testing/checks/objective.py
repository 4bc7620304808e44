"""Checks of objectives that are no `Loss`: their players, terms and reports."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

from genzoo.interfaces import Model
from genzoo.randomness import seeded
from genzoo.testing.bench import GREY, batch
from genzoo.testing.building import generator_for
from genzoo.testing.checking import NotApplicable, check, expect
from genzoo.testing.modules import snapshot
from genzoo.testing.subject import Subject
from genzoo.types import Context, Kind

LOSS = Kind.LOSS


def steps(objective: Any, model: Any, seed: int = 3) -> dict[str, Any]:
    """What each player's step computes, under a seed."""
    found: dict[str, Any] = {}
    for player in objective.players(model):
        with seeded(seed):
            found[player.name] = objective.step(model, batch(GREY, 6), Context(dataset_size=100), player.name)
    return found


@check(
    "players-are-apart",
    LOSS,
    why="The engine keeps an optimizer for each player by its name; one without parameters is refused when training starts.",
    mend="Give each player a name of its own and its own parameters, and make critics in `prepare`.",
)
def players_are_apart(subject: Subject) -> None:
    """Players have names of their own, parameters that take gradients, and learning rates that are declared."""
    objective = subject.build()
    players = objective.players(generator_for(objective))
    names = [player.name for player in players]
    expect(names and len(set(names)) == len(names), "players with names of their own", names)
    for player in players:
        trained = [p for p in player.parameters if p.requires_grad]
        expect(trained, f"player {player.name} to have parameters", "none")
        expect(player.every >= 1, f"player {player.name} to take part every 1 or more steps", player.every)
        known = {"lr", *objective.quantities}
        expect(player.lr in known, f"player {player.name} to name a learning rate among {sorted(known)}", player.lr)


@check(
    "player-terms-sum",
    LOSS,
    why="The terms are what rows show of an objective; a hidden remainder explains nothing.",
    mend="Return every part as a weighted 0-d term, whose sum is the objective.",
)
def player_terms_sum(subject: Subject) -> None:
    """Each player's objective is a finite number, and its terms sum to it."""
    objective = subject.build()
    for name, terms in steps(objective, generator_for(objective)).items():
        for what, value in (("objective", terms.objective), *terms.terms.items()):
            fine = value.dim() == 0 and bool(torch.isfinite(value))
            expect(fine, f"{what} of {name} to be one finite number", _shown(value))
        total = float(sum(value.detach() for value in terms.terms.values()))
        close = abs(total - float(terms.objective)) <= 1e-4 * max(1.0, abs(total))
        expect(close, f"the terms of {name} to sum to {float(terms.objective):.6g}", f"{total:.6g}")


@check(
    "player-gradient-arrives",
    LOSS,
    why="A player whose objective does not depend on its parameters is never trained, and nothing says so.",
    mend="Detach only what belongs to the other players.",
)
def player_gradient_arrives(subject: Subject) -> None:
    """Each player's objective sends a finite gradient, not zero, to every parameter of the player.

    At the start, or with moved weights: a hinge that is met has none. A bias that cancels, as the critic's last one does in
    a difference of scores, needs none.
    """
    objective = subject.build()
    model = generator_for(objective)
    for player in objective.players(model):
        parameters = [p for p in player.parameters if p.requires_grad]
        reached: set[int] = set()
        found: list[Any] = []
        for state in range(4):
            with seeded(3 + state):
                terms = objective.step(model, batch(GREY, 6), Context(dataset_size=100), player.name)
            found += torch.autograd.grad(terms.objective, parameters, allow_unused=True)
            pairs = zip(parameters, found[-len(parameters) :], strict=True)
            reached |= {id(p) for p, g in pairs if g is not None and bool(g.abs().sum() > 0)}
            with torch.no_grad(), seeded(state):
                for parameter in parameters:
                    parameter.add_(0.2 * torch.randn_like(parameter))
        left = [p for p in parameters if id(p) not in reached]
        silent = [list(p.shape) for p in left if p.dim() > 1 or _matters(objective, model, player.name, p)]
        expect(not silent, f"a gradient to every parameter of {player.name}", f"none to those of shapes {silent}")
        finite = all(bool(torch.isfinite(g).all()) for g in found if g is not None)
        expect(finite, f"a finite gradient to {player.name}", "NaN or infinity")


@check(
    "reports-are-declared",
    LOSS,
    why="Rows, tables and curves are laid out by what an objective declares; what it leaves out cannot be shown.",
    mend="Report in `evaluate` what ``reports`` names, and let `summary` make the rest.",
)
def reports_are_declared(subject: Subject) -> None:
    """Evaluation reports every declared name as a finite number, and the headline is among them."""
    objective = subject.build().eval()
    model = generator_for(objective).eval()
    with torch.no_grad(), seeded(3):
        terms = objective.evaluate(model, batch(GREY, 6), Context(dataset_size=100))
    row = objective.summary({name: value.tolist() for name, value in terms.report.items()})
    declared = [report.name for report in objective.reports]
    expect(declared, "at least one report", "none")
    for name in declared:
        fine = isinstance(row.get(name), float) and abs(row[name]) < float("inf")
        expect(fine, f"the report {name!r} to be a finite number", row.get(name))
    for report in objective.reports:
        if report.unit == "fraction":
            inside = -1e-6 <= row[report.name] <= 1 + 1e-6
            expect(inside, f"the report {report.name!r}, a fraction, from 0 to 1", row[report.name])
    if objective.headline is not None:
        expect(objective.headline[0] in declared, f"a headline among {declared}", objective.headline[0])


@check(
    "evaluation-changes-nothing",
    LOSS,
    why="Evaluation happens between epochs; what it changes makes a resumed run another run.",
    mend="Change state in `after_step` only.",
)
def evaluation_changes_nothing(subject: Subject) -> None:
    """Evaluation builds no graph and changes no parameter or buffer of model or objective."""
    objective = subject.build().eval()
    model = generator_for(objective).eval()
    before = [snapshot(module) for module in (model, objective)]
    with torch.no_grad():
        terms = objective.evaluate(model, batch(GREY, 6), Context(dataset_size=100))
    expect(not terms.objective.requires_grad, "no graph in evaluation", "one")
    for module, kept in zip((model, objective), before, strict=True):
        changed = [name for name, value in snapshot(module).items() if not torch.equal(value, kept[name])]
        expect(not changed, "evaluation to leave all as it is", f"{', '.join(changed)} changed")


@check(
    "quantities-act",
    LOSS,
    why="A schedule on a quantity that nothing reads changes nothing, silently.",
    mend="Read quantities through `quantity(context, name)`, or name them as a player's ``lr``.",
    applies=lambda subject: None if subject.build().quantities else "it has no quantities",
)
def quantities_act(subject: Subject) -> None:
    """Every declared quantity changes what a player minimises, or is a player's learning rate."""
    objective = subject.build()
    model = generator_for(objective)
    rates = {player.lr for player in objective.players(model)}
    for name, value in objective.quantities.items():
        if name in rates:
            continue
        found: list[list[float]] = []
        for factor in (1.0, 0.5):
            context = Context({name: value * factor if value else factor - 0.5}, 100)
            row: list[float] = []
            for player in objective.players(model):
                with seeded(3):
                    row.append(float(objective.step(model, batch(GREY, 6), context, player.name).objective))
            found.append(row)
        expect(found[0] != found[1], f"the quantity {name} to change an objective", "the same values")


def _matters(objective: Any, model: Any, player: str, parameter: Tensor) -> bool:
    """Whether what a player minimises changes with a parameter."""
    values: list[float] = []
    for shift in (0.0, 0.7):
        with torch.no_grad():
            parameter.add_(shift)
        with seeded(3):
            values.append(float(objective.step(model, batch(GREY, 6), Context(dataset_size=100), player).objective))
    with torch.no_grad():
        parameter.sub_(0.7)
    return abs(values[0] - values[1]) > 1e-5 * (1 + abs(values[0]))


def _shown(value: Tensor) -> str:
    return f"{list(value.shape)}" if value.dim() else f"{float(value)}"


@check(
    "players-do-not-undo-each-other",
    LOSS,
    why="A critic that also trains the generator trains it to be recognised, while the generator trains for the opposite.",
    mend="Give each player its own parameters, and detach in each player's step what belongs to the other.",
)
def players_do_not_undo_each_other(subject: Subject) -> None:
    """No two players train the same parameters in opposite directions."""
    objective = subject.build()
    model = generator_for(objective)
    players = objective.players(model)
    for first, second in itertools.combinations(players, 2):
        shared = [p for p in first.parameters if p.requires_grad and any(p is q for q in second.parameters)]
        if not shared:
            continue
        sides: list[Tensor] = []
        for player in (first, second):
            with seeded(3):
                terms = objective.step(model, batch(GREY, 6), Context(dataset_size=100), player.name)
            found: list[Any] = [*torch.autograd.grad(terms.objective, shared, allow_unused=True)]
            pairs = zip(shared, found, strict=True)
            sides.append(torch.cat([p.new_zeros(p.numel()) if g is None else g.flatten() for p, g in pairs]))
        agree = float(torch.nn.functional.cosine_similarity(sides[0], sides[1], dim=0))
        said = f"{first.name} and {second.name} not to train the same parameters in opposite directions"
        expect(agree > -0.3, said, f"gradients at a cosine of {agree:.2f}")


@check(
    "realism-pays",
    LOSS,
    why="A critic with a sign wrong is trained without complaint, and the generator with it, towards anything but the data.",
    mend="Check the signs: the critic must tell real images from made ones, and the generator seek the score of the former.",
)
def realism_pays(subject: Subject) -> None:
    """After the critic has trained, on bright and on dark images, the generator's objective is lower for real images."""
    for shade in (0.8, 0.0):
        made, real = _paid(subject, shade)
        what = "bright" if shade else "dark"
        said = f"less than {made:.4g} for a generator that makes the real images, which are {what}"
        expect(real < made, said, f"{real:.4g}")


@check(
    "every-term-is-trained",
    LOSS,
    why="A gradient penalty without create_graph=True is a constant to the critic: it is shown, and trains nothing.",
    mend="Take gradients within a term with create_graph=True, and detach no term that a player should minimise.",
)
def every_term_is_trained(subject: Subject) -> None:
    """A term that changes with a player's parameters sends them a gradient."""
    objective = subject.build()
    model = generator_for(objective)
    for player in objective.players(model):
        parameters = [p for p in player.parameters if p.requires_grad]
        found = _terms(objective, model, player.name)
        reached = {name: _reaches(value, parameters) for name, value in found.items()}
        with torch.no_grad(), seeded(7):
            for parameter in parameters:
                parameter.add_(0.05 * torch.randn_like(parameter))
        moved = _terms(objective, model, player.name)
        for name, value in found.items():
            changed = abs(float(value) - float(moved[name])) > 1e-6 * (1 + abs(float(value)))
            said = f"a gradient of {name} to {player.name}, with whose parameters it changes"
            expect(reached[name] or not changed, said, "none")


def _reaches(value: Tensor, parameters: list[torch.nn.Parameter]) -> bool:
    if not value.requires_grad:
        return False
    found: Any = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    return any(item is not None and bool((item != 0).any()) for item in found)


def _terms(objective: Any, model: Any, player: str) -> dict[str, Tensor]:
    with seeded(3):
        return dict(objective.step(model, batch(model.image, 6), Context(dataset_size=100), player).terms)


def _paid(subject: Subject, shade: float) -> tuple[float, float]:
    """The generator's objective for what it makes and for real images, once the critic has trained."""
    objective = subject.build().train()
    model = generator_for(objective)
    own = {id(p) for p in model.parameters()}
    players = objective.players(model)
    critics = [player for player in players if not any(id(p) in own for p in player.parameters)]
    makers = [player for player in players if any(id(p) in own for p in player.parameters)]
    if len(critics) != 1 or len(makers) != 1 or isinstance(model, Model) or not hasattr(model, "generate"):
        raise NotApplicable("it has no player that is the critic alone, of a generator")
    data = batch(GREY, 12)
    data = data.with_image(shade + 0.2 * data.image)
    optimizer = torch.optim.Adam(list(critics[0].parameters), lr=3e-3)
    with seeded(5):
        for _ in range(60):
            optimizer.zero_grad()
            objective.step(model, data, Context(dataset_size=100), critics[0].name).objective.backward()
            optimizer.step()

    def paid() -> float:
        with seeded(6):
            return float(objective.step(model, data, Context(dataset_size=100), makers[0].name).objective)

    made, generate = paid(), model.generate
    model.generate = lambda latents, label=None: data.image + 0 * generate(latents, label)
    return made, paid()
