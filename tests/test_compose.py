"""Names become a checked experiment: companions, defaults, what fits and what would be dropped."""

from __future__ import annotations

from typing import Any

import pytest

from genzoo.compose.build import build
from genzoo.compose.plan import plan
from genzoo.errors import IncompatibleError, PluginError, UsageError
from genzoo.host.plugin_host import host
from genzoo.recipe import parse_recipe
from genzoo.types import Kind

TINY: dict[str, Any] = {"dataset": {"name": "digits"}, "network": {"name": "mlp", "options": {"hidden": [8]}}}


def resolve(**content: Any) -> Any:
    return plan(parse_recipe(content, "test"), host())


def test_defaults_are_the_reports_configuration() -> None:
    resolved = resolve(model={"name": "vae"})
    names = {kind: resolved[kind].name for kind in (Kind.DATASET, Kind.NETWORK, Kind.LIKELIHOOD, Kind.PRIOR, Kind.LOSS)}
    assert list(names.values()) == ["mnist", "conv", "bernoulli", "standard-normal", "elbo"]
    assert [choice.name for choice in resolved.schedulers["beta"]] == ["linear-warmup"]
    assert (resolved.train.epochs, resolved.train.batch_size, resolved.train.lr) == (30, 128, 1e-3)


def test_a_companion_brings_its_options_and_the_users_win() -> None:
    assert resolve(model={"name": "beta-vae"})[Kind.LOSS].options.model_dump()["beta"] == 4
    mine = resolve(model={"name": "beta-vae"}, loss={"name": "elbo", "options": {"beta": 2, "free_bits": 1}})
    assert mine[Kind.LOSS].options.model_dump()["beta"] == 2


def test_naming_a_loss_that_would_drop_what_the_model_declares_is_refused() -> None:
    with pytest.raises(UsageError, match=r"beta-vae is vae with the loss elbo \(beta = 4\)"):
        resolve(model={"name": "beta-vae"}, loss={"name": "iwae"})
    kept = resolve(model={"name": "beta-vae"}, loss={"name": "normalised-elbo", "options": {"beta": 0.01}})
    assert kept[Kind.LOSS].options.model_dump()["beta"] == 0.01


def test_what_a_derived_model_inherits_may_be_replaced_as_in_its_base() -> None:
    names = [resolve(model={"name": name}, network={"name": "mlp"})[Kind.NETWORK].name for name in ("gan", "wgan-gp")]
    assert names == ["mlp", "mlp"]
    with pytest.raises(UsageError, match=r"wgan-gp is gan with the loss adversarial \(game = wgan-gp"):
        resolve(model={"name": "wgan-gp"}, loss={"name": "elbo"})


def test_naming_one_slot_leaves_the_other_defaults_alone() -> None:
    resolved = resolve(model={"name": "vae"}, schedulers={"lr": [{"name": "cosine"}]})
    assert sorted(resolved.schedulers) == ["beta", "lr"]


def test_a_scheduler_that_nobody_asked_for_is_left_out_and_one_asked_for_is_refused() -> None:
    capacity = {"name": "elbo", "options": {"capacity": 5.0}}
    quietly = build(resolve(model={"name": "vae"}, loss=capacity, **TINY))
    assert "beta" not in quietly.schedule.schedulers
    with pytest.raises(UsageError, match=r"nothing in this experiment has a quantity 'temperature'.*capacity.*lr"):
        build(resolve(model={"name": "vae"}, loss=capacity, schedulers={"temperature": [{"name": "constant"}]}, **TINY))


def test_schedulers_of_one_slot_multiply() -> None:
    slot = [{"name": "constant", "options": {"factor": factor}} for factor in (0.5, 0.2)]
    experiment = build(resolve(model={"name": "vae"}, schedulers={"lr": slot}, **TINY))
    from genzoo.interfaces.scheduler import Progress

    assert experiment.schedule.at(Progress(1, 0, 10, 10))["lr"] == pytest.approx(1e-3 * 0.1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            {"model": {"name": "vae"}, "prior": {"name": "autoregressive"}},
            ["autoregressive", "categorical", "vae", "real"],
        ),
        ({"model": {"name": "vq-vae"}, "visualizers": {"traversal": {"name": "traversal"}}}, ["traversal", "vq-vae"]),
        ({"model": {"name": "vq-vae"}, "loss": {"name": "beta-tc"}}, ["beta-tc", "vq-vae", "real-latent"]),
        (
            {"model": {"name": "vae"}, "visualizers": {"swap": {"name": "class-swap"}}},
            ["class-swap", "conditional", "vae"],
        ),
        ({"model": {"name": "vq-vae"}, "loss": {"name": "iwae"}}, ["iwae", "vq-vae", "deterministic-posterior"]),
        ({"model": {"name": "vae"}, "metrics": {"mig": {"name": "mig"}}}, ["mig", "factors", "mnist"]),
        (
            {"model": {"name": "vq-vae"}, "metrics": {"nll": {"name": "nll"}}},
            ["nll", "vq-vae", "deterministic-posterior"],
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused_by_both_names(content: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(IncompatibleError) as refused:
        build(resolve(**content))
    for word in words:
        assert word in refused.value.message, f"{word!r} is missing from: {refused.value.message}"
    assert refused.value.exit_code == 2


def test_a_conditional_model_on_data_without_labels_is_refused(tmp_path: Any) -> None:
    import numpy as np

    images = np.zeros((8, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "plain.npz", images=images)
    data = {"name": "npz", "options": {"path": str(tmp_path / "plain.npz")}}
    with pytest.raises(IncompatibleError, match="label"):
        build(resolve(model={"name": "cvae"}, dataset=data, network=TINY["network"]))


def test_unknown_names_and_options_are_refused() -> None:
    with pytest.raises(PluginError, match="vea"):
        resolve(model={"name": "vea"})
    with pytest.raises(UsageError, match="latent-dmi"):
        resolve(model={"name": "vae", "options": {"latent_dmi": 2}})
    with pytest.raises(UsageError, match="epochz"):
        resolve(model={"name": "vae"}, train={"epochz": 2})


def test_the_recipe_of_a_plan_resolves_to_the_same_plan() -> None:
    first = resolve(model={"name": "beta-vae"}, schedulers={"lr": [{"name": "cosine"}]}, train={"seed": 3})
    again = plan(first.recipe(), host())
    assert again.recipe() == first.recipe()
    assert again.records() == first.records()
