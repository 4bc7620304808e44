"""Pages made from the code: the Python API, the plugins, the contract checks, and the command reference.

conf.py writes all but the last at every build, into folders that git ignores. The last, docs/commands.md, is kept in git
for readers who do not build; ``python docs/generate.py`` writes it again, and a test compares.
"""

from __future__ import annotations

import inspect
import json
import os
import pkgutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import genzoo

if TYPE_CHECKING:
    from genzoo.testing import Check

MODULES = (
    "genzoo.declare",
    "genzoo.distributions",
    "genzoo.subsets",
    "genzoo.errors",
    "genzoo.estimators",
    "genzoo.findings",
    "genzoo.interfaces",
    "genzoo.options",
    "genzoo.parts",
    "genzoo.randomness",
    "genzoo.storage",
    "genzoo.types",
)
"""What plugins may import, with the modules below them; all names that do not start with an underscore."""

FACADES = ("genzoo", "genzoo.testing")
"""Packages that offer the names in ``__all__``, whichever module those come from."""

COMMANDS_PAGE = "commands.md"
HELP_WIDTH = 96


def public_modules() -> list[str]:
    """The modules of core that have an API page of their own, by name."""
    return [
        module.name
        for module in pkgutil.walk_packages(genzoo.__path__, "genzoo.")
        if any(module.name == root or module.name.startswith(f"{root}.") for root in MODULES)
        and not any(part.startswith("_") for part in module.name.split("."))
    ]


def write(path: Path, text: str) -> None:
    """Write only what changed, so that a second build is incremental."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def write_folder(folder: Path, pages: dict[str, str]) -> None:
    """Write the pages, and remove those that are no longer made."""
    for name, text in pages.items():
        write(folder / name, text)
    for stale in {path.name for path in folder.iterdir()} - set(pages):
        (folder / stale).unlink()


# The Python API


def module_page(module: str) -> str:
    package = hasattr(import_module(module), "__path__")
    members = "   :no-members:\n" if package else ""
    return f"{module}\n{'=' * len(module)}\n\n.. automodule:: {module}\n{members}"


def facade_page(facade: str) -> str:
    package = import_module(facade)
    lines = [facade, "=" * len(facade), "", f".. automodule:: {facade}", "   :no-members:", ""]
    for name in package.__all__:
        value = getattr(package, name)
        if inspect.isclass(value):
            lines.append(f".. autoclass:: {facade}.{name}")
        elif callable(value):
            lines.append(f".. autofunction:: {facade}.{name}")
        elif not name.startswith("_"):
            lines.append(f".. autodata:: {facade}.{name}")
    return "\n".join(lines) + "\n"


def api_pages() -> dict[str, str]:
    pages = {f"{module}.rst": module_page(module) for module in public_modules()}
    return pages | {f"{facade}.rst": facade_page(facade) for facade in FACADES}


# The plugins


def cell(text: object) -> str:
    """Text as a cell of a table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def plugin_pages() -> dict[str, str]:
    """One page a kind, from the declarations of what is installed, and an index from the catalogue."""
    from genzoo.host.catalogue import catalogue
    from genzoo.host.option_help import option_help
    from genzoo.host.plugin_host import host
    from genzoo.types import Kind

    known = {(entry.kind, entry.name, entry.distribution): entry for entry in catalogue().plugin}
    pages: dict[str, str] = {}
    for kind in Kind:
        lines = [f"# Plugins: {kind}", ""]
        for item in host().components(kind):
            declaration = item.component
            lines += [f"## {item.name}", "", cell(declaration.summary) or "No summary.", ""]
            facts = [f"distribution `{item.distribution}`"]
            if declaration.base:
                facts.append(f"derived from `{declaration.base}`")
            if declaration.target:
                facts.append(f"class `{declaration.target.replace(':', '.')}`")
            entry = known.get((kind, item.name, item.distribution))
            if entry is not None:
                facts.append(f"{entry.tier}, {entry.licence}")
            if entry is not None and entry.verified is not None:
                checked = entry.verified
                facts.append(f"contract kit {checked.kit}: {checked.result} ({checked.date})")
            lines += [" · ".join(facts), ""]
            if declaration.paper:
                lines += [f"Paper: {cell(declaration.paper)}", ""]
            options = option_help(item)
            if options:
                lines += ["| option | type | default | bounds | what it does |", "| --- | --- | --- | --- | --- |"]
                for option in options:
                    default = "" if option.default is None else f"`{cell(json.dumps(option.default, default=str))}`"
                    row = (f"`{option.flag}`", option.type, default, option.bounds, option.description)
                    lines.append("| " + " | ".join((row[0], cell(row[1]), row[2], cell(row[3]), cell(row[4]))) + " |")
                lines.append("")
        pages[f"{kind}.md"] = "\n".join(lines) + "\n"
    pages["index.md"] = plugin_index()
    return pages


def plugin_index() -> str:
    from genzoo.host.catalogue import catalogue
    from genzoo.types import Kind

    lines = [
        "# Plugins",
        "",
        "Every component of the catalogue, `registry.toml`. `genzoo search WORD` looks through the same list.",
        "",
        "| kind | name | what it is | distribution |",
        "| --- | --- | --- | --- |",
    ]
    for entry in sorted(catalogue().plugin, key=lambda entry: (list(Kind).index(entry.kind), entry.name)):
        link = f"[`{entry.name}`]({entry.kind}.md#{entry.name})"
        lines.append(f"| {entry.kind} | {link} | {cell(entry.summary)} | `{entry.distribution}` |")
    lines += ["", "```{toctree}", ":hidden:", "", *(str(kind) for kind in Kind), "```", ""]
    return "\n".join(lines)


# The contract checks


def checks_page() -> str:
    """Every check of the contract kit, a table a kind."""
    from genzoo.testing import KIT_VERSION, all_checks
    from genzoo.types import Kind

    failed = wrong_plugins()
    lines = [
        "# Contract checks",
        "",
        (
            f"What version {KIT_VERSION} of the contract kit asks of a plugin. `genzoo check NAME` runs the checks of its "
            "kind; each failure says what was expected and seen, why it matters and how to fix it. The last column names "
            "deliberately wrong plugins of the project's tests that fail the check."
        ),
        "",
        (
            "A fault is reported once: a check that meets the same error, or the same finding, as an earlier one counts as "
            "blocked. A declaration that derives from another one and has no class of its own is checked only for what it "
            "declares itself."
        ),
        "",
        "## Promises",
        "",
        (
            "Some checks need to know what a plugin means. These declarations are optional. Without one, the check in the "
            "last column is skipped with that reason, or assumes what is usual."
        ),
        "",
        "| kind | declaration | what it promises | checks |",
        "| --- | --- | --- | --- |",
        *(f"| {kind} | `{name}` | {text} | `{id}` |" for kind, name, text, id in PROMISES),
        "",
        "| kind | checks |",
        "| --- | --- |",
        *(f"| [{kind}](#checks-{kind}) | {len(all_checks(kind))} |" for kind in Kind),
        "",
        "## Checks: every kind",
        "",
        *checks_table((item for item in all_checks() if item.kinds == set(Kind)), failed),
    ]
    lines += mutation_section()
    for kind in Kind:
        lines += [f"## Checks: {kind}", "", "Besides those of every kind:", ""]
        lines += checks_table((item for item in all_checks(kind) if item.kinds != set(Kind)), failed, kind)
    return "\n".join(lines)


def mutation_section() -> list[str]:
    """What the checks and the unit tests find of mutated official plugins, and what nobody finds, by kind."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
    try:
        import mutants  # pyright: ignore[reportMissingImports]
    finally:
        sys.path.pop(0)
    rows = list(mutants.read().values())
    if not rows:
        return []
    aside = mutants.equivalent()
    lines = [
        "## Mutation",
        "",
        (
            f"`tools/mutants.py` draws {len(rows)} single changes of the code of official plugins under a seed, by the "
            "operators of cosmic-ray: one number, operator, comparison or branch is another one. The kit alone finds a "
            "change if a check of a component that uses the module fails. Otherwise the unit tests of its distribution run, "
            "and other tests that import it. `tools/mutants.csv` has each of them. Changes that make no difference, or "
            "one in the looks of a figure alone, are set aside; `tools/equivalent_mutants.toml` gives the reasons."
        ),
        "",
        "| kind | drawn | set aside | found by the kit alone | by the kit or unit tests | not found |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for kind, count in mutants.counts(rows).items():
        real = count["drawn"] - count["equivalent"]
        kit, both = count["kit"] / real, (count["kit"] + count["tests"]) / real
        cells = (kind, count["drawn"], count["equivalent"], f"{kit:.0%}", f"{both:.0%}", count["survived"])
        lines.append(f"| {' | '.join(map(str, cells))} |")
    left = [row for row in rows if not row["caught"] and row["id"] not in aside]
    untested = [row for row in left if row["by"] in {mutants.NOT_RUN, mutants.NOT_TESTED}]
    if untested:
        lines += ["", f"Of those not found, {len(untested)} were not put before the unit tests."]
    lines += ["", "Not found:", "", "| kind | module | line | before | after |", "| --- | --- | --- | --- | --- |"]
    for row in left:
        code = [f"`{row[name].replace('|', '¦')}`" for name in ("before", "after")]
        lines.append(f"| {row['kind']} | `{Path(row['file']).name}` | {row['line']} | {' | '.join(code)} |")
    return [*lines, ""]


def checks_table(checks: Iterable[Check], failed: Mapping[tuple[str, str], list[str]], kind: str = "") -> list[str]:
    rows: list[str] = []
    for item in checks:
        kinds = [kind] if kind else sorted(item.kinds)
        wrong = [f"`{name}`" for of in kinds for name in failed.get((of, item.id), ())]
        # A check of several kinds may have its wrong plugin in another of them.
        wrong = wrong or [f"`{name}` ({of})" for of in sorted(item.kinds) for name in failed.get((of, item.id), ())]
        cells = (f"`{item.id}`", cell(item.title), cell(item.why), ", ".join(wrong[:3]))
        rows.append(f"| {' | '.join(cells)} |")
    head = ["| check | what is true of a correct plugin | why it matters | fails |", "| --- | --- | --- | --- |"]
    return [*head, *rows, ""]


PROMISES = (
    (
        "loss",
        "bound",
        "At β = 1 its objective is the negative of a lower bound on log p(x).",
        "bound-reaches-the-likelihood",
    ),
    ("loss", "surrogates", "Terms that are not what their names say, with the reason.", "named-terms-are-measured"),
    (
        "loss",
        "discrepancies",
        "Terms that estimate a divergence of q(z) from p(z) without bias.",
        "discrepancy-unbiased",
    ),
    ("loss", "batch_coupled", "The terms of one image depend on the others of its batch.", "coupling-declared"),
    (
        "dataset",
        "labels_unseen",
        "Why the images do not show their labels, where they do not.",
        "labels-fit-images",
    ),
    ("metric", "estimates", "Which numbers are a distortion, rate, elbo or nll.", "estimates-what-it-says"),
    ("metric, visualizer", "reads", "The splits that it reads; the view refuses others.", "reads-as-declared"),
    (
        "scheduler",
        "settled_after",
        "The least number of epochs after which the factor is constant.",
        "settles-no-later",
    ),
    ("prior", "fitted", "Whether it is fitted afterwards, and fixed until then.", "fixed-until-fitted"),
    ("prior, likelihood", "density", "What its log-density is, if not exact.", "normalised"),
)
"""Kind, declaration, what it promises, and a check that holds a plugin to it."""


def wrong_plugins() -> dict[tuple[str, str], list[str]]:
    """The deliberately wrong plugins of the project's tests, by the kind and the check that each is meant to fail."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "contract"))
    try:
        from wrong_plugins.all_of_them import WRONG  # pyright: ignore[reportMissingImports]
    finally:
        sys.path.pop(0)
    found: dict[tuple[str, str], list[str]] = {}
    for wrong in WRONG:
        found.setdefault((str(wrong.plugin.component.kind), wrong.check), []).append(wrong.plugin.component.name)
    return found


# The command reference


def commands_page() -> str:
    """The help of every command, as the command line prints it."""
    # Click wraps to the terminal's width, which must not change the page.
    os.environ["COLUMNS"] = str(HELP_WIDTH)
    lines = [
        "# Commands",
        "",
        "What `genzoo COMMAND --help` prints. Options of plugins are flags with a dot in them, such as "
        "`--model.latent-dim 8`;",
        "`genzoo info NAME` and the [plugin pages](plugins/index.md) list them.",
        "",
    ]
    for path, text in helps():
        lines += [f"## {path}" if path.count(" ") < 2 else f"### {path}", "", "```text", text.rstrip(), "```", ""]
    return "\n".join(lines)


def helps() -> Iterator[tuple[str, str]]:
    """Each command with its help, groups before what is in them."""
    import click

    from genzoo.cli import cli

    def walk(command: click.Command, path: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
        name = path.rpartition(" ")[2]
        settings = {"max_content_width": HELP_WIDTH, **command.context_settings}
        context = click.Context(command, info_name=name, parent=parent, **settings)
        # Click keeps a command's help option from the first context that asked, which may have named it otherwise.
        command._help_option = None
        yield path, command.get_help(context)
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                child = command.get_command(context, name)
                if child is not None and not child.hidden:
                    yield from walk(child, f"{path} {name}", context)

    yield from walk(cli, "genzoo", None)


def write_all(docs: Path) -> None:
    """What a build of the documentation needs."""
    write_folder(docs / "api" / "generated", api_pages())
    write_folder(docs / "plugins", plugin_pages())
    write_folder(docs / "checks", {"index.md": checks_page()})


if __name__ == "__main__":
    write(Path(__file__).parent / COMMANDS_PAGE, commands_page())
