"""The transformer prior: causality, normalisation, drawing with kept keys and values, and what it learns."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from genzoo.errors import UsageError
from genzoo.host.plugin_host import host
from genzoo.types import ImageSpec, Kind, LatentSpec
from genzoo_autoregressive.options import TransformerOptions
from genzoo_autoregressive.transformer import TransformerPrior

IMAGE = ImageSpec((1, 8, 8), classes=3)


def make(
    shape: tuple[int, ...] = (3, 4), categories: int = 5, *, bent: bool = True, **options: Any
) -> TransformerPrior:
    torch.manual_seed(0)
    prior = TransformerPrior(
        TransformerOptions(**{"width": 8, "layers": 2, **options}), LatentSpec(shape, categories), IMAGE
    ).double()
    if bent:
        with torch.no_grad():
            for p in prior.parameters():
                p.add_(0.3 * torch.randn_like(p))
    return prior


def fitted(prior: TransformerPrior) -> TransformerPrior:
    prior.train()
    prior.nll(torch.zeros(1, *prior.latent.shape, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
    return prior.eval()


def every(shape: tuple[int, ...], categories: int) -> Tensor:
    return torch.tensor(list(itertools.product(range(categories), repeat=math.prod(shape)))).reshape(-1, *shape)


@pytest.mark.parametrize("layers", [1, 3])
def test_a_later_code_changes_no_earlier_logits_and_every_later_ones(layers: int) -> None:
    prior = make((4, 5), layers=layers)
    codes = torch.randint(5, (1, 4, 5))
    base = prior.network(codes)
    for index in range(20):
        changed = codes.clone()
        changed.view(-1)[index] = (changed.view(-1)[index] + 1) % 5
        difference = (prior.network(changed) - base).abs().sum(1).flatten()
        assert difference[: index + 1].max() == 0
        if index < 19:
            assert difference[index + 1 :].min() > 0


@pytest.mark.parametrize("shape", [(2, 3), (4,), (2, 1, 2)])
def test_probabilities_of_all_codes_sum_to_one(shape: tuple[int, ...]) -> None:
    assert fitted(make(shape, 3))().log_prob(every(shape, 3)).exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_the_mixture_of_the_labels_sums_to_one_and_each_label_is_another() -> None:
    prior, codes = fitted(make((2, 2), 3, conditional=True)), every((2, 2), 3)
    each = prior(label=torch.arange(3)).log_prob(codes[:, None].expand(-1, 3, 2, 2))
    torch.testing.assert_close(each.exp().sum(0), torch.ones(3, dtype=torch.float64))
    assert (each[:, 0] - each[:, 1]).abs().max() > 0.01
    torch.testing.assert_close(prior().log_prob(codes), each.logsumexp(1) - math.log(3))


@pytest.mark.parametrize("conditional", [False, True])
def test_drawing_sees_what_the_whole_map_sees(conditional: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each draw is from the probabilities of the map at once, so that kept keys and values are those of the whole."""
    network = make((3, 4), conditional=conditional).network
    label = torch.tensor([0, 2]) if conditional else None
    seen: list[Tensor] = []
    genuine = torch.multinomial

    def multinomial(probabilities: Tensor, n: int) -> Tensor:
        seen.append(probabilities)
        return genuine(probabilities, n)

    monkeypatch.setattr(torch, "multinomial", multinomial)
    drawn = network.draw(2, label)
    whole = network(drawn, label).float().softmax(1).flatten(2)
    torch.testing.assert_close(torch.stack(seen, 2), whole, rtol=1e-5, atol=1e-6)


def test_samples_follow_the_probabilities() -> None:
    prior = fitted(make((2, 2), 2))
    drawn = prior().sample((10_000,))
    frequency = torch.bincount((drawn.flatten(1) * torch.tensor([8, 4, 2, 1])).sum(1), minlength=16) / 10_000
    expected = prior().log_prob(every((2, 2), 2)).exp().detach()
    torch.testing.assert_close(frequency.double(), expected, atol=0.015, rtol=0)


def test_it_is_uniform_until_fitted_and_an_untrained_network_too() -> None:
    prior, codes = make(bent=False), torch.randint(5, (6, 3, 4))
    expected = torch.full((6,), -12 * math.log(5), dtype=torch.float64)
    torch.testing.assert_close(prior().log_prob(codes), expected)
    torch.testing.assert_close(fitted(prior)().log_prob(codes), expected)


def test_it_learns_what_far_codes_have_in_common() -> None:
    """The last code of a row of 12 is the first one, which a PixelCNN of two layers cannot know."""
    prior = make((1, 12), 4, bent=False, width=32).float()
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(prior.parameters(), lr=3e-3)
    prior.train()
    for _ in range(400):
        codes = torch.randint(4, (64, 1, 12))
        codes[:, :, -1] = codes[:, :, 0]
        optimizer.zero_grad()
        prior.nll(codes).mean().backward()
        optimizer.step()
    loss = float(prior.eval().nll(codes).mean().detach())
    assert loss < 11 * math.log(4) + 0.3, "12 log 4 is what they cost one by one"
    drawn = prior().sample((100,))
    assert (drawn[:, 0, 0] == drawn[:, 0, -1]).float().mean() > 0.9


def test_dropout_acts_in_training_alone() -> None:
    prior, codes = fitted(make(dropout=0.5)), torch.randint(5, (6, 3, 4))
    assert torch.equal(prior.nll(codes), prior.nll(codes))
    prior.train()
    assert not torch.equal(prior.nll(codes), prior.nll(codes))


def test_a_width_that_the_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(UsageError, match="width must be a multiple of heads, got 10 and 4"):
        host().get(Kind.PRIOR, "transformer").make_options({"width": 10, "heads": 4})
