"""The commands that people and CI run, in the environment that requirements-dev.txt made.

``nox`` runs all of them but ``lowest``. The sessions that try what is released make environments of their own.
"""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "layers", "tests", "slow", "docs", "wheels", "pythons"]


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff, check and format; what all distributions share."""
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("python", "tools/distributions.py", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Pyright, strict on genzoo/."""
    session.run("pyright")


@nox.session
def layers(session: nox.Session) -> None:
    """Import-linter: what may import what."""
    session.run("lint-imports")


@nox.session
def tests(session: nox.Session) -> None:
    """Pytest without what is marked slow; arguments after ``--`` are passed on."""
    session.run("pytest", *session.posargs)


@nox.session
def slow(session: nox.Session) -> None:
    """Pytest, only what is marked slow."""
    session.run("pytest", "-m", "slow", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Sphinx; warnings are errors."""
    session.run("sphinx-build", "-W", "--keep-going", "-q", "-b", "html", "docs", "docs/_build/html")


@nox.session
def wheels(session: nox.Session) -> None:
    """Wheels of all distributions in a fresh environment away from the checkout: train, tour, check, make a plugin."""
    session.run("python", "tools/released.py")


@nox.session
def pythons(session: nox.Session) -> None:
    """What imports no torch, under newer versions of Python, where they are on this machine."""
    for version in ("3.12", "3.13"):
        session.run("python", "tools/released.py", "--python", version, *session.posargs)


@nox.session
def lowest(session: nox.Session) -> None:
    """The oldest versions that the bounds of the core state; downloads torch."""
    session.run("python", "tools/released.py", "--lowest")
