"""The interface of a loss: an objective from a model's output."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from genzoo import estimators
from genzoo.findings import Evidence, Finding
from genzoo.interfaces.objective import Objective, Terms
from genzoo.types import Batch, Context, LossTerms, ModelOutput, Report


class Loss(Objective):
    """An objective, in nats per image and mean over the batch, as a sum of named terms.

    The base measures distortion and rates once and adds the model's auxiliary terms, so no loss can forget them.

    Subclass requirements:
        - `terms`: named, weighted, 0-d; together with the model's auxiliary terms they sum to the objective.
        - ``quantities``: name → configured value of what schedulers may drive, read in `terms` through `quantity`.
        - ``requires``: capabilities that the model must have; ``forbids``: those that it must not have.
        - ``batch_coupled = True`` if the terms of one image depend on the others of its batch.
        - ``samples``: posterior samples an image, if not 1.
        - Optionally `diagnose`.
        - Optionally promises, which the contract kit then holds it to: ``bound``, ``surrogates`` and ``discrepancies``.

    Args:
        options: The plugin's options.
    """

    reports = (
        Report("distortion", "Distortion D", "nats", "lower"),
        Report("rate", "Rate R", "nats", scale="log"),
        Report("elbo", "ELBO", "nats", "higher"),
    )
    headline = ("elbo", "higher")

    bound: bool = False
    """Whether the objective, at β = 1 where there is a β, is the negative of a lower bound on log p(x)."""

    surrogates: Mapping[str, str] = MappingProxyType({})
    """Term → why it is not what its name says: a term called ``distortion`` or ``rate`` is otherwise the measured one, at
    β = 1."""

    discrepancies: frozenset[str] = frozenset()
    """Terms that estimate a divergence of q(z) from p(z) without bias: their mean is 0 where the two are equal."""

    @property
    def samples(self) -> int:
        """K, the number of posterior samples an image that the objective wants."""
        return 1

    @abstractmethod
    def terms(
        self,
        output: ModelOutput,
        batch: Batch,
        context: Context,
        distortion: Tensor,
        rates: tuple[Tensor, ...],
    ) -> Mapping[str, Tensor]:
        """The weighted terms of the objective.

        Args:
            output: The model's output.
            batch: The images it was made of.
            context: Scheduled quantities and the size of the training set.
            distortion: ``[K, B]`` nats an image, from `estimators.distortion`.
            rates: ``[K, B]`` a level, top first, from `estimators.rates`.

        Returns:
            name → 0-d tensor, mean over the batch.
        """

    def diagnose(self, evidence: Evidence) -> Sequence[Finding]:
        """What the weights of the loss explain of a trained run. See `Model.diagnose`.

        The base knows the quantity ``beta``: it names its value at the end, and a lower one and a longer warm-up as
        remedies. A loss with other ways to keep the latents in use adds its own findings to these.
        """
        beta = evidence.quantities.get("beta")
        if "beta" not in self.quantities or beta is None:
            return ()
        if beta == 0:
            return [
                Finding(
                    "note",
                    "β is 0: nothing holds the posterior near the prior, so samples from the prior need not look like data.",
                    "a --loss.beta above 0",
                )
            ]
        settled = evidence.settled.get("beta", 0.0)
        if evidence.wasteful and settled > (evidence.epochs or settled):
            text = f"β has come to {beta:g} only: its schedule takes {settled:g} epochs."
            return [Finding("note", text, "a shorter warm-up or more --epochs")]
        if evidence.wasteful and beta < 1:
            text = f"The rate is weighted by β = {beta:g}, so that more of it is spent than it saves."
            return [Finding("note", text, "a higher --loss.beta")]
        if not evidence.starved or evidence.flat:
            return ()
        epochs = max(20.0, 2 * evidence.settled.get("beta", 0.0))
        warm_up = f"a longer warm-up (--scheduler linear-warmup --scheduler.beta.epochs {epochs:g})"
        return [
            Finding("note", f"The rate is weighted by β = {beta:g}.", "a lower --loss.beta"),
            Finding("note", "", warm_up),
        ]

    def step(self, model: Any, batch: Batch, context: Context, player: str) -> Terms:
        """See `Objective.step`: run the model, then `forward`."""
        with context.autocast():
            output = model(batch, samples=self.samples, context=context)
        return self._reported(output, batch, context)

    def evaluate(self, model: Any, batch: Batch, context: Context) -> Terms:
        """See `Objective.evaluate`; the model's own quantities, such as a temperature, have their final values."""
        with context.autocast():
            output = model(batch, samples=self.samples)
        return self._reported(output, batch, context)

    def summary(self, means: Mapping[str, Any]) -> dict[str, Any]:
        """See `Objective.summary`: rate, elbo and distortion ÷ rate beside what was measured."""
        rates = means["rates"]
        rate = sum(rates)
        return {
            "distortion": means["distortion"],
            "rate": rate,
            "rates": rates,
            "elbo": -(means["distortion"] + rate),
            "ratio": means["distortion"] / rate if rate > 0 else None,
            **{name: value for name, value in means.items() if name not in ("distortion", "rates")},
        }

    def _reported(self, output: ModelOutput, batch: Batch, context: Context) -> Terms:
        terms: LossTerms = self(output, batch, context)
        return Terms(terms.objective, terms.terms, {"distortion": terms.distortion, "rates": terms.rates}, output)

    def forward(self, output: ModelOutput, batch: Batch, context: Context | None = None) -> LossTerms:
        """The objective with its terms, distortion and rates.

        Args:
            output: The model's output for ``batch``.
            batch: The images.
            context: None takes the configured values of the quantities.
        """
        context = context or Context()
        distortion = estimators.distortion(output, batch.image)
        rates = tuple(rate.value for rate in estimators.rates(output.latents))
        terms = dict(self.terms(output, batch, context, distortion, rates))
        terms.update({name: value.mean() for name, value in output.auxiliary.items()})
        objective = torch.stack(list(terms.values())).sum()
        return LossTerms(objective, terms, distortion.mean(), torch.stack([rate.mean() for rate in rates]))
