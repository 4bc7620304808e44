"""The visualizer `codes`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, cast

import numpy as np
import torch
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from genzoo.interfaces import RunView, Visualizer
from genzoo.parts.figures import drawing, new_figure
from genzoo.types import Capability
from genzoo_vq_vae.options import CodeMapsOptions


class CodeMaps(Visualizer):
    """Test images, their codes drawn as images with a colour for each code, and what is decoded from the codes.

    The fourth row is decoded from codes drawn from the prior, whose maps are the last. Code k of K has the hue k/K; the
    colour says which code it is and nothing of likeness between codes.

    Args:
        options: How many images.
    """

    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.CATEGORICAL_LATENT, Capability.ONE_LEVEL})

    def draw(self, run: RunView) -> Mapping[str, Figure]:
        """See `Visualizer.draw`."""
        count = cast(CodeMapsOptions, self.options).images
        with drawing(run.seed, "codes"):
            batch = run.batch(count)
            count = len(batch)
            latent = run.model.encode(batch).latents[0]
            label = batch.label
            prior = run.model.prior_of_top(label)
            drawn = prior.sample(torch.Size() if prior.batch_shape else torch.Size([count]))
            rows = {
                "images": batch.image,
                "codes": self._maps(run, latent.sample[0]),
                "reconstructions": self._decoded(run, latent.sample[0], label),
                "samples": self._decoded(run, drawn, label),
                "their codes": self._maps(run, drawn),
            }
            return {"": self._grid(run.title, rows)}

    @staticmethod
    def _decoded(run: RunView, codes: Tensor, label: Tensor | None) -> Tensor:
        return run.model.likelihood.display(run.model.decode([codes], label))

    @staticmethod
    def _maps(run: RunView, codes: Tensor) -> Tensor:
        """Codes ``[N, *event]`` as colour images ``[N, 3, h, w]``."""
        level = run.model.levels[0]
        flat = codes.reshape(len(codes), math.prod(level.shape[:-1]), level.shape[-1]).cpu().numpy()
        hue = flat / (level.categories or 1)
        # Neighbouring numbers alternate in brightness, since their hues are hard to tell apart.
        value = np.where(flat % 2 == 0, 0.95, 0.7)
        colours = hsv_to_rgb(np.stack([hue, np.full_like(hue, 0.75), value], axis=-1))
        return torch.from_numpy(colours).permute(0, 3, 1, 2)

    @staticmethod
    def _grid(title: str, rows: Mapping[str, Tensor]) -> Figure:
        count = len(next(iter(rows.values())))
        figure = new_figure(0.6 + len(rows) * min(8.0 / (count + 1), 1.6))
        axes = figure.subplots(len(rows), count, squeeze=False)
        for row, (name, images) in zip(axes, rows.items(), strict=True):
            for axis, image in zip(row, images, strict=True):
                pixels = image.float().cpu().permute(1, 2, 0).numpy()
                grey = pixels.shape[-1] == 1
                axis.imshow(
                    pixels[..., 0] if grey else pixels,
                    cmap="gray",
                    vmin=0,
                    vmax=1,
                    interpolation="nearest",
                    aspect="equal",
                )
                axis.set_axis_off()
            row[0].set_axis_on()
            row[0].set(xticks=[], yticks=[])
            row[0].set_ylabel(name, rotation=0, ha="right", va="center")
            for spine in row[0].spines.values():
                spine.set_visible(False)
        figure.suptitle(f"Codes of {title}", fontsize=10)
        return figure
