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

`python benchmarks/everything.py` makes all of it anew. The commands below write their parts of `benchmarks/results.json`,
from which `python benchmarks/report.py` makes this page. Contenders take turns in one process, and a ratio is the median
over rounds of the ratio within a round, with the 10th and 90th percentile; so what holds for one machine's busy moment holds
for all contenders alike. Ratios carry over to other machines, milliseconds do not.
"""


def page(results: Mapping[str, Any]) -> str:
    """The whole page."""
    parts = [HEAD]
    for name, section in SECTIONS.items():
        if name in results:
            parts.append(section(results[name]))
    parts.append(cuda(results.get("cuda"), results.get("cuda-first")))
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


def checkouts(result: Mapping[str, Any]) -> str:
    """Training steps of two commits in turns."""
    names = {"report": "the report's VAE", "small": "a small MLP"}
    rows = [
        f"| {title} | {result[name]['ratio']:.3f} ({result[name]['low']:.3f} to {result[name]['high']:.3f}) | ≤ 1.02 |"
        for name, title in names.items()
    ]
    return "\n".join(
        [
            "## What stages and players cost\n",
            f"Processor time of a training step, float32, this engine ÷ the one at {result['before']}, which knew one "
            f"optimizer alone: the geometric mean of {result['report']['rounds']} rounds and its 95 % limits. The bar is "
            "on the upper limit.\n",
            TABLE,
            *rows,
            "",
            of_machine(result, "python benchmarks/overhead.py CHECKOUT --write"),
        ]
    )


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


def totals(result: Mapping[str, Any]) -> str:
    epochs, seconds = result["epochs"], result["seconds"]
    return "\n".join(
        [
            "## Time to the report's totals\n",
            f"The report's {epochs['tutorial']} epochs by the tutorial loop, steps alone, against the {epochs['genzoo']} "
            "epochs after which the recipe `quick-vae` passes the report's total (the same network; batch 64, one-cycle "
            "learning rate, a warm-up of two epochs), each with its evaluation of the test set. Both are timed by stretches "
            f"of steps in turns and multiplied up; that {epochs['genzoo']} epochs are enough is in docs/results.md.\n",
            TABLE,
            row("tutorial loop ÷ genzoo", result["tutorial ÷ genzoo"], "≥ 3.5"),
            f"| seconds | {seconds['tutorial']:.0f} and {seconds['genzoo']:.0f} | |",
            "",
            of_machine(result, "python benchmarks/training.py --only to-totals --write"),
        ]
    )


def evaluation(result: Mapping[str, Any]) -> str:
    return "\n".join(
        [
            "## Evaluation\n",
            "Ten thousand test images are evaluated after each epoch, in the precision of the training; the last evaluation "
            "of a run is in float32 and not counted here.\n",
            TABLE,
            *(
                "| share of an epoch of {:.1f} s in {} | {:.1f} % ({:.1f} to {:.1f}) | ≤ 5 % |".format(
                    result[name]["epoch s"],
                    name,
                    *(100 * result[name]["share"][each] for each in ("median", "p10", "p90")),
                )
                for name in ("fp32", "bf16")
            ),
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
            f"| nll of {name} less pythae's, nats, the same samples on both sides, {apart['images']:.0f} images | "
            f"{apart['mean']:+.2g} ({apart['low']:+.2g} to {apart['high']:+.2g}; at most {apart['largest']:.2g}) | |"
        )
    for name, value in seconds.items():
        lines.append(f"| seconds for 10 000 images, {name}, extrapolated | {value:.0f} | |")
    return "\n".join([*lines, "", of_machine(result, "python benchmarks/nll.py --write")])


def decoded(result: Mapping[str, Any]) -> str:
    speed, memory, made = result["speed"], result["memory"], result["made"]
    rates, found = {name: speed[name] for name in ("cache", "loader")}, speed["ratio"]
    return "\n".join(
        [
            "## The decoded cache\n",
            f"JPEG files of 64×64: a shuffled epoch from `image-folder`'s memory-mapped cache of {speed['cache_images']:,} "
            f"images, against torchvision's `ImageFolder` and `ToTensor` in a shuffled `DataLoader` with {speed['workers']} "
            f"workers, {speed['loader_images']:,} images, both in batches of {speed['batch']}, in turns; median and range "
            f"of {speed['rounds']} rounds.\n",
            TABLE,
            f"| images a second, cache ÷ `DataLoader` | {found['median']:.1f} ({found['low']:.1f} to {found['high']:.1f}) | "
            "≥ 20 |",
            f"| images a second | {rates['cache']['median']:,.0f} and {rates['loader']['median']:,.0f} | |",
            f"| most memory held in {memory['shuffled_epochs']} shuffled epochs of {memory['images']:,} images, above what "
            f"was held before | {memory['most_held_mb']:.0f} MB, of which its own {memory['most_own_mb']:.0f} | ≤ 512 MB |",
            f"| the file | {memory['file_mb']:,.0f} MB | |",
            f"| making it, once | {made['images_per_second']:,.0f} images a second | |",
            f"| opening it | {memory['opening_seconds']:.2f} s | |",
            "",
            of_machine(result, "python benchmarks/decoded_cache.py --write"),
        ]
    )


def startup(result: Mapping[str, Any]) -> str:
    slowest = max(result["declarations"], key=result["declarations"].__getitem__)
    best = ", ".join(f"`{name}` {1e3 * seconds:.0f}" for name, seconds in result["best"].items())
    return "\n".join(
        [
            "## Starting up\n",
            "Fresh processes in turns; the best of each.\n",
            TABLE,
            f"| `genzoo --help` ÷ `python -c 'import click'` | {result['ratio']:.2f} | ≤ 1.5 |",
            f"| milliseconds | {best} | |",
            f"| the slowest of {len(result['declarations'])} declaration modules, `{slowest}` | "
            f"{1e3 * result['declarations'][slowest]:.1f} ms | ≤ 50 ms |",
            "| reading MNIST, building the report's VAE and being ready for the first step, after the imports | "
            f"{result['ready']:.2f} s | ≤ 1 s |",
            *listed(result.get("runs list")),
            "",
            of_machine(result, "python benchmarks/startup.py --write"),
        ]
    )


def listed(result: Mapping[str, Any] | None) -> list[str]:
    """The row of `genzoo runs list`, where it was measured."""
    if result is None:
        return []
    what = f"`genzoo runs list` of {result['runs']:,} runs, again (first: {result['first']:.1f} s)"
    return [f"| {what} | {result['again']:.2f} s | ≤ 0.5 s |"]


def first_look(result: Mapping[str, Any]) -> str:
    """What was seen on a device before the benchmark was run there."""
    lines = [f"{result['what']}\n", "| model | batch | precision | graphs | no graphs | plain loop | plain ÷ graphs |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    for case in result["cases"]:
        found = [case.get(key) for key in ("graphs", "no graphs", "plain loop")]
        three = " | ".join("" if value is None else f"{value:,}" for value in found)
        ratio = f"{case['plain loop'] / case['graphs']:.1f}" if "plain loop" in case else ""
        lines.append(f"| {case['model']} | {case['batch']} | {case['precision']} | {three} | {ratio} |")
    lines += ["", *(f"- {line}" for line in result["notes"]), ""]
    machine = result["machine"]
    lines.append(
        f"The device: {machine['card']}, CUDA {machine['cuda']}; torch {machine['torch']}; {machine['date']}.\n"
    )
    return "\n".join(lines)


def cuda(result: Mapping[str, Any] | None, first: Mapping[str, Any] | None) -> str:
    """The section of CUDA, which says so where nothing was measured."""
    lines = [
        "## On CUDA\n",
        "The engine, which replays its steps as CUDA graphs, against itself without graphs and against a plain eager loop "
        "with the same modules, precision and fused Adam, in turns over MNIST's training images, which lie on the device "
        "for all; the memory is the most that is allocated in a pass.\n",
    ]
    if result is None:
        lines.append("Not yet run whole; `python benchmarks/cuda.py --write` measures it.\n")
        if first is not None:
            lines.append(first_look(first))
        return "\n".join(lines)
    whole = result["whole run"]
    seconds = " ".join(f"{each:.1f}" for each in sorted(whole["seconds"]))
    lines.append(
        f"The report's VAE in {whole['epochs']} epochs, each evaluated on the 10,000 test images, from the built experiment "
        f"to the last number: {seconds} s (bar 10 s); the test objective is {whole['test objective']:.2f}.\n"
    )
    lines.append(
        "| model | batch | precision | images a second | no graphs | plain loop | genzoo ÷ plain (bar ≥ 5 for the report's "
        "VAE, batch 128) | peak MB, plain |"
    )
    lines.append("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for case in result["cases"]:
        rates, peaks, found = case["images a second"], case["peak MB"], case["genzoo ÷ plain"]
        three = " | ".join(f"{rates[who]:,.0f}" for who in ("genzoo", "genzoo, no graphs", "plain"))
        lines.append(
            f"| {case['model']} | {case['batch']} | {case['precision']} | {three} | "
            f"{found['median']:.2f} ({found['p10']:.2f} to {found['p90']:.2f}) | "
            f"{peaks['genzoo']:.0f}, {peaks['plain']:.0f} |"
        )
    machine = result["machine"]
    most = f" Turns of at most {result['most steps a turn']} steps." if result.get("most steps a turn") else ""
    lines += [
        "",
        "The first whole run compiles and captures what the next finds ready. In float32 the plain loop multiplies in "
        "TensorFloat-32, as torch does unless told otherwise, which keeps 10 of 23 bits and is faster for large batches. "
        "genzoo keeps float32, and kernels that sum in a fixed order; `--precision auto` chooses bfloat16 on such a card.\n",
        f"The device: {machine['card']}, CUDA {machine['cuda']}.{most}\n",
    ]
    if first is not None:
        lines += ["### Where a step's time goes\n", first_look(first)]
    return "\n".join([*lines, of_machine(result, "python benchmarks/cuda.py --write")])


SECTIONS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "report": training,
    "report-overhead": overhead("the report's VAE", "report-overhead", "≤ 1.03"),
    "small-overhead": overhead("a small model, MLP 784-400-20, batch 128", "small-overhead", "≤ 1.12"),
    "checkouts": checkouts,
    "to-totals": totals,
    "evaluation": evaluation,
    "checkpoint": checkpoint,
    "scale": scale,
    "nll": nll,
    "decoded-cache": decoded,
    "startup": startup,
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
