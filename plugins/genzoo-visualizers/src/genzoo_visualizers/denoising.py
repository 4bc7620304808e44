"""The `denoising` visualizer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from genzoo.errors import IncompatibleError
from genzoo.interfaces import LatentGenerator, Model, RunView, Visualizer
from genzoo.parts.field_prior import FieldPrior
from genzoo.parts.figures import class_names, drawing
from genzoo.parts.grids import image_grid
from genzoo.parts.latents import decode_images
from genzoo.types import ImageSpec
from genzoo_visualizers.options import DenoisingOptions
from genzoo_visualizers.selection import is_conditional, labels_in_turn


class Denoising(Visualizer):
    """How noise becomes an image: states along the sampler's path, one sample a row.

    They are what the prior's field is evaluated at, and the draw at the end, each shown by the decoder. For a model of
    pixels these are the images themselves; for one of latents, what the latents decode to.

    Args:
        options: How many samples and states.
    """

    on = LatentGenerator
    options: DenoisingOptions

    def check(self, model: Model, image: ImageSpec) -> None:
        """See `Visualizer.check`.

        Raises:
            IncompatibleError: If the prior is not drawn from with a field.
        """
        if not isinstance(model.prior, FieldPrior):
            raise IncompatibleError(
                f"denoising: the prior must carry noise along a field, got {type(model.prior).__name__}.",
                "Choose --prior diffusion or flow-matching, or another figure.",
            )

    def draw(self, run: RunView) -> Mapping[str, Figure]:
        """See `Visualizer.draw`."""
        self.check(run.model, run.image)
        own, prior = self.options, run.model.prior
        assert isinstance(prior, FieldPrior)
        with drawing(run.seed, "denoising"):
            by_class = (is_conditional(run.model) or prior.conditional) and run.image.classes is not None
            labels = labels_in_turn(run, own.count) if by_class or is_conditional(run.model) else None
            states = path(run.model, own.count, labels)
            chosen = torch.linspace(0, len(states) - 1, min(own.states, len(states))).round().long()
            shown = states[chosen.to(states.device)].transpose(0, 1).flatten(0, 1)
            repeated = None if labels is None else labels.repeat_interleave(len(chosen), 0)
            fitted = "" if prior.begun else "; the prior is not fitted yet, and N(0, I)"
            names = [] if labels is None or not by_class else [class_names(run.image)[k] for k in labels.tolist()]
            figure = image_grid(
                decode_images(run.model, [shown], repeated),
                len(chosen),
                title=f"{run.title}: from noise to images",
                subtitle=f"states along the path of the sampler, one draw of the prior per row{fitted}",
                column_names=[str(step) for step in chosen.tolist()],
                column_label="evaluations of the field",
                row_names=names,
                row_label="class" if names else "",
            )
            return {"": figure}


def path(model: LatentGenerator, n: int, labels: Tensor | None = None) -> Tensor:
    """The states that the field of a model's prior is evaluated at in ``n`` draws, and the draws, ``[S, n, *event]``.

    With guidance, both evaluations of a state are made together and count once.
    """
    prior = model.prior
    assert isinstance(prior, FieldPrior)
    states: list[Tensor] = []

    def note(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        states.append(given[0][:n])

    hook = prior.field.register_forward_pre_hook(note)
    try:
        drawn = model.sample_top(n, labels)
    finally:
        hook.remove()
    return torch.stack([*states, drawn])
