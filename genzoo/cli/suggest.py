"""What was probably meant by a command or an option that does not exist. Imports no torch."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from genzoo.errors import GenzooError
from genzoo.host.installed import Installed
from genzoo.host.plugin_host import Host
from genzoo.types import Kind

COMMANDS: Mapping[str, str] = {
    "train": "run",
    "fit": "run",
    "start": "run",
    "continue": "run --resume RUN",
    "resume": "run --resume RUN",
    "plot": "viz",
    "draw": "viz",
    "figure": "viz",
    "visualize": "viz",
    "visualise": "viz",
    "evaluate": "eval",
    "test": "eval",
    "metrics": "eval",
    "score": "eval",
    "generate": "sample",
    "samples": "sample",
    "embed": "encode",
    "latents": "encode",
    "ls": "list",
    "plugins": "list",
    "models": "list model",
    "describe": "info",
    "show": "runs show RUN",
    "compare": "runs compare RUN RUN",
    "rm": "runs rm RUN",
    "delete": "runs rm RUN",
    "onnx": "export RUN --to onnx",
    "history": "runs list",
    "config": "recipe",
    "find": "search",
    "create": "new",
    "init": "new",
    "scaffold": "new",
    "verify": "check",
    "validate": "check",
    "diagnose": "doctor",
    "help": "--help",
    "version": "--version",
}
"""Words of other tools → what genzoo calls the same."""

OPTIONS: Mapping[str, str] = {
    "dataset": "--data",
    "ds": "--data",
    "arch": "--network",
    "architecture": "--network",
    "backbone": "--network",
    "encoder": "--network",
    "decoder": "--network",
    "objective": "--loss",
    "recon-loss": "--likelihood",
    "reconstruction-loss": "--likelihood",
    "annealing": "--scheduler",
    "anneal": "--scheduler",
    "schedule": "--scheduler",
    "warmup": "--scheduler.beta.epochs",
    "warm-up": "--scheduler.beta.epochs",
    "visualizer": "--viz",
    "visualize": "--viz",
    "plot": "--viz",
    "figure": "--viz",
    "learning-rate": "--lr",
    "bs": "--batch-size",
    "num-epochs": "--epochs",
    "n-epochs": "--epochs",
    "max-epochs": "--epochs",
    "max-steps": "--steps",
    "n-steps": "--steps",
    "gpu": "--device cuda",
    "cuda": "--device cuda",
    "cpu": "--device cpu",
    "accelerator": "--device",
    "amp": "--precision bf16",
    "bf16": "--precision bf16",
    "fp16": "--precision bf16",
    "half": "--precision bf16",
    "random-seed": "--seed",
    "clip": "--clip-grad",
    "gradient-clip": "--clip-grad",
    "grad-clip": "--clip-grad",
    "early-stopping": "--patience",
    "val": "--holdout",
    "validation": "--holdout",
    "val-split": "--holdout",
    "validation-split": "--holdout",
    "subset": "--limit",
    "max-samples": "--limit",
    "output": "--out",
    "output-dir": "--out",
    "outdir": "--out",
    "save-dir": "--out",
    "logdir": "--out",
    "config": "--recipe",
    "checkpoint": "--resume",
    "ckpt": "--resume",
    "continue": "--resume",
    "pretrained": "--init",
    "weights": "--init",
    "opt": "--optimizer",
    "kl-weight": "--loss.beta",
    "kld-weight": "--loss.beta",
    "kl": "--loss.beta",
    "latents": "--model.latent-dim",
    "latent": "--model.latent-dim",
    "latent-size": "--model.latent-dim",
    "z": "--model.latent-dim",
    "z-dim": "--model.latent-dim",
    "zdim": "--model.latent-dim",
    "nz": "--model.latent-dim",
    "hidden-dim": "--network.hidden",
    "hidden-dims": "--network.hidden",
    "hidden-size": "--network.hidden",
    "data-path": "--data.path",
    "data-dir": "--data.root",
}
"""Options of other tools → the flag that does the same."""


def command(word: str, known: Iterable[str]) -> str:
    """A sentence that names the command that a word probably means; empty where none is near."""
    if word.lower() in COMMANDS:
        return f"Did you mean `genzoo {COMMANDS[word.lower()]}`?"
    near = difflib.get_close_matches(word.lower(), known, n=1)
    return f"Did you mean `genzoo {near[0]}`?" if near else ""


def option(flag: str, value: str, known: Iterable[str], parts: Mapping[str, Sequence[str]]) -> str:
    """A sentence that names the options that an unknown one probably means; empty where none is near.

    Args:
        flag: As typed, such as ``--beta``.
        value: What followed it; empty where nothing did.
        known: The command's own long options.
        parts: What the experiment's parts take: the bare name of an option → its whole flags.
    """
    bare = flag.lstrip("-").lower().replace("_", "-")
    own = [name for name in known if name.startswith("--")]
    candidates: list[str] = []
    if f"--{bare}" in own:
        candidates = [f"--{bare}"]
    elif bare in OPTIONS:
        meant = OPTIONS[bare]
        group, dot, name = meant.removeprefix("--").partition(".")
        # Where the part has no such option, the word means nothing here.
        if not dot or any(found.startswith(f"--{group}.") for found in parts.get(name.rpartition(".")[2], ())):
            candidates = [meant]
    if not candidates and bare in parts:
        candidates = list(parts[bare])
    if not candidates:
        words = {name.removeprefix("--"): [name] for name in own}
        for name, flags in parts.items():
            words.setdefault(name, []).extend(flags)
        for near in difflib.get_close_matches(bare, words, n=2, cutoff=0.7):
            candidates += words[near]
    if not candidates:
        return ""
    with_value = [f"{name} {value}" if value and " " not in name else name for name in candidates[:3]]
    return f"Did you mean {' or '.join(f'`{name}`' for name in with_value)}?"


def options_of_parts(words: Sequence[str], host: Host) -> dict[str, list[str]]:
    """What the parts of ``genzoo run`` with those words take: the bare name of an option → its whole flags.

    Parts that are not named are those that the model gets by itself. A part that cannot be read has none.
    """
    from genzoo.compose.plan import SLOTS, default_part, default_schedulers
    from genzoo.host.option_help import FLAGS

    found: dict[str, list[str]] = {}

    def add(kind: Kind, name: str, prefix: str) -> None:
        try:
            installed: Installed = host.get(kind, name)
            fields = installed.options_class().model_fields
        except GenzooError:
            return
        for field in fields:
            option = field.replace("_", "-")
            found.setdefault(option, []).append(f"--{prefix}.{option}")

    named = _flags(words)
    models = {item.name for item in host.components(Kind.MODEL)}
    model = next((word for word in words if word in models), "vae")
    try:
        companions = host.get(Kind.MODEL, model).component.companions
    except GenzooError:
        return found
    add(Kind.MODEL, model, "model")
    for slot, kind in SLOTS.items():
        flag = FLAGS.get(kind, str(slot))
        part = default_part(slot, companions.get(slot))
        for name in named.get(flag, [part.name] if part else []):
            add(kind, name, flag)
    schedulers = {slot: part.name for slot, part in default_schedulers(companions.get(Kind.SCHEDULER)).items()}
    for word in named.get("scheduler", ()):
        slot, equals, name = word.partition("=")
        schedulers[slot if equals else "beta"] = name if equals else word
    for slot, name in schedulers.items():
        add(Kind.SCHEDULER, name, f"scheduler.{slot}")
    for flag, kind in (("viz", Kind.VISUALIZER), ("metric", Kind.METRIC)):
        for word in named.get(flag, ()):
            key, equals, name = word.partition("=")
            add(kind, name if equals else key, f"{flag}.{key}")
    return found


def options_of_named(names: Iterable[str], kind: Kind, host: Host) -> dict[str, list[str]]:
    """As `options_of_parts`, for figures or metrics of a finished run: ``--traversal.span``."""
    found: dict[str, list[str]] = {}
    for name in names:
        key, equals, part = name.partition("=")
        try:
            fields = host.get(kind, part if equals else key).options_class().model_fields
        except GenzooError:
            continue
        for field in fields:
            found.setdefault(field.replace("_", "-"), []).append(f"--{key}.{field.replace('_', '-')}")
    return found


def _flags(words: Sequence[str]) -> dict[str, list[str]]:
    """``--flag value`` and ``--flag=value`` among words: flag → values."""
    found: dict[str, list[str]] = {}
    for index, word in enumerate(words):
        if not word.startswith("--"):
            continue
        name, equals, value = word.removeprefix("--").partition("=")
        if not equals:
            value = words[index + 1] if index + 1 < len(words) else ""
        found.setdefault(name, []).append(value)
    return found
