"""Checks of every kind: it resolves, imports cleanly, builds, pickles, and leaves the process alone."""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import pickle
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from genzoo import interfaces
from genzoo.declare import API_VERSION
from genzoo.errors import GenzooError
from genzoo.host import catalogue
from genzoo.host.plugin_host import host
from genzoo.options import Options
from genzoo.testing.building import difference
from genzoo.testing.checking import EVERY_KIND, CheckFailure, check, expect
from genzoo.testing.exercises import EXERCISES
from genzoo.testing.prober import ask
from genzoo.testing.subject import Subject
from genzoo.types import Kind

IMPORT_SECONDS = 0.5
"""The longest that a declaration module may take to import."""


@check(
    "resolves",
    *EVERY_KIND,
    why="`genzoo run` imports this class by its declared name; nothing else works without it.",
    mend='Correct `target` in the declaration to "package.module:Class".',
    gate=True,
    declares=True,
)
def resolves(subject: Subject) -> None:
    """The declared target imports and is a class."""
    expect(isinstance(subject.cls, type), "a class", repr(subject.cls))


@check(
    "satisfies-interface",
    *EVERY_KIND,
    why="The engine calls the interface's methods and nothing else.",
    mend="Derive from the interface of the kind and define every abstract member.",
    gate=True,
    declares=True,
)
def satisfies_interface(subject: Subject) -> None:
    """The class derives from the interface of its kind and leaves nothing abstract."""
    base = {Kind.MODEL: "Generator", Kind.LOSS: "Objective"}.get(subject.kind, subject.kind.capitalize())
    interface = getattr(interfaces, base)
    expect(issubclass(subject.cls, interface), f"a subclass of {interface.__name__}", subject.cls.__mro__[1].__name__)
    missing = sorted(getattr(subject.cls, "__abstractmethods__", ()))
    expect(not missing, "every abstract member defined", f"none for {', '.join(missing)}")


@check(
    "options-derive",
    *EVERY_KIND,
    why="Only `genzoo.options.Options` refuses unknown fields, is frozen, and becomes flags and recipes.",
    mend="Derive the options model from genzoo.options.Options and leave its model_config alone.",
    gate=True,
    declares=True,
)
def options_derive(subject: Subject) -> None:
    """The options model derives from `Options`, frozen, forbidding unknown fields."""
    model: type = subject.options_class
    expect(issubclass(model, Options), "a subclass of Options", model.__mro__[1].__name__)
    config = subject.options_class.model_config
    expect(config.get("frozen") is True, "a frozen model", f"frozen={config.get('frozen')}")


@check(
    "constructible-from-defaults",
    *EVERY_KIND,
    why="A command that names the plugin and no option must work.",
    mend="Give every option a default and let the constructor accept the defaults as they are.",
    gate=True,
    declares=True,
)
def constructible(subject: Subject) -> None:
    """It is built from the default options, and from the tiny ones."""
    tiny = set(subject.options_class.tiny) - set(subject.options_class.model_fields)
    expect(not tiny, "`tiny` to name options that exist", ", ".join(sorted(tiny)))
    if subject.kind in {Kind.DATASET, Kind.METRIC, Kind.VISUALIZER, Kind.SCHEDULER, Kind.LOSS, Kind.LIKELIHOOD}:
        subject.build(subject.plugin.make_options({}))
    else:
        subject.plugin.make_options({})
    subject.build()


@check(
    "documented",
    *EVERY_KIND,
    why="`genzoo list` and `genzoo info` show the summary, and readers the docstring.",
    mend="Give the declaration a one-line summary and the class a docstring.",
    declares=True,
)
def documented(subject: Subject) -> None:
    """The declaration has a one-line summary and the class a docstring of its own."""
    summary = subject.component.summary
    expect(summary and "\n" not in summary, "a summary of one line", repr(summary))
    expect(inspect.cleandoc(subject.cls.__doc__ or ""), "a docstring", "none")


@check(
    "identity-known",
    *EVERY_KIND,
    why="Runs record which distribution, version and plugin API made them, and a resume warns of others.",
    mend="Give the distribution a name and a version, and declare the plugin API that it was written for.",
    declares=True,
)
def identity_known(subject: Subject) -> None:
    """Its distribution, version and plugin API are known."""
    plugin = subject.plugin
    expect(plugin.distribution, "the name of a distribution", repr(plugin.distribution))
    expect(plugin.version and plugin.version != "0", "a version", repr(plugin.version))
    major = API_VERSION.partition(".")[0]
    api = subject.component.api
    expect(api.partition(".")[0] == major, f"plugin API {major}.x", api)


def _catalogued(subject: Subject) -> str | None:
    entry = catalogue.lookup(subject.kind, subject.component.name)
    return None if entry else "the catalogue does not know it"


@check(
    "agrees-with-catalogue",
    *EVERY_KIND,
    why="The catalogue tells users what to install for a name; a name claimed twice works for nobody.",
    mend="Choose another name, or correct the entry in registry.toml.",
    applies=_catalogued,
    declares=True,
)
def agrees_with_catalogue(subject: Subject) -> None:
    """The catalogue names the same distribution for it."""
    entry = catalogue.lookup(subject.kind, subject.component.name)
    assert entry
    expect(entry.distribution == subject.plugin.distribution, entry.distribution, subject.plugin.distribution)


_answers: dict[str, dict[str, Any]] = {}


def import_once(module: str, *, torch: bool, again: int = 0) -> dict[str, Any]:
    """What importing a module does, asked once a process: many components share a declaration or an options module."""
    key = f"{module} {torch} {again}"
    if key not in _answers:
        _answers[key] = _asked("import", torch=torch, module=module)
    return _answers[key]


def _asked(task: str, *, torch: bool, **request: Any) -> dict[str, Any]:
    found = ask(task, torch=torch, **request)
    if "error" in found:
        raise CheckFailure("a clean import in a fresh process", found["error"])
    return found


_libraries: dict[str, None] = {}
"""Modules of libraries, in order, that took long to import; the process with torch keeps them for the next component."""

_SLOW = 0.3


def _module_known(subject: Subject) -> str | None:
    return None if subject.module else "its declaration module is not known"


@check(
    "declaration-torch-free",
    *EVERY_KIND,
    why="`genzoo --help` and `genzoo list` import every declaration; torch would make them take seconds.",
    mend="Import torch in the module that holds the class, not in the one that declares it.",
    applies=_module_known,
    declares=True,
)
def declaration_torch_free(subject: Subject) -> None:
    """Importing the declaration module imports no torch."""
    expect(not import_once(subject.module or "", torch=False)["torch"], "no torch in sys.modules", "torch")


@check(
    "declaration-import-fast",
    *EVERY_KIND,
    why="Every command pays for it.",
    mend="Move work and heavy imports out of the declaration module.",
    applies=_module_known,
    declares=True,
)
def declaration_import_fast(subject: Subject) -> None:
    """Importing the declaration module takes less than half a second."""
    seconds = min(import_once(subject.module or "", torch=True, again=again)["seconds"] for again in range(2))
    expect(seconds < IMPORT_SECONDS, f"less than {IMPORT_SECONDS} s", f"{seconds:.2f} s")


@check(
    "options-torch-free",
    *EVERY_KIND,
    why="`genzoo info` and `genzoo run --help` import the options; torch would make them take seconds.",
    mend="Keep the options model in a module of its own that imports pydantic and genzoo.options only.",
    applies=lambda subject: None if subject.component.options else "it has no options",
)
def options_torch_free(subject: Subject) -> None:
    """Importing the options module imports no torch."""
    module = subject.component.options.partition(":")[0]
    expect(not import_once(module, torch=False)["torch"], "no torch in sys.modules", "torch")


@check(
    "import-leaves-globals",
    *EVERY_KIND,
    why="An import that reseeds, or sets a dtype, thread count, warnings filter or backend, changes other people's runs.",
    mend="Do nothing at import; take what must be set as an option, and put it back after use.",
)
def import_leaves_globals(subject: Subject) -> None:
    """Importing the class changes no global setting of the process."""
    modules = [subject.component.target.partition(":")[0]]
    modules += [subject.component.options.partition(":")[0]] if subject.component.options else []
    modules = [*([subject.module] if subject.module else []), *modules]
    found = _asked("globals", torch=True, modules=modules, after=[], keep=list(_libraries))
    if found["changed"] or found["seconds"] > _SLOW:
        own = {module.partition(".")[0] for module in modules} | {"genzoo"}
        libraries = [name for name in found["imported"] if name.partition(".")[0] not in own]
        if found["seconds"] > _SLOW:  # the process imports them once, for all components that follow
            _libraries.update(dict.fromkeys(libraries))
        if found["changed"]:  # perhaps by a library that the plugin imports, which is not the plugin's doing
            found = _asked("globals", torch=True, modules=modules, after=libraries)
    changed = found["changed"]
    expect(not changed, "every global setting as it was", f"{' and '.join(changed)} changed")


@check(
    "spawn-picklable",
    *EVERY_KIND,
    why="A component that does not pickle cannot be sent to another process, as worker processes and test runners do.",
    mend="Keep lambdas, open files and local classes out of attributes; name functions at module level.",
)
def spawn_picklable(subject: Subject) -> None:
    """It pickles, and a fresh process reads it back."""
    built = subject.build()
    try:
        data = pickle.dumps(built)
    except Exception as error:
        raise CheckFailure("it to pickle", f"{type(error).__name__}: {error}") from error
    file = subject.folder / "component.pickle"
    file.write_bytes(data)
    found = _asked("unpickle", torch=True, file=str(file))["type"]
    expect(found.rpartition(".")[2].rpartition(":")[2] == type(built).__name__, type(built).__name__, found)


@check(
    "same-seed-same-result",
    *EVERY_KIND,
    why="A result that does not repeat under its seed cannot be reproduced, resumed or compared.",
    mend="Draw from torch's default generator only, which the engine seeds; iterate over no unordered set.",
)
def same_seed_same_result(subject: Subject) -> None:
    """Built and run twice under one seed, it does the same."""
    first = subject.trace
    with _other_generators(2):
        second = subject.exercise()
    differs = difference(first, second)
    expect(differs is None, "the same result under the same seed", f"{differs} differs")


@check(
    "global-random-state-kept",
    *EVERY_KIND,
    why="Reseeding the global generator makes every later draw of the run the same, silently.",
    mend="Use a torch.Generator of your own, or genzoo.randomness.seeded, which puts the state back.",
)
def global_random_state_kept(subject: Subject) -> None:
    """Using it reseeds no global random generator."""
    after = _uses(subject)[0]
    same = [name for name in after[0] if after[0][name] == after[1][name]]
    expect(not same, "draws that still depend on the user's seed", f"{' and '.join(same)} reseeded")


@check(
    "prints-nothing",
    *EVERY_KIND,
    why="stdout carries results; a stray line breaks `--json` and pipes.",
    mend="Use logging, or remove the print.",
)
def prints_nothing(subject: Subject) -> None:
    """Building and using it writes nothing to stdout."""
    out = _uses(subject)[1]
    expect(not out, "nothing on stdout", repr(out[:80]))


def _uses(subject: Subject) -> tuple[list[dict[str, Any]], str]:
    """What the global generators draw after the component was used under one seed and another, and what it printed."""

    def make() -> tuple[list[dict[str, Any]], str]:
        after: list[dict[str, Any]] = []
        out = io.StringIO()
        for seed in (1, 2):
            with _other_generators(seed), torch.random.fork_rng(devices=[]), contextlib.redirect_stdout(out):
                torch.manual_seed(seed)
                _use(subject)
                draws = {"torch": float(torch.rand(())), "numpy": float(np.random.rand()), "python": random.random()}
                after.append(draws)
        return after, out.getvalue()

    return subject.kept("uses", make)


def _use(subject: Subject) -> None:

    EXERCISES[subject.kind](subject, subject.options())
    subject.plugin.make_options({})


@contextlib.contextmanager
def _other_generators(seed: int) -> Any:
    state = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state[0])
        np.random.set_state(state[1])


@check(
    "companions-installed",
    Kind.MODEL,
    why="A run without a companion is refused, and its user sees no more than that.",
    mend="Install them, and let the distribution depend on what its models name.",
    applies=lambda subject: None if subject.component.companions else "it names no companions",
    declares=True,
)
def companions_installed(subject: Subject) -> None:
    """The companions that it names are installed."""
    try:
        host().require(subject.component.needs())
    except GenzooError as error:
        raise CheckFailure("every companion to be installed", str(error)) from error


@check(
    "companions-declared-well",
    Kind.MODEL,
    why="Companions are what a user gets who names none; a wrong kind of value fails every run.",
    mend='Declare companions as kind → "name" or ("name", {option: value}).',
    applies=lambda subject: None if subject.component.companions else "it names no companions",
    declares=True,
)
def companions_declared_well(subject: Subject) -> None:
    """Its companions are names, or names with options that JSON can hold."""
    for kind, companion in subject.component.companions.items():
        name, options = (companion, {}) if isinstance(companion, str) else companion
        named: Any = name
        given: Any = options
        good = kind != Kind.MODEL and isinstance(named, str) and isinstance(given, Mapping)
        expect(good, "(name, options) of another kind than model", f"{kind}: {companion!r}")
        json.dumps(dict(options))
