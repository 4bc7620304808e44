"""Makes a new plugin distribution from the templates; used by ``genzoo new``. Imports no torch."""

from __future__ import annotations

import keyword
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from pathlib import Path
from string import Template

from packaging.version import Version

from genzoo import __version__, storage
from genzoo.declare import API_VERSION
from genzoo.errors import StorageError, UsageError
from genzoo.hookspecs import COMPONENT_HOOKS
from genzoo.host import catalogue
from genzoo.host.plugin_host import host
from genzoo.types import Kind

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 60

_USE = {
    Kind.MODEL: "genzoo run {name} --epochs 1 --limit 1000",
    Kind.LOSS: "genzoo run vae --loss {name} --epochs 1 --limit 1000",
    Kind.PRIOR: "genzoo run vae --prior {name} --epochs 1 --limit 1000",
    Kind.SCHEDULER: "genzoo run vae --scheduler {name} --epochs 1 --limit 1000",
    Kind.VISUALIZER: "genzoo run vae --viz {name} --epochs 1 --limit 1000",
    Kind.LIKELIHOOD: "genzoo run vae --likelihood {name} --epochs 1 --limit 1000",
    Kind.NETWORK: "genzoo run vae --network {name} --epochs 1 --limit 1000",
    Kind.DATASET: "genzoo run vae --data {name} --network mlp --epochs 1",
    Kind.METRIC: "genzoo run vae --metric {name} --epochs 1 --limit 1000",
}
"""One command that uses a component of each kind."""


@dataclass(frozen=True)
class _Like:
    """One of the forms that a new model can have.

    Args:
        templates: File of the package → template, where they are not those of every kind.
        dependencies: Distributions whose plugins its declaration names.
        loss: What follows the model's name in that of an objective that the distribution also declares; empty for none.
    """

    templates: Mapping[str, str] = field(default_factory=dict[str, str])
    dependencies: tuple[str, ...] = ()
    loss: str = ""


LIKE: Mapping[str, _Like] = {
    "vae": _Like(),
    "pixels": _Like(
        {
            "plugin.py": "plugin_pixels.py.txt",
            "options.py": "model_pixels_options.py.txt",
            "{module}.py": "model_pixels.py.txt",
        },
        ("genzoo-flow-prior", "genzoo-schedulers"),
    ),
    "gan": _Like(
        {
            "plugin.py": "plugin_gan.py.txt",
            "options.py": "model_gan_options.py.txt",
            "{module}.py": "model_gan.py.txt",
            "game.py": "model_gan_game.py.txt",
        },
        ("genzoo-networks",),
        "-game",
    ),
}
"""The forms of a new model, the default first."""


@dataclass(frozen=True)
class Made:
    """A distribution that was made.

    Args:
        folder: Its folder.
        files: Its files, relative to the folder.
        next_steps: The commands that install, check and use it.
    """

    folder: Path
    files: list[str]
    next_steps: list[str]


def make(kind: Kind, name: str, out: Path, like: str | None = None) -> Made:
    """Makes the distribution ``genzoo-NAME`` in a new folder under ``out``.

    Args:
        kind: The kind of the component.
        name: Its kebab-case name.
        out: The folder to make it in, which is made where it is absent.
        like: The form of a model, a key of `LIKE`; None for the first, and for every other kind.

    Raises:
        UsageError: If the folder exists, the name is malformed, a keyword, or taken, or there is no such form; nothing is
            written.
        StorageError: If the folder cannot be written.
    """
    form = _form(kind, like)
    refuse(kind, name)
    if form.loss:
        refuse(Kind.LOSS, name + form.loss)
    folder = out / f"genzoo-{name}"
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"new: {folder} must not exist yet.", "Choose another name, or another folder with --out.")
    contents = render(kind, name, like)
    staging: Path | None = None
    try:
        out.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".genzoo-new-", dir=out))
        for path, text in contents.items():
            file = staging / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        staging.chmod(0o755)
        storage.retried(partial(staging.rename, folder))
    except OSError as error:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        raise StorageError(
            f"new: {out} must be a writable folder, got {error}.", "Choose another with --out."
        ) from error
    steps = [f"pip install -e {folder}", f"genzoo check {_keys(kind, name, form)}", _USE[kind].format(name=name)]
    return Made(folder, sorted(contents), steps)


def refuse(kind: Kind, name: str) -> None:
    """Refuses a name that a new component of that kind cannot have.

    Raises:
        UsageError: With the rule that it breaks.
    """
    fix = "Choose another name."
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        rule = f"kebab-case, such as my-{kind}, of {_LONGEST} characters at most"
        shown = name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…"
        raise UsageError(f"new: name must be {rule}, got {shown!r}.", fix)
    if keyword.iskeyword(name) or keyword.issoftkeyword(name) or name in sys.builtin_module_names:
        raise UsageError(f"new: name must be no keyword of Python and no built-in module, got {name!r}.", fix)
    for item in host().components(kind):
        if item.name == name:
            raise UsageError(f"new: name must be free, and {kind}/{name} is {item.distribution}'s.", fix)
    known = catalogue.lookup(kind, name)
    if known is not None:
        raise UsageError(f"new: name must be free, and {known.key} is {known.distribution}'s in the catalogue.", fix)
    distribution = f"genzoo-{name}"
    taken = {item.distribution for item in host().components()} | {
        item.distribution for item in catalogue.catalogue().plugin
    }
    if distribution in taken:
        raise UsageError(f"new: {distribution} must be no distribution that exists.", fix)


def render(kind: Kind, name: str, like: str | None = None) -> dict[str, str]:
    """The files of the distribution: path → text. See `make`."""
    module, form, compatible = name.replace("-", "_"), _form(kind, like), bounds(__version__)
    own = {"plugin.py": "plugin.py.txt", "options.py": f"{kind}_options.py.txt", "{module}.py": f"{kind}.py.txt"}
    words = {
        "kind": str(kind),
        "name": name,
        "title": name.replace("-", " "),
        "module": module,
        "package": f"genzoo_{module}",
        "class_name": "".join(part.capitalize() for part in name.split("-")),
        "hook": COMPONENT_HOOKS[kind],
        "article": "an" if str(kind)[0] in "aeiou" else "a",
        "needs": ", ".join(f'"{needed}{compatible}"' for needed in ("genzoo", *form.dependencies)),
        "keys": _keys(kind, name, form),
        "api": API_VERSION,
        "use": _USE[kind].format(name=name),
    }
    package = f"src/{words['package']}"
    return {
        path: Template(_template(source)).substitute(words)
        for path, source in {
            "pyproject.toml": "pyproject.toml.txt",
            "README.md": "README.md.txt",
            ".gitignore": "gitignore.txt",
            "LICENSE": "LICENSE.txt",
            f"{package}/__init__.py": "init.py.txt",
            f"{package}/py.typed": "py.typed.txt",
            **{f"{package}/{file.format(module=module)}": text for file, text in (own | dict(form.templates)).items()},
            f"tests/test_{module}.py": "test.py.txt",
        }.items()
    }


def _form(kind: Kind, like: str | None) -> _Like:
    if like is not None and kind is not Kind.MODEL:
        raise UsageError(f"new: --like must be left out for a {kind}, got {like!r}; it is the form of a model.")
    if like is not None and like not in LIKE:
        raise UsageError(f"new: --like must be one of {', '.join(LIKE)}, got {like!r}.")
    return LIKE[like or "vae"] if kind is Kind.MODEL else _Like()


def _keys(kind: Kind, name: str, form: _Like) -> str:
    """The components of the distribution, for `genzoo check`."""
    return f"{kind}/{name}" + (f" loss/{name}{form.loss}" if form.loss else "")


def bounds(version: str) -> str:
    """The versions that are compatible with one: from its minor version to the next incompatible one.

    Example:
        >>> bounds("0.2.3"), bounds("1.4rc1")
        ('>=0.2,<0.3', '>=1.4,<2')
    """
    major, minor = Version(version).major, Version(version).minor
    return f">={major}.{minor},<{major + 1}" if major else f">=0.{minor},<0.{minor + 1}"


def _template(name: str) -> str:
    return (files("genzoo") / "templates" / name).read_text(encoding="utf-8")
