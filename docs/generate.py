"""Pages made from the code: the Python API, one page a public module.

Called by conf.py at every build; the pages lie in docs/api/generated, which git ignores.
"""

from __future__ import annotations

import pkgutil
from pathlib import Path

import genzoo

PUBLIC = (
    "genzoo.api",
    "genzoo.declare",
    "genzoo.distributions",
    "genzoo.errors",
    "genzoo.estimators",
    "genzoo.interfaces",
    "genzoo.options",
    "genzoo.parts",
    "genzoo.randomness",
    "genzoo.testing",
    "genzoo.types",
)
"""What plugins and users may import; the modules below them are public too, unless a name starts with an underscore."""

SPECIAL = ("genzoo.hookspecs",)
"""Public, with a page written by hand."""


def all_modules() -> list[str]:
    """Every module of core, by name, without importing any."""
    return sorted(module.name for module in pkgutil.walk_packages(genzoo.__path__, "genzoo."))


def is_public(module: str) -> bool:
    if any(part.startswith("_") for part in module.split(".")):
        return False
    return any(module == root or module.startswith(f"{root}.") for root in PUBLIC)


def public_modules() -> list[str]:
    return [module for module in all_modules() if is_public(module)]


def write(path: Path, text: str) -> None:
    """Write only what changed, so that a second build is incremental."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def api_page(module: str) -> str:
    package = any(other.startswith(f"{module}.") for other in all_modules())
    members = "   :no-members:\n" if package else ""
    return f"{module}\n{'=' * len(module)}\n\n.. automodule:: {module}\n{members}"


def write_api(folder: Path) -> None:
    pages = {folder / f"{module}.rst": api_page(module) for module in public_modules()}
    for stale in set(folder.glob("*.rst")) - set(pages):
        stale.unlink()
    for path, text in pages.items():
        write(path, text)


def write_all(docs: Path) -> None:
    write_api(docs / "api" / "generated")
