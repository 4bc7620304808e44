"""A report is one page that needs nothing else: it shows text from outside literally, and the model in it is the run's."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import genzoo
from genzoo.cli import cli
from genzoo.errors import UsageError
from genzoo.host.plugin_host import host
from genzoo.interfaces import Page
from genzoo.parts.browser import TOLERANCE
from genzoo.recipe import Part
from genzoo.report.assemble import report
from genzoo.report.curves import chart
from genzoo.runs.folder import RunFolder

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="a browser shows the page")
HOSTILE = '</script><img src=x onerror="document.title=1"><b>\u202e&amp;'


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of digits, one that differs, and one of data whose classes have hostile names."""
    out = tmp_path_factory.mktemp("runs")
    quick: dict[str, Any] = {"network": ("mlp", {"hidden": (16,)}), "epochs": 2, "limit": 60, "progress": False}
    images = np.random.default_rng(0).random((60, 1, 6, 6)).astype("float32")
    file = out / "hostile.npz"
    names = np.array([HOSTILE, "<script>alert(1)</script>", "plain"])
    np.savez(file, images=images, labels=np.arange(60) % 3, class_names=names)
    return {
        "plain": genzoo.run("vae", data="digits", out=out, metrics="elbo", **quick).path,
        "other": genzoo.run("vae", data="digits", out=out, loss=("elbo", {"beta": 0.5}), **quick).path,
        "hostile": genzoo.run("cvae", data=file, out=out, name="named", **quick).path,
    }


def made(*paths: Path, **how: Any) -> str:
    return report([RunFolder(path) for path in paths], host(), **how).html


def data_of(document: str) -> list[Any]:
    return [
        json.loads(found) for found in re.findall(r'<script type="application/json">(.*?)</script>', document, re.S)
    ]


def rendered(document: str, folder: Path) -> str:
    """What a browser makes of the page, once its scripts have run."""
    file = folder / "page.html"
    file.write_text(document, encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000", "--dump-dom"]
    found = subprocess.run(
        [str(BROWSER), *flags, f"--user-data-dir={folder / 'browser'}", file.as_uri()],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=True,
    )
    return found.stdout


def test_a_report_says_what_was_run_and_what_came_of_it(runs: dict[str, Path]) -> None:
    page = made(runs["plain"])
    run = genzoo.load(runs["plain"])
    words = html.unescape(re.sub(r"<[^>]+>", " ", page))
    for heading in ("Verdict", "Latent space", "Run it again", "Training", "Metrics", "Figures", "Parts", "Machine"):
        assert re.search(rf"<h2[^>]*>{heading}", page), heading
    assert f"{run.metrics['distortion']:.2f}" in words
    assert "genzoo run --recipe config.toml" in words
    assert 'name = "digits"' in words
    assert "genzoo-networks" in words
    assert "hidden = 16" in words
    assert "Auto-Encoding Variational Bayes" in words
    assert torch.__version__ in words
    assert "standard errors are over images" in words
    for finding in run.diagnose():
        assert finding.text in words


def test_the_command_is_the_one_that_was_given(runs: dict[str, Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(runs["plain"], copy)
    folder = RunFolder(copy)
    folder.update_record(argv=["genzoo", "run", "vae", "--data.path", "a b.npz"])
    assert "genzoo run vae --data.path &#x27;a b.npz&#x27;" in made(copy, pages={})


def test_a_page_asks_for_nothing_and_runs_only_its_own_script(runs: dict[str, Path]) -> None:
    page = made(runs["plain"])
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy[1].split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.S)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.S)
    assert script.isascii(), "its hash holds in every encoding of the page"
    assert not re.search(r'(src|href)="(?!data:|https://|#)', page)
    assert not re.search(r'src="https?:', page)
    assert " style=" not in page
    assert "onclick" not in page


def test_text_from_outside_is_shown_literally(runs: dict[str, Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(runs["hostile"], copy)
    folder = RunFolder(copy)
    record = folder.record()
    wrong = {"values": {HOSTILE: 1.0}, "units": {}, "unit": HOSTILE, "protocol": HOSTILE, "warnings": [HOSTILE]}
    folder.update_record(
        title=HOSTILE,
        verdict=HOSTILE,
        processor=HOSTILE,
        metrics={HOSTILE: wrong},
        components={**record["components"], "prior": {"kind": "prior", "name": HOSTILE, "options": {HOSTILE: HOSTILE}}},
    )
    (copy / "figures" / "<b>x.png").write_bytes(b"not a picture")
    page = made(copy, runs["hostile"])
    assert "<img src=x" not in page
    assert "<script>alert" not in page
    assert "<b>x" not in page
    assert "\u202e" not in page
    assert "&lt;img src=x onerror=" in page
    (data, *_) = data_of(page)
    assert data["classes"][0] == HOSTILE


def test_several_runs_stand_side_by_side(runs: dict[str, Path]) -> None:
    page = made(runs["plain"], runs["other"], title="Two weights")
    words = html.unescape(re.sub(r"<[^>]+>", " ", page))
    assert "<h1>Two weights</h1>" in page
    assert re.search(r"loss\.options\.beta\s+1\.0\s+0\.5", words)
    assert len(data_of(page)) == 2
    for name in ("plain", "other"):
        assert f"{genzoo.load(runs[name]).metrics['rate']:.2f}" in words
    assert page.count("const sections = [") == 1


def test_what_cannot_be_loaded_costs_its_own_part_alone(runs: dict[str, Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(runs["plain"], copy)
    shutil.rmtree(copy / "checkpoints")
    (copy / "checkpoints").mkdir()
    page = made(copy)
    assert "Left out" in page
    assert "has no checkpoint yet" in page
    assert "Auto-Encoding Variational Bayes" in page


def test_a_page_of_another_visualizer_may_stand_in_a_report(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from genzoo.interfaces import Section
    from genzoo.parts.pages import page as document

    kind = host().get("visualizer", "samples").load()  # type: ignore[arg-type]
    mine = Section("mine", "Mine", "<p>Of a third party.</p>", ".mine { color: red; }", "root.append(data);", "hello")
    monkeypatch.setattr(kind, "draw", lambda self, run: {"": document("Mine", [mine])})
    page = made(runs["plain"], pages={"samples": Part(name="samples")})
    assert "Of a third party." in page
    assert "root.append(data);" in page
    monkeypatch.setattr(kind, "draw", lambda self, run: {"": Page("<title>x</title>")})
    with pytest.raises(UsageError, match="must name a visualizer that makes a page"):
        made(runs["plain"], pages={"samples": Part(name="samples")})


def test_the_command_writes_the_page_and_replaces_none(runs: dict[str, Path], tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    arguments = ["report", str(runs["plain"]), "--out", str(target), "--explorer.codes", "7"]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stdout.startswith(f"{target} (")
    (data,) = data_of(target.read_text(encoding="utf-8"))
    assert len(data["codes"]) == 7
    with pytest.raises(UsageError, match="must not exist"):
        cli.main(arguments, standalone_mode=False)
    cli.main([*arguments[:4], "--force", "--no-pages"], standalone_mode=False)
    assert data_of(target.read_text(encoding="utf-8")) == []


def test_a_run_makes_its_report_and_explorer_in_python(runs: dict[str, Path], tmp_path: Path) -> None:
    run, other = genzoo.load(runs["plain"]), genzoo.load(runs["other"])
    explorer = run.explore(codes=5)
    (data,) = data_of(explorer.html)
    assert len(data["codes"]) == 5
    shown = explorer._repr_html_()
    assert shown.startswith('<iframe title="genzoo" sandbox="allow-scripts"')
    assert "<script" not in shown
    assert html.unescape(shown).count("<script") == explorer.html.count("<script")
    both = run.report(other, pages={"explorer": {"codes": 4}}, title="Both")
    assert [len(data["codes"]) for data in data_of(both.html)] == [4, 4]
    assert both.save(tmp_path / "both.html").read_text(encoding="utf-8") == both.html
    with pytest.raises(UsageError, match="must not exist"):
        both.save(tmp_path / "both.html")
    assert data_of(run.report(pages={}).html) == []


def test_the_plane_of_a_large_network_is_a_sheet_with_the_reason(runs: dict[str, Path]) -> None:
    page = genzoo.load(runs["plain"]).explore(megabytes=0.001).html
    assert data_of(page) == []
    assert "Nothing can be moved here: the network must have at most" in page
    assert '<img class="sheet"' in page


def test_codes_of_a_codebook_get_a_sheet_of_samples(tmp_path: Path) -> None:
    quick: dict[str, Any] = {"data": "digits", "epochs": 1, "limit": 32, "progress": False, "out": tmp_path}
    page = genzoo.run("vq-vae", **quick).explore().html
    assert "the latents must be real numbers" in page
    assert '<img class="sheet"' in page


def test_a_chart_of_constant_or_missing_values_is_drawn_or_left_out() -> None:
    assert "NaN" not in chart("Rate", "nats", [("test", [1, 2], [0.0, 0.0])])
    assert "polyline" in chart("Rate", "nats", [("test", [1], [3.0])])
    assert chart("Rate", "nats", [("test", [1], [float("nan")])]) == ""


@needs_browser
def test_the_model_runs_in_a_browser_and_is_the_runs(runs: dict[str, Path], tmp_path: Path) -> None:
    shown = rendered(made(runs["hostile"]), tmp_path)
    error = re.search(r'data-error="([^"]+)"', shown)
    assert error is not None, "the explorer did not start"
    assert 0 < float(error[1]) <= TOLERANCE
    assert 'data-ready="yes"' in shown
    assert "<title>1</title>" not in shown
    assert re.search(r'class="words">&lt;/script&gt;&lt;img src=x', shown)


@needs_browser
def test_the_printed_section_works(runs: dict[str, Path], tmp_path: Path) -> None:
    guide = (Path(__file__).parent.parent / "docs" / "write-a-visualizer.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(from genzoo.interfaces import Page.*?)```", guide, re.S)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1], names)
    view = genzoo.load(runs["plain"]).view
    shown = rendered(names["Counter"](None).draw(view)[""].html, tmp_path)
    assert f"vae on digits: <b>{len(view.split())}</b>" in shown


@needs_browser
def test_a_page_that_computes_something_else_says_so(runs: dict[str, Path], tmp_path: Path) -> None:
    page = made(runs["plain"])
    (data,) = data_of(page)
    for op in data["network"]["programs"]["decode"]["ops"]:
        if op["op"] == "sigmoid":
            op["op"] = "tanh"
    start = page.index('<script type="application/json">') + len('<script type="application/json">')
    end = page.index("</script>", start)
    shown = rendered(page[:start] + json.dumps(data) + page[end:], tmp_path)
    assert "Do not trust these pictures" in shown
