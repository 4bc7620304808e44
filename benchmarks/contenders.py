"""The contenders of `training.py`: each takes optimizer steps on the same images, by its own way of training.

Every contender is made with ``(images, labels)`` as numpy bytes and a batch size, and its ``run()`` trains one pass over
them. What is compared is training steps: nobody evaluates, saves or draws meanwhile.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

os.environ["TQDM_DISABLE"] = "1"  # pythae's progress bar; read when tqdm is first imported

import torch
from torch import Tensor, nn
from torch.nn import functional

from genzoo.compose.build import Experiment, build
from genzoo.compose.plan import plan
from genzoo.engine.data import Loader
from genzoo.engine.listener import Listener
from genzoo.engine.settings import choose
from genzoo.engine.signals import Signals
from genzoo.engine.train import Trainer
from genzoo.host.plugin_host import host
from genzoo.recipe import Part, Recipe
from genzoo.types import Split


class Contender(Protocol):
    """Who trains one pass over the images, and says how many optimizer steps that was."""

    def run(self) -> int: ...


def experiment(network: Mapping[str, Any], latent: int, batch_size: int, precision: str) -> Experiment:
    """A VAE by genzoo's own composition.

    Args:
        network: ``name`` and ``options`` of the network.
        latent: Latent dimensions.
        batch_size: Images a step.
        precision: ``"auto"``, ``"fp32"`` or ``"bf16"``.
    """
    recipe = Recipe(
        model=Part(name="vae", options={"latent_dim": latent}),
        dataset=Part(name="mnist"),
        network=Part(name=network["name"], options=dict(network["options"])),
        likelihood=Part(name="bernoulli"),
        prior=Part(name="standard-normal"),
        loss=Part(name="elbo"),
        train={"epochs": 1, "batch_size": batch_size, "precision": precision, "seed": 0},
    )
    return build(plan(recipe, host()))


class Genzoo:
    """genzoo's engine, whole: data by index, schedules, estimators, guard against non-finite numbers, totals, progress."""

    def __init__(self, made: Experiment, split: Split) -> None:
        self.trainer = Trainer(made, Listener(), {"train": split})
        self.settings = self.trainer.settings
        self._signals = Signals()

    def run(self) -> int:
        trainer = self.trainer
        with trainer.settings.fast_arithmetic():
            trainer.first.train_epoch(self._signals)
        steps = trainer.state.step_in_epoch
        trainer.state.step_in_epoch = 0
        return steps


class Bare:
    """The step without an engine: the same modules, precision and optimizer, batches already made, the report's
    equations written out. Nothing is counted, checked or reported.
    """

    def __init__(self, made: Experiment, split: Split, batch_size: int, precision: str) -> None:
        model = made.model
        self._encoder, self._decoder = model.encoder, model.decoder
        assert isinstance(self._encoder, nn.Module)
        assert isinstance(self._decoder, nn.Module)
        self._optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
        loader = Loader(made.dataset, split, "cpu", channels_last=choose(made.plan.train, model).channels_last)
        self._batches = [
            loader.batch(slice(i, i + batch_size), training=True).image for i in range(0, len(split), batch_size)
        ]
        self._bf16 = precision == "bf16"
        model.train()

    def step(self, image: Tensor) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=self._bf16):
            mean, log_variance = self._encoder(image).float().chunk(2, dim=1)  # pyright: ignore[reportCallIssue]
            z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
            logits = self._decoder(z)  # pyright: ignore[reportCallIssue]
        n = len(image)
        distortion = functional.binary_cross_entropy_with_logits(logits.float(), image, reduction="sum") / n
        rate = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum() / n
        (distortion + rate).backward()
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def run(self) -> int:
        torch.set_flush_denormal(True)
        for image in self._batches:
            self.step(image)
        torch.set_flush_denormal(False)
        return len(self._batches)


class PlainVAE(nn.Module):
    """Tables 1 and 2 of the report as a tutorial writes them, sigmoid included."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU(),
            nn.Conv2d(64, 128, 3, 2, 1), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
        self.mean, self.log_variance = nn.Linear(2048, 2), nn.Linear(2048, 2)
        self.decoder = nn.Sequential(
            nn.Linear(2, 2048), nn.ReLU(), nn.Unflatten(1, (128, 4, 4)),
            nn.ConvTranspose2d(128, 64, 3, 2, 1), nn.ReLU(), nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU(),
            nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = self.encoder(image)
        mean, log_variance = self.mean(features), self.log_variance(features)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        return self.decoder(z), mean, log_variance


class Tutorial:
    """The loop that tutorials teach: torchvision's MNIST with ToTensor, a shuffling DataLoader, float32, Adam, and the
    running loss read with ``.item()`` after each step.
    """

    def __init__(self, split: Split, batch_size: int) -> None:
        from torch.utils.data import DataLoader
        from torchvision import transforms
        from torchvision.datasets import MNIST

        to_tensor = transforms.ToTensor()

        class InMemory(MNIST):
            """torchvision's own items, from images that are already read."""

            def __init__(self) -> None:
                self.data, self.targets = split.images[:, 0], split.labels
                self.transform, self.target_transform = to_tensor, None

        self._loader: Any = DataLoader(InMemory(), batch_size=batch_size, shuffle=True)
        self._model = PlainVAE()
        self._optimizer = torch.optim.Adam(self._model.parameters(), lr=1e-3)
        self.running = 0.0

    def run(self) -> int:
        self._model.train()
        self.running, steps = 0.0, 0
        for image, _ in self._loader:
            self._optimizer.zero_grad()
            output, mean, log_variance = self._model(image)
            distortion = functional.binary_cross_entropy(output, image, reduction="sum")
            rate = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
            loss = (distortion + rate) / len(image)
            loss.backward()
            self._optimizer.step()
            self.running += loss.item()
            steps += 1
        return steps


class Pythae:
    """The trainer of pythae 0.1.2 with the report's network, its own data loader and its own VAE."""

    def __init__(self, split: Split, batch_size: int) -> None:
        logging.disable(logging.INFO)
        from pythae.data.datasets import BaseDataset  # pyright: ignore[reportMissingImports]
        from pythae.trainers import BaseTrainer, BaseTrainerConfig  # pyright: ignore[reportMissingImports]

        self._folder = tempfile.TemporaryDirectory()
        config = BaseTrainerConfig(
            output_dir=str(Path(self._folder.name)), num_epochs=1, learning_rate=1e-3, optimizer_cls="Adam",
            per_device_train_batch_size=batch_size, no_cuda=True,
        )  # fmt: skip
        data = BaseDataset(split.images.float() / 255, split.labels)
        self._trainer: Any = BaseTrainer(pythae_vae(), data, training_config=config)
        self._trainer.prepare_training()

    def run(self) -> int:
        self._trainer.train_step(1)
        return len(self._trainer.train_loader)


def pythae_vae() -> Any:
    """pythae's VAE with the networks of `PlainVAE`."""
    from pythae.models import VAE, VAEConfig  # pyright: ignore[reportMissingImports]
    from pythae.models.base.base_utils import ModelOutput  # pyright: ignore[reportMissingImports]
    from pythae.models.nn import BaseDecoder, BaseEncoder  # pyright: ignore[reportMissingImports]

    plain = PlainVAE()

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.mean, self.log_variance = plain.encoder, plain.mean, plain.log_variance

        def forward(self, x: Tensor) -> Any:
            features = self.body(x)
            return ModelOutput(embedding=self.mean(features), log_covariance=self.log_variance(features))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.body = plain.decoder

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.body(z))

    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=2, reconstruction_loss="bce")
    return VAE(config, encoder=Encoder(), decoder=Decoder())
