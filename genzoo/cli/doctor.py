"""``genzoo doctor``: every plugin, how long it took, who imported torch too early, and what is broken and why."""

from __future__ import annotations

import os
import platform
import sys
import traceback
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata, version
from importlib.util import find_spec
from typing import Any

import click

from genzoo import __version__
from genzoo.cli import console
from genzoo.declare import API_VERSION
from genzoo.errors import GenzooError, describe
from genzoo.host import origin
from genzoo.host.discovery import ALLOW_VARIABLE, Plugin, normal
from genzoo.host.installed import isolated
from genzoo.host.needs import unmet
from genzoo.host.plugin_host import SERIOUS, Host, Problem, allowed_points
from genzoo.host.trial import SECONDS, try_declarations


@click.command("doctor")
@click.option("--quick", is_flag=True, help="Do not import the plugins' code (torch among it), only declarations.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="Of each declaration, which is imported in a process of its own first.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor(context: click.Context, quick: bool, timeout: float, as_json: bool) -> None:
    """Show what is installed, slow, broken, and why; exit 3 when a plugin is broken.

    A plugin that ends, hangs or changes the process at import is named too.
    """
    tried = try_declarations(allowed_points(), timeout)
    fatal = [key for key, items in tried.items() if any(item.kind == "fatal" for item in items)]
    found = Host(without=fatal)
    # What changes the process is told by the trial, where no other plugin can have done it.
    problems = [item for items in tried.values() for item in items]
    problems += [item for item in found.problems if item.kind != "intrusive"]
    installed = {item.distribution for item in found.plugins}
    unmet_needs = unmet(["genzoo", *installed])
    torch_is_there = not any(item.distribution == "torch" and item.kind == "missing" for item in unmet_needs)
    problems += unmet_needs
    if not found.plugins:
        problems.append(_no_plugin(found))
    told = list(problems)
    problems += [*_missing_extras(found), *(_load_everything(found) if torch_is_there and not quick else [])]
    environment = _environment(quick)
    plugins = [
        {
            "distribution": plugin.distribution,
            "version": plugin.version,
            "entry_point": plugin.name,
            "status": _status(plugin, told),
            "api": sorted(plugin.api),
            "import_seconds": round(plugin.seconds, 4),
            "imports_torch": plugin.imports_torch,
            "components": sum(item.distribution == plugin.distribution for item in found.components()),
        }
        for plugin in found.plugins
    ]
    if as_json:
        console.print_json(
            {"environment": environment, "plugins": plugins, "problems": [vars(item) for item in problems]}
        )
    else:
        _show(environment, plugins, problems)
    if any(item.kind in SERIOUS for item in problems):
        context.exit(3)


def _show(environment: dict[str, Any], plugins: list[dict[str, Any]], problems: list[Problem]) -> None:
    columns = console.width()
    for key, value in environment.items():
        console.show(console.paragraph(f"{key + ':':<14}{value}", columns))
    console.say()
    rows = [
        [
            f"{plugin['distribution']} {plugin['version']}",
            plugin["status"],
            ", ".join(plugin["api"]) or "-",
            f"{1000 * plugin['import_seconds']:.0f} ms",
            "imported too early" if plugin["imports_torch"] else "-",
            str(plugin["components"]),
        ]
        for plugin in plugins
    ]
    console.show(console.table(["plugin", "status", "api", "import", "torch", "components"], rows, columns))
    console.say()
    if not problems:
        console.say("Nothing is wrong.")
    for item in problems:
        console.show(console.paragraph(f"{item.kind}: {item.distribution} {item.version}: {item.cause}.", columns))
        console.show(console.paragraph(item.fix, columns, "    "))


def _status(plugin: Plugin, problems: list[Problem]) -> str:
    """What became of an entry point: its own status, or the serious problem of what it declares."""
    found = [
        item.kind
        for item in problems
        if (item.entry_point, item.distribution) == (plugin.name, plugin.distribution) and item.kind in SERIOUS
    ]
    return found[0] if found and plugin.status == "loaded" else plugin.status


def _environment(quick: bool) -> dict[str, Any]:
    from genzoo.host import catalogue

    try:
        known = f"{len(catalogue.catalogue().plugin)} plugins in {catalogue.path()}"
    except GenzooError as error:
        known = str(error)
    values: dict[str, Any] = {
        "genzoo": f"{__version__}, plugin API {API_VERSION}",
        "python": f"{platform.python_version()} at {sys.executable}",
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "torch": _torch(quick),
        "catalogue": known,
    }
    if ALLOW_VARIABLE in os.environ:
        values[ALLOW_VARIABLE] = os.environ[ALLOW_VARIABLE] or "(empty: no plugin is loaded)"
    return values


def _torch(quick: bool) -> str:
    try:
        installed = version("torch")
    except PackageNotFoundError:
        return "not installed"
    if quick:
        return installed
    try:
        import torch
    except Exception as error:
        return f"{installed}, broken: {describe(error)}"
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device"
    return f"{installed}, {device}, {torch.get_num_threads()} threads"


def _no_plugin(found: Host) -> Problem:
    why, _, fix = found.why_none().partition(". ")
    return Problem("", "genzoo", __version__, why, "missing", fix)


def _missing_extras(found: Host) -> list[Problem]:
    problems: list[Problem] = []
    for item in found.components():
        for module in item.component.requires_extra:
            if find_spec(module.partition(".")[0]) is None:
                cause = f"{item.kind} {item.name} can use {module}, which is not installed"
                fix = _extra_fix(item.distribution, module)
                problems.append(Problem(item.entry_point, item.distribution, item.version, cause, "optional", fix))
    return problems


def _extra_fix(distribution: str, module: str) -> str:
    """How to install a module that a component can use: by the extra of that name, where its distribution has one."""
    package = normal(module.partition(".")[0])
    try:
        extras = metadata(distribution).get_all("Provides-Extra") or []
    except PackageNotFoundError:
        extras = []
    if package in map(normal, extras):
        return f"If you want that feature: {origin.install(f'{distribution}[{package}]')}"
    return f"If you want that feature, install what provides the module {module!r}."


def _load_everything(found: Host) -> list[Problem]:
    """Imports torch, then the code of every component, as `genzoo run` would, and notes what fails."""
    problems = _misfits()
    broken = [item.distribution for item in problems]
    for item in found.components():
        try:
            item.make_options({})
            item.load()
        except GenzooError as error:
            if any(_raised_in(error, package) for package in broken):
                continue  # It is told once, and is no fault of the plugin.
            concerns = (f"{item.kind}/{item.name}",)
            cause = error.message.rstrip(".")
            problems.append(
                Problem(item.entry_point, item.distribution, item.version, cause, "broken", error.hint, concerns)
            )
    return problems


def _misfits() -> list[Problem]:
    """Whether torch can be imported, and torchvision, if it is installed, with it."""
    for name in ("torch", "torchvision"):
        try:
            installed = version(name)
        except PackageNotFoundError:
            continue
        try:
            with isolated():
                import_module(name)
        except Exception as error:
            with_torch = f"torch {version('torch')} and torchvision {installed} do not fit together: "
            cause = f"{with_torch if name == 'torchvision' else ''}importing {name} raised {describe(error)}"
            fix = "Install versions that match: pip install --upgrade --force-reinstall torch torchvision"
            return [Problem("", name, installed, cause, "unfit", fix)]
    return []


def _raised_in(error: BaseException | None, package: str) -> bool:
    """Whether a line of a package took part in raising an error or its cause."""
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if str(frame.f_globals.get("__name__", "")).partition(".")[0] == package:
                return True
        error = error.__cause__
    return False
