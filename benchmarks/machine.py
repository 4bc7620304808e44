"""What a measurement was taken on, and where it is kept."""

from __future__ import annotations

import json
import platform
import statistics
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results.json"


def describe(threads: int) -> dict[str, Any]:
    """Processor, threads, versions and date."""
    from datetime import UTC, datetime

    versions = {}
    for name in ("torch", "torchvision", "pythae", "numpy"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "absent"
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": _processor(),
        "threads": threads,
        "python": platform.python_version(),
        "system": platform.system(),
        "versions": versions,
    }


def save(name: str, result: dict[str, Any], machine: dict[str, Any]) -> None:
    """Put one section's numbers, with the machine they were taken on, in place of its last ones."""
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    kept[name] = {"machine": machine, **result}
    RESULTS.write_text(json.dumps(kept, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


def ratio(above: list[float], below: list[float]) -> dict[str, float]:
    """Median and range over rounds of one contender's time over another's."""
    each = [a / b for a, b in zip(above, below, strict=True)]
    low, *_, high = statistics.quantiles(each, n=10)
    return {"median": statistics.median(each), "p10": low, "p90": high}


def _processor() -> str:
    facts: dict[str, str] = {}
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            facts.setdefault(key.strip(), value.strip())
    flags = facts.get("flags", "").split()
    wide = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return ", ".join([facts.get("model name", platform.processor() or platform.machine()), *wide])
