"""The VAE: the report's sizes, shapes of any latents, randomness, gradients, precision and storage."""

from __future__ import annotations

import pickle
import warnings

import pytest
import torch
from torch import Tensor

from genzoo import estimators
from genzoo.errors import UsageError
from genzoo.interfaces import Parts
from genzoo.options import NoOptions
from genzoo.types import Batch, ImageSpec
from genzoo_likelihoods.bernoulli import Bernoulli
from genzoo_networks.conv import Conv
from genzoo_networks.options import ConvOptions
from genzoo_priors.mixture import MixturePrior
from genzoo_priors.options import MixtureOptions
from genzoo_priors.standard_normal import StandardNormalPrior
from genzoo_vae.options import VAEOptions
from genzoo_vae.vae import VAE


def make(image: ImageSpec, latent_dim: int = 2, channels: tuple[int, ...] = (4, 8), prior: str = "normal") -> VAE:
    torch.manual_seed(0)
    network, likelihood = Conv(ConvOptions(channels=channels)), Bernoulli(NoOptions())
    if prior == "mixture":
        parts = Parts(image, network, likelihood, lambda latent: MixturePrior(MixtureOptions(), latent, image))
    else:
        parts = Parts(image, network, likelihood, lambda latent: StandardNormalPrior(NoOptions(), latent, image))
    return VAE(VAEOptions(latent_dim=latent_dim), parts)


IMAGE = ImageSpec((1, 8, 8), classes=10)


@pytest.fixture
def batch() -> Batch:
    torch.manual_seed(1)
    return Batch(torch.rand(5, 1, 8, 8), torch.arange(5))


def test_the_reports_model_has_the_tables_parameters() -> None:
    model = make(ImageSpec((1, 28, 28), 10), channels=(32, 64, 128))
    table_1 = 544 + 32832 + 73856 + 2 * (2048 + 1) * 2
    table_2 = (2 + 1) * 2048 + 73792 + 32800 + 513
    assert sum(p.numel() for p in model.encoder.parameters()) == table_1 == 115428
    assert sum(p.numel() for p in model.decoder.parameters()) == table_2 == 113249


@pytest.mark.parametrize("samples", [1, 3])
def test_shapes_of_an_output(batch: Batch, samples: int) -> None:
    output = make(IMAGE, latent_dim=6)(batch, samples=samples)
    (latent,) = output.latents
    assert latent.sample.shape == (samples, 5, 6)
    assert latent.posterior.batch_shape == (5,)
    assert latent.prior.batch_shape == ()
    assert output.likelihood.batch_shape == (samples, 5)
    assert output.likelihood.event_shape == (1, 8, 8)
    assert estimators.log_weights(output, batch.image).shape == (samples, 5)


@pytest.mark.parametrize("leading", [(), (1,), (7,), (3, 5), (2, 3, 5)])
def test_any_leading_shape_decodes_alike(leading: tuple[int, ...]) -> None:
    model = make(IMAGE).double()
    z = torch.randn(*leading, 2, dtype=torch.float64)
    p = model.decode([z])
    assert p.batch_shape == leading
    one_by_one = torch.stack([model.decode([row]).mean for row in z.reshape(-1, 2)])
    torch.testing.assert_close(p.mean.reshape(one_by_one.shape), one_by_one)


def test_the_label_has_no_effect(batch: Batch) -> None:
    model = make(IMAGE)
    z = torch.randn(5, 2)
    assert torch.equal(model.decode([z], batch.label).mean, model.decode([z]).mean)


def test_a_seed_repeats_and_another_does_not(batch: Batch) -> None:
    model = make(IMAGE)
    state = torch.get_rng_state()
    first, again, other = model.sample(4, seed=1), model.sample(4, seed=1), model.sample(4, seed=2)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.shape == (4, 1, 8, 8)


def test_every_parameter_gets_a_gradient(batch: Batch) -> None:
    model = make(IMAGE, prior="mixture")
    (-estimators.elbo(model(batch), batch.image)).mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_under_autocast_its_numbers_are_float32_and_near(batch: Batch) -> None:
    model = make(IMAGE)
    torch.manual_seed(2)
    exact = estimators.elbo(model(batch), batch.image)
    torch.manual_seed(2)
    with torch.autocast("cpu", torch.bfloat16):
        output = model(batch)
        rough = estimators.elbo(output, batch.image)
    assert output.latents[0].sample.dtype == torch.float32
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=1e-2, atol=0)


def test_it_survives_pickle_and_a_state_dict(batch: Batch) -> None:
    model, other = make(IMAGE, prior="mixture"), make(IMAGE, prior="mixture")
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.normal_()
    other.load_state_dict(model.state_dict())
    copy = pickle.loads(pickle.dumps(model))
    expected = model.sample(4, seed=3)
    assert torch.equal(other.sample(4, seed=3), expected)
    assert torch.equal(copy.sample(4, seed=3), expected)


def test_it_builds_and_runs_on_meta() -> None:
    with torch.device("meta"):
        model = make(ImageSpec((1, 28, 28), 10), channels=(32, 64, 128))
        output = model(Batch(torch.rand(5, 1, 28, 28)))
        assert estimators.elbo(output, torch.rand(5, 1, 28, 28)).shape == (1, 5)


def test_images_of_another_shape_are_refused() -> None:
    with pytest.raises(UsageError, match=r"image must be \[B, 1, 8, 8\], got \[5, 1, 9, 9\]"):
        make(IMAGE)(Batch(torch.rand(5, 1, 9, 9)))


def test_latents_of_another_shape_are_refused() -> None:
    with pytest.raises(UsageError, match=r"latent must be \[\*, 2\], got \[5, 3\]"):
        make(IMAGE).decode([torch.zeros(5, 3)])


def test_a_few_steps_lower_the_objective(batch: Batch) -> None:
    model, batch = make(IMAGE), batch.with_image(batch.image.round())
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    history: list[float] = []
    for _ in range(100):
        optimizer.zero_grad()
        objective = -estimators.elbo(model(batch), batch.image).mean()
        objective.backward()
        optimizer.step()
        history.append(objective.item())
    assert sum(history[-5:]) < 0.8 * sum(history[:5])


@pytest.mark.slow
def test_it_traces_into_one_graph(batch: Batch) -> None:
    model = make(IMAGE)

    def elbo(image: Tensor, label: Tensor) -> Tensor:
        return estimators.elbo(model(Batch(image, label)), image)

    torch.manual_seed(2)
    expected = elbo(batch.image, batch.label)
    torch.manual_seed(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.compile(elbo, backend="aot_eager", fullgraph=True)(batch.image, batch.label)
    torch.testing.assert_close(traced, expected)
