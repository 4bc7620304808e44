"""What a trained run came to: measured, judged, and said in words."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from genzoo.compose.build import Experiment
from genzoo.compose.plan import DEFAULTS
from genzoo.engine.signals import StopRequested
from genzoo.errors import Interrupted
from genzoo.findings import Finding
from genzoo.interfaces.model import Model
from genzoo.interfaces.view import RunView
from genzoo.training.draw import at_rest
from genzoo.training.drawn import density_findings, drawn_findings, gather_drawn
from genzoo.training.evidence import gather
from genzoo.training.verdict import core_findings
from genzoo.types import Capability, LatentSpec

_log = logging.getLogger("genzoo.run")


def findings_of(experiment: Experiment, view: RunView, row: Mapping[str, Any] | None) -> list[Finding]:
    """What is found about a trained experiment: by core first, then by its loss, model, prior and likelihood.

    Args:
        experiment: As it is now.
        view: Of it, with its images and its history.
        row: The last epoch's; None judges by what is measured here alone.
    """
    model = experiment.model
    tested = (row.get("test") or row["train"]) if row else {"distortion": 0.0}
    found: list[Finding] = []
    try:
        if Capability.EXACT_POSTERIOR in model.capabilities:
            with at_rest(view, "verdict"):
                return density_findings(view, row)
        if not isinstance(model, Model) or "distortion" not in tested:
            with at_rest(view, "verdict"):
                drawn = gather_drawn(view, row)
            return [] if drawn is None else drawn_findings(drawn)
        with at_rest(view, "verdict"):
            evidence = gather(view, row, experiment.schedule, epochs=experiment.plan.train.epochs)
            found += core_findings(evidence, report_setup=_is_the_reports(experiment))
            found += _of_frozen(experiment, found)
            for part in (experiment.loss, model, model.prior, model.likelihood):
                found += part.diagnose(evidence)
        if evidence.starved and not evidence.flat and not any(finding.remedy for finding in found):
            found.append(Finding("note", "", "more --epochs or another loss, such as one with free bits"))
    except (StopRequested, Interrupted):
        raise
    except Exception as error:
        # A part that cannot be judged costs its judgement, and not the run.
        _log.warning("the verdict is incomplete", exc_info=error)
        found.append(Finding("note", f"The verdict is incomplete: {type(error).__name__}: {error}."))
    return found


def _of_frozen(experiment: Experiment, found: list[Finding]) -> list[Finding]:
    """The parts that were not trained, where the model has a fault."""
    init = experiment.plan.init
    if init is None or not init.frozen or all(finding.severity != "fault" for finding in found):
        return []
    parts = ", ".join(init.frozen)
    text = f"What was frozen ({parts}) has the weights of the run that this one started from."
    return [Finding("note", text, "another --init, or training without --freeze")]


def _is_the_reports(experiment: Experiment) -> bool:
    """Whether the experiment has the report's data and parts, two latent dimensions and β = 1."""
    plan = experiment.plan
    parts = all(kind in plan.parts and plan[kind].name == name for kind, name in DEFAULTS.items())
    whole = plan.train.limit is None and experiment.schedule.configured.get("beta") == 1
    return parts and whole and getattr(experiment.model, "levels", ()) == (LatentSpec((2,)),)
