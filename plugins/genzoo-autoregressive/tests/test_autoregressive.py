"""The priors over codes: causality, normalisation, sampling, and what holds before and after fitting."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from genzoo.errors import IncompatibleError, UsageError
from genzoo.host.plugin_host import host
from genzoo.options import NoOptions
from genzoo.types import ImageSpec, Kind, LatentSpec
from genzoo_autoregressive.autoregressive import AutoregressivePrior, CodesPrior
from genzoo_autoregressive.options import AutoregressiveOptions, TransformerOptions
from genzoo_autoregressive.transformer import TransformerPrior
from genzoo_autoregressive.uniform import UniformCodes

IMAGE = ImageSpec((1, 8, 8), classes=3)


KINDS = [(AutoregressivePrior, AutoregressiveOptions), (TransformerPrior, TransformerOptions)]
BOTH = pytest.mark.parametrize("kind", KINDS, ids=["autoregressive", "transformer"])


def make(
    shape: tuple[int, ...] = (3, 4),
    categories: int = 5,
    *,
    bent: bool = True,
    kind: tuple[Any, Any] = KINDS[0],
    **options: Any,
):
    torch.manual_seed(0)
    made, options_of = kind
    prior = made(options_of(**{"width": 8, "layers": 3, **options}), LatentSpec(shape, categories), IMAGE).double()
    if bent:
        with torch.no_grad():
            for p in prior.parameters():
                p.add_(0.3 * torch.randn_like(p))
    return prior


def fitted(prior: CodesPrior) -> CodesPrior:
    """As it is after one step of its stage, without an update."""
    prior.train()
    prior.nll(torch.zeros(1, *prior.latent.shape, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
    return prior.eval()


def every(shape: tuple[int, ...], categories: int) -> Tensor:
    codes = list(itertools.product(range(categories), repeat=math.prod(shape)))
    return torch.tensor(codes).reshape(-1, *shape)


@pytest.mark.parametrize(("kind", "layers"), [(KINDS[0], 6), (KINDS[1], 1), (KINDS[1], 3)])
def test_a_later_code_changes_no_earlier_logits_and_every_later_ones(kind: tuple[Any, Any], layers: int) -> None:
    prior = make((4, 5), kind=kind, layers=layers)
    codes = torch.randint(5, (1, 4, 5))
    base = prior.network(codes)
    for index in range(20):
        changed = codes.clone()
        changed.view(-1)[index] = (changed.view(-1)[index] + 1) % 5
        difference = (prior.network(changed) - base).abs().sum(1).flatten()
        assert difference[: index + 1].max() == 0
        if index < 19:
            assert difference[index + 1 :].min() > 0


SHAPES = [
    ((4, 5), {"layers": 3}, 12),
    ((4, 5), {"layers": 4}, None),
    ((4, 5), {"layers": 1}, None),
    ((3, 6), {"layers": 2, "kernel": 5}, None),
    ((5, 5), {"layers": 3, "dilations": (1, 2)}, None),
    ((4, 6), {"layers": 2, "dilations": (2,)}, None),
    ((3, 7), {"layers": 2, "kernel": 7}, 0),
    ((6, 1), {"layers": 2}, None),
    ((9,), {"layers": 3}, None),
    ((4, 5), {"layers": 5, "conditional": True}, 0),
]


@pytest.mark.parametrize(("shape", "options", "known"), SHAPES)
def test_unreached_pairs_are_those_without_a_gradient(
    shape: tuple[int, ...], options: dict[str, Any], known: int | None
) -> None:
    """And no logit has a gradient of its own code or of a later one."""
    prior = make(shape, **options)
    network = prior.network
    codes, label = torch.randint(5, (1, *network.size)), torch.zeros(1, dtype=torch.int64)
    embedded: list[Tensor] = []

    def embed(module: torch.nn.Module, arguments: Any, output: Tensor) -> Tensor:
        embedded.append(output.detach().requires_grad_())
        return embedded[-1]

    with torch.enable_grad():
        network.embed.register_forward_hook(embed)
        logits = network(codes, label if prior.conditional else None)[0].flatten(1).sum(0)
        height, width = network.size
        reached = torch.zeros(height * width, height * width, dtype=torch.bool)
        for later in range(height * width):
            above, left = torch.autograd.grad(logits[later], embedded, retain_graph=True, allow_unused=True)
            # The vertical stack reads all rows but the last, the horizontal one all columns but the last.
            for part, last_row, last_column in ((above, height - 1, width), (left, height, width - 1)):
                if part is not None:
                    seen = torch.zeros(height, width, dtype=torch.bool)
                    seen[:last_row, :last_column] = part[0].abs().sum(-1) > 0
                    reached[later] |= seen.flatten()
    earlier = torch.ones_like(reached).tril(-1)
    assert not reached[~earlier].any()
    missed = int((earlier & ~reached).sum())
    assert network.unreached() == missed
    assert known is None or missed == known


def test_a_shallow_network_is_warned_of_with_the_number(caplog: pytest.LogCaptureFixture) -> None:
    evidence: Any = None
    (found,) = make((4, 5), layers=3).diagnose(evidence)
    for text in (caplog.text, found.text):
        assert "12 of 190 pairs of codes are independent" in text
    assert "--prior.kernel" in found.remedy
    caplog.clear()
    for options in ({"layers": 5}, {"layers": 3, "kernel": 5}, {"layers": 3, "dilations": (1, 2)}):
        assert not make((4, 5), **options).diagnose(evidence)
    assert not caplog.records


def test_even_kernels_are_refused() -> None:
    with pytest.raises(ValueError, match="kernel must be odd, got 4"):
        AutoregressiveOptions(kernel=4)


@pytest.mark.parametrize("options", [{"kernel": 5}, {"dilations": (1, 3)}])
def test_wider_networks_are_causal_normalised_and_draw_what_they_see(options: dict[str, Any]) -> None:
    prior = fitted(make((2, 3), 3, **options))
    codes = every((2, 3), 3)
    assert prior().log_prob(codes).exp().sum().item() == pytest.approx(1, abs=1e-12)
    network = make((4, 5), **options).network
    some = torch.randint(5, (2, 4, 5))
    whole = network(some)
    for row, column in itertools.product(range(4), range(5)):
        contexts = [context[:, :, row:, : column + 1] for context in network.above(some[:, : row + 1], None)]
        part = network.beside(some[:, row : row + 1, : column + 1], contexts, row)
        torch.testing.assert_close(part[:, :, 0, -1], whole[:, :, row, column])


def test_drawing_sees_what_the_whole_map_sees() -> None:
    """Row by row, with the rows above computed once, gives the logits of the map at once."""
    network = make((4, 5), conditional=True).network
    codes, label = torch.randint(5, (2, 4, 5)), torch.tensor([0, 2])
    whole = network(codes, label)
    for row, column in itertools.product(range(4), range(5)):
        contexts = [context[:, :, row:, : column + 1] for context in network.above(codes[:, : row + 1], label)]
        part = network.beside(codes[:, row : row + 1, : column + 1], contexts, row)
        torch.testing.assert_close(part[:, :, 0, -1], whole[:, :, row, column])


@BOTH
@pytest.mark.parametrize("shape", [(2, 3), (4,), (2, 1, 2)])
def test_probabilities_of_all_codes_sum_to_one(shape: tuple[int, ...], kind: tuple[Any, Any]) -> None:
    prior = fitted(make(shape, 3, kind=kind))
    assert prior().log_prob(every(shape, 3)).exp().sum().item() == pytest.approx(1, abs=1e-12)


@BOTH
def test_conditional_sums_to_one_for_each_label_and_for_their_mixture(kind: tuple[Any, Any]) -> None:
    prior = fitted(make((2, 2), 3, kind=kind, conditional=True))
    codes = every((2, 2), 3)
    label = torch.arange(3)
    each = prior(label=label).log_prob(codes[:, None].expand(-1, 3, 2, 2))
    torch.testing.assert_close(each.exp().sum(0), torch.ones(3, dtype=torch.float64))
    assert (each[:, 0] - each[:, 1]).abs().max() > 0.01
    torch.testing.assert_close(prior().log_prob(codes), each.logsumexp(1) - math.log(3))


@BOTH
def test_samples_follow_the_probabilities(kind: tuple[Any, Any]) -> None:
    prior = fitted(make((2, 2), 2, kind=kind))
    codes = every((2, 2), 2)
    drawn = prior().sample((10_000,))
    place = (drawn.flatten(1) * torch.tensor([8, 4, 2, 1])).sum(1)
    frequency = torch.bincount(place, minlength=16) / 10_000
    torch.testing.assert_close(frequency.double(), prior().log_prob(codes).exp().detach(), atol=0.015, rtol=0)


@BOTH
def test_conditional_samples_follow_their_label(kind: tuple[Any, Any]) -> None:
    prior = fitted(make((1, 1), 4, kind=kind, conditional=True))
    label = torch.tensor([0, 2])
    drawn = prior(label=label).sample((20_000,))
    assert drawn.shape == (20_000, 2, 1, 1)
    for column, c in enumerate(label):
        frequency = torch.bincount(drawn[:, column].flatten(), minlength=4) / 20_000
        expected = prior(label=torch.full((4,), c)).log_prob(torch.arange(4).reshape(4, 1, 1)).exp()
        torch.testing.assert_close(frequency.double(), expected, atol=0.015, rtol=0)


@BOTH
def test_uniform_until_fitted(kind: tuple[Any, Any]) -> None:
    prior, codes = make(kind=kind), torch.randint(5, (6, 3, 4))
    expected = torch.full((6,), -12 * math.log(5), dtype=torch.float64)
    torch.testing.assert_close(prior().log_prob(codes), expected)
    with torch.no_grad():
        prior.nll(codes)  # a look, not a fit
    torch.testing.assert_close(prior().log_prob(codes), expected)
    assert (fitted(prior)().log_prob(codes) - expected).abs().max() > 0.01
    torch.testing.assert_close(prior().log_prob(codes), -prior.nll(codes).detach())


@BOTH
def test_untrained_network_is_uniform_too(kind: tuple[Any, Any]) -> None:
    prior, codes = fitted(make(bent=False, kind=kind)), torch.randint(5, (6, 3, 4))
    torch.testing.assert_close(prior().log_prob(codes), torch.full((6,), -12 * math.log(5), dtype=torch.float64))


@BOTH
def test_gradient_comes_through_nll_alone(kind: tuple[Any, Any]) -> None:
    prior, codes = fitted(make(conditional=True, kind=kind)), torch.randint(5, (6, 3, 4))
    label = torch.arange(6) % 3
    assert not prior(label=label).log_prob(codes).requires_grad
    prior.nll(codes, label).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in prior.parameters())


def test_leading_dimensions_and_labels_broadcast() -> None:
    prior = fitted(make(conditional=True))
    codes, label = torch.randint(5, (2, 6, 3, 4)), torch.arange(6) % 3
    together = prior(label=label).log_prob(codes)
    assert together.shape == (2, 6)
    torch.testing.assert_close(together[1], prior(label=label).log_prob(codes[1]))


@BOTH
def test_state_remembers_that_it_is_fitted(kind: tuple[Any, Any]) -> None:
    prior, other, codes = fitted(make(kind=kind)), make(bent=False, kind=kind), torch.randint(5, (6, 3, 4))
    fresh = {name: value.clone() for name, value in other.state_dict().items()}
    other.load_state_dict(prior.state_dict())
    torch.testing.assert_close(other().log_prob(codes), prior().log_prob(codes))
    other.load_state_dict(fresh)
    torch.testing.assert_close(other().log_prob(codes), torch.full((6,), -12 * math.log(5), dtype=torch.float64))


def test_learns_a_handful_of_maps() -> None:
    prior = make((4, 4), 6, bent=False, width=16).float()
    codes = torch.randint(6, (5, 4, 4))
    optimizer = torch.optim.Adam(prior.parameters(), lr=1e-2)
    prior.train()
    for _ in range(80):
        optimizer.zero_grad()
        loss = prior.nll(codes).mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 3  # naming one of five maps costs log 5 = 1.6 nats, of all maps 28.7
    drawn = prior.eval()().sample((20,))
    known = (drawn[:, None] == codes[None]).flatten(2).all(-1).any(-1)
    assert known.float().mean() > 0.5


def test_uniform_prior() -> None:
    prior = UniformCodes(NoOptions(), LatentSpec((2, 2), 3), IMAGE)
    assert prior().log_prob(every((2, 2), 3)).exp().sum().item() == pytest.approx(1, abs=1e-5)
    assert not list(prior.parameters())
    assert torch.bincount(prior().sample((3000,)).flatten(), minlength=3).min() > 3700


def test_refusals() -> None:
    for kind, options in ((UniformCodes, NoOptions()), (AutoregressivePrior, AutoregressiveOptions())):
        with pytest.raises(IncompatibleError, match="must be discrete"):
            kind(options, LatentSpec((2,)), IMAGE)
    with pytest.raises(IncompatibleError, match="must have labels"):
        AutoregressivePrior(AutoregressiveOptions(conditional=True), LatentSpec((2, 2), 3), ImageSpec((1, 8, 8)))


@pytest.mark.parametrize("conditional", [False, True])
def test_drawing_with_kept_keys_sees_what_the_whole_map_sees(
    conditional: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each draw is from the probabilities of the map at once, so that kept keys and values are those of the whole."""
    network = make((3, 4), kind=KINDS[1], conditional=conditional).network
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


def test_it_learns_what_far_codes_have_in_common() -> None:
    """The last code of a row of 12 is the first one, which a PixelCNN of two layers cannot know."""
    prior = make((1, 12), 4, bent=False, width=32, kind=KINDS[1], layers=2).float()
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
    prior, codes = fitted(make(kind=KINDS[1], dropout=0.5)), torch.randint(5, (6, 3, 4))
    assert torch.equal(prior.nll(codes), prior.nll(codes))
    prior.train()
    assert not torch.equal(prior.nll(codes), prior.nll(codes))


def test_a_width_that_the_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(UsageError, match="width must be a multiple of heads, got 10 and 4"):
        host().get(Kind.PRIOR, "transformer").make_options({"width": 10, "heads": 4})
