"""Sphinx configuration. Build with ``sphinx-build -W docs docs/_build/html``."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

sys.path.insert(0, str(Path(__file__).parent))

project = "genzoo"
author = "The genzoo developers"
project_copyright = "2026, the genzoo developers"
release = version = metadata.version("genzoo")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx-mathjax-offline",  # mathematics without a request to anywhere
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "examples"]
default_role = "py:obj"

html_theme = "furo"
html_theme_options = {
    "source_repository": "https://github.com/genzoo/genzoo/",
    "source_branch": "main",
    "source_directory": "docs/",
}
EXTRA = Path(__file__).parent / "_extra"
EXTRA.mkdir(exist_ok=True)  # Sphinx asks for it before anything is written.
html_extra_path = [EXTRA.name]  # the explorer of the first page, which `write_explorer` draws
copybutton_exclude = ".linenos, .gp, .go"
html_title = f"genzoo {release}"

myst_enable_extensions = ["amsmath", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = ["Subclass requirements", "Differs from the paper"]


def resolve_short_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.reference | None:
    """Let a docstring write `Model.encode` or `estimators.rate` for the one object whose full name ends so."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    objects = env.domains["py"].objects  # pyright: ignore[reportAttributeAccessIssue]
    package, _, last = target.rpartition(".")
    found = [
        (name, entry)
        for name, entry in objects.items()
        # `genzoo.interfaces.Model` is a name that its package offers; the object lies in a module below.
        if (name.endswith(f".{target}") or (name.startswith(f"{package}.") and name.endswith(f".{last}")))
        and not entry.aliased
    ]
    if len(found) != 1:
        return None
    name, entry = found[0]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content, name)


def skip_foreign(app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object) -> bool | None:
    """Leave out what other libraries put on our classes: matplotlib's ``Figure.set``, pydantic's ``model_config``."""
    if name == "model_config":
        return True
    module = getattr(obj, "__module__", None)
    return True if isinstance(module, str) and module.startswith("matplotlib") else None


def write_generated_pages(app: Sphinx) -> None:
    """Pages made from the code: the Python API, the plugins, the commands."""
    import generate

    generate.write_all(Path(app.srcdir))
    if app.builder.format == "html":
        write_explorer(EXTRA / "explorer.html")


def write_explorer(page: Path) -> None:
    """The latent explorer of a trained model, as `genzoo viz zoo:report-vae explorer` draws it; once for all builds."""
    if page.exists():
        return
    import genzoo

    made = genzoo.load("zoo:report-vae").explore()
    page.write_text(made.html, encoding="utf-8")


def setup(app: Sphinx) -> None:
    app.connect("builder-inited", write_generated_pages)
    app.connect("autodoc-skip-member", skip_foreign)
    app.connect("missing-reference", resolve_short_name)
