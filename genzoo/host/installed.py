"""One installed component or resource: its declaration, where it comes from, and how its code is reached safely.

Importing this module imports neither torch nor pydantic.
"""

from __future__ import annotations

import difflib
import hashlib
import sys
import traceback
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib import import_module, resources
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from genzoo.declare import Component, Resource
from genzoo.errors import AbruptExit, CorruptError, Interrupted, PluginError, UsageError, describe
from genzoo.host import origin
from genzoo.host.contain import Contained
from genzoo.types import Kind

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from genzoo.options import Options


@contextmanager
def isolated() -> Generator[None]:
    """Runs a plugin's code so that what it prints lands on stderr and an attempt to end the process is an AbruptExit."""
    with redirect_stdout(sys.stderr), Contained():
        yield


def place(error: BaseException, module: str) -> str:
    """Where the code of the module's package raised, as ``, at plugin.py:12``; nothing where no line of it took part."""
    raised = error.__cause__ if isinstance(error, AbruptExit) and error.__cause__ else error
    package = module.partition(":")[0].partition(".")[0]
    # Not extract_tb, which asks the module's loader for its source.
    files = [(Path(frame.f_code.co_filename), line) for frame, line in traceback.walk_tb(raised.__traceback__)]
    own = [f", at {file.name}:{line}" for file, line in files if package in {*file.parts, file.stem}]
    return own[-1] if own else ""


def nearest(word: str, choices: Sequence[str]) -> str:
    """`` Did you mean 'x'?`` for the closest choice, or nothing."""
    found = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    return f" Did you mean {str(found[0])!r}?" if found else ""


class _Declared:
    """A declaration with the distribution that it comes from."""

    distribution: str
    version: str

    @property
    def declaration(self) -> Component | Resource:
        raise NotImplementedError

    @property
    def kind(self) -> str:
        return self.declaration.kind

    @property
    def name(self) -> str:
        return self.declaration.name

    @property
    def qualified(self) -> str:
        """``dist:name``, which names it even where two distributions claim the name."""
        return f"{self.distribution}:{self.name}"

    @property
    def label(self) -> str:
        """How messages name it: ``model vae (genzoo-vae 0.1.0)``."""
        return f"{self.kind} {self.name} ({self.distribution} {self.version})"


@dataclass(frozen=True)
class Installed(_Declared):
    """A component that an installed distribution declares.

    Args:
        component: The declaration, with what it inherits from its base filled in.
        distribution: Name of the distribution.
        version: Version of the distribution.
        entry_point: Name of the entry point that declared it.
    """

    component: Component
    distribution: str
    version: str
    entry_point: str

    @property
    def declaration(self) -> Component:
        return self.component

    @property
    def kind(self) -> Kind:
        return self.component.kind

    def load(self) -> type:
        """Imports and returns the class that the declaration names.

        Raises:
            PluginError: If the import raises anything, or the target is no class.
        """
        target = self._import(self.component.target)
        if not isinstance(target, type):
            raise PluginError(
                f"{self.label}: target must be a class, got {self.component.target!r}.", "Report it to the plugin."
            )
        return target

    def options_class(self) -> type[Options]:
        """Imports and returns the options model, `NoOptions` when the declaration names none.

        Raises:
            PluginError: If the import raises anything, or the model derives not from `Options`.
        """
        from genzoo.options import NoOptions, Options

        if not self.component.options:
            return NoOptions
        model = self._import(self.component.options)
        if not (isinstance(model, type) and issubclass(model, Options)):
            raise PluginError(
                f"{self.label}: options must derive from genzoo.options.Options, got {self.component.options!r}.",
                "Report it to the plugin.",
            )
        return model

    def make_options(self, values: Mapping[str, Any]) -> Options:
        """The options: the model's defaults, the declaration's over them, and ``values`` over both.

        Args:
            values: Option name, with ``-`` or ``_``, → value; strings are parsed to the option's type.

        Raises:
            UsageError: If a value breaks a rule or an option is unknown.
            PluginError: If the declaration's own defaults break a rule.
        """
        from pydantic import ValidationError

        model = self.options_class()
        given = {key.replace("-", "_"): value for key, value in values.items()}
        defaults = {key.replace("-", "_"): value for key, value in self.component.defaults.items()}
        try:
            return model(**{**defaults, **given})
        except ValidationError as error:
            details = error.errors(include_url=False)
            owned = [item for item in details if not item["loc"] or item["loc"][0] in given]
            choices = [name.replace("_", "-") for name in model.model_fields]
            sentences = " ".join(_sentence(item, choices) for item in owned or details)
            if owned and given:
                raise UsageError(f"{self.label}: {sentences}", f"See `genzoo info {self.kind}/{self.name}`.") from None
            raise PluginError(
                f"{self.label}: the declaration's own defaults are refused: {sentences}", "Report it to the plugin."
            ) from None
        except Exception as error:
            raise PluginError(
                f"{self.label}: checking the options raised {describe(error)}.", "Report it to the plugin."
            ) from error

    def _import(self, target: str) -> Any:
        module, _, attribute = target.partition(":")
        try:
            with isolated():
                return getattr(import_module(module), attribute)
        except (KeyboardInterrupt, Interrupted):
            raise
        except Exception as error:
            raise PluginError(
                f"{self.label} is broken: importing {target} raised {describe(error)}{place(error, target)}.",
                import_fix(error, self.distribution, target),
            ) from error


@dataclass(frozen=True)
class InstalledResource(_Declared):
    """A recipe, reproduction or trained run that an installed distribution ships.

    Args:
        resource: The declaration.
        distribution: Name of the distribution.
        version: Version of the distribution.
        entry_point: Name of the entry point that declared it.
    """

    resource: Resource
    distribution: str
    version: str
    entry_point: str

    @property
    def declaration(self) -> Resource:
        return self.resource

    @property
    def path(self) -> Path:
        """The file or folder; a file whose declaration states a SHA-256 is verified each time.

        Raises:
            PluginError: If the package or the file is missing.
            CorruptError: If the file's SHA-256 differs from the declared one.
        """
        package, _, relative = self.resource.path.partition(":")
        fix = f"Reinstall it: {origin.reinstall(self.distribution)}"
        pure = PurePosixPath(relative)
        if pure.is_absolute() or ".." in pure.parts:
            raise PluginError(
                f"{self.label}: path must stay inside its package, got {self.resource.path!r}.",
                "Report it to the plugin.",
            )
        try:
            with isolated():
                path = Path(str(resources.files(package))) / relative
        except (KeyboardInterrupt, Interrupted):
            raise
        except Exception as error:
            raise PluginError(f"{self.label} is broken: {describe(error)}.", fix) from error
        if not path.exists():
            raise PluginError(f"{self.label} is broken: {self.resource.path} does not exist.", fix)
        if self.resource.sha256 and path.is_file():
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if digest != self.resource.sha256.lower():
                raise CorruptError(
                    f"{self.label}: SHA-256 of {path} must be {self.resource.sha256}, got {digest}.", fix
                )
        return path


def import_fix(error: BaseException, distribution: str, module: str) -> str:
    """What to do about a plugin whose code raised."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"Install what provides the module {error.name!r}, or remove the plugin: pip uninstall {distribution}"
    change = f"update or remove the plugin: {origin.upgrade(distribution)}, or pip uninstall {distribution}"
    return (
        f"If it is yours, mend that line; else {change}"
        if place(error, module)
        else f"{change[:1].upper()}{change[1:]}"
    )


def _sentence(item: ErrorDetails, choices: Sequence[str]) -> str:
    """One validation error as ``option must be <rule>, got <value>.``"""
    option = ".".join(str(part) for part in item["loc"]).replace("_", "-")
    message = item["msg"]
    if item["type"] == "extra_forbidden":
        known = f"The options are {', '.join(sorted(choices))}." if choices else "It has no options."
        return f"there is no option {option!r}.{nearest(option, choices)} {known}"
    if item["type"] in {"value_error", "assertion_error"}:
        text = message.partition(", ")[2] or message
        return f"{option}: {text.rstrip('.')}, got {item['input']!r}." if option else f"{text.rstrip('.')}."
    rule = message.replace("Input should be", "must be", 1).replace("Input should", "must", 1)
    return f"{option} {rule}, got {item['input']!r}." if option else f"{rule}."
