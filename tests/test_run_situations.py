"""Verdicts on trained situations: each model is trained for seconds and must be called what it is.

``python tests/test_run_situations.py`` prints the table of docs/pitfalls.md.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import genzoo
from genzoo.api import Run

TRAIN: dict[str, Any] = {
    "data": "digits",
    "network": ("mlp", {"hidden": [64]}),
    "batch_size": 32,
    "precision": "fp32",
    "device": "cpu",
    "progress": False,
    "epochs": 20,
    "eval_every": 10,
    "lr": 3e-3,
}
WIDE = ("mlp", {"hidden": [256]})
CODES = ("autoregressive", {"width": 8, "layers": 2, "epochs": 1})


@dataclass(frozen=True)
class Situation:
    """A training and what its verdict must say.

    Args:
        name: For the table.
        model: The model, with options.
        train: What differs from `TRAIN`; a function is given a folder to write data to.
        begins: How the verdict begins.
        says: What else it says; ``no`` what it must not say.
    """

    name: str
    model: Any
    train: dict[str, Any] | Callable[[Path], dict[str, Any]] = field(default_factory=dict)
    begins: str = "The latents are in use"
    says: tuple[str, ...] = ()
    no: tuple[str, ...] = ()

    def run(self, folder: Path) -> Run:
        """Train it."""
        given = self.train(folder) if callable(self.train) else self.train
        train = {name: value for name, value in {**TRAIN, **given}.items() if value is not None}
        return genzoo.run(self.model, out=folder / "runs", **train)


def vae(dims: int) -> Any:
    return ("vae", {"latent_dim": dims})


def npz(folder: Path, images: np.ndarray, labels: np.ndarray | None = None) -> dict[str, Any]:
    path = folder / "images.npz"
    np.savez(path, images=images, **({} if labels is None else {"labels": labels}))
    return {"data": ("npz", {"path": str(path)})}


def blobs(folder: Path, *, labels: bool = False, colour: bool = False) -> dict[str, Any]:
    """Soft spots at random places, in random colours; with labels that say nothing of them."""
    noise = np.random.default_rng(0)
    at = noise.uniform(1, 6, (600, 2, 1, 1))
    grid = np.mgrid[0:8, 0:8][None]
    spot = np.exp(-((grid - at) ** 2).sum(1) / 4)[:, None]
    shade = noise.uniform(0.2, 1, (600, 3, 1, 1)) if colour else 1.0
    return npz(folder, (255 * spot * shade).astype(np.uint8), noise.integers(0, 4, 600) if labels else None)


def alike(folder: Path) -> dict[str, Any]:
    image = np.random.default_rng(0).integers(0, 255, (1, 1, 8, 8), dtype=np.uint8)
    return {**npz(folder, np.repeat(image, 300, 0)), "epochs": 60}


def digits() -> tuple[np.ndarray, np.ndarray]:
    stored = load_digits()
    return (stored.images / 16 * 255).round().astype(np.uint8), stored.target


def prototypes(folder: Path) -> dict[str, Any]:
    """Each digit is the mean of its class, so that the label says all."""
    images, labels = digits()
    means = np.stack([images[labels == label].mean(0) for label in range(10)]).astype(np.uint8)
    return {**npz(folder, means[labels], labels), "epochs": 40}


def one_class(folder: Path) -> dict[str, Any]:
    images, labels = digits()
    return npz(folder, images[labels == 3], np.zeros(int((labels == 3).sum()), np.int64))


def inverted(folder: Path) -> dict[str, Any]:
    return npz(folder, 255 - digits()[0])


def inverted_test(folder: Path) -> dict[str, Any]:
    images, _ = digits()
    np.savez(folder / "images.npz", train_images=images[:1500], test_images=255 - images[1500:])
    return {"data": ("npz", {"path": str(folder / "images.npz")}), "epochs": 10}


def noise(folder: Path) -> dict[str, Any]:
    return npz(folder, np.random.default_rng(0).integers(0, 256, (1500, 8, 8), dtype=np.uint8))


def starting(part: str, **first: Any) -> Callable[[Path], dict[str, Any]]:
    """A run from the weights of another, with a part frozen."""

    def train(folder: Path) -> dict[str, Any]:
        before = genzoo.run(vae(8), out=folder / "runs", **{**TRAIN, **first})
        return {"init": before.path, "freeze": (part,), "epochs": 15}

    return train


GAN: dict[str, Any] = {"lr": None, "epochs": 60}
HEALTHY = ("collapsed", "hardly", "over-fitted", "not trained", "dead", "Try")
COLLAPSED = ("The latents are in use", "healthy", "not trained", "over-fitted")
SITUATIONS = [
    Situation("healthy, two dimensions", vae(2), no=HEALTHY, says=("2 of 2 latent units in use",)),
    Situation("healthy, 16 dimensions", vae(16), no=HEALTHY),
    Situation("healthy, 200 dimensions", vae(200), no=HEALTHY, says=("of 200 latent units in use",)),
    Situation("healthy, a flow as prior", vae(4), {"prior": "flow", "epochs": 12}, no=HEALTHY),
    Situation("healthy, a mixture as prior", vae(4), {"prior": "mixture"}, no=HEALTHY),
    Situation(
        "collapsed by β = 100",
        vae(8),
        {"loss": ("elbo", {"beta": 100}), "epochs": 30},
        begins="The posterior has collapsed",
        says=("0 of 8 latent units in use", "weighted by β = 100", "a lower --loss.beta"),
        no=COLLAPSED,
    ),
    Situation(
        "collapsed by a mean over pixels",
        vae(8),
        {"loss": ("elbo", {"distortion_per": "pixel"}), "epochs": 30},
        begins="The posterior has collapsed",
        says=("averaged over 64 pixels", "--loss.distortion-per image"),
        no=COLLAPSED,
    ),
    Situation(
        "collapsed, a density above 1",
        vae(8),
        {"likelihood": "continuous-bernoulli", "loss": ("elbo", {"beta": 1000}), "epochs": 30},
        begins="The posterior has collapsed",
        says=("Distortion -1",),
        no=COLLAPSED,
    ),
    Situation(
        "collapsed by a wide likelihood",
        vae(8),
        {"likelihood": ("gaussian", {"scale": 3.0})},
        begins="The posterior has collapsed",
        says=("images differ by 0.", "a smaller --likelihood.scale"),
        no=COLLAPSED,
    ),
    Situation("healthy, a density above 1", vae(8), {"likelihood": "gaussian"}, says=("σ is 0.1 (fixed)",), no=HEALTHY),
    Situation("healthy, the optimal σ", vae(8), {"likelihood": ("gaussian", {"learn": "optimal"})}, no=HEALTHY),
    Situation(
        "σ that moves too slowly",
        vae(8),
        {"likelihood": ("gaussian", {"learn": "global", "scale": 3.0}), "lr": 1e-3, "epochs": 10},
        begins="The",
        says=("σ is", "(learned)", "would be best, by", "--likelihood.learn optimal"),
    ),
    Situation(
        "untrained",
        vae(16),
        {"lr": 1e-9},
        begins="The model is not trained: its distortion of",
        no=("collapsed", "in use", "healthy", "over-fitted"),
    ),
    Situation("a quick look", vae(2), {"epochs": 1, "limit": 64}, begins="The model is not trained yet", no=("Try",)),
    Situation(
        "underfit after one epoch",
        vae(2),
        {"epochs": 1, "batch_size": 4},
        says=("train longer",),
        no=("collapsed", "healthy"),
    ),
    Situation(
        "over-fitted to 64 images",
        vae(16),
        {"limit": 64, "epochs": 600, "eval_every": 600, "network": WIDE},
        begins="The model is over-fitted",
        says=("on training images and", "--holdout"),
        no=("collapsed", "healthy", "hardly"),
    ),
    Situation(
        "VQ, codes dead",
        ("vq-vae", {"codes": 512, "code_dim": 4, "codebook": "gradient", "revive_below": 0.0, "downsampling": 2}),
        {"prior": CODES, "epochs": 10},
        says=("Most codes are dead", "--model.codebook ema", "--model.revive-below"),
        no=("collapsed",),
    ),
    Situation(
        "VQ, codes in use",
        ("vq-vae", {"codes": 16, "code_dim": 4}),
        {"prior": CODES},
        says=("16 of 16 codes occur",),
        no=HEALTHY,
    ),
    Situation(
        "ladder, upper level dead",
        ("ladder-vae", {"latent_dims": (4, 8), "widths": (16, 32), "norm": "none"}),
        {"epochs": 15, "scheduler": {"beta": ("linear-warmup", {"epochs": 10})}},
        says=("Level 1, the top, is dead", "--model.norm layer", "free bits"),
        no=("collapsed",),
    ),
    Situation(
        "healthy, the label known to the prior",
        vae(4),
        {"prior": "label-normal", "loss": ("elbo", {"beta": 3})},
        no=HEALTHY,
    ),
    Situation(
        "a capacity that pays for nothing",
        vae(8),
        {"loss": ("elbo", {"capacity": 10.0})},
        begins="The",
        no=("healthy",),
        says=("cost more than they save", "drawn to a capacity of 10 nats"),
    ),
    Situation(
        "free bits, β = 100",
        vae(8),
        {"loss": ("elbo", {"beta": 100, "free_bits": 0.2})},
        begins="The",
        no=("healthy",),
        says=("0.2 nats of rate cost nothing", "a lower --loss.beta"),
    ),
    Situation(
        "an autoencoder, β = 0",
        vae(8),
        {"loss": ("elbo", {"beta": 0})},
        says=("cost more than they save", "β is 0"),
        no=("collapsed",),
    ),
    Situation(
        "healthy, importance-weighted", vae(8), {"loss": ("iwae", {"samples": 5, "gradient": "dreg"})}, no=HEALTHY
    ),
    Situation("CVAE, healthy", "cvae", no=("The label is", "collapsed", "dead")),
    Situation(
        "CVAE, labels that say nothing",
        ("cvae", {"latent_dim": 4}),
        lambda folder: {**blobs(folder, labels=True), "epochs": 60},
        says=("The label is hardly read",),
        no=("collapsed",),
    ),
    Situation("colour, healthy", vae(8), lambda folder: {**blobs(folder, colour=True), "epochs": 60}, no=HEALTHY),
    Situation("images all alike", vae(4), alike, begins="All images are the same", no=("collapsed", "Try")),
    Situation(
        "CVAE, a label that says everything",
        ("cvae", {"latent_dim": 4}),
        prototypes,
        begins="The latents are not in use, and nothing is left for them to say",
        no=("collapsed", "Try"),
    ),
    Situation(
        "CVAE, 64 dimensions and β = 0",
        ("cvae", {"latent_dim": 64}),
        {"loss": ("elbo", {"beta": 0})},
        says=("The label is ignored", "cost more than they save", "a --loss.beta above 0"),
        no=("collapsed", "healthy"),
    ),
    Situation(
        "CVAE, 146 images of one class",
        ("cvae", {"latent_dim": 4}),
        one_class,
        begins="The latents are not in use yet",
        says=("100 steps are too few",),
        no=("collapsed", "Try", "label"),
    ),
    Situation("healthy, dark on white", vae(8), inverted, no=HEALTHY),
    Situation(
        "test images of another kind",
        vae(8),
        inverted_test,
        begins="The test images are unlike the training images",
        no=("not trained", "over-fitted", "--epochs"),
    ),
    Situation(
        "noise", vae(8), noise, begins="The posterior has collapsed", says=("as in noise",), no=("Try", "healthy")
    ),
    Situation(
        "a scale that is too small",
        vae(8),
        {"likelihood": ("gaussian", {"scale": 0.001})},
        says=("σ is 0.001 (fixed)", "--likelihood.scale 0.1", "--likelihood.learn optimal"),
        no=("healthy",),
    ),
    Situation(
        "VampPrior, collapsed by β = 100",
        vae(8),
        {"prior": ("vampprior", {"pseudo_inputs": 50}), "loss": ("elbo", {"beta": 100}), "epochs": 30},
        begins="The posterior has collapsed",
        says=("0 of 8 latent units in use", "a lower --loss.beta"),
        no=COLLAPSED,
    ),
    Situation("healthy, VampPrior", vae(8), {"prior": ("vampprior", {"pseudo_inputs": 50})}, no=HEALTHY),
    Situation(
        "ladder, all levels dead",
        ("ladder-vae", {"latent_dims": (4, 8), "widths": (16, 32)}),
        {"loss": ("elbo", {"beta": 100})},
        begins="The posterior has collapsed",
        says=("0 of 12 latent units in use", "a lower --loss.beta"),
        no=(*COLLAPSED, "is dead"),
    ),
    Situation(
        "IWAE, a wide likelihood",
        vae(8),
        {"loss": ("iwae", {"samples": 5}), "likelihood": ("gaussian", {"scale": 3.0})},
        begins="The posterior has collapsed",
        says=("a smaller --likelihood.scale",),
        no=COLLAPSED,
    ),
    Situation(
        "free bits above all that can be saved",
        vae(8),
        {"loss": ("elbo", {"free_bits": 60.0})},
        says=("cost more than they save", "60 nats of rate cost nothing", "fewer free bits"),
        no=("healthy", "collapsed"),
    ),
    Situation(
        "GECO, a target that is reached",
        vae(8),
        {"loss": ("geco", {"target": 25.0}), "epochs": 60},
        says=("The target of 25 nats is reached.",),
        no=("collapsed", "Try"),
    ),
    Situation(
        "GECO, a target below a perfect decoder",
        vae(8),
        {"loss": ("geco", {"target": 5.0})},
        says=("lies below the 13.", "the weight only grows", "a higher --loss.target"),
        no=("collapsed", "healthy"),
    ),
    Situation(
        "GECO, a target that needs no latents",
        vae(8),
        {"loss": ("geco", {"target": 60.0}), "epochs": 30},
        begins="The posterior has collapsed",
        says=("needs no latents", "a lower --loss.target"),
        no=COLLAPSED,
    ),
    Situation(
        "β-TC, β = 100",
        vae(8),
        {"loss": ("beta-tc", {"beta": 100}), "epochs": 30},
        begins="The posterior has collapsed",
        says=("their total correlation by 100", "--loss.beta"),
        no=COLLAPSED,
    ),
    Situation(
        "a warm-up longer than the run",
        vae(8),
        {"scheduler": {"beta": ("linear-warmup", {"epochs": 200})}},
        says=("β has come to 0.1 only: its schedule takes 200 epochs", "a shorter warm-up"),
        no=("collapsed", "higher --loss.beta"),
    ),
    Situation(
        "a frozen decoder that was never trained",
        vae(8),
        starting("decoder", lr=1e-9, epochs=1),
        begins="The model is not trained",
        says=("What was frozen (decoder)", "training without --freeze"),
        no=("in use", "collapsed"),
    ),
    Situation(
        "a frozen encoder that was never trained",
        vae(8),
        starting("encoder", lr=1e-9, epochs=1),
        begins="The",
        says=("What was frozen (encoder)", "training without --freeze"),
        no=("healthy",),
    ),
    Situation("healthy, a frozen decoder that was trained", vae(8), starting("decoder"), no=HEALTHY),
    Situation(
        "a model of pixels, healthy",
        "pixels",
        {"prior": ("autoregressive", {"width": 16, "layers": 3}), "network": None, "epochs": 5},
        begins="The model knows more than single pixels",
        says=("where pixels drawn each by itself take 1",),
        no=HEALTHY,
    ),
    Situation(
        "a model of pixels, one step",
        "pixels",
        {
            "prior": ("autoregressive", {"width": 16, "layers": 3}),
            "network": None,
            "epochs": 1,
            "limit": 16,
            "lr": 1e-9,
        },
        begins="The model is not trained yet",
        says=("1 steps are few",),
    ),
    Situation(
        "GAN that draws few kinds",
        ("gan", {"latent_dim": 8}),
        {**GAN, "loss": ("adversarial", {"lr": 5e-2, "critic_lr": 1e-4}), "epochs": 20},
        begins="The samples",
        says=("near to 0% of these", "other learning rates"),
        no=("spread like the data",),
    ),
    Situation(
        "GAN whose generator stands still",
        ("gan", {"latent_dim": 8}),
        {**GAN, "loss": ("adversarial", {"lr": 1e-9}), "epochs": 10},
        begins="The",
        says=("near to 0% of these", "Try"),
        no=("spread like the data",),
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("situation", SITUATIONS, ids=[situation.name.replace(" ", "-") for situation in SITUATIONS])
def test_a_situation_is_called_what_it_is(situation: Situation, tmp_path: Path) -> None:
    verdict = situation.run(tmp_path).verdict
    assert verdict.startswith(situation.begins), verdict
    for text in situation.says:
        assert text in verdict, (text, verdict)
    for text in situation.no:
        assert text not in verdict, (text, verdict)


def rescale(run: Run, factor: float) -> None:
    """Multiply the latents by a factor, their prior with them and the decoder's weights by its inverse: the same model."""
    model = run.model
    encoder: Any = [part for part in model.get_submodule("encoder").modules() if isinstance(part, nn.Linear)][-1]
    decoder: Any = next(part for part in model.get_submodule("decoder").modules() if isinstance(part, nn.Linear))
    prior: Any = model.prior
    size = len(encoder.bias) // 2
    with torch.no_grad():
        encoder.weight[:size] *= factor
        encoder.bias[:size] *= factor
        encoder.bias[size:] += 2 * math.log(factor)
        decoder.weight /= factor
        prior.mean *= factor
        prior.log_variance += 2 * math.log(factor)


@pytest.mark.parametrize("factor", [0.05, 30.0])
def test_a_model_is_judged_alike_when_its_latents_are_rescaled(factor: float, tmp_path: Path) -> None:
    run = genzoo.run(vae(4), prior="mixture", out=tmp_path, **{**TRAIN, "epochs": 8})
    before, active, rate = run.diagnose(), run.evaluate("active-units"), run.evaluate("elbo", samples=2)["rate"]
    rescale(run, factor)
    after, now = run.diagnose(), run.evaluate("active-units")
    assert [finding.severity for finding in after] == [finding.severity for finding in before]
    assert after[0].text.startswith("The latents are in use")
    assert "4 of 4 latent units in use" in after[0].text
    assert now["in-use"] == active["in-use"] == 4
    assert (now["active-units"] == 4) == (factor > 1)
    assert run.evaluate("elbo", samples=2)["rate"] == pytest.approx(rate, rel=1e-3)


def main() -> None:
    """Print the table."""
    sys.stdout.write("| situation | verdict |\n| --- | --- |\n")
    for situation in SITUATIONS:
        with tempfile.TemporaryDirectory() as folder:
            sys.stdout.write(f"| {situation.name} | {situation.run(Path(folder)).verdict} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
