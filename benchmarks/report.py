"""Make ``benchmarks/RESULTS.md`` and its plot from ``benchmarks/results.json``: ``python benchmarks/report.py [--check]``.

``--check`` writes nothing and exits 1 if the page says something else than the numbers.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE / "RESULTS.md"
PLOT = HERE / "training.png"

HEAD = """# Benchmarks

Made by `python benchmarks/report.py` from `benchmarks/results.json`, which the commands below write. Contenders take turns
in one process, and a ratio is the median over rounds of the ratio within a round, with the 10th and 90th percentile; so what
holds for one machine's busy moment holds for all contenders alike. Ratios carry over to other machines, milliseconds do not.
"""


def page(results: Mapping[str, Any]) -> str:
    """The whole page."""
    parts = [HEAD]
    for name, section in SECTIONS.items():
        if name in results:
            parts.append(section(results[name]))
    return "\n".join(parts)


def of_machine(result: Mapping[str, Any], command: str) -> str:
    machine = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"`{command}`, {machine['date']}: {machine['processor']}, {machine['threads']} threads, Python "
        f"{machine['python']}, {versions}.\n"
    )


def row(what: str, result: Mapping[str, float], bar: str) -> str:
    return f"| {what} | {result['median']:.2f} ({result['p10']:.2f} to {result['p90']:.2f}) | {bar} |"


TABLE = "| what | measured | bar |\n| --- | --- | --- |"


def training(result: Mapping[str, Any]) -> str:
    ms = result["ms"]
    lines = [
        "## Training the report's VAE\n",
        "Training steps alone, batch 128: torchvision's `ToTensor` in a `DataLoader`, float32, `.item()` each step "
        "(tutorial); pythae's trainer with the same network; the bare step, which is the same modules on batches already "
        f"made, with nothing counted or checked; and genzoo's engine whole, in {result['precision']} as `--precision auto` "
        "chooses here.\n",
        "![Milliseconds a step of each contender](training.png)\n",
        "| contender | ms a step |\n| --- | --- |",
        *(f"| {name} | {value:.1f} |" for name, value in sorted(ms.items(), key=lambda item: -item[1])),
        "",
        TABLE,
        row("tutorial loop ÷ genzoo", result["tutorial ÷ genzoo"], "≥ 1.6"),
    ]
    if "pythae ÷ genzoo" in result:
        lines.append(row("pythae's trainer ÷ genzoo", result["pythae ÷ genzoo"], "≥ 1.4"))
    if "best recipe" in result:
        best = result["best recipe"]
        lines.append(
            f"| 30 epochs of the report's recipe in the tutorial loop ÷ the {best['epochs']} epochs of `quick-vae`, steps "
            f"alone, computed from the row above and the epochs | {best['ratio']:.2f} | ≥ 3.5 |"
        )
    return "\n".join([*lines, "", of_machine(result, "python benchmarks/training.py --only report --write")])


def overhead(title: str, section: str, bar: str) -> Callable[[Mapping[str, Any]], str]:
    def write(result: Mapping[str, Any]) -> str:
        return "\n".join(
            [
                f"## What the engine adds: {title}\n",
                TABLE,
                row(f"genzoo ÷ the bare step, {result['precision']}", result["genzoo ÷ bare"], bar),
                f"| microseconds added to a step of {1e3 * result['ms']['bare']:.0f} | "
                f"{result['microseconds added']:.0f} | |",
                "",
                of_machine(result, f"python benchmarks/training.py --only {section} --write"),
            ]
        )

    return write


def checkpoint(result: Mapping[str, Any]) -> str:
    return "\n".join(
        [
            "## Checkpoints\n",
            TABLE,
            f"| one save of the report's VAE with its optimizer, synced to disk | {result['save ms']:.0f} ms | |",
            f"| share of an epoch of {result['epoch s']:.1f} s, saved every epoch | {100 * result['share']:.2f} % | < 1 % |",
            "",
            of_machine(result, "python benchmarks/training.py --only checkpoint --write"),
        ]
    )


def evaluation(result: Mapping[str, Any]) -> str:
    return "\n".join(
        [
            "## Evaluation\n",
            TABLE,
            f"| evaluating 10 000 test images in float32, share of an epoch of {result['epoch s']:.1f} s in "
            f"{result['precision']} | {100 * result['share']:.1f} % | ≤ 5 % |",
            "",
            of_machine(result, "python benchmarks/training.py --only evaluation --write"),
        ]
    )


def scale(result: Mapping[str, Any]) -> str:
    speeds = result["images a second"]
    return "\n".join(
        [
            "## Two processes\n",
            TABLE,
            row(
                "two processes of one thread under torchrun ÷ one of two threads",
                result["two processes ÷ one"],
                "≥ 0.8",
            ),
            f"| images a second | {speeds['one']:.0f} by one, {speeds['two']:.0f} by two | |",
            "",
            of_machine(result, "python benchmarks/training.py --only scale --write"),
        ]
    )


def nll(result: Mapping[str, Any]) -> str:
    seconds = result["seconds for 10 000 images, extrapolated"]
    lines = [
        "## Importance-weighted likelihood\n",
        f"The report's VAE from the zoo, K = {result['samples']}, {result['images a round']} test images a round, the same "
        "weights and images on both sides.\n",
        TABLE,
    ]
    for name, bar in (("genzoo float32", "≥ 1.2"), ("genzoo bfloat16", "≥ 2")):
        lines.append(row(f"pythae's `get_nll` ÷ {name}", result[f"pythae ÷ {name}"], bar))
        apart = result[f"nll of {name} − pythae"]
        lines.append(
            f"| nll of {name} less pythae's, nats | {apart['mean']:+.3f}, standard error {apart['standard error']:.3f} | |"
        )
    for name, value in seconds.items():
        lines.append(f"| seconds for 10 000 images, {name}, extrapolated | {value:.0f} | |")
    return "\n".join([*lines, "", of_machine(result, "python benchmarks/nll.py --write")])


SECTIONS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "report": training,
    "report-overhead": overhead("the report's VAE", "report-overhead", "≤ 1.03"),
    "small-overhead": overhead("a small model, MLP 784-400-20, batch 128", "small-overhead", "≤ 1.12"),
    "evaluation": evaluation,
    "checkpoint": checkpoint,
    "scale": scale,
    "nll": nll,
}


def plot(result: Mapping[str, Any]) -> None:
    """Milliseconds a step, one bar a contender."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    ms = dict(sorted(result["ms"].items(), key=lambda item: item[1]))
    figure, axes = plt.subplots(figsize=(8, 2.6), layout="constrained")
    bars = axes.barh(list(ms), list(ms.values()), color=["#0072b2" if name == "genzoo" else "#bbbbbb" for name in ms])
    axes.bar_label(bars, fmt="%.1f", padding=4)
    axes.set_xlabel("milliseconds a training step of the report's VAE, 128 images, median; less is better")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.1)
    figure.savefig(PLOT, dpi=150, metadata={"Software": None})


def main() -> int:
    """Writes the page, or checks it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if the page is not that of the numbers"
    )
    arguments = parser.parse_args()
    results = json.loads((HERE / "results.json").read_text(encoding="utf-8"))
    text = page(results)
    if arguments.check:
        return int(not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text)
    PAGE.write_text(text, encoding="utf-8")
    if "report" in results:
        plot(results["report"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
