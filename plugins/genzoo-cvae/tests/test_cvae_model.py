"""The CVAE: the report's sizes, what the label reaches, label shapes, refusals, storage."""

from __future__ import annotations

import pickle
import warnings

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution

from genzoo import estimators
from genzoo.distributions import DiagonalNormal
from genzoo.errors import IncompatibleError, UsageError
from genzoo.interfaces import Parts, Prior
from genzoo.interfaces.prior import Encode
from genzoo.options import NoOptions
from genzoo.types import Batch, Capability, ImageSpec
from genzoo_cvae.cvae import CVAE
from genzoo_cvae.options import CVAEOptions
from genzoo_likelihoods.bernoulli import Bernoulli
from genzoo_networks.conv import Conv
from genzoo_networks.options import ConvOptions
from genzoo_priors.standard_normal import StandardNormalPrior

IMAGE = ImageSpec((1, 8, 8), classes=10)


def make(
    image: ImageSpec = IMAGE, channels: tuple[int, ...] = (4, 8), prior: type[Prior] = StandardNormalPrior
) -> CVAE:
    torch.manual_seed(0)
    network = Conv(ConvOptions(channels=channels))
    return CVAE(
        CVAEOptions(), Parts(image, network, Bernoulli(NoOptions()), lambda latent: prior(NoOptions(), latent, image))
    )


@pytest.fixture
def batch() -> Batch:
    torch.manual_seed(1)
    return Batch(torch.rand(5, 1, 8, 8), torch.arange(5))


def test_the_reports_model_adds_ten_planes_and_ten_numbers() -> None:
    model = make(ImageSpec((1, 28, 28), 10), channels=(32, 64, 128))
    assert model.encoder[0].weight.shape == (32, 11, 4, 4)
    assert model.decoder[0].weight.shape == (2048, 12)
    assert sum(p.numel() for p in model.encoder.parameters()) == 115428 + 10 * 16 * 32
    assert sum(p.numel() for p in model.decoder.parameters()) == 113249 + 10 * 2048


def test_it_is_conditional() -> None:
    assert Capability.CONDITIONAL in CVAE.capabilities


def test_the_label_changes_posterior_and_likelihood_but_not_the_prior(batch: Batch) -> None:
    model = make()
    other = Batch(batch.image, (batch.label + 1) % 10)
    a, b = model.encode(batch).latents[0], model.encode(other).latents[0]
    assert not torch.equal(a.posterior.mean, b.posterior.mean)
    assert torch.equal(a.prior.log_prob(a.sample), b.prior.log_prob(a.sample))
    z = torch.zeros(5, 2)
    assert not torch.equal(model.decode([z], batch.label).mean, model.decode([z], other.label).mean)


def test_labels_of_a_batch_serve_every_sample(batch: Batch) -> None:
    model = make().double()
    z = torch.randn(3, 5, 2, dtype=torch.float64)
    together = model.decode([z], batch.label)
    assert together.batch_shape == (3, 5)
    for k in range(3):
        for b in range(5):
            torch.testing.assert_close(together.mean[k, b], model.decode([z[k, b]], batch.label[b]).mean)
    torch.testing.assert_close(model.decode([z], batch.label.expand(3, 5)).mean, together.mean)


def test_shapes_of_an_output(batch: Batch) -> None:
    output = make()(batch, samples=3)
    assert output.latents[0].sample.shape == (3, 5, 2)
    assert output.likelihood.batch_shape == (3, 5)
    assert estimators.elbo(output, batch.image).shape == (3, 5)


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        (None, "label must be given"),
        (torch.arange(4), "labels: label must have a shape that"),
        (torch.arange(5) + 6, r"label must be in \[0, 10\), got 10"),
        (torch.arange(5) - 1, r"label must be in \[0, 10\), got -1"),
        (torch.arange(5).float(), "label must be int64"),
    ],
)
def test_wrong_labels_are_refused(batch: Batch, label: Tensor | None, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        make()(Batch(batch.image, label))
    with pytest.raises(UsageError, match=reason):
        make().decode([torch.zeros(5, 2)], label)


def test_images_without_labels_are_refused() -> None:
    with pytest.raises(IncompatibleError, match="cvae: dataset must have labels"):
        make(ImageSpec((1, 8, 8)))


def test_samples_follow_the_label_and_the_seed() -> None:
    model = make()
    ones, twos = torch.full((4,), 1), torch.full((4,), 2)
    assert torch.equal(model.sample(4, ones, seed=1), model.sample(4, ones, seed=1))
    assert not torch.equal(model.sample(4, ones, seed=1), model.sample(4, twos, seed=1))
    with pytest.raises(UsageError, match="label must be given"):
        model.sample(4)


class EncodedPrior(Prior):
    """The posterior of one grey image, to see that a prior may ask the encoder without a label."""

    def forward(self, *, label: Tensor | None = None, encode: Encode | None = None) -> Distribution:
        assert encode is not None
        posterior = encode(torch.full((1, *self.image.shape), 0.5))
        assert isinstance(posterior, DiagonalNormal)
        return DiagonalNormal(posterior.mean[0], posterior.log_variance[0])


def test_a_prior_may_ask_the_encoder(batch: Batch) -> None:
    model = make(prior=EncodedPrior)
    output = model(batch)
    assert estimators.rate(output.latents[0]).exact
    assert model.sample(4, torch.zeros(4, dtype=torch.int64), seed=0).shape == (4, 1, 8, 8)


def test_it_survives_pickle_and_a_state_dict(batch: Batch) -> None:
    model, other = make(), make()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.normal_()
    other.load_state_dict(model.state_dict())
    copy = pickle.loads(pickle.dumps(model))
    expected = model.sample(5, batch.label, seed=3)
    assert torch.equal(other.sample(5, batch.label, seed=3), expected)
    assert torch.equal(copy.sample(5, batch.label, seed=3), expected)


def test_under_autocast_its_numbers_are_float32(batch: Batch) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert estimators.elbo(make()(batch), batch.image).dtype == torch.float32


def test_it_builds_and_runs_on_meta() -> None:
    with torch.device("meta"):
        output = make()(Batch(torch.rand(5, 1, 8, 8), torch.zeros(5, dtype=torch.int64)))
    assert output.likelihood.mean.shape == (1, 5, 1, 8, 8)


def test_every_parameter_gets_a_gradient(batch: Batch) -> None:
    model = make()
    (-estimators.elbo(model(batch), batch.image)).mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.slow
def test_it_traces_into_one_graph(batch: Batch) -> None:
    model = make()

    def elbo(image: Tensor, label: Tensor) -> Tensor:
        return estimators.elbo(model(Batch(image, label)), image)

    torch.manual_seed(2)
    expected = elbo(batch.image, batch.label)
    torch.manual_seed(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.compile(elbo, backend="aot_eager", fullgraph=True)(batch.image, batch.label)
    torch.testing.assert_close(traced, expected)
