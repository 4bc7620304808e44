"""Wrong metrics, and a correct one."""

from __future__ import annotations

import math
from typing import ClassVar

import torch

from genzoo import estimators
from genzoo.interfaces import Measurement, Metric, PerImage
from genzoo.interfaces.measurement import fingerprints
from genzoo.types import Capability
from wrong_plugins.ledger import right, wrong


class Elbo(Metric):
    """The elbo of the test images, with one sample."""

    direction: ClassVar = "higher"
    unit: ClassVar = "nats"
    forbids: ClassVar = frozenset({Capability.DETERMINISTIC_POSTERIOR})

    @property
    def protocol(self):
        return "test images, one sample"

    def evaluate(self, run):
        return {"": self.value(run)}

    def value(self, run):
        batch = self.batch(run)
        return float(estimators.elbo(run.model(batch), batch.image).mean())

    def batch(self, run):
        return run.batch()


@wrong("run-left-alone")
class SetsTheMode(Elbo):
    """It puts the model into training mode and leaves it there."""

    def value(self, run):
        run.model.train()
        return super().value(run)


@wrong("data-left-alone", also=("responds-to-run",))
class BinarizesInPlace(Elbo):
    """It binarizes the run's images in place."""

    def value(self, run):
        run.split().images.gt_(0.3)
        return super().value(run)


@wrong("labels-as-declared", says="labels")
class ReadsLabels(Elbo):
    """It reads labels and does not say so."""

    def value(self, run):
        return super().value(run) + 0 * float(run.batch().label.float().mean())


@wrong("factors-as-declared", says="factors")
class ReadsFactors(Elbo):
    """It reads factors and does not say so."""

    def value(self, run):
        return super().value(run) + 0 * float(run.batch().factors.float().mean())


@wrong("history-as-declared", says="history")
class ReadsHistory(Elbo):
    """It reads the last epoch and does not say so."""

    def value(self, run):
        return super().value(run) + 0 * run.history[-1]["train"]["elbo"]


@wrong("requires-as-declared", says="DiscreteModel")
class NeedsNormals(Elbo):
    """It reads the log-variance of a posterior and requires no real latent."""

    def value(self, run):
        latents = run.model.encode(run.batch()).latents
        return super().value(run) + 0 * float(latents[0].posterior.log_variance.mean())


@wrong("responds-to-run", also=("tells-good-from-bad", "every-image-counts", "depends-on-the-model"))
class SaysTheSame(Elbo):
    """It gives one number for every run."""

    def value(self, run):
        run.split()
        return -40.0


@wrong("grey-colour-and-odd-sizes", also=(), defect="image size hard-coded")
class KnowsOneSize(Elbo):
    """It takes images for 8 by 8."""

    def value(self, run):
        return super().value(run) + 0 * float(run.batch().image.reshape(-1, 8, 8).mean() if len(run.batch()) else 0)


@wrong("one-image-works")
class SqueezesOne(Elbo):
    """It squeezes a batch of one."""

    def value(self, run):
        return super().value(run) + 0 * float(run.batch().image.squeeze()[:, :, 0].squeeze().mean(1).mean())


@wrong(
    "finite-numbers",
    also=(
        "within-bounds",
        "order-of-images-free",
        "every-image-counts",
        "responds-to-run",
        "tells-good-from-bad",
        "depends-on-the-model",
        "images-twice-over",
    ),
)
class DividesByNothing(Elbo):
    """Its number is infinite."""

    def value(self, run):
        return super().value(run) * float("inf")


@wrong("number-names-plain")
class NamesWithSpaces(Elbo):
    """Its number has a name with a slash."""

    def evaluate(self, run):
        return {"elbo / test": self.value(run)}


@wrong("within-bounds")
class BoundsTooTight(Elbo):
    """It declares to be within bounds that it leaves."""

    bounds: ClassVar = (-10.0, 0.0)
    direction: ClassVar = None


@wrong(
    "tells-good-from-bad",
    defect='KL logged with the wrong sign; "elbo" that is −ELBO',
    says="higher",
)
class TurnsTheSign(Elbo):
    """It is the negative elbo, and says that higher is better."""

    def value(self, run):
        return -super().value(run)


@wrong("tells-good-from-bad", defect="MIG by reshape instead of transpose")
class ReshapesItsCodes(Elbo):
    """The correlation of codes with factors, by a reshape where a transpose is meant."""

    bounds: ClassVar = (0.0, 1.0)
    unit: ClassVar = ""
    needs_factors: ClassVar = True
    requires: ClassVar = frozenset({Capability.REAL_LATENT, Capability.ONE_LEVEL})
    turned: ClassVar = True

    def value(self, run):
        batch = run.batch()
        codes = run.model.encode(batch).latents[0].posterior.mean
        rows = codes.reshape(codes.shape[1], -1) if self.turned else codes.T
        factors = batch.factors.T.double()
        table = torch.corrcoef(torch.cat([rows.double(), factors]))[: len(rows), len(rows) :]
        return float(table.nan_to_num().abs().amax(0).mean().clamp(0, 1))


@wrong("protocol-stated")
class StatesNoProtocol(Elbo):
    """It does not say how it is measured."""

    @property
    def protocol(self):
        return ""


@wrong("unit-stated")
class StatesNoUnit(Elbo):
    """It has neither unit nor bounds."""

    unit: ClassVar = ""


@wrong("order-of-images-free", also=("every-image-counts",))
class WeighsByPlace(Elbo):
    """It weighs images by their place in the split."""

    def value(self, run):
        batch = self.batch(run)
        each = estimators.elbo(run.model(batch), batch.image).flatten()
        centre = each - each.mean()
        place = each.new_tensor(range(len(each)))
        return float(each.mean() + 40 * (centre * (place - place.mean())).mean() / (1 + place.std(correction=0)))


@wrong("every-image-counts", defect="NLL that ignores its sample count and drops the remainder of a batch")
class DropsTheRemainder(Elbo):
    """It drops the images after the last full batch of eight."""

    def batch(self, run):
        whole = run.batch()
        return whole[: len(whole) // 8 * 8] if len(whole) >= 8 else whole


@wrong("empty-split-refused", also=())
class AveragesNothing(Elbo):
    """Over no image it says zero."""

    def value(self, run):
        return super().value(run) if len(run.splits["test"]) else 0.0


@wrong("reads-as-declared", says="train")
class MeasuresTrain(Elbo):
    """It measures the training images, and says that they are test images."""

    def batch(self, run):
        return run.batch(len(run.split()), split="train")


@wrong("reads-as-declared", says="read too")
class ReadsMoreThanItSays(Elbo):
    """It declares to read the test split and reads the training images behind the view's back."""

    reads: ClassVar = frozenset({"test"})

    def value(self, run):
        return super().value(run) + 1e-3 * float(run.dataset.split("train").images.float().mean())


class _WithRate(Elbo):
    """The elbo and the rate."""

    def evaluate(self, run):
        batch = self.batch(run)
        output = run.model(batch)
        return {"": float(estimators.elbo(output, batch.image).mean()), **self.more(output, batch)}

    def more(self, output, batch):
        return {"rate": float(sum(rate.value.mean() for rate in estimators.rates(output.latents)))}


@wrong("estimates-what-it-says", says="rate")
class ForgetsTheHalf(_WithRate):
    """Its rate lacks the factor of one half."""

    def more(self, output, batch):
        return {"rate": 2 * super().more(output, batch)["rate"]}


@wrong("estimates-what-it-says", says="rate")
class TopLevelAlone(_WithRate):
    """Its rate is that of the top level."""

    def more(self, output, batch):
        return {"rate": float(estimators.rate(output.latents[0]).value.mean())}


@wrong("estimates-what-it-says", says="distortion", name="per-pixel-distortion")
class PerPixel(_WithRate):
    """It declares a distortion, and gives its mean over pixels."""

    estimates: ClassVar = {"reconstruction": "distortion"}

    def more(self, output, batch):
        each = estimators.distortion(output, batch.image) / batch.image[0].numel()
        return {"reconstruction": float(each.mean())}


@wrong("estimates-what-it-says", says="nll", name="weights-upside-down")
class WeightsUpsideDown(Elbo):
    """Its importance weights are upside down."""

    direction: ClassVar = "lower"
    estimates: ClassVar = {"": "nll"}

    def value(self, run):
        batch = self.batch(run)
        weights = estimators.log_weights(run.model(batch, samples=20), batch.image)
        return float(estimators.importance_weighted_bound(-weights).mean())


@wrong("errors-shrink-with-images")
class SpreadForError(_WithRate):
    """Its standard error is the spread over images."""

    def more(self, output, batch):
        each = estimators.elbo(output, batch.image).flatten()
        return {"elbo-se": float(each.std()) if len(each) > 1 else 0.0}


@wrong("per-image-values-fit", says="index")
class ValuesOfOthers(Elbo):
    """Its values are in another order than its images."""

    def evaluate(self, run):
        batch = self.batch(run)
        each = estimators.elbo(run.model(batch), batch.image).flatten().double()
        index = torch.arange(len(each)).flip(0)
        values = PerImage(each, index, fingerprints(batch.image))
        return Measurement({"": float(each.mean())}, per_image=values)


@wrong("depends-on-the-model", also=("tells-good-from-bad",))
class MeasuresTheData(Elbo):
    """It measures how bright the images are, whatever the model."""

    def value(self, run):
        return -float(self.batch(run).image.flatten(1).sum(1).mean())


@wrong("last-images-count", also=("every-image-counts",))
class FirstBatchAlone(Elbo):
    """It measures the first eight images."""

    def batch(self, run):
        return run.batch()[:8]


@wrong("images-twice-over", also=("every-image-counts", "estimates-what-it-says"))
class SumsOverImages(Elbo):
    """Its number is a sum over images."""

    def value(self, run):
        return super().value(run) * len(self.batch(run))


@right()
class PlainElbo(Elbo):
    """The elbo."""


@right()
class Information(Elbo):
    """The mutual information of code and image, in nats, which is no mean over images."""

    requires: ClassVar = frozenset({Capability.REAL_LATENT, Capability.ONE_LEVEL})
    direction: ClassVar = None

    def value(self, run):
        (latent,) = run.model.encode(self.batch(run)).latents
        z, q = latent.sample[0], latent.posterior
        each = torch.stack([q.log_prob(code.expand_as(z)) for code in z])
        return float(each.diagonal().mean() - each.logsumexp(1).mean() + math.log(len(z)))


@wrong("every-image-counts")
class MeanOfBatchMeans(Elbo):
    """It averages over batches of eight, however few are in the last one."""

    def value(self, run):
        whole = run.batch()
        parts = [whole[start : start + 8] for start in range(0, len(whole), 8)]
        each = [float(estimators.elbo(run.model(part), part.image).mean()) for part in parts]
        return sum(each) / len(each)


@wrong("every-number-in-its-bounds")
class PercentBesideAShare(ReshapesItsCodes):
    """It gives the same score in per cent, without a unit."""

    bounds: ClassVar = (0, 1)
    turned: ClassVar = False

    def evaluate(self, run):
        value = self.value(run)
        return {"": value, "percent": 100 * value}


@right()
class Gap(Elbo):
    """The elbo of training images less that of test images, and it says which it reads."""

    direction: ClassVar = None
    reads: ClassVar = frozenset({"train", "test"})

    def value(self, run):
        each = [run.batch(split=name) for name in ("train", "test")]
        train, test = (float(estimators.elbo(run.model(batch), batch.image).mean()) for batch in each)
        return train - test


@right(summary="Correlation of codes with factors")
class Correlation(ReshapesItsCodes):
    """The correlation of codes with factors, transposed as it should be."""

    turned: ClassVar = False
