"""What of a user's folder is no part of the data set, counted and named once. Imports no torch."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

_SHOWN = 5


@dataclass
class Passed:
    """Files and folders that were passed over by reason, with one example each."""

    counts: Counter[str] = field(default_factory=Counter[str])
    examples: dict[str, str] = field(default_factory=dict[str, str])
    endings: Counter[str] = field(default_factory=Counter[str])
    links: list[str] = field(default_factory=list[str])
    """Links that were followed."""

    def add(self, reason: str, path: str, count: int = 1) -> None:
        """Count one more."""
        self.counts[reason] += count
        self.examples.setdefault(reason, path)

    def unread(self, path: str) -> None:
        """Count a file whose ending is none of an image that is read."""
        self.add("files that do not end as an image", path)
        self.endings[Path(path).suffix.lower() or "no ending"] += 1

    def merge(self, other: Passed) -> None:
        """Count what another one has."""
        self.counts.update(other.counts)
        self.endings.update(other.endings)
        self.links += other.links
        self.examples = {**other.examples, **self.examples}

    def told(self, root: str) -> str | None:
        """All of it, with paths below ``root``; None where nothing was passed over and no link followed."""
        reasons = [
            f"{count} {reason} (such as {below(self.examples[reason], root)})" for reason, count in self.counts.items()
        ]
        endings = [f"{count} {ending}" for ending, count in self.endings.most_common(_SHOWN)]
        if len(self.endings) > _SHOWN:
            endings.append("others")
        parts = [f"Passed over: {'; '.join(reasons)}."] if reasons else []
        if endings:
            parts.append(f"By ending: {', '.join(endings)}.")
        if self.links:
            parts.append(f"Followed: {len(self.links)} links (such as {below(self.links[0], root)}).")
        return " ".join(parts) or None


def below(path: str, root: str) -> str:
    """A path as it is below a folder."""
    return os.path.relpath(path, root) if path.startswith(root) else path
