"""Text from plugins, runs, folders and recipes is shown, never obeyed: on stdout, on stderr, in logs and in figures."""

from __future__ import annotations

import ast
import io
import json
import logging
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.figure import Figure

import genzoo.cli
from genzoo.cli import console, execute
from genzoo.errors import GenzooError, UsageError, describe
from genzoo.host.plugin_host import Problem
from genzoo.parts.figures import new_figure, render
from genzoo.parts.progress import ProgressLine
from genzoo.recipe import Part, Recipe
from genzoo.runs.folder import RunFolder
from genzoo.runs.runlog import logging_to
from genzoo.studies.curves import compare_curves
from genzoo.text import json_text, one_line, toml_text, visible, visible_streams
from genzoo.training.console import ConsoleListener

UNSAFE = {
    "NUL": "\0",
    "bell": "\x07",
    "backspace": "\b",
    "carriage return": "\r",
    "escape: clear the screen": "\x1b[2J",
    "escape: colour": "\x1b[31m",
    "escape: title of the window": "\x1b]0;boo\x07",
    "escape: link": "\x1b]8;;http://x\x1b\\",
    "escape: clipboard": "\x1b]52;c;aGk=\x07",
    "escape: device string": "\x1bPq\x1b\\",
    "vertical tab": "\v",
    "form feed": "\f",
    "unit separator": "\x1f",
    "delete": "\x7f",
    "C1: control sequence": "\x9b31m",
    "C1: next line": "\x85",
    "right-to-left override": "\u202egnp.exe",
    "isolate": "\u2066x\u2069",
    "Arabic letter mark": "\u061c",
    "zero width space": "a\u200bb",
    "byte order mark": "\ufeff",
    "line separator": "a\u2028b",
    "paragraph separator": "a\u2029b",
    "lone surrogate": "\udce9t\udce9",
    "tag": "\U000e0041",
}
FORGED = "fine\nError: forged"


def is_safe(text: str, keep: str = "\n") -> bool:
    return all(c in keep or (c.isprintable() and not 0xE0000 <= ord(c) <= 0xE007F) for c in text)


class Terminal(io.StringIO):
    """A stream that holds what no file could: lone surrogates too."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def said_by(speak: Callable[[str], None], text: str, monkeypatch: pytest.MonkeyPatch) -> str:
    out, err = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    speak(text)
    return out.getvalue() + err.getvalue()


def warned(text: str) -> None:
    handler = console._StderrHandler()
    handler.handle(logging.LogRecord("genzoo.data", logging.WARNING, "", 0, "%s is odd", (text,), None))


def live(text: str) -> None:
    progress = ProgressLine(text, 2)
    progress.line(text)
    progress.close()


def printed_by_a_plugin(text: str) -> None:
    with visible_streams():
        sys.stdout.write(text.replace("\r", ""))
        sys.stderr.writelines([text.replace("\r", "")])


SPEAKERS: dict[str, Callable[[str], None]] = {
    "a line": console.say,
    "a line on stderr": lambda text: console.say(text, err=True),
    "a table": lambda text: console.show(console.table(["A", text], [["x", text], [text, "y"]])),
    "a narrow table": lambda text: console.show(console.table(["A", "B"], [["x" * 10, text]], 12)),
    "a paragraph": lambda text: console.show(console.paragraph(text, 40)),
    "a warning": warned,
    "progress of a run": lambda text: ConsoleListener().warn(text),
    "progress of other work": live,
    "a note": lambda text: ConsoleListener().note(text),
    "an error": lambda text: console.say(str(GenzooError(text, text))),
    "an error of a plugin": lambda text: console.say(describe(ValueError(text))),
    "a problem": lambda text: sys.stderr.write(str(Problem(text, text, text, text, text, text))) and None,
    "what a plugin prints": printed_by_a_plugin,
}


@pytest.mark.parametrize("unsafe", UNSAFE.values(), ids=UNSAFE.keys())
@pytest.mark.parametrize("speaker", SPEAKERS)
def test_no_text_commands_a_terminal(speaker: str, unsafe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = said_by(SPEAKERS[speaker], f"before{unsafe}after", monkeypatch)
    assert "before" in said
    assert is_safe(said), repr(said)


@pytest.mark.parametrize("speaker", sorted(set(SPEAKERS) - {"what a plugin prints"}))
def test_no_text_forges_a_line(speaker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = said_by(SPEAKERS[speaker], FORGED, monkeypatch)
    assert "Error: forged" in " ".join(said.split())
    assert not [line for line in said.splitlines() if line.startswith("Error: forged")]


@pytest.mark.parametrize(
    ("unsafe", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b", r"\x9b"),
        ("\u202e", r"\u202e"),
        ("\udce9", r"\udce9"),
        ("\r", r"\r"),
        ("\0", r"\x00"),
    ],
)
def test_what_is_shown_is_the_escape_that_python_writes(unsafe: str, shown: str) -> None:
    assert visible(unsafe) == one_line(unsafe) == shown


def test_words_of_every_script_stay_as_they_are() -> None:
    words = "größer β → 猫 עברית العربية 👩‍🔬 می‌خواهم naïve $x$ </b> 100 %"
    assert visible(words) == one_line(words) == json_text(words) == words


@pytest.mark.parametrize("unsafe", UNSAFE.values(), ids=UNSAFE.keys())
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_json_is_escaped_by_json(unsafe: str, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Terminal, "encoding", encoding)
    said = said_by(lambda text: console.print_json({text: [text, "β"]}), f"a{unsafe}b", monkeypatch)
    assert is_safe(said)
    assert json.loads(said) == {f"a{unsafe}b": [f"a{unsafe}b", "β"]}


@pytest.mark.parametrize("unsafe", UNSAFE.values(), ids=UNSAFE.keys())
def test_files_of_a_run_hold_it_and_give_it_back(unsafe: str, tmp_path: Path) -> None:
    text = f"a{unsafe}b"
    run = RunFolder(tmp_path)
    run.write_record({"title": text})
    run.add_row({"kind": "epoch", "epoch": 1, "train": {}, "name": text})
    assert run.record()["title"] == text
    assert [row["name"] for row in run.rows("epoch")] == [text]
    assert is_safe((tmp_path / "run.json").read_text(encoding="utf-8"))
    recipe = Recipe(model=Part(name="vae"), summary=text)
    if any(0xD800 <= ord(c) <= 0xDFFF for c in text):
        with pytest.raises(UsageError, match="must be valid Unicode"):
            recipe.to_toml()
    else:
        assert is_safe(recipe.to_toml())
        assert tomllib.loads(recipe.to_toml())["summary"] == text


def test_toml_keeps_its_layout() -> None:
    assert toml_text('a = "\x9b"\n\n[b]\n') == 'a = "\\u009b"\n\n[b]\n'


@pytest.mark.parametrize("unsafe", UNSAFE.values(), ids=UNSAFE.keys())
def test_the_log_of_a_run_holds_no_code_and_one_line_a_message(unsafe: str, tmp_path: Path) -> None:
    log = logging.getLogger("genzoo.run")
    with logging_to(tmp_path / "run.log"):
        log.info("%s", f"a{unsafe}b")
        log.info("%s", "first\n2099-01-01 ERROR forged")
        try:
            raise ValueError(f"a{unsafe}b")
        except ValueError as error:
            log.info("failed", exc_info=error)
    text = (tmp_path / "run.log").read_bytes().decode("utf-8")
    assert is_safe(text), repr(text)
    assert "\n2099" not in text
    assert "Traceback" in text
    assert text.count("\n") > 4, "a traceback keeps its lines"


class Odd(Exception):
    """An exception whose text raises."""

    def __init__(self, raises: BaseException) -> None:
        self.raises = raises

    def __str__(self) -> str:
        raise self.raises


@pytest.mark.parametrize(
    "raised", [RuntimeError("no"), KeyboardInterrupt(), SystemExit(3), RecursionError(), Odd(ValueError())]
)
def test_an_error_whose_text_raises_is_described(raised: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    assert describe(Odd(raised)) == "Odd: its text cannot be shown"


def test_an_error_without_text_and_one_that_never_ends() -> None:
    assert describe(ValueError()) == "ValueError"
    assert len(describe(ValueError("x" * 10**6))) < 400


@pytest.mark.parametrize(
    "arguments", [["info", "a\x1b[2Jb"], ["list", "\x1b]0;x\x07"], ["\x9b2J"], ["runs", "show", "x\x1b[1m\u202e"]]
)
def test_what_was_typed_is_shown_too(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(arguments) != 0
    said = capsys.readouterr()
    assert said.err.startswith("Error: ")
    assert is_safe(said.out + said.err), repr(said)


def test_the_streams_are_put_back() -> None:
    before = sys.stdout, sys.stderr
    with visible_streams(), visible_streams():
        assert sys.stdout.encoding == before[0].encoding
        assert sys.stdout is not before[0]
    assert (sys.stdout, sys.stderr) == before


def test_commands_print_through_the_console_alone() -> None:
    folder = Path(genzoo.cli.__file__).parent
    for file in folder.glob("*.py"):
        if file.name in {"__init__.py", "console.py"}:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in {"print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write"}, (
                    f"{file.name}:{node.lineno} prints past genzoo.cli.console"
                )


ODD_TITLES = ["$\\frac{1}$", "$x", "$$", "$5 and $6", "\x1b[2J", "a\0b", "\udce9", "^_{", "\\", "猫\u202e"]


@pytest.mark.parametrize("format", ["png", "svg"])
@pytest.mark.parametrize("title", ODD_TITLES)
@pytest.mark.filterwarnings("ignore:Glyph")
def test_a_figure_takes_any_title(title: str, format: str) -> None:
    for figure in (new_figure(2), Figure()):
        axes = figure.add_subplot()
        axes.plot([1, 2], [1, 2], label=title)
        axes.set_title(title)
        axes.set_xlabel(title)
        axes.legend()
        assert render(figure, format)


def test_dollars_of_a_title_are_no_formula_in_a_house_figure() -> None:
    def drawn(title: str) -> bytes:
        figure = new_figure(2)
        figure.suptitle(title)
        return render(figure)

    assert drawn("$5 and $6") != drawn("5and6")
    figure = Figure()
    title = figure.suptitle(r"$\beta$")
    render(figure)
    assert title.get_parse_math(), "a plugin's own formula stays one in a figure of its own"


@pytest.mark.parametrize("names", [("_a", "_b"), ("a", "_b")])
def test_a_run_whose_name_starts_with_an_underscore_is_in_the_legend(names: tuple[str, str]) -> None:
    rows = [{"epoch": 1, "train": {"distortion": 100.0, "rate": 5.0}}]
    figure = compare_curves(names, [rows, rows], "")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(names)
