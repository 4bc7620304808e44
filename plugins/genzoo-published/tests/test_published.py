"""The recipes of published numbers resolve, and those that are compared differ in what is compared alone."""

from __future__ import annotations

import re
from typing import Any

import pytest

from genzoo.compose.plan import Plan, plan
from genzoo.host.plugin_host import host
from genzoo.recipe import read_recipe

MINE = [item for item in host().resources() if item.distribution == "genzoo-published"]
RECIPES = [item.name for item in MINE if item.kind == "recipe"]


def resolved(name: str) -> Plan:
    return plan(read_recipe(host().resource("recipe", name).path), host())


def settings(name: str) -> dict[str, Any]:
    """The recipe with nothing left out, flattened to dotted names."""
    flat: dict[str, Any] = {}

    def walk(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                walk(item, f"{path}.{key}" if path else key)
        else:
            flat[path] = value

    walk(resolved(name).recipe().model_dump(mode="json"), "")
    return flat


def differences(one: str, other: str) -> set[str]:
    a, b = settings(one), settings(other)
    return {key for key in a.keys() | b.keys() if a.get(key) != b.get(key)} - {"summary"}


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_resolves_and_measures_at_its_end(name: str) -> None:
    found = resolved(name)
    assert found.summary
    assert found.metrics


def test_runs_that_are_compared_differ_in_what_is_compared_alone() -> None:
    assert differences("iwae-k5", "iwae-k1") == {"loss.options.samples"}
    prior = {"prior.name"} | {key for key in settings("gated-vampprior") if key.startswith("prior.options.")}
    assert differences("gated-vampprior", "gated-normal") <= prior | {"prior.options"}
    assert all(key.startswith("model.") for key in differences("ladder-two-levels", "ladder-one-level"))
    assert differences("sprites-beta-1", "sprites-beta-16") == {"loss.options.beta"}
    assert differences("sprites-beta-1", "sprites-beta-4") == {"loss.options.beta"}


def parameters(name: str) -> int:
    from genzoo.compose.build import build

    return sum(parameter.numel() for parameter in build(resolved(name)).model.parameters())


def test_the_ladders_control_has_as_many_parameters_and_differs_by_them_alone() -> None:
    two, one, control = (
        parameters(name) for name in ("ladder-two-levels", "ladder-one-level", "ladder-one-level-wide")
    )
    assert abs(control - two) < 0.005 * two < two - one
    assert differences("ladder-one-level", "ladder-one-level-wide") == {"network.options.hidden"}
    protocol = host().resource("reproduction", "likelihood-ladder").path.read_text(encoding="utf-8")
    assert {f"{count:,}" for count in (two, one, control)} <= set(re.findall(r"\d+,\d+", protocol))


def test_the_dynamic_one_layer_vae_has_the_published_network_and_epochs() -> None:
    assert differences("one-layer-vae", "one-layer-vae-dynamic") == {
        "dataset.options.binarize", "schedulers.lr", "train.lr", "train.eval_every",
    }  # fmt: skip


def test_likelihoods_are_measured_on_binary_images() -> None:
    for name in RECIPES:
        found = resolved(name).recipe()
        if "nll" in found.metrics:
            assert found.dataset is not None
            assert found.dataset.options["binarize"] in {"static", "dynamic"}
            assert found.metrics["nll"].options["split"] == "test"


def test_the_level_that_ladder_one_level_keeps_is_the_lower_one() -> None:
    two, one = resolved("ladder-two-levels"), resolved("ladder-one-level")
    assert two.model.options.model_dump()["latent_dims"][-1] == one.model.options.model_dump()["latent_dim"]
    assert one.recipe().loss is not None
    assert one.recipe().loss.options["free_bits"] == 0  # type: ignore[union-attr]
