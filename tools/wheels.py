"""Build the sdist and the wheel of every distribution, in one process: ``python tools/wheels.py FOLDER [NAME …]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).resolve().parent.parent


def build(target: Path, names: list[str] | None = None, kinds: tuple[str, ...] = ("sdist", "wheel")) -> list[Path]:
    """The files that were made in ``target``.

    Args:
        target: A folder, made where it is absent.
        names: Distributions, all by default.
        kinds: What is made of each.
    """
    builders = {"sdist": SdistBuilder, "wheel": WheelBuilder}
    folders = {"genzoo": ROOT} | {
        path.parent.name: path.parent for path in sorted(ROOT.glob("plugins/*/pyproject.toml"))
    }
    unknown = set(names or ()) - set(folders)
    if unknown:
        raise SystemExit(f"wheels: {', '.join(sorted(unknown))} must be of {', '.join(folders)}.")
    made: list[Path] = []
    for name in names or folders:
        for kind in kinds:
            made += [Path(path) for path in builders[kind](str(folders[name])).build(directory=str(target))]
    return made


def main() -> int:
    """Builds and lists them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME")
    given = parser.parse_args()
    for path in build(given.folder, given.names or None):
        sys.stdout.write(f"{path.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
