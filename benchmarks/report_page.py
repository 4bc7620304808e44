"""What a report costs whoever opens it: size, first paint, decodes, requests, accessibility, in headless Chromium.

    pip install playwright                        # and a Chromium that is on PATH
    python benchmarks/report_page.py [--axe axe.min.js] RUN [RUN ...]

Each RUN gets a report of its own, as ``genzoo report RUN`` writes it. With ``--axe``, the file ``axe.min.js`` of axe-core is
run over the page.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from genzoo.api import load

_UPDATES = 80
_DRAG = """
() => new Promise((done) => {
  const input = document.querySelector("section.explorer .unit input");
  if (!input) return done(null);
  const times = [];
  let k = 0;
  const next = () => {
    const begun = performance.now();
    input.value = String(-2 + k / 20);
    input.dispatchEvent(new Event("input"));
    times.push(performance.now() - begun);
    if (++k < UPDATES) requestAnimationFrame(next);
    else done(times.sort((a, b) => a - b)[k >> 1]);
  };
  next();
})
""".replace("UPDATES", str(_UPDATES))
_PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"
_RULES = "async () => (await axe.run()).violations.map((found) => [found.impact, found.id])"


def measure(page_file: Path, axe: Path | None, width: int = 1280, scheme: str = "light") -> dict[str, Any]:
    """Open a page and measure it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(page_file.as_uri())
        page.wait_for_timeout(4000)
        explorer = page.evaluate("() => ({...document.querySelector('section.explorer')?.dataset})")
        found: dict[str, Any] = {
            "megabytes": round(page_file.stat().st_size / 1e6, 3),
            "first_paint_ms": round(page.evaluate(_PAINT)),
            "requests": len([url for url in asked if not url.startswith(("file:", "data:"))]),
            "error": float(explorer["error"]) if "error" in explorer else None,
            "update_ms": page.evaluate(_DRAG),
            "wider_than_the_window": page.evaluate("() => document.documentElement.scrollWidth > innerWidth"),
        }
        page.wait_for_timeout(2500)
        again = page.evaluate("() => document.querySelector('section.explorer')?.dataset.decode")
        found["decode_ms"] = round(float(again), 1) if again else None
        if axe is not None:
            session = context.new_cdp_session(page)
            session.send("Runtime.evaluate", {"expression": axe.read_text(encoding="utf-8")})
            found["axe"] = page.evaluate(_RULES)
        browser.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--axe", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.runs:
            begun = time.perf_counter()
            file = load(name).report().save(Path(folder) / "report.html", replace=True)
            row = {"run": name, "seconds_to_write": round(time.perf_counter() - begun, 1), **measure(file, asked.axe)}
            small = measure(file, asked.axe, width=390, scheme="dark")
            row["at_390"] = {
                key: small[key] for key in ("first_paint_ms", "wider_than_the_window", "axe") if key in small
            }
            print(json.dumps(row), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
