"""Mutation of the official plugins: what the contract kit alone finds, and what the kit and the unit tests find together.

``python tools/mutants.py draw`` draws mutants by the operators of cosmic-ray under a seed and writes them to
``tools/mutants.csv``. ``run`` runs those of them that were not run, each in a forked child of one process that keeps torch
and the kit warm, and writes the file after each, so that it may be interrupted. ``summary`` prints the counts.

A mutant is caught by the kit if a check of a component that uses the mutated module fails. If none does, the unit tests of
its distribution run, and then all other tests that import it. The contract tests of a distribution are the kit, and are left
out. Mutants that change nothing are listed with the reason in ``tools/equivalent_mutants.toml``.

Needs ``pip install -r requirements-mutants.txt``.
"""

from __future__ import annotations

import argparse
import ast
import csv
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "tools" / "mutants.csv"
EQUIVALENT = ROOT / "tools" / "equivalent_mutants.toml"
KINDS = ("model", "loss", "prior", "likelihood", "scheduler", "network", "metric", "visualizer")
DECLARING = {"plugin", "options", "__init__"}
"""Modules that declare and hold defaults, with no behaviour of their own."""
LEFT_OUT = {
    *("declaration-import-fast", "declaration-torch-free", "options-torch-free", "import-leaves-globals", "torch-free"),
    *("spawn-picklable", "agrees-with-catalogue", "compiles"),
}
"""Checks of how a plugin is imported and installed, and the costliest one: what they would catch counts as not caught."""
COLUMNS = ("id", "kind", "file", "line", "operator", "before", "after", "components", "caught", "by", "seconds")
SEED, PER_KIND = 14, 28
NOT_RUN, NOT_TESTED = "not run", "unit tests not run"


@dataclass(frozen=True)
class Mutant:
    """One change of one module.

    Args:
        kind: Of the components that use the module.
        file: Path from the root of the repository.
        operator, occurrence: As cosmic-ray names them.
        start: Line and column of what is changed.
        components: ``kind/name`` of those that use the module.
    """

    kind: str
    file: str
    operator: str
    occurrence: int
    start: tuple[int, int]
    components: tuple[str, ...]

    @property
    def id(self) -> str:
        return f"{Path(self.file).parent.name}.{Path(self.file).stem}:{self.operator}:{self.occurrence}"

    @property
    def path(self) -> Path:
        return ROOT / self.file

    @cached_property
    def code(self) -> str:
        """The module with the change in it."""
        from cosmic_ray.mutating import mutate_code
        from cosmic_ray.plugins import get_operator

        return str(mutate_code(self.path.read_text(encoding="utf-8"), get_operator(self.operator)(), self.occurrence))

    @cached_property
    def lines(self) -> tuple[str, str]:
        """The first line that differs, before and after."""
        pairs = zip(self.path.read_text(encoding="utf-8").split("\n"), self.code.split("\n"), strict=False)
        return next(((old.strip(), new.strip()) for old, new in pairs if old != new), ("", ""))

    @property
    def distribution(self) -> Path:
        """The folder of the distribution that it is in."""
        return self.path.parents[2]


# Drawing


def modules_of() -> dict[str, dict[str, list[str]]]:
    """Kind → file → the components that use it."""
    from genzoo.host.plugin_host import host

    found: dict[str, dict[str, list[str]]] = {kind: {} for kind in KINDS}
    for item in host().components():
        if str(item.kind) not in KINDS or item.component.base is not None:
            continue
        module = item.component.target.partition(":")[0]
        source = ROOT / "plugins" / item.distribution / "src"
        for file in sorted(_reached(source, module)):
            users = found[str(item.kind)].setdefault(str(file.relative_to(ROOT)), [])
            users.append(f"{item.kind}/{item.name}")
    return found


def _reached(source: Path, module: str) -> set[Path]:
    """The files of a distribution that a module imports, itself among them."""
    found: set[Path] = set()
    left = [module]
    while left:
        name = left.pop()
        file = source / (name.replace(".", "/") + ".py")
        if not file.exists() or file in found or file.stem in DECLARING:
            continue
        found.add(file)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                left += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def sites(kind: str, file: str, components: Iterable[str]) -> dict[tuple[int, int], list[Mutant]]:
    """Every mutant of a module by the place of its change, but for what has no effect: annotations and type checking."""
    from cosmic_ray.ast import Visitor, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    text = (ROOT / file).read_text(encoding="utf-8")
    silent = _silent(text)
    users = tuple(components)
    found: dict[tuple[int, int], list[Mutant]] = defaultdict(list)

    # VariableInserter and VariableReplacer need to be told of which variables.
    names = [name for name in sorted(operator_names()) if not name.endswith(("VariableInserter", "VariableReplacer"))]
    operators = {name: get_operator(name)() for name in names}
    seen: Counter[str] = Counter()

    class Sites(Visitor):
        def visit(self, node: Any) -> Any:
            for name, operator in operators.items():
                for start, _ in operator.mutation_positions(node):
                    mutant = Mutant(kind, file, name, seen[name], tuple(start), users)
                    seen[name] += 1
                    if not any(low <= mutant.start < high for low, high in silent):
                        found[mutant.start].append(mutant)
            return node

    Sites().walk(get_ast(text))
    return found


def _silent(text: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Ranges of a module that are never evaluated: annotations, and what only type checkers read."""
    found: list[tuple[tuple[int, int], tuple[int, int]]] = []

    def leave_out(node: Any) -> None:
        found.append(((node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)))

    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            every += [item for item in (node.args.vararg, node.args.kwarg) if item]
            for item in (*(argument.annotation for argument in every), node.returns):
                if item is not None:
                    leave_out(item)
        elif isinstance(node, ast.AnnAssign):
            leave_out(node.annotation)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            leave_out(node)
    return found


def draw(per_kind: int = PER_KIND, seed: int = SEED) -> list[Mutant]:
    """Mutants of each kind: a place at random, then one of its changes, whichever operators have many variants."""
    drawn: list[Mutant] = []
    for kind, files in modules_of().items():
        chance = random.Random(f"{seed} {kind}")
        places = [changes for file in sorted(files) for _, changes in sorted(sites(kind, file, files[file]).items())]
        chance.shuffle(places)
        taken: list[Mutant] = []
        for changes in places:
            mutant = chance.choice(changes)
            if len(taken) < per_kind and _compiles(mutant):
                taken.append(mutant)
        drawn += taken
    return drawn


def _compiles(mutant: Mutant) -> bool:
    try:
        compile(mutant.code, mutant.file, "exec")
    except SyntaxError:
        return False
    return "" not in mutant.lines


# Running


def in_child(task: Callable[[], Any], limit: float) -> Any:
    """What a task returns in a forked child; None where it takes longer than the limit."""
    with tempfile.TemporaryDirectory(prefix="genzoo-mutant-") as folder:
        answer = Path(folder) / "answer.json"
        child = os.fork()
        if not child:
            os.setsid()
            with (Path(folder) / "output").open("w", encoding="utf-8") as output:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                try:
                    found = task()
                except BaseException as error:  # a mutant may raise anything
                    found = ["error", f"{type(error).__name__}: {error}"[:200]]
                answer.write_text(json.dumps(found), encoding="utf-8")
                os._exit(0)
        start = time.monotonic()
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            if time.monotonic() - start > limit:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                from genzoo.testing import prober

                prober.stop()  # a request may have been cut
                return None
            time.sleep(0.02)
        return json.loads(answer.read_text(encoding="utf-8")) if answer.exists() else ["error", "the process ended"]


def overlaid(package: Path, replaced: dict[str, str], folder: Path) -> None:
    """Make this process, and those that it starts, import a copy of a package with some of its modules replaced."""
    copy = folder / package.name
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for name, code in replaced.items():
        (copy / name).write_text(code, encoding="utf-8")
    forget(package.name)
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


def forget(package: str) -> None:
    """Let a package be imported again."""
    for name in list(sys.modules):
        if name == package or name.startswith(f"{package}."):
            del sys.modules[name]


def by_kit(
    mutant: Mutant | None, package: Path, components: Iterable[str], costs: dict[str, dict[str, float]]
) -> list[Any]:
    """The first check of a component that fails, cheap ones first: ``kind/name check``; empty where none does.

    Of the unmutated package what each check costs is added to ``costs`` and is returned.
    """
    from genzoo.host.plugin_host import host
    from genzoo.testing.subject import Subject
    from genzoo.testing.suite import FAILED, checks_for, declared_in, run_check

    with tempfile.TemporaryDirectory(prefix="genzoo-mutant-") as folder:
        overlaid(package, {mutant.path.name: mutant.code} if mutant else {}, Path(folder))
        for name in components:
            item = host().one(name)
            subject = Subject(item, declared_in(item))
            try:
                known = costs.setdefault(name, {})
                for check, reason in sorted(checks_for(item), key=lambda pair: known.get(pair[0].id, 0.0)):
                    if check.id in LEFT_OUT:
                        continue
                    result = run_check(check, subject, reason)
                    if result.status == FAILED:
                        return [f"{name} {check.id}", result.message]
                    if mutant is None:
                        known[check.id] = result.seconds
            finally:
                subject.close()
    return [] if mutant else [costs]


def by_tests(
    mutant: Mutant | None, package: Path, tests: Iterable[Path | str], leave: Iterable[str], slow: bool
) -> list[str]:
    """The first unit test that fails.

    Args:
        mutant: None for the code as it is.
        package: The package that the module is in.
        tests: Files, or names as pytest has them.
        leave: Tests to leave out.
        slow: Whether those marked slow run, and no others, where ``tests`` are files.
    """
    import pytest

    failed: list[str] = []

    class Noting:
        def pytest_runtest_logreport(self, report: Any) -> None:
            if report.failed:
                failed.append(report.nodeid)

        def pytest_collectreport(self, report: Any) -> None:
            if report.failed:
                failed.append(report.nodeid)

    with tempfile.TemporaryDirectory(prefix="genzoo-mutant-") as folder:
        overlaid(package, {mutant.path.name: mutant.code} if mutant else {}, Path(folder))
        arguments = [*map(str, tests), "-q", "-p", "no:cacheprovider", f"--rootdir={ROOT}", "-x"]
        arguments += ["-m", "" if mutant is None else "slow" if slow else "not slow"]
        arguments += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # genzoo is imported already
        arguments += [f"--deselect={name}" for name in leave]
        pytest.main(arguments, plugins=[Noting()])
    return failed[:1]


@lru_cache(maxsize=64)
def tests_of(distribution: Path, package: str) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """The unit tests of a distribution, and the other tests that import it."""
    own = tuple(path for path in sorted(distribution.glob("tests/test_*.py")) if not path.stem.endswith("_contract"))
    others = [*sorted(ROOT.glob("tests/**/test_*.py")), *sorted(ROOT.glob("plugins/*/tests/test_*.py"))]
    importing = tuple(
        path
        for path in others
        if path not in own
        and "contract" not in path.parts[-2]
        and not path.stem.endswith("_contract")
        and package in path.read_text(encoding="utf-8")
    )
    return own, importing


class Runner:
    """Runs mutants, and knows what of the unmutated code fails or takes its time."""

    def __init__(self) -> None:
        self._kit: dict[str, tuple[float, str]] = {}
        self._costs: dict[str, dict[str, float]] = {}
        self._flaky: list[str] = []

    def run(self, mutant: Mutant, kit_alone: bool = False) -> tuple[str, str]:
        """Who caught it (``kit``, ``tests`` or nobody, as an empty word), and by what."""
        package = mutant.path.parent
        limit, usable = 30.0, []
        for name in mutant.components:
            seconds, failed = self._plain(name, package)
            if failed:
                say(f"  {name} fails unmutated: {failed}")
                continue
            limit += 6 * seconds
            usable.append(name)
        found = in_child(lambda: by_kit(mutant, package, usable, self._costs), limit)
        if found is None:
            return "kit", f"takes longer than {limit:.0f} s"
        if found:
            return "kit", found[1] if found[0] == "error" else found[0]
        if kit_alone:
            return "", NOT_TESTED
        for files in tests_of(mutant.distribution, package.name):
            own = files and files[0].parent == mutant.distribution / "tests"
            for slow in (False, True) if own else (False,):
                failed = self._failing(mutant, package, files, slow)
                if failed:
                    return "tests", failed
        return "", ""

    def _failing(self, mutant: Mutant, package: Path, files: tuple[Path, ...], slow: bool) -> str:
        """The first unit test that fails, and passes unmutated."""
        found = in_child(lambda: by_tests(mutant, package, files, self._flaky, slow), 600) if files else []
        if found is None:
            return "takes longer than 600 s"
        if not found or found[0] == "error":
            return " ".join(found[1:])
        if in_child(lambda: by_tests(None, package, [found[0]], (), True), 600):
            say(f"  fails unmutated: {found[0]}")
            self._flaky.append(found[0])
            return self._failing(mutant, package, files, slow)
        return str(found[0])

    def _plain(self, name: str, package: Path) -> tuple[float, str]:
        """How long the checks of a component take unmutated, and which fails."""
        if name not in self._kit:
            start = time.monotonic()
            found = in_child(lambda: by_kit(None, package, [name], {}), 300)
            done = found is not None and len(found) == 1
            if done:
                self._costs |= found[0]
            self._kit[name] = time.monotonic() - start, "" if done else " ".join(found or ["takes too long"])[:200]
        return self._kit[name]


def say(text: str) -> None:
    """A line for whoever watches."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def warm() -> None:
    """Import what each child needs, once."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    import matplotlib.figure
    import pytest
    import torch

    from genzoo.testing import all_checks, prober

    assert pytest
    assert matplotlib
    torch.set_num_threads(1)
    all_checks()
    prober.start()
    before = list(sys.path), os.environ.get("PYTHONPATH", "")
    by_kit(None, ROOT / "plugins/genzoo-networks/src/genzoo_networks", ["network/mlp"], {})  # what torch imports late
    sys.path[:], os.environ["PYTHONPATH"] = before
    forget("genzoo_networks")


def read(path: Path = RESULTS) -> dict[str, dict[str, str]]:
    """The rows written so far, by id."""
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def write(rows: dict[str, dict[str, str]], path: Path = RESULTS) -> None:
    """Write all rows, by kind and place."""
    ordered = sorted(
        rows.values(), key=lambda row: (KINDS.index(row["kind"]), row["file"], int(row["line"]), row["id"])
    )
    new = path.with_suffix(".new")
    with new.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(ordered)
    new.replace(path)


def equivalent() -> dict[str, str]:
    """Id of a mutant that changes nothing → the reason."""
    return tomllib.loads(EQUIVALENT.read_text(encoding="utf-8")) if EQUIVALENT.exists() else {}


# Counting


def counts(rows: Iterable[dict[str, str]]) -> dict[str, dict[str, int]]:
    """Kind, or ``all`` → how many mutants were drawn, set aside, caught by the kit, by unit tests, by nobody."""
    reasons = equivalent()
    found: dict[str, Counter[str]] = {kind: Counter() for kind in (*KINDS, "all")}
    for row in rows:
        what = row["caught"] or ("equivalent" if row["id"] in reasons else "survived")
        for kind in (row["kind"], "all"):
            found[kind].update(["drawn", what])
    names = ("drawn", "equivalent", "kit", "tests", "survived")
    return {kind: {name: count[name] for name in names} for kind, count in found.items()}


def summary(rows: dict[str, dict[str, str]]) -> Iterator[str]:
    """The counts as lines of text, then those that nobody caught."""
    for kind, count in counts(rows.values()).items():
        real = count["drawn"] - count["equivalent"]
        if real:
            kit, both = count["kit"] / real, (count["kit"] + count["tests"]) / real
            drawn = f"{kind:10} {count['drawn']:4} drawn, {count['equivalent']:3} equivalent"
            yield f"{drawn}; kit {kit:.1%}, with tests {both:.1%}"
    reasons = equivalent()
    for row in rows.values():
        if row["caught"] != "kit" and row["id"] not in reasons:
            yield f"{row['caught'] or 'nobody':6} {row['kind']} {row['file'].split('/')[-1]}:{row['line']} [{row['id']}]"
            yield f"         - {row['before']}\n         + {row['after']}   {row['by'].split('::')[-1]}"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("what", choices=("draw", "run", "summary"))
    parser.add_argument(
        "ids", nargs="*", help="mutants to run, whatever was found before; all that were not run by default"
    )
    parser.add_argument("--per-kind", type=int, default=PER_KIND)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--kinds", nargs="*", default=KINDS)
    parser.add_argument("--kit-alone", action="store_true", help="leave the unit tests to a later run")
    parser.add_argument("--again", choices=("uncaught", "tests", "all"), help="run these again")
    arguments = parser.parse_args()
    rows = read()
    if arguments.what == "summary":
        say("\n".join(summary(rows)))
    elif arguments.what == "draw":
        found = {item.id: item for item in draw(arguments.per_kind, arguments.seed)}
        write({id: _row(item, rows.get(id)) for id, item in found.items()})
    else:
        asked = {id: row for id, row in rows.items() if row["kind"] in arguments.kinds and _asked(row, arguments)}
        run(rows, asked, kit_alone=arguments.kit_alone)


def _row(mutant: Mutant, known: dict[str, str] | None) -> dict[str, str]:
    """A row of a mutant that was not run, or what was found of the same one."""
    before, after = mutant.lines
    if known is not None and (known["before"], known["after"]) == (before, after):
        return known
    place = (mutant.id, mutant.kind, mutant.file, str(mutant.start[0]), mutant.operator, before, after)
    return dict(zip(COLUMNS, (*place, " ".join(mutant.components), "", NOT_RUN, ""), strict=True))


def _asked(row: dict[str, str], arguments: argparse.Namespace) -> bool:
    if arguments.ids:
        return row["id"] in arguments.ids
    again = {"all": True, "uncaught": not row["caught"], "tests": row["caught"] != "kit"}.get(arguments.again, False)
    return again or row["by"] == NOT_RUN or (row["by"] == NOT_TESTED and not arguments.kit_alone)


def run(rows: dict[str, dict[str, str]], asked: dict[str, dict[str, str]], *, kit_alone: bool) -> None:
    """Run mutants and write what was found of each at once."""
    warm()
    runner, aside = Runner(), equivalent()
    for number, (id, row) in enumerate(asked.items(), 1):
        components = tuple(row["components"].split())
        occurrence = int(id.rpartition(":")[2])
        mutant = Mutant(row["kind"], row["file"], row["operator"], occurrence, (int(row["line"]), 0), components)
        if mutant.lines != (row["before"], row["after"]):
            say(f"{id} is no longer what it was; draw again")
            continue
        start = time.monotonic()
        caught, by = ("", "equivalent") if id in aside else runner.run(mutant, kit_alone)
        row |= {"caught": caught, "by": " ".join(by.split())[:160], "seconds": f"{time.monotonic() - start:.1f}"}
        write(rows)
        say(f"{number}/{len(asked)} {caught or 'NOBODY'} {id} {by[:100]!r}")


if __name__ == "__main__":
    main()
