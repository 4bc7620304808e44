"""Seeds that derive from one another, and generators put back as they were."""

from __future__ import annotations

import torch

from genzoo.randomness import derive, reseed, seeded


def test_reseeding_draws_what_torchs_manual_seed_draws() -> None:
    with seeded(0):
        torch.manual_seed(derive(3, "step", 5))
        expected = torch.randn(7)
        reseed(derive(3, "step", 5))
        assert torch.equal(torch.randn(7), expected)


def test_a_seeded_block_repeats_and_leaves_the_users_state_alone() -> None:
    before = torch.get_rng_state()
    with seeded(4):
        first = torch.rand(3)
    with seeded(4):
        assert torch.equal(torch.rand(3), first)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_block_without_a_seed_draws_on() -> None:
    before = torch.get_rng_state()
    with seeded(None):
        torch.rand(1)
    assert not torch.equal(torch.get_rng_state(), before)
    torch.set_rng_state(before)


def test_streams_are_apart() -> None:
    seeds = {derive(seed, name, step) for seed in range(5) for name in ("step", "order") for step in range(50)}
    assert len(seeds) == 500
