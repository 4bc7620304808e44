"""Every official distribution that declares a component holds it to the contract kit in its own tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from genzoo.types import Kind

PLUGINS = sorted((Path(__file__).parents[1] / "plugins").glob("genzoo-*"))


def declares(folder: Path) -> bool:
    """Whether the distribution declares a component of any kind."""
    text = "".join(file.read_text(encoding="utf-8") for file in folder.glob("src/*/plugin.py"))
    return any(f'"{kind}"' in text for kind in Kind)


@pytest.mark.parametrize("folder", [f for f in PLUGINS if declares(f)], ids=lambda folder: folder.name)
def test_it_is_under_contract(folder: Path) -> None:
    tests = [file.read_text(encoding="utf-8") for file in folder.glob("tests/test_*_contract.py")]
    assert any(f'contract("{folder.name}")' in text for text in tests), (
        f'{folder.name} has no test file with `test_contract = genzoo.testing.contract("{folder.name}")`'
    )


def test_there_are_plugins_to_look_at() -> None:
    assert len([folder for folder in PLUGINS if declares(folder)]) >= 20
