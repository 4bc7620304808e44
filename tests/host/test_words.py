"""Options and tables as a person reads them."""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import Annotated, Literal, Optional

import pytest
from annotated_types import Ge

from genzoo.cli import console
from genzoo.host.option_help import type_in_words, value_in_words


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int, "integer"),
        (float, "number"),
        (bool, "true or false"),
        (Optional[str], "text or unset"),  # noqa: UP045 - the old spelling is what is tested
        (int | float | None, "integer or number or unset"),
        (Literal["a", 2], "a | 2"),
        (Colour, "red | blue"),
        (tuple[float, float], "(number, number)"),
        (tuple[int, ...], "integers"),
        (list[Path], "paths"),
        (dict[str, int], "table"),
        (Annotated[int, Ge(0)], "integer"),
    ],
)
def test_types(annotation: object, words: str) -> None:
    assert type_in_words(annotation) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "unset"), (True, "true"), ((1, 2.5), "1,2.5"), (Colour.RED, "red"), ("", ""), (1e-3, "0.001")],
)
def test_values(value: object, words: str) -> None:
    assert value_in_words(value) == words


def test_a_table_folds_its_last_column_and_stacks_where_there_is_no_room() -> None:
    rows = [["model", "vae", "the variational autoencoder of 2014"], ["loss", "elbo", ""]]
    assert console.table(["kind", "name", "summary"], rows).splitlines() == [
        "kind   name  summary",
        "model  vae   the variational autoencoder of 2014",
        "loss   elbo",
    ]
    assert console.table(["kind", "name", "summary"], rows, 33).splitlines()[1:3] == [
        "model  vae   the variational",
        "             autoencoder of 2014",
    ]
    assert console.table(["kind", "name", "summary"], rows, 24).splitlines() == [
        "model  vae",
        "    the variational",
        "    autoencoder of 2014",
        "loss  elbo",
    ]


def test_json_holds_no_nan_and_no_object(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_json({"a": float("nan"), "b": (1, float("inf")), Path("c"): Colour.RED, "d": {"e": Path("x")}})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [1, None], "c": "red", "d": {"e": "x"}}


def test_control_codes_and_line_breaks_of_a_plugin_never_reach_the_terminal() -> None:
    assert console.table(["A", "B"], [["x", "red \x1b[31m\nand more"]]).splitlines()[1] == r"x  red \x1b[31m and more"
    assert console.paragraph("a\tb\x07", 40) == r"a b\x07"
