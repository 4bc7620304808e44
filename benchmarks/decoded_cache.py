"""Images a second from the decoded, memory-mapped cache against decoding JPEG in a DataLoader, and the memory it holds.

    python benchmarks/decoded_cache.py --write                              the bars, on a quiet machine: minutes
    python benchmarks/decoded_cache.py --speed-images 1000 --memory-images 5000 --rounds 3      that it works: seconds

Speed: JPEG files of 64×64, read (a) through image-folder's cache of 200,000 and the engine's own loader, a shuffled epoch
in batches of 128, float32 in [0, 1]; (b) by the usual ImageFolder, ToTensor and a shuffled DataLoader with two workers,
which are kept between epochs and have started before the clock does, an epoch of 20,000. Rounds are interleaved. Bar: the
median of the rounds' ratios is 20.

Memory: a fresh process iterates the same cache (2.5 GB) in shuffled order and says what it holds in memory:
of its own (anonymous pages), and of the file (pages that the system may take back at any time and that it shares with
other processes). Bar: it never holds more than 512 MB above what it held before. The files are few with many names
each, which takes less disk; how fast the cache is made is told too.

Everything lies in a temporary folder (``--folder`` chooses where; 3.5 GB) and is removed. Exit 1 past a bar.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe, save

SPEED_BAR = 20.0
MEMORY_BAR = 512.0
BATCH = 128
SIDE = 64
WORKERS = 2
DISTINCT = 500


def main() -> int:
    """Measures, prints and judges."""
    parser = argparse.ArgumentParser(description="Measure the decoded cache.")
    parser.add_argument("--speed-images", type=int, default=20_000, help="JPEG files in the comparison of speed")
    parser.add_argument("--memory-images", type=int, default=200_000, help="images in the cache that is iterated")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds")
    parser.add_argument("--threads", type=int, default=0, help="torch threads; 0: as many as there are cores")
    parser.add_argument("--folder", type=Path, help="where the files are made and removed; a temporary folder")
    parser.add_argument("--write", action="store_true", help="keep the numbers in benchmarks/results.json")
    parser.add_argument("--iterate", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.iterate is not None:
        sys.stdout.write(json.dumps(iterate(arguments.iterate)))
        return 0

    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="genzoo-decoded-") as name:
        folder = Path(name)
        os.environ["GENZOO_DATA"] = str(folder / "cache")
        draw(folder / "many", arguments.memory_images)
        draw(folder / "few", arguments.speed_images)
        if arguments.threads:
            import torch

            torch.set_num_threads(arguments.threads)
        result: dict[str, Any] = {
            "made": make(folder / "many"),
            "speed": speed(folder / "many", folder / "few", arguments.rounds),
            "memory": memory(folder / "many"),
        }
    fast, held = result["speed"]["ratio"]["median"], result["memory"]["most_held_mb"]
    result["passed"] = fast >= SPEED_BAR and held <= MEMORY_BAR
    if arguments.write:
        import torch

        save("decoded-cache", result, describe(torch.get_num_threads()))
    rates, made, own = result["speed"], result["made"], result["memory"]
    sys.stdout.write(
        f"cache        {told(rates['cache'])} images/s\n"
        f"DataLoader   {told(rates['loader'])} images/s, {WORKERS} workers\n"
        f"ratio        {told(rates['ratio'], 1)} (bar {SPEED_BAR:.0f})\n"
        f"making it    {made['images_per_second']:,.0f} images/s, {made['images']:,} images in {made['seconds']:.1f} s; "
        f"opening it   {own['opening_seconds']:.2f} s\n"
        f"held at most {held:,.0f} MB above what was held before (bar {MEMORY_BAR:.0f}): {own['most_own_mb']:,.0f} MB "
        f"own, {own['most_file_mb']:,.0f} MB of the file's {own['file_mb']:,.0f} MB, in {own['shuffled_epochs']} shuffled "
        f"epochs at {own['images_per_second']:,.0f} images/s\n"
    )
    return int(not result["passed"])


def draw(folder: Path, count: int) -> None:
    """Noisy, smooth JPEG files of about 2 kB in one class; all but the first few are links to those."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    folder = folder / "class"
    folder.mkdir(parents=True)
    for number in range(count):
        file = folder / f"{number:06}.jpg"
        if number < DISTINCT:
            small = Image.fromarray(random.integers(256, size=(8, 8, 3), dtype=np.uint8))
            small.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(file, quality=90)
        else:
            os.link(folder / f"{number % DISTINCT:06}.jpg", file)


def speed(many: Path, few: Path, rounds: int) -> dict[str, Any]:
    """Images a second of both, round by round."""
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    ours = loader(many)
    usual = datasets.ImageFolder(str(few), transforms.ToTensor())
    theirs = DataLoader(usual, BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True)
    one, other = next(batches(ours, 0)), next(iter(theirs))[0]
    assert one.shape[1:] == other.shape[1:]
    assert one.dtype == other.dtype
    for _ in theirs:  # the workers start
        pass
    found: dict[str, list[float]] = {"cache": [], "loader": []}
    for number in range(rounds):
        start = time.perf_counter()
        seen = sum(len(image) for image in batches(ours, number))
        found["cache"].append(seen / (time.perf_counter() - start))
        start = time.perf_counter()
        seen = sum(len(image) for image, _ in theirs)
        found["loader"].append(seen / (time.perf_counter() - start))
    ratios = [a / b for a, b in zip(found["cache"], found["loader"], strict=True)]
    return {
        "cache_images": len(ours),
        "loader_images": len(usual),
        "rounds": rounds,
        "batch": BATCH,
        "workers": WORKERS,
        **{name: spread(values) for name, values in (*found.items(), ("ratio", ratios))},
    }


def loader(folder: Path) -> Any:
    """The engine's loader over the training split of a folder's cache."""
    from genzoo.engine.data import Loader
    from genzoo_datasets.image_folder import ImageFolder
    from genzoo_datasets.options import ImageFolderOptions

    dataset = ImageFolder(ImageFolderOptions(root=str(folder), cache="always", test_fraction=1e-9))
    return Loader(dataset, dataset.split("train"), "cpu")


def batches(ours: Any, epoch: int) -> Iterator[Any]:
    """The images of a shuffled epoch, as the engine takes them."""
    for index in ours.order(0, epoch).split(BATCH):
        yield ours.batch(index, training=True).image


def make(folder: Path) -> dict[str, Any]:
    """How fast a folder is decoded into its cache."""
    start = time.perf_counter()
    count = len(loader(folder))
    seconds = time.perf_counter() - start
    return {"images": count, "seconds": seconds, "images_per_second": count / seconds}


def memory(folder: Path) -> dict[str, Any]:
    """What a fresh process holds while it iterates a cache."""
    command = [sys.executable, __file__, "--iterate", str(folder)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def iterate(folder: Path) -> dict[str, Any]:
    """In a process of its own: two shuffled epochs, with a look at the memory every tenth batch."""
    import torch

    import genzoo_datasets.image_folder
    from genzoo.engine.data import Loader

    # What is held before includes the modules, and a batch of each size that is used.
    assert genzoo_datasets.image_folder is not None
    assert Loader is not None
    torch.randperm(1000)
    before = held()
    start = time.perf_counter()
    ours = loader(folder)
    opening = time.perf_counter() - start
    most = dict.fromkeys(("own", "file", "all", "proportional"), 0.0)
    start, seen, epochs = time.perf_counter(), 0, 2
    for epoch in range(epochs):
        for number, image in enumerate(batches(ours, epoch)):
            seen += len(image)
            if number % 10 == 0:
                now = held()
                most = {name: max(most[name], now[name] - before[name]) for name in most}
    return {
        "images": len(ours),
        "file_mb": ours.split.images.nbytes / 1e6,
        "opening_seconds": opening,
        "shuffled_epochs": epochs,
        "images_per_second": seen / (time.perf_counter() - start),
        "held_before_mb": before,
        "most_held_mb": most["all"],
        "most_own_mb": most["own"],
        "most_file_mb": most["file"],
        "most_proportional_mb": most["proportional"],
    }


def held() -> dict[str, float]:
    """MB that this process holds: its own, of files, both, and with shared pages divided among those who share them."""
    fields: dict[str, float] = {}
    for file in ("status", "smaps_rollup"):
        for line in Path("/proc/self", file).read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if value.endswith("kB"):
                fields[name] = int(value.split()[0]) * 1024 / 1e6
    return {
        "own": fields["RssAnon"],
        "file": fields["RssFile"],
        "all": fields["VmRSS"],
        "proportional": fields["Pss"],
    }


def spread(values: list[float]) -> dict[str, Any]:
    """Median and range."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values), "all": values}


def told(found: dict[str, Any], digits: int = 0) -> str:
    """A spread in words."""
    return f"{found['median']:>10,.{digits}f} ({found['low']:,.{digits}f}–{found['high']:,.{digits}f})"


if __name__ == "__main__":
    sys.exit(main())
