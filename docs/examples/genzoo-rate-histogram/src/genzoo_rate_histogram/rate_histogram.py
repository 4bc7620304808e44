"""The `rate-histogram` visualizer."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from genzoo import estimators
from genzoo.interfaces import RunView, Visualizer
from genzoo.parts.figures import new_figure
from genzoo_rate_histogram.options import RateHistogramOptions


class RateHistogram(Visualizer):
    """The rate of each image, summed over levels: a spike at 0 is collapse, a long tail are odd images.

    Args:
        options: How many images, and how many bars.
    """

    options: RateHistogramOptions

    def draw(self, run: RunView) -> Mapping[str, Figure]:
        """See `Visualizer.draw`."""
        encoding = run.model.encode(run.shuffled(self.options.images))
        rates = sum(rate.value for rate in estimators.rates(encoding.latents))
        figure = new_figure(3.5)
        axes = figure.subplots()
        axes.hist(rates.flatten().cpu().numpy(), bins=self.options.bins)
        axes.set(title=run.title, xlabel="rate, nats per image", ylabel="test images")
        return {"": figure}
