"""Metric `code-classes`: do codes cluster by class?"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from genzoo.errors import UsageError
from genzoo.interfaces import Measurement, Metric, RunView
from genzoo.parts.latents import encode
from genzoo.types import Capability
from genzoo_report.options import CodeClassesOptions

FOLDS = 5


class CodeClasses(Metric):
    """Accuracy of a nearest-neighbour vote on the class of test codes, and which class centroid is nearest to each.

    The accuracy (the metric's own number) is the mean of 5-fold cross-validation over the posterior means of the test
    images: codes that cluster by class score high, codes that mix score 1/classes. ``nearest_to_C`` is the class whose
    centroid is nearest to that of class C in Euclidean distance.

    Args:
        options: The number of neighbours.
    """

    requires = frozenset({Capability.REAL_LATENT})
    needs_labels = True
    reads = frozenset({"test"})
    direction = "higher"
    bounds = (0.0, 1.0)
    unit = ""

    options: CodeClassesOptions

    @property
    def protocol(self) -> str:
        """See `Metric.protocol`."""
        return self._protocol("the test images", FOLDS)

    def _protocol(self, images: str, folds: int) -> str:
        return (
            f"{self.options.neighbours}-nearest-neighbour accuracy of posterior means of {images}, "
            f"{folds}-fold cross-validation"
        )

    def evaluate(self, run: RunView) -> Mapping[str, float]:
        """See `Metric.evaluate`."""
        batch = run.batch()
        if batch.label is None:
            raise UsageError("code-classes: test images must have labels, got none.")
        codes = encode(run.model, batch).top.flatten(1).cpu()
        labels = batch.label.cpu()
        counts = torch.bincount(labels)
        folds = min(FOLDS, int(counts[counts > 0].min()))
        if folds < 2:
            raise UsageError("code-classes: test images must be at least two a class, got fewer.")
        smallest_training = len(labels) - -(-len(labels) // folds)
        voters = KNeighborsClassifier(min(self.options.neighbours, smallest_training))
        split = StratifiedKFold(folds, shuffle=True, random_state=run.seed % 2**32)
        scores = cross_val_score(voters, codes.numpy(), labels.numpy(), cv=split)
        numbers = {"": float(scores.mean())}
        present = [int(c) for c in torch.unique(labels)]
        centroids = torch.stack([codes[labels == c].mean(0) for c in present])
        apart = torch.cdist(centroids, centroids)
        apart.fill_diagonal_(torch.inf)
        if len(present) > 1:
            for row, c in enumerate(present):
                numbers[f"nearest_to_{c}"] = float(present[int(apart[row].argmin())])
        return Measurement(
            numbers,
            units={name: "(class)" for name in numbers if name},
            protocol=self._protocol(f"{run.split().count} test images", folds),
        )
