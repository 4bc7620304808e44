"""A recipe: the names and options that make an experiment, as TOML. Imports no torch.

A recipe may leave things out; `genzoo.compose` fills them in from the model's companions and the defaults. The
``config.toml`` of a run is a recipe with nothing left out.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from genzoo.errors import UsageError
from genzoo.options import Options
from genzoo.text import toml_text
from genzoo.toml import read_toml

SCHEMA = 1
"""Version of the recipe format."""


class TrainOptions(Options):
    """How a model is trained; the plain flags of ``genzoo run``."""

    epochs: int = Field(30, ge=1, le=1_000_000, description="Passes over the training images.")
    steps: int | None = Field(None, ge=1, description="Stop after this many optimizer steps; none: train all epochs.")
    limit: int | None = Field(None, ge=1, description="Use only N images of each split, drawn by seed in every class.")
    holdout: int = Field(
        0,
        ge=0,
        description="Training images, drawn likewise, held out to choose the best checkpoint.",
    )
    patience: int | None = Field(None, ge=1, description="Stop after this many epochs without a better held-out elbo.")
    batch_size: int = Field(128, ge=1, description="Images a step.")
    lr: float = Field(1e-3, gt=0, le=10, description="Learning rate.")
    optimizer: Literal["adam", "adamw", "adamax", "rmsprop", "sgd"] = Field("adam", description="Optimizer.")
    weight_decay: float = Field(0.0, ge=0, le=1, description="Weight decay of the optimizer.")
    clip_grad: float | None = Field(None, gt=0, description="Greatest norm of the gradient; none: no clipping.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of weights, order, noise and figures.")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps.", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="Arithmetic of training and of evaluations before the last, which is in float32."
    )
    ema: float | None = Field(
        None, gt=0, lt=1, description="Decay of averaged weights, which are then measured and shown; none: no average."
    )
    fit_prior: Literal["auto", "joint", "after"] = Field(
        "auto", description="Whether the prior is trained with the model or after it, where it can be both."
    )
    compile: bool = Field(False, description="Compile the model with torch.compile.")
    cuda_graphs: bool = Field(
        True, description="On CUDA, replay each step as one graph, where nothing in the model or loss forbids it."
    )
    eval_batch_size: int = Field(500, ge=1, description="Images a batch when evaluating.")
    eval_every: int = Field(
        1, ge=1, description="Epochs between evaluations of the test images; the first and the last always are."
    )
    viz_every: int = Field(5, ge=0, description="Redraw the figures every E epochs; 0: after the first and the last.")
    checkpoint_every: int = Field(1, ge=1, description="Epochs between checkpoints.")
    keep: int = Field(2, ge=1, description="How many of the last checkpoints to keep.")

    tiny: ClassVar[dict[str, Any]] = {"epochs": 1, "limit": 64, "batch_size": 16}


class Part(BaseModel):
    """A component by name, with the options that differ from its defaults (all of them in a run's config.toml)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


class Init(BaseModel):
    """The run whose weights a run starts from.

    Args:
        run: Its folder, or ``zoo:NAME``.
        sha256: Of the weights that were taken.
        frozen: Direct parts of the model that are not trained, or ``all-but-prior``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    frozen: tuple[str, ...] = ()


class Recipe(BaseModel):
    """What a run is made of. Only ``model`` must be given; what is None is left to the model and the defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_version: int = Field(default=SCHEMA, alias="schema")
    summary: str = ""
    model: Part
    dataset: Part | None = None
    network: Part | None = None
    likelihood: Part | None = None
    prior: Part | None = None
    loss: Part | None = None
    field: Part | None = None
    init: Init | None = None
    schedulers: dict[str, list[Part]] | None = None
    visualizers: dict[str, Part] = Field(default_factory=dict)
    metrics: dict[str, Part] = Field(default_factory=dict)
    train: dict[str, Any] = Field(default_factory=dict)

    @field_validator("visualizers", "metrics")
    @classmethod
    def _keys_are_file_names(cls, parts: dict[str, Part]) -> dict[str, Part]:
        for key in parts:
            if not _FILE_NAME.fullmatch(key) or _RESERVED.fullmatch(key):
                raise UsageError(
                    "run: the key of a figure or metric must be at most 100 letters, digits, dots, hyphens and "
                    f"underscores, got {key[:40]!r}.",
                    "Its files are named after it.",
                )
        return parts

    def to_toml(self) -> str:
        """The recipe as TOML; what is None or empty is left out.

        Raises:
            UsageError: If it holds a file name that is no Unicode, which TOML cannot hold.
        """
        text = tomli_w.dumps(_without_none(self.model_dump(mode="json", by_alias=True, exclude_none=True)))
        if found := re.search('[^"\\s]*[\ud800-\udfff][^"\\s]*', text):
            raise UsageError(
                f"recipe: a path must be valid Unicode to be recorded, got {found[0]!r}.", "Rename it, or link to it."
            )
        return toml_text(text)

    def train_options(self) -> TrainOptions:
        """The typed training options.

        Raises:
            UsageError: If one is unknown, of a wrong type or out of bounds.
        """
        try:
            return TrainOptions.model_validate(self.train)
        except ValidationError as error:
            raise UsageError("train: " + explain(error, TrainOptions)) from None


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from a TOML file.

    Raises:
        UsageError: If the file is absent, is no TOML (see `genzoo.toml.read_toml`), names an unknown field or is of a
            newer schema.
    """
    content, text = read_toml(path)
    return parse_recipe(content, str(path), text)


def parse_recipe(content: dict[str, Any], source: str, text: str = "") -> Recipe:
    """A recipe from the content of a TOML file, and its text, where there is one, to name lines. See `read_recipe`."""
    schema = content.get("schema", SCHEMA)
    if isinstance(schema, int) and schema > SCHEMA:
        raise UsageError(
            f"recipe: schema of {source} must be at most {SCHEMA}, got {schema}.", "Install a newer genzoo to read it."
        )
    try:
        recipe = Recipe.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"recipe: {source}{_line(error, text)}: {explain(error, Recipe)}") from None
    try:
        TrainOptions.model_validate(recipe.train)
    except ValidationError as error:
        where = _line(error, text, ("train",))
        raise UsageError(f"recipe: {source}{where}: train: {explain(error, TrainOptions)}") from None
    return recipe


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first fault of a pydantic error in one sentence that names the option, the rule and the value."""
    import difflib

    first = _first(error)
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        choices = _fields_at(model, first["loc"][:-1])
        near = difflib.get_close_matches(str(first["loc"][-1]), choices, 1)
        hint = f" Did you mean {near[0]}?" if near else (f" Choose from {', '.join(choices)}." if choices else "")
        return f"{path} is not an option.{hint}"
    if first["type"] == "missing":
        return f"{path} must be given, and is not."
    if first["type"] == "string_pattern_mismatch" and (words := _description(model, first["loc"])):
        return f"{path} must be {words}, got {first['input']!r}."
    rule = first["msg"].replace("Input should be", "must be", 1).replace("Input should", "must", 1)
    got = repr(first["input"])
    return f"{path}: {rule}, got {got if len(got) <= 200 else got[:200] + '…'}."


def _description(model: type[BaseModel], path: Sequence[str | int]) -> str:
    """What a field of a model takes, as its description begins, without the stop."""
    field = model.model_fields.get(str(path[0])) if len(path) == 1 else None
    words = (field.description or "") if field else ""
    return words[:1].lower() + words[1:].removesuffix(".")


def line_of(text: str, path: Sequence[str | int]) -> int | None:
    """The line of a TOML text, counted from 1, where a key or a table is written; of its table where that is not found.

    Args:
        text: Valid TOML.
        path: Keys from the outside in, and indices into arrays of tables.

    Example:
        >>> line_of("[model]\\nname = 'vae'\\n[model.options]\\nlatent-dim = 2", ["model", "options", "latent-dim"])
        4
    """
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    counts: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(text.split("\n"), 1):  # as TOML counts them
        if header := _HEADER.match(line):
            table = _keys(header[2])
            if header[1] == "[[":
                index = counts[table] = counts.get(table, -1) + 1
                table = (*table, str(index))
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            found.setdefault((*table, *_keys(key[1])), number)
    wanted = tuple(str(part) for part in path)
    for length in range(len(wanted), 0, -1):
        if wanted[:length] in found:
            return found[wanted[:length]]
    return None


_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_HEADER = re.compile(r"\s*(\[\[?)\s*([^\]#]+?)\s*\]")
_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")


def _keys(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _first(error: ValidationError) -> ErrorDetails:
    """The first fault; a field that is not known before one that is missing, since the one is often the other misspelt."""
    details = error.errors(include_url=False)
    return next((item for item in details if item["type"] == "extra_forbidden"), details[0])


def _line(error: ValidationError, text: str, above: tuple[str, ...] = ()) -> str:
    line = line_of(text, (*above, *_first(error)["loc"]))
    return "" if line is None else f", line {line}"


def _fields_at(model: Any, path: Sequence[str | int]) -> list[str]:
    """Names of the fields of the model that lies at ``path`` within another; none where no model does."""
    for part in path:
        if isinstance(model, type) and issubclass(model, BaseModel):
            field = next((f for name, f in model.model_fields.items() if part in (name, f.alias)), None)
            model = field.annotation if field else None
            model = (
                next((a for a in typing.get_args(model) if a is not type(None)), model) if _optional(model) else model
            )
        else:
            # The items of a list or the values of a mapping.
            model = (typing.get_args(model) or (None,))[-1]
    if isinstance(model, type) and issubclass(model, BaseModel):
        return [field.alias or name for name, field in model.model_fields.items()]
    return []


def _optional(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value if item is not None]
    return value
