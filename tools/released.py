"""Try what is released: build the wheels, install them in a fresh environment away from the checkout, and use them.

``python tools/released.py`` does it with torch, which it takes from the environment that it runs in, as it takes everything
else that genzoo requires: nothing is downloaded. ``python tools/released.py --python 3.12`` does it with another Python and
without torch: what imports none must work there. That needs a package index, and ends with code 0 and a line that says so
where there is no such Python. ``--lowest`` takes the oldest versions that the bounds of the core state; it downloads torch.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from wheels import ROOT, build

TORCH_FREE = [
    *(
        f"tests/host/test_{name}.py"
        for name in ("catalogue", "commands", "discovery", "exit_codes", "hooks", "origin", "versions")
    ),
    "tests/host/test_words.py",
    "tests/test_toml.py",
]
"""Tests of which all but a few need no torch, and those skip themselves."""

CUT = ["--limit", "256", "--epochs", "1"]
"""What makes a training of README a matter of seconds."""


BATCH = """
import json, sys
from genzoo.cli import execute
for line in json.loads(sys.argv[1]):
    code = execute(line)
    if code != int(sys.argv[2]):
        raise SystemExit(f"genzoo {' '.join(line)} ended with code {code}.")
"""


class Place:
    """A folder with a space and a letter outside ASCII, with an environment of its own in it.

    Args:
        folder: Where it is made.
    """

    def __init__(self, folder: Path) -> None:
        self.work = folder / "a place with ü"
        self.work.mkdir()
        self.venv = self.work / "environment"
        self.python = self.venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        self.started = time.perf_counter()
        kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
        path = os.pathsep.join([str(self.python.parent), os.environ.get("PATH", "")])
        self.environment = {**kept, "PATH": path, "MPLBACKEND": "Agg", "PYTHONUTF8": "0"}

    def run(self, *words: str | Path, code: int = 0, says: str = "", cwd: Path | None = None) -> str:
        """Run a command in the environment, and fail unless it ends with ``code`` and prints ``says``."""
        before = time.perf_counter()
        done = subprocess.run(
            [str(word) for word in words],
            cwd=cwd or self.work,
            env=self.environment,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        said = done.stdout + done.stderr
        shown = " ".join(str(word) for word in words if word is not BATCH).replace(str(self.python), "python")
        sys.stdout.write(f"{time.perf_counter() - before:6.1f} s  {shown[:150]}\n")
        sys.stdout.flush()
        if done.returncode != code or says not in said:
            wanted = f"code {code}" + (f" and {says!r}" if says else "")
            raise SystemExit(f"{said}\nreleased: {shown} must end with {wanted}, got code {done.returncode}.")
        return said

    def genzoo(self, *words: str, code: int = 0, says: str = "") -> str:
        """Run the command ``genzoo`` of the environment."""
        return self.run(self.python, "-m", "genzoo", *words, code=code, says=says)

    def batch(self, lines: Sequence[Sequence[str]], code: int = 0) -> str:
        """Run several command lines in one process, which imports torch once."""
        for line in lines:
            sys.stdout.write(f"          genzoo {' '.join(line)}\n")
        return self.run(self.python, "-c", BATCH, json.dumps([list(line) for line in lines]), str(code))

    def is_away(self) -> None:
        """Fail unless genzoo and a plugin are imported from the environment alone."""
        where = "import genzoo, genzoo_vae; print(genzoo.__file__, genzoo_vae.__file__, sep='\\n')"
        for line in self.run(self.python, "-c", where).split("\n")[:2]:
            if self.venv.resolve() not in Path(line).resolve().parents:
                raise SystemExit(f"released: genzoo must come from {self.venv}, got {line}.")


def with_torch(place: Place, wheels: Path) -> None:
    """Train, draw, measure, check and make a plugin from wheels alone."""
    venv.create(place.venv, with_pip=False)
    (site,) = place.venv.glob("lib/python*/site-packages" if os.name != "nt" else "Lib/site-packages")
    lend(Path(str(distribution("torch").locate_file(""))), site)
    pip = [sys.executable, "-m", "pip", "--python", place.python]
    offline = ["--quiet", "--no-compile", "--no-index", "--find-links", wheels]
    place.run(*pip, "install", *offline, "genzoo[zoo]")
    place.run(*pip, "check")
    place.is_away()
    place.run(place.python.with_name("genzoo"), "doctor")
    place.genzoo("registry", "check", "--strict")
    place.genzoo("registry", "check", "--write", code=2, says="part of an installation")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (main,) = re.findall(r"^pip install -r requirements.txt && genzoo (run .*)$", readme, re.M)
    place.genzoo(*shlex.split(main), *CUT)
    place.genzoo("new", "scheduler", "my-warmup")
    place.run(*pip, "install", *offline, "--no-build-isolation", place.work / "genzoo-my-warmup")
    place.batch([*tour(readme), ["run", "vae", "--scheduler", "my-warmup", *CUT]])
    place.genzoo("check", "linear-warmup", "standard-normal", "model/beta-vae", "scheduler/my-warmup")
    place.run(*pip, "uninstall", "--quiet", "--yes", "genzoo-vae", "genzoo-losses")
    source = "git+https://github.com/genzoo/genzoo#subdirectory=plugins"
    said = place.batch([["sample", "zoo:report-vae"], ["run", "beta-vae"], ["doctor", "--quick"]], code=3)
    for name in ("genzoo-vae", "genzoo-losses"):
        if said.count(f'"{name} @ {source}/{name}"') < 2:
            raise SystemExit(f"{said}\nreleased: what is missing must be named with its source, {name} @ {source}.")


def without_torch(place: Place, wheels: Path, python: str, *, tests: bool) -> None:
    """Find, show and make plugins where torch is not installed; with ``tests``, run those that need none."""
    place.run(python, "-m", "venv", place.venv)
    pip = [place.python, "-m", "pip"]
    listed = [line for line in distribution("genzoo").requires or [] if not re.match(r"torch\b|.*extra ==", line)]
    tools = ["pytest>=8.2", "hatchling>=1.27", "pyyaml"] if tests else []
    place.run(*pip, "install", "--quiet", "--constraint", ROOT / "constraints.txt", *listed, *tools)
    place.run(*pip, "install", "--quiet", "--no-index", "--no-deps", *sorted(wheels.glob("*.whl")))
    place.is_away()
    found = json.loads(place.genzoo("doctor", "--quick", "--json", code=3))
    told = {(item["kind"], item["distribution"]) for item in found["problems"] if item["kind"] != "optional"}
    expected = {("missing", name) for name in ("torch", "torchvision", "tensorboard", "scikit-learn", "zuko")}
    if not {("missing", "torch")} <= told <= expected:
        raise SystemExit(f"released: torch and its like alone must be missing, got {sorted(told)}.")
    for line in ("--version", "--help", "list", "list --all", "info vae", "search digits", "recipe list", "run --help",
                 "recipe show report-vae", "registry check", "runs list", "new scheduler my-warmup"):  # fmt: skip
        place.genzoo(*line.split())
    for line in ("run vae", "run vae --dry-run", "check linear-warmup", "sample zoo:report-vae"):
        place.genzoo(*line.split(), code=3, says="genzoo needs torch>=")
    if tests:
        place.environment["PYTHONPATH"] = str(ROOT)  # The core from the checkout, where its tests expect it.
        place.run(place.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", *TORCH_FREE, cwd=ROOT)


def at_lowest(place: Place, wheels: Path) -> None:
    """Train, draw and check with the oldest versions that the bounds of the core state, those of torch among them."""
    place.run(sys.executable, "-m", "venv", place.venv)
    pip = [place.python, "-m", "pip"]
    place.run(*pip, "install", "--quiet", *lowest(), "pytest", "hatchling", "pyyaml")
    place.run(*pip, "install", "--quiet", "--no-index", "--no-deps", *sorted(wheels.glob("*.whl")))
    place.is_away()
    use_at_lowest(place)


def use_at_lowest(place: Place) -> None:
    """What is done with the oldest versions; what needs torchvision is left out."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    place.batch(tour(readme))
    place.genzoo("check", "linear-warmup", "standard-normal", "model/beta-vae")
    place.environment["PYTHONPATH"] = str(ROOT)
    tests = [*TORCH_FREE, "tests/test_estimators.py", "tests/test_distributions.py"]
    # matplotlib's oldest version warns of what its own newest dependencies deprecate.
    quiet = ["-W", "ignore::DeprecationWarning", "-W", "ignore::PendingDeprecationWarning"]
    place.run(place.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *quiet, *tests, cwd=ROOT)


def lowest() -> list[str]:
    """The lower bounds of the core as versions that pip installs.

    Example:
        >>> lowest()[0]
        'click==8.1'
    """
    required = [Requirement(line) for line in distribution("genzoo").requires or []]
    bounds = {item.name: item.specifier for item in required if item.marker is None}
    return sorted(
        f"{name}=={bound.version}" for name, each in bounds.items() for bound in each if bound.operator == ">="
    )


def tour(readme: str) -> list[list[str]]:
    """The commands of README's tour, without the word ``genzoo``; its trainings are cut short."""
    (block,) = re.findall(r"^## A 60-second tour\n.*?```bash\n(.*?)^```", readme, re.M | re.S)
    lines = [shlex.split(line, comments=True) for line in re.findall(r"^genzoo (.*)$", block, re.M)]
    return [[*words, *(CUT if words[0] == "run" and "--resume" not in words else [])] for words in lines]


def lend(source: Path, target: Path) -> None:
    """Show what is installed in one site-packages in another, genzoo left out."""
    for entry in source.iterdir():
        if not re.match(r"_*(editable_impl_)?genzoo|.*\.pth$|__pycache__|_?pip\b|pip-", entry.name):
            (target / entry.name).symlink_to(entry, target_is_directory=entry.is_dir())


def interpreter(version: str) -> str | None:
    """A Python of that version: on the path, or among those that pyenv has."""
    candidates = [shutil.which(f"python{version}")]
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates += sorted(map(str, versions.glob(f"{version}.*/bin/python{version}")))
    asks = f"import sys, venv, ensurepip; assert '%d.%d' % sys.version_info[:2] == '{version}'"
    for candidate in candidates:
        if candidate and not subprocess.run([candidate, "-c", asks], capture_output=True, check=False).returncode:
            return candidate
    return None


def main() -> int:
    """Builds, installs and uses them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", metavar="VERSION", help="another Python, such as 3.12, without torch")
    parser.add_argument("--lowest", action="store_true", help="the oldest versions of what the core requires")
    parser.add_argument("--no-tests", action="store_true", help="with --python: use the commands only")
    given = parser.parse_args()
    python = interpreter(given.python) if given.python else sys.executable
    if python is None:
        sys.stdout.write(f"Skipped: there is no Python {given.python} with venv and pip on this machine.\n")
        return 0
    with tempfile.TemporaryDirectory(prefix="genzoo-released-") as folder:
        wheels = Path(folder) / "dist"
        build(wheels, kinds=("wheel",))
        place = Place(Path(folder))
        if given.python:
            without_torch(place, wheels, python, tests=not given.no_tests)
        elif given.lowest:
            at_lowest(place, wheels)
        else:
            with_torch(place, wheels)
        sys.stdout.write(f"{time.perf_counter() - place.started:6.1f} s  in all\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
