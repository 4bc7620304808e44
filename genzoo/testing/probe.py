"""A fresh process that looks at what importing a plugin does, and reads back what another process wrote.

``python -m genzoo.testing.probe`` reads one JSON request a line and answers each from a forked child, so that a hundred
components cost one start of Python. With ``--once`` it answers one request and ends. Without ``--torch`` it imports
neither torch nor pydantic itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import random
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any


def _import(request: Mapping[str, Any]) -> dict[str, Any]:
    """Import one module: how long it took, and whether torch came with it."""
    start = time.perf_counter()
    import_module(request["module"])
    return {"seconds": time.perf_counter() - start, "torch": "torch" in sys.modules}


def _state() -> dict[str, str]:
    import matplotlib
    import numpy as np
    import torch

    return {
        "torch's random state": str(hash(torch.get_rng_state().numpy().tobytes())),
        "numpy's random state": str(hash(str(np.random.get_state(legacy=False)))),
        "python's random state": str(hash(random.getstate())),
        "torch's default dtype": str(torch.get_default_dtype()),
        "torch's default device": str(torch.get_default_device()),
        "torch's thread count": str(torch.get_num_threads()),
        "torch's gradient mode": str(torch.is_grad_enabled()),
        "torch's deterministic mode": str(torch.are_deterministic_algorithms_enabled()),
        "torch's matmul precision": torch.get_float32_matmul_precision(),
        "cudnn.benchmark": str(torch.backends.cudnn.benchmark),
        "distribution validation": str(torch.distributions.Distribution._validate_args),  # pyright: ignore[reportPrivateUsage]
        "the warnings filter": str(warnings.filters),
        "matplotlib's settings": str(hash(str({k: v for k, v in matplotlib.rcParams.items() if k != "backend"}))),
        "matplotlib's backend": str(dict.__getitem__(matplotlib.rcParams, "backend")),
        "the working directory": str(Path.cwd()),
    }


def _globals(request: Mapping[str, Any]) -> dict[str, Any]:
    """Import modules, after others: which global settings of the process changed, and which modules came with them."""
    for module in request["after"]:
        with contextlib.suppress(Exception):
            import_module(module)
    known, before = set(sys.modules), _state()
    start = time.perf_counter()
    for module in request["modules"]:
        import_module(module)
    seconds, after = time.perf_counter() - start, _state()
    imported = [name for name in sys.modules if name not in known]
    changed = [name for name in before if before[name] != after[name]]
    return {"changed": changed, "imported": imported, "seconds": seconds}


def _unpickle(request: Mapping[str, Any]) -> dict[str, Any]:
    """Read a pickled component, as a spawned worker does."""
    found = pickle.loads(Path(request["file"]).read_bytes())
    return {"type": f"{type(found).__module__}:{type(found).__qualname__}"}


def _reload(request: Mapping[str, Any]) -> dict[str, Any]:
    """Build a component from its options, load its weights from safetensors, and write what it makes of the bench."""
    from safetensors.torch import save_file

    from genzoo.testing.modules import restored

    plugin = pickle.loads(Path(request["plugin"]).read_bytes())
    save_file(restored(plugin, Path(request["weights"])), request["result"])
    return {}


TASKS: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "import": _import,
    "globals": _globals,
    "unpickle": _unpickle,
    "reload": _reload,
}


def _answer(request: Mapping[str, Any]) -> None:
    try:
        sys.path[:] = request["path"]
        found = TASKS[request["task"]](request)
    except BaseException as error:  # a plugin may raise anything, SystemExit too; the answer says what
        found = {"error": f"{type(error).__name__}: {error}"}
    Path(request["answer"]).write_text(json.dumps(found), encoding="utf-8")


def serve() -> None:
    """Answer requests until the input ends."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    if "--torch" in sys.argv:
        import_module("genzoo.testing.subject")
        import_module("matplotlib.figure")
    replies = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # what a plugin prints must not be read as a reply
    for line in sys.stdin:
        request = json.loads(line)
        for library in request.get("keep", ()):  # so that no child need import it again
            if library not in sys.modules:
                with contextlib.suppress(Exception):
                    import_module(library)
        if "--once" in sys.argv:
            _answer(request)
            replies.write("done\n")
            return
        child = os.fork()
        if not child:
            _answer(request)
            os._exit(0)
        os.waitpid(child, 0)
        replies.write("done\n")


if __name__ == "__main__":
    serve()
