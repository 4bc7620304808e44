"""Write what all distributions have in common, from one place: ``python tools/distributions.py [--version X] [--check]``.

The authors, addresses and classifiers are those of the core's ``pyproject.toml``, the version is that of
``genzoo/__init__.py``. Each plugin gets them, the licence with its text, ``py.typed``, and bounds on the core and on other
plugins that exclude the next incompatible version; the extra ``zoo`` gets exact versions. ``--version`` sets them all.
``--check`` writes nothing and exits 1 if a file is not as it would be written.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import tomli_w
from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from genzoo.scaffold import bounds

ROOT = Path(__file__).resolve().parent.parent
BUILD = "hatchling>=1.27"
"""The first that reads ``license-files`` as the standard has them."""


def wanted(root: Path, version: str) -> dict[Path, str]:
    """Every file that this command writes, with its text.

    Args:
        root: The repository.
        version: Of all distributions.
    """
    core = tomllib.loads(_text(root / "pyproject.toml"))
    licence = _text(root / "LICENSE")
    folders = sorted(path.parent for path in root.glob("plugins/*/pyproject.toml"))
    files = {
        root / "genzoo/__init__.py": _replaced(
            root / "genzoo/__init__.py", r'^__version__ = ".*"$', f'__version__ = "{version}"'
        ),
        root / "CITATION.cff": _replaced(root / "CITATION.cff", r"^version: .*$", f"version: {version}"),
        root / "pyproject.toml": _replaced(
            root / "pyproject.toml",
            r"^zoo = \[\n(    .*\n)*\]",
            "\n".join(["zoo = [", *(f'    "{folder.name}=={version}",' for folder in folders), "]"]),
        ),
    }
    for folder in folders:
        (package,) = folder.glob("src/*/__init__.py")
        files[folder / "pyproject.toml"] = tomli_w.dumps(_plugin(folder, core["project"], version))
        files[folder / "LICENSE"] = licence
        files[package.with_name("py.typed")] = ""
    return files


def _plugin(folder: Path, core: dict[str, Any], version: str) -> dict[str, Any]:
    """A plugin's pyproject: what it says of itself, and what all of them say."""
    content = tomllib.loads(_text(folder / "pyproject.toml"))
    own = content["project"]
    project = {
        "name": own["name"],
        "version": version,
        "description": own["description"],
        "readme": own["readme"],
        "requires-python": core["requires-python"],
        "license": own["license"],
        "license-files": ["LICENSE*"],
        "authors": core["authors"],
        "keywords": own.get("keywords", core["keywords"]),
        "classifiers": core["classifiers"],
        "dependencies": [_bounded(line, version) for line in own["dependencies"]],
        "urls": core["urls"],
    }
    extras = own.get("optional-dependencies", {})
    if extras:
        project["optional-dependencies"] = {
            extra: [_bounded(line, version) for line in lines] for extra, lines in extras.items()
        }
    hatch = content["tool"]["hatch"]["build"]["targets"]
    hatch["sdist"] = {"include": ["/src", "/tests", "/README.md", "/LICENSE*"]}
    return {
        "build-system": {"requires": [BUILD], "build-backend": "hatchling.build"},
        "project": {**project, "entry-points": own["entry-points"]},
        "tool": content["tool"],
    }


def _bounded(line: str, version: str) -> str:
    """A requirement of the core or of another plugin with its bounds; any other as it is."""
    requirement = Requirement(line)
    if not re.match(r"genzoo(-|$)", requirement.name):
        return line
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    marker = f"; {requirement.marker}" if requirement.marker else ""
    return f"{requirement.name}{extras}{bounds(version)}{marker}"


def _replaced(path: Path, pattern: str, line: str) -> str:
    text, count = re.subn(pattern, lambda _: line, _text(path), flags=re.M)
    if count != 1:
        raise SystemExit(f"{path}: {pattern!r} must be there once, got {count} times.")
    return text


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _current(root: Path) -> str:
    found = re.search(r'^__version__ = "(.*)"$', _text(root / "genzoo/__init__.py"), re.M)
    assert found is not None
    return found[1]


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Writes or checks the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", help="set this version everywhere; without it, that of genzoo/__init__.py")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file would change")
    given = parser.parse_args(arguments)
    version = given.version or _current(root)
    try:
        if str(Version(version)) != version:
            parser.error(f"--version must be written as {Version(version)}, got {version}")
    except InvalidVersion:
        parser.error(f"--version must be a version such as 0.2.0, got {version}")
    files = wanted(root, version)
    changed = [path for path, text in files.items() if not path.exists() or _text(path) != text]
    for path in changed:
        sys.stdout.write(f"{path.relative_to(root)}\n")
        if not given.check:
            path.write_text(files[path], encoding="utf-8")
    if given.check and changed:
        sys.stdout.write("Run `python tools/distributions.py`.\n")
    return int(given.check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
