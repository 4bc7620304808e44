"""Tiny distributions, installed for real: a package beside a .dist-info folder, found through the import path."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

BATCH = """
import contextlib, io, json, sys
from genzoo.cli import execute
from genzoo.host.plugin_host import host
results = []
for line in json.loads(sys.argv[1]):
    host.cache_clear()
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = execute(line)
    results.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(results))
"""


@dataclass(frozen=True)
class Said:
    """What a command said."""

    returncode: int
    stdout: str
    stderr: str


@dataclass
class Site:
    """A folder of distributions, as site-packages is one."""

    folder: Path
    distributions: list[str] = field(default_factory=list)

    def install(self, name: str, plugin: str, version: str = "1.0", entry_points: str = "", **modules: str) -> str:
        """Writes a distribution whose declaration module holds ``plugin``; returns its package's name."""
        package = name.replace("-", "_")
        source = self.folder / package
        source.mkdir(parents=True)
        (source / "__init__.py").write_text("", encoding="utf-8")
        (source / "plugin.py").write_text(
            "from genzoo.declare import Component, Resource, hookimpl\n\n" + plugin, encoding="utf-8"
        )
        for module, text in modules.items():
            (source / f"{module}.py").write_text(text, encoding="utf-8")
        info = self.folder / f"{package}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nLicense-Expression: MIT\n", encoding="utf-8"
        )
        points = entry_points or f"[genzoo.plugins]\n{name.removesuffix('-zoo')} = {package}.plugin\n"
        (info / "entry_points.txt").write_text(points, encoding="utf-8")
        self.distributions.append(name)
        return package

    def environment(self, **extra: str) -> dict[str, str]:
        """The environment of a subprocess that sees these distributions, and may load no other."""
        path = os.pathsep.join([str(self.folder), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        allowed = {"GENZOO_LOAD_PLUGINS": ",".join(self.distributions)}
        return {**os.environ, "PYTHONPATH": path, "COLUMNS": "", **allowed, **extra}

    def genzoo(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """Runs ``python -m genzoo``."""
        return self.python("-m", "genzoo", *arguments, **extra)

    def batch(self, lines: Sequence[Sequence[str]]) -> dict[tuple[str, ...], Said]:
        """Runs several command lines in one fresh process, which is much quicker, each with plugins found anew."""
        done = self.python("-c", BATCH, json.dumps([list(line) for line in lines]))
        assert done.returncode == 0, done.stderr
        said = [Said(*result) for result in json.loads(done.stdout)]
        return {tuple(line): result for line, result in zip(lines, said, strict=True)}

    def python(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """Runs Python."""
        return subprocess.run(
            [sys.executable, *arguments],
            env=self.environment(**extra),
            capture_output=True,
            encoding="utf-8",
            timeout=300,
            check=False,
        )


SCHEDULER = """
@hookimpl
def genzoo_schedulers():
    return [Component("scheduler", "{name}", "{package}.code:Code", summary="{summary}")]
"""

GOOD = """
@hookimpl
def genzoo_models():
    return [
        Component("model", "plain", "good_zoo.code:Code", "good_zoo.options:PlainOptions", "A plain β model",
                  companions={"loss": ("elbo", {"beta": 4}), "prior": "mixture"}, defaults={"width": 8},
                  paper="A. Nobody 2020"),
        Component("model", "derived", base="plain", companions={"prior": "flow"}, defaults={"latent-dim": 3}),
    ]

@hookimpl
def genzoo_schedulers():
    return [
        Component("scheduler", "plain", "good_zoo.code:Code", summary="Also called plain"),
        Component("scheduler", "ramp", "good_zoo.code:Code", summary="A ramp"),
        Component("scheduler", "breaks", "good_zoo.broken:Code", "good_zoo.broken:Options", summary="Fails when used"),
    ]

@hookimpl
def genzoo_resources():
    return [Resource("recipe", "quick", "good_zoo:quick.toml", "A quick look", "{digest}"),
            Resource("recipe", "spoilt", "good_zoo:quick.toml", "Another file than declared", "00"),
            Resource("recipe", "gone", "good_zoo:gone.toml"),
            Resource("recipe", "outside", "good_zoo:../quick.toml")]

@hookimpl
def genzoo_run_start(folder, record):
    (folder / "started.txt").write_text(record["status"])
"""

GOOD_OPTIONS = """
from typing import Literal
from pydantic import Field, model_validator
from genzoo.options import Options

class PlainOptions(Options):
    latent_dim: int = Field(2, ge=1, le=64, description="Number of latent dimensions.")
    width: float | None = Field(None, gt=0, description="Width.")
    style: Literal["thin", "thick"] = Field("thin", description="Style.")
    sizes: tuple[int, ...] = Field((1, 2), description="Sizes.", min_length=1)

    @model_validator(mode="after")
    def _thick_is_wide(self):
        if self.style == "thick" and (self.width or 0) < 4:
            raise ValueError("a thick style needs a width of at least 4")
        return self
"""


@pytest.fixture(scope="session")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """One good distribution among faulty ones, of every sort that can be installed together."""
    import hashlib

    folder = tmp_path_factory.mktemp("faulty")
    site = Site(folder)
    recipe = b'summary = "A quick look"\n'
    site.install(
        "good-zoo",
        GOOD.replace("{digest}", hashlib.sha256(recipe).hexdigest()),
        options=GOOD_OPTIONS,
        code="class Code:\n    pass\n",
        broken="raise SystemExit('no licence key')\n",
    )
    (folder / "good_zoo" / "quick.toml").write_bytes(recipe)
    site.install("twin-zoo", SCHEDULER.format(name="ramp", package="twin_zoo", summary="The other ramp"), "2.5")
    site.install("raises-zoo", "print('noise on stdout')\nraise ValueError('no such thing')\n")
    site.install("exits-zoo", "raise SystemExit(9)\n")
    site.install(
        "slow-zoo",
        "import time\ntime.sleep(0.55)\n" + SCHEDULER.format(name="late", package="slow_zoo", summary="Slow"),
    )
    site.install(
        "old-zoo",
        '@hookimpl\ndef genzoo_models():\n    return [Component("model", "ancient", "old_zoo.code:A", api="0.9")]\n',
    )
    site.install(
        "orphan-zoo",
        '@hookimpl\ndef genzoo_models():\n    return [Component("model", "orphan", base="no-such-base")]\n',
    )
    site.install("misspelt-zoo", "@hookimpl\ndef genzoo_modles():\n    return []\n")
    site.install("signature-zoo", "@hookimpl\ndef genzoo_models(colour):\n    return []\n")
    site.install("hook-zoo", "@hookimpl\ndef genzoo_losses():\n    return [1 / 0]\n")
    site.install(
        "wrong-kind-zoo",
        '@hookimpl\ndef genzoo_losses():\n    return [Component("prior", "lost", "a.b:C"), "nonsense"]\n',
    )
    site.install(
        "tracker-zoo",
        "@hookimpl\ndef genzoo_run_start(folder, record):\n    raise SystemExit('the tracker gave up')\n",
    )
    banned = f"from pathlib import Path\nPath({str(folder / 'banned-was-imported')!r}).touch()\n"
    site.install("banned-zoo", banned + SCHEDULER.format(name="banned", package="banned_zoo", summary="Never"))
    site.distributions.remove("banned-zoo")
    return site
