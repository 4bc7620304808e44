"""The importance-weighted likelihood of a VAE's test images: pythae 0.1.2's ``get_nll`` against genzoo's nll metric.

    pip install pythae==0.1.2 --no-deps && pip install imageio tqdm
    python benchmarks/nll.py [--images 100] [--samples 200] [--rounds 5] [--threads 2] [--write]

Both have the same trained weights, the report's VAE from genzoo's zoo, and the same test images, a different part of
them in each round. genzoo runs in float32, and then in bfloat16, which is an option and labelled so. The time for
10 000 images is extrapolated from those measured. What the values differ by is measured apart from the time, with common
random numbers: image by image from the same random state, so that both weigh the same latents.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from scipy.stats import t as student_t
from torch import Tensor, nn

import genzoo
from genzoo.compose.build import add_metric
from genzoo.randomness import seeded
from genzoo.types import Kind, Split

sys.path.insert(0, str(Path(__file__).parent))
from contenders import pythae_vae
from machine import describe, ratio, save


def same_weights(vae: nn.Module, model: nn.Module) -> None:
    """Copy genzoo's weights into pythae's VAE: the head is one layer here and two there."""
    ours = model.state_dict()
    encoder: dict[str, Tensor] = {}
    decoder: dict[str, Tensor] = {}
    head = max(int(name.split(".")[1]) for name in ours if name.startswith("encoder."))
    for name, value in ours.items():
        part, _, rest = name.partition(".")
        if part == "encoder" and rest.startswith(f"{head}."):
            kind = rest.partition(".")[2]
            encoder[f"mean.{kind}"], encoder[f"log_variance.{kind}"] = value.chunk(2)
        elif part == "encoder":
            encoder[f"body.{rest}"] = value
        elif part == "decoder":
            decoder[f"body.{rest}"] = value
    vae.encoder.load_state_dict(encoder)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    vae.decoder.load_state_dict(decoder)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]


def on_common_numbers(contenders: Mapping[str, Callable[[Split], float]], images: Split) -> dict[str, list[float]]:
    """Each contender's value of each image; all draw the same K latents, K·d normal numbers from the same seed."""
    values: dict[str, list[float]] = {name: [] for name in contenders}
    for place in range(len(images)):
        for name, measure in contenders.items():
            with seeded(place):
                values[name].append(measure(images.select(slice(place, place + 1))))
    return values


def interval(apart: Sequence[float]) -> dict[str, float]:
    """Mean of differences, its 95 % interval by Student's t over images, and the largest of them."""
    mean, error = statistics.mean(apart), statistics.stdev(apart) / len(apart) ** 0.5
    reach = error * float(student_t.ppf(0.975, len(apart) - 1))
    largest = max(map(abs, apart))
    return {"mean": mean, "low": mean - reach, "high": mean + reach, "largest": largest, "images": float(len(apart))}


def main() -> int:
    """Measures and prints, and with ``--write`` keeps the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100, help="test images a round")
    parser.add_argument("--samples", type=int, default=200, help="K, importance samples an image")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads of torch")
    parser.add_argument("--write", action="store_true", help="keep the numbers in benchmarks/results.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    run = genzoo.load("zoo:report-vae")
    vae = pythae_vae()
    same_weights(vae, run.model)
    vae.eval()
    test = run.view.split("test")

    def theirs(part: Split) -> float:
        with torch.no_grad():
            return -float(vae.get_nll(part.batch().image, arguments.samples, arguments.samples))

    def ours(part: Split, precision: str) -> float:
        view = replace(run.view, splits={"test": part})
        run_options = {
            "samples": arguments.samples,
            "images": len(part),
            "precision": precision,
            "quadrature": 0,
        }
        metric = add_metric(run.loaded.experiment, run.choice(Kind.METRIC, "nll", run_options))
        return float(metric.evaluate(view)[""])

    contenders: dict[str, Callable[[Split], float]] = {
        "pythae": theirs,
        "genzoo float32": lambda part: ours(part, "float32"),
        "genzoo bfloat16": lambda part: ours(part, "bfloat16"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for measure in contenders.values():
        measure(test.head(4))  # warms up
    for number in range(arguments.rounds):
        part = test.select(slice(number * arguments.images, (number + 1) * arguments.images))
        for name, measure in contenders.items():
            start = time.perf_counter()
            measure(part)
            seconds[name].append(time.perf_counter() - start)
        sys.stderr.write(", ".join(f"{name} {taken[-1]:.2f} s" for name, taken in seconds.items()) + "\n")

    result: dict[str, Any] = {"images a round": arguments.images, "samples": arguments.samples}
    result["seconds for 10 000 images, extrapolated"] = {
        name: statistics.median(taken) * 10_000 / arguments.images for name, taken in seconds.items()
    }
    values = on_common_numbers(contenders, test.head(arguments.images))
    result["nll"] = {name: statistics.mean(each) for name, each in values.items()}
    for name in list(contenders)[1:]:
        result[f"pythae ÷ {name}"] = ratio(seconds["pythae"], seconds[name])
        apart = [a - b for a, b in zip(values[name], values["pythae"], strict=True)]
        result[f"nll of {name} − pythae"] = interval(apart)
    sys.stdout.write(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    if arguments.write:
        save("nll", result, describe(arguments.threads))
    return 0


if __name__ == "__main__":
    sys.exit(main())
