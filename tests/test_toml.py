"""Recipes as editors of other systems write them, and files that are no recipe at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from genzoo.cli import execute
from genzoo.errors import UsageError
from genzoo.recipe import read_recipe
from genzoo.toml import DEPTH, MOST_BYTES, parse_toml, read_toml

RECIPE = '# a recipe\n[model]\nname = "vae"\n[model.options]\nlatent_dim = 2\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_byte_order_mark_and_newlines_of_any_system_are_read(tmp_path: Path, encoding: str, newline: str) -> None:
    file = tmp_path / "r.toml"
    file.write_bytes(RECIPE.replace("\n", newline).encode(encoding))
    assert read_recipe(file).model.options == {"latent_dim": 2}


def test_lines_are_counted_alike_behind_a_byte_order_mark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    file = tmp_path / "r.toml"
    file.write_bytes(RECIPE.replace("latent_dim", "latent_dimm").encode("utf-8-sig"))
    assert execute(["run", "--recipe", str(file), "--dry-run"]) == 2
    assert f"{file}, line 5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-16", "must be UTF-8 text, got UTF-16"),
        ("utf-16-be", "line 1 must be UTF-8 text, got NUL bytes, as UTF-16 has"),
        ("utf-16-le", "line 1 must be UTF-8 text, got NUL bytes, as UTF-16 has"),
        ("utf-32", "must be UTF-8 text, got UTF-32"),
    ],
)
def test_another_encoding_is_named(
    tmp_path: Path, encoding: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    file = tmp_path / "r.toml"
    file.write_bytes(RECIPE.encode(encoding))
    assert execute(["run", "--recipe", str(file), "--dry-run"]) == 2
    assert said in capsys.readouterr().err


def test_a_letter_of_another_code_page_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_bytes((RECIPE + 'summary = "für"\n').encode("cp1252"))
    with pytest.raises(UsageError, match=r"line 6 must be UTF-8 text, got the byte 0xfc"):
        read_toml(file)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1\nb = " + "[" * 100_000, 2),
        ("b = " + "[" * 2000 + "]" * 2000, 1),
        ("a = '['\n\nb = " + "{a=" * 2000 + "1" + "}" * 2000, 3),
        ("x = 1\n" + "a." * 3000 + "b = 1", 2),
        ("a = 1\n\n[" + ".".join("t" * 3000) + "]", 3),
        ("a = [\n" * (DEPTH + 1), DEPTH + 1),
        ("x = 1\ny = {" + "'a' . " * 250_000 + "b = 1}", 2),
    ],
)
def test_what_is_nested_too_deep_names_its_line(text: str, line: int) -> None:
    with pytest.raises(UsageError, match=rf"r\.toml, line {line} must be nested at most {DEPTH} levels"):
        parse_toml(text, "recipe: r.toml")


def test_brackets_in_strings_and_comments_are_no_nesting() -> None:
    text = "# " + "[" * 99 + "\na = '" + "[" * 99 + '\'\nb = """\n' + "{" * 99 + '\\""""\nc = "' + "[" * 99 + '\\""\n'
    assert set(parse_toml(text, "r")) == {"a", "b", "c"}
    assert parse_toml("version = '" + "1." * 99 + "'", "r")
    assert parse_toml("a = [" + "[1]," * 200 + "]", "r")["a"][0] == [1]


def test_what_is_too_large_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text(RECIPE + "#" * MOST_BYTES, encoding="utf-8")
    with pytest.raises(UsageError, match=f"must have at most {MOST_BYTES:,} bytes"):
        read_recipe(file)
    with pytest.raises(UsageError, match="at most"):
        read_recipe(Path("/dev/zero"))


def test_a_number_of_too_many_digits_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text(RECIPE + "[train]\nepochs = " + "9" * 5000, encoding="utf-8")
    with pytest.raises(UsageError, match="line 7 is not valid TOML"):
        read_recipe(file)


@pytest.mark.parametrize("name", ["absent.toml", "folder.toml", "nul\0.toml"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(UsageError, match=r"does not exist|cannot be read"):
        read_recipe(tmp_path / name)


def test_a_long_value_is_cut_in_the_message(tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text(RECIPE + "[train]\nepochs = '" + "x" * 100_000 + "'\n", encoding="utf-8")
    with pytest.raises(UsageError) as refused:
        read_recipe(file)
    assert len(str(refused.value)) < 600
