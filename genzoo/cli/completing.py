"""What a shell offers at Tab: commands, options with their values, plugins, runs and zoo names.

Everything but the runs comes from one cached file, written again when what is installed changes, so that an answer
imports neither torch nor pydantic nor a plugin.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from zlib import crc32

from click import Command
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

VARIABLE = "_GENZOO_COMPLETE"
FORMAT = 1
"""Of the cached file."""

MOST_RUNS = 50
"""The newest runs that are offered."""

PARTS: Mapping[str, str] = {
    "--data": "dataset",
    "--network": "network",
    "--likelihood": "likelihood",
    "--prior": "prior",
    "--loss": "loss",
    "--field": "network",
    "--scheduler": "scheduler",
    "--viz": "visualizer",
    "--metric": "metric",
}
"""Flag → the kind of plugin that it names."""

RUNS = frozenset({"--resume", "--init"})
"""Flags that name a run."""

ON_RUNS: Mapping[str, str] = {"viz": "visualizer", "eval": "metric", "sample": "", "encode": "", "refit": ""}
"""Commands whose first word is a run → the kind that their other words name."""


def answer(instruction: str) -> int:
    """Do what the shell asks for in `VARIABLE`, such as ``bash_complete``; returns the exit code."""
    shell, _, wish = instruction.partition("_")
    base = get_completion_class(shell)
    if base is None or wish not in {"complete", "source"}:
        return 1
    text = script(shell) if wish == "source" else _completer(base).complete()
    sys.stdout.buffer.write(text.encode() + b"\n")
    return 0


def script(shell: str) -> str:
    """What a shell runs at its start so that Tab completes ``genzoo``.

    Args:
        shell: ``bash``, ``zsh`` or ``fish``.
    """
    base = get_completion_class(shell)
    assert base is not None
    return ShellComplete.source(_completer(base))  # bash's own looks whether bash is there, and which


def _completer(base: type[ShellComplete]) -> ShellComplete:
    class Completer(base):
        def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
            words, last, taken = _joined(args, incomplete)
            found = offers(words, last, cached())
            return [CompletionItem(text.removeprefix(taken) if taken else text, help=said) for text, said in found]

    return Completer(Command("genzoo"), {}, "genzoo", VARIABLE)


def _joined(args: Sequence[str], incomplete: str) -> tuple[list[str], str, str]:
    """The words, the last one, and what of that the shell has already: bash takes ``zoo:x`` and ``lr=x`` for three words."""
    words = list(args)
    if incomplete in {":", "="} and words:
        words.append(incomplete)
        incomplete = ""
    taken = ""
    while len(words) >= 2 and words[-1] in {":", "="} and not words[-2].startswith("--"):
        taken = words[-2] + words[-1] + taken
        del words[-2:]
    if words and words[-1] == "=":  # --data=mnist
        words.pop()
    return words, taken + incomplete, taken


def offers(words: Sequence[str], last: str, names: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(word, what it is) of everything that may stand where ``last`` was begun.

    Args:
        words: Those before it, after ``genzoo``.
        last: What is typed of it, perhaps nothing.
        names: As `gathered` gives them.
    """
    path, rest = _command(words, names["commands"])
    command = names["commands"].get(" ".join(path))
    if command is None:
        if rest:
            return []
        inside = [(name.split(" "), entry["help"]) for name, entry in names["commands"].items()]
        depth = len(path)
        return _begun(
            [
                (parts[depth], said if len(parts) == depth + 1 else names["groups"][parts[depth]])
                for parts, said in inside
                if parts[:depth] == path and len(parts) > depth
            ],
            last,
        )
    before = rest[-1] if rest else ""
    if before.startswith("--") and (before in command["options"] or "." in before) and not _is_flag(before, command):
        return _begun(_values(before, last, rest, command, names), last)
    if last.startswith("-"):
        return _begun([*_options(command), *_dotted(path, rest, names)], last)
    return _begun(_words(path, rest, command, names), last)


def _command(words: Sequence[str], commands: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The command's own words, and those after it."""
    path: list[str] = []
    for word in words:
        further = " ".join([*path, word])
        if not any(name == further or name.startswith(f"{further} ") for name in commands):
            break
        path.append(word)
    return path, list(words[len(path) :])


def _is_flag(option: str, command: Mapping[str, Any]) -> bool:
    return bool(command["options"].get(option, {}).get("flag"))


def _options(command: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, entry["help"]) for name, entry in command["options"].items()]


def _values(
    option: str, last: str, rest: Sequence[str], command: Mapping[str, Any], names: Mapping[str, Any]
) -> list[tuple[str, str]]:
    if option in RUNS:
        return _runs(rest, names)
    if option == "--recipe":
        return _plain(names["recipe"])
    if option in PARTS:
        head = last.rpartition("=")[0] + "=" if "=" in last else ""  # lr=cosine
        return [(head + name, said) for name, said in _plugins(PARTS[option], names)]
    if "." in option:
        found = next((entry for entry in _dotted_entries(rest, names) if entry[0] == option), None)
        return _plain(found[1]["values"]) if found else []
    return _plain(command["options"][option]["values"])


def _words(
    path: Sequence[str], rest: Sequence[str], command: Mapping[str, Any], names: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """What may stand as a word without dashes."""
    given = _positional(rest, command)
    name = " ".join(path)
    if name == "run":
        return _plugins("model", names) if not given else []
    if name in {"info", "check"}:
        return [item for kind in names["plugins"] for item in _plugins(kind, names)]
    if name in {"list", "new"}:
        return _plain(names["plugins"]) if not given else []
    if name in ON_RUNS:
        return _runs(rest, names) if not given else _plugins(ON_RUNS[name], names)
    if path[0] == "runs" and name != "runs list":
        return _runs(rest, names)
    if name in {"recipe show", "recipe init", "reproduce"}:
        kind = {"recipe show": "recipe", "reproduce": "reproduction"}.get(name)
        return (_plain(names[kind]) if kind else _plugins("model", names)) if not given else []
    if name == "completion":
        return _plain(["bash", "zsh", "fish"])
    return []


def _positional(rest: Sequence[str], command: Mapping[str, Any]) -> list[str]:
    """The words that are neither options nor their values."""
    found: list[str] = []
    words = iter(rest)
    for word in words:
        if not word.startswith("--"):
            found.append(word)
        elif "=" not in word and not _is_flag(word, command):
            next(words, None)
    return found


def _dotted(path: Sequence[str], rest: Sequence[str], names: Mapping[str, Any]) -> list[tuple[str, str]]:
    if path == ["run"]:
        return [(flag, entry["help"]) for flag, entry in _dotted_entries(rest, names)]
    kind = ON_RUNS.get(" ".join(path), "")
    chosen = [word for word in rest if word in names["plugins"].get(kind, {})]
    return [
        (f"--{word}.{option}", entry["help"])
        for word in chosen
        for option, entry in names["plugins"][kind][word]["options"].items()
    ]


def _dotted_entries(rest: Sequence[str], names: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """(flag, entry) of each option of a part that a command line names, or that a run takes unless told otherwise."""
    plugins = names["plugins"]
    model = next((word for word in rest if word in plugins["model"]), "vae")
    chosen = [("model", "model", model)]
    companions = plugins["model"].get(model, {}).get("companions", {})
    for flag, kind in PARTS.items():
        given = [rest[place + 1] for place, word in enumerate(rest[:-1]) if word == flag]
        for word in given or [name for name in [companions.get(kind, names["defaults"].get(kind, ""))] if name]:
            slot, _, name = word.rpartition("=")
            prefix = flag.removeprefix("--")
            if flag in {"--viz", "--metric"}:
                prefix = f"{prefix}.{slot or name}"
            elif flag == "--scheduler" and slot:
                prefix = f"{prefix}.{slot}"
            if flag != "--field" or given:
                chosen.append((prefix, kind, name))
    return [
        (f"--{prefix}.{option}", entry)
        for prefix, kind, name in chosen
        for option, entry in plugins[kind].get(name, {}).get("options", {}).items()
    ]


def _plugins(kind: str, names: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, entry["help"]) for name, entry in names["plugins"].get(kind, {}).items()]


def _runs(rest: Sequence[str], names: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The newest runs of the folder that the line or the environment names, ``last`` and those of the zoo."""
    out = next((rest[place + 1] for place, word in enumerate(rest[:-1]) if word == "--out"), None)
    root = Path(out or os.environ.get("GENZOO_RUNS") or "runs")
    found: list[str] = []
    with suppress(OSError, RuntimeError):
        folders = [path.parent for path in root.expanduser().glob("*/*/run.json")]
        found = [path.name for path in sorted(folders, key=lambda path: path.name, reverse=True)[:MOST_RUNS]]
    return [*([("last", "the newest run")] if found else []), *_plain(names["run"]), *_plain(found)]


def _plain(names: Iterable[str]) -> list[tuple[str, str]]:
    return [(name, "") for name in names]


def _begun(items: Iterable[tuple[str, str]], last: str) -> list[tuple[str, str]]:
    return list(dict.fromkeys(item for item in items if item[0].startswith(last)))


# The cached file.


def cached() -> Mapping[str, Any]:
    """The names, from the cached file where it is of what is installed now; else gathered, and kept."""
    stamp, file = _stamp(), _file()
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["stamp"] == stamp:
            return kept["names"]
    from genzoo.cli.completion import gathered

    names = gathered()
    from genzoo import storage
    from genzoo.errors import GenzooError

    with suppress(OSError, GenzooError):  # A cache that cannot be kept is made again the next time.
        file.parent.mkdir(parents=True, exist_ok=True)
        storage.replace_json(file, {"stamp": stamp, "names": names})
    return names


def _file() -> Path:
    """One file for each environment."""
    folder = Path(os.environ.get("GENZOO_DATA") or "~/.cache/genzoo").expanduser()
    return folder / "completion" / f"{crc32(sys.prefix.encode()):08x}.json"


def _stamp() -> list[Any]:
    """Differs when a distribution was installed, renewed or removed: each changes the folder that it lies in."""
    import genzoo

    places: list[Any] = []
    for place in sys.path:
        with suppress(OSError):
            places.append([place, Path(place).stat().st_mtime_ns])
    allowed = os.environ.get("GENZOO_LOAD_PLUGINS")
    return [FORMAT, genzoo.__version__, sys.version, allowed, places]
