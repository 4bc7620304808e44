"""The folder of what genzoo fetches or computes once and keeps. Imports no torch."""

from __future__ import annotations

import os
from pathlib import Path

from genzoo.bounded import user_path


def cache_folder(root: str | Path | None = None) -> Path:
    """Where fetched data is kept: ``root`` if given, else ``$GENZOO_DATA``, else ``~/.cache/genzoo``; not created.

    Example:
        >>> cache_folder("somewhere").name
        'somewhere'
    """
    if root:
        return user_path(root, "data: root")
    return user_path(os.environ.get("GENZOO_DATA") or "~/.cache/genzoo", "the environment's GENZOO_DATA")
