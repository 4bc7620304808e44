"""The page on families promises what is so: each cell trains or is refused, and each named test exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from genzoo.compose.build import build
from genzoo.compose.plan import plan
from genzoo.errors import GenzooError
from genzoo.host.plugin_host import host
from genzoo.recipe import parse_recipe
from genzoo.types import Kind

PAGE = Path(__file__).parent.parent / "docs" / "families.md"
COLUMNS: tuple[dict[str, Any], ...] = (
    {"model": {"name": "vae", "options": {"latent_dim": 3}}},
    {"model": {"name": "vq-vae"}},
    {"model": {"name": "pixels", "options": {"levels": "categorical"}}},
    {"model": {"name": "pixels", "options": {"levels": "real"}}},
)
"""What the columns of the table model."""
FIELDS = {"diffusion", "flow-matching"}
"""Priors that ask for ``--field mlp`` where latents are vectors."""


def cells() -> list[tuple[str, int, bool, str]]:
    """Prior, column, whether the page says that they go together, and what it says of the density."""
    found: list[tuple[str, int, bool, str]] = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        parts = [part.strip() for part in line.strip("|").split("|")]
        names = re.findall(r"`([a-z-]+)`", parts[0])
        if line.startswith("| `") and len(parts) == 6:
            found += [(name, place, bool(parts[place + 1]), parts[5]) for name in names for place in range(4)]
    return found


def test_every_prior_is_on_the_page() -> None:
    assert {name for name, *_ in cells()} == {installed.name for installed in host().components(Kind.PRIOR)}


@pytest.mark.parametrize(("prior", "column", "fits", "density"), cells())
def test_a_cell_is_built_or_refused(prior: str, column: int, fits: bool, density: str) -> None:
    field = {"field": {"name": "mlp"}} if prior in FIELDS and column == 0 else {}
    recipe = {**COLUMNS[column], **field, "prior": {"name": prior}, "dataset": {"name": "digits"}}
    if not fits:
        with pytest.raises(GenzooError):
            build(plan(parse_recipe(recipe, "page"), host()))
        return
    made = build(plan(parse_recipe(recipe, "page"), host())).model.prior
    assert made.density == {"exact": "exact", "a bound": "bound", "none in training": "none"}[density]


def test_the_tests_that_the_page_names_exist() -> None:
    rows = re.findall(r"\| `(plugins/\S+\.py)`: (.*?) \|$", PAGE.read_text(encoding="utf-8"), re.M)
    assert len(rows) == 6
    for file, tests in rows:
        source = (PAGE.parent.parent / file).read_text(encoding="utf-8")
        for name in re.findall(r"`(test_\w+)`", tests):
            assert f"def {name}(" in source, name
