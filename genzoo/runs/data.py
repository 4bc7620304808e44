"""The data of a run: recorded when it begins, compared when they are read again, and read only where something needs them.

What resumes a run refuses other data; what draws, measures or encodes names the difference in a warning. A model, its
samples and every figure that looks at no image are made from what run.json says of the images.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from genzoo.compose.build import make_dataset
from genzoo.compose.plan import Plan, plan
from genzoo.errors import CorruptError, GenzooError, UsageError
from genzoo.host.plugin_host import Host
from genzoo.interfaces.dataset import Dataset
from genzoo.parts.fingerprint import fingerprint
from genzoo.recipe import Part, Recipe
from genzoo.types import ImageSpec, Kind, Split

Told = Callable[[str], None]


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class SplitRecord(_Shape):
    """See `genzoo.parts.fingerprint.fingerprint`."""

    count: int = Field(ge=1)
    shape: list[int]
    dtype: str
    images: str
    labels: str | None = None
    factors: str | None = None


class SpecRecord(_Shape):
    """An `ImageSpec`."""

    shape: list[int] = Field(min_length=3, max_length=3)
    classes: int | None = None
    levels: int | None = None
    class_names: list[str] | None = None
    conditions: list[str] = Field(default_factory=list)

    @classmethod
    def of(cls, spec: ImageSpec) -> SpecRecord:
        """What is recorded of an `ImageSpec`."""
        names = None if spec.class_names is None else list(spec.class_names)
        return cls(
            shape=list(spec.shape),
            classes=spec.classes,
            levels=spec.levels,
            class_names=names,
            conditions=list(spec.conditions),
        )

    def spec(self) -> ImageSpec:
        """The `ImageSpec` that was recorded."""
        names = None if self.class_names is None else tuple(self.class_names)
        return ImageSpec(tuple(self.shape), self.classes, self.levels, names, tuple(self.conditions))


class DataRecord(_Shape):
    """What run.json keeps of a run's data, under ``data``.

    Args:
        dataset: Name of the dataset.
        places: Option → absolute path, for the dataset's options that say where its files lie.
        folder: Where the run was started.
        spec: What one image is.
        factor_names, factor_sizes: Those of the dataset.
        splits: Name → fingerprint, for each split that was read, whole.
    """

    dataset: str
    places: dict[str, str] = Field(default_factory=dict[str, str])
    folder: str = ""
    spec: SpecRecord
    factor_names: list[str] = Field(default_factory=list[str])
    factor_sizes: list[int] = Field(default_factory=list[int])
    splits: dict[str, SplitRecord] = Field(default_factory=dict[str, SplitRecord])

    @classmethod
    def read(cls, record: Mapping[str, Any], source: str) -> DataRecord | None:
        """What a run's record says of its data; None in runs of earlier releases.

        Raises:
            CorruptError: If it is damaged.
        """
        found = record.get("data")
        if found is None:
            return None
        try:
            return cls.model_validate(found)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in ("data", *first["loc"]))
            raise CorruptError(f"run: {source} is damaged: {place}: {first['msg']}.") from None


def _stands_for_a_dataset(cls: type[RunData]) -> type[RunData]:
    """Take every member of `Dataset` that the class does not define from the dataset itself."""
    for name in set(vars(Dataset)) - set(vars(cls)):
        if not name.startswith("_"):
            setattr(cls, name, property(lambda self, name=name: getattr(self.dataset, name)))
    return cls


@_stands_for_a_dataset
class RunData(Dataset):
    """The dataset of a run, as recorded until something reads it; what is read is compared with the record.

    Args:
        resolved: The run's plan.
        recorded: What the run says of its data; None where nothing is to be compared.
        other: Told what differs, once for each split; it may raise.
        warn: Told of files in this folder that might be taken for the run's.
        dataset: The dataset, where it is constructed already.
    """

    def __init__(
        self,
        resolved: Plan,
        recorded: DataRecord | None,
        other: Told,
        warn: Told = lambda _: None,
        dataset: Dataset | None = None,
    ) -> None:
        super().__init__(resolved[Kind.DATASET].options)
        self.other = other
        self._plan, self._recorded, self._warn = resolved, recorded, warn
        self._made = dataset
        self._read: dict[str, Split] = {}
        self._found: dict[str, SplitRecord] = {}
        self.differences: list[str] = []

    @property
    def dataset(self) -> Dataset:
        """The dataset itself, constructed when it is first needed."""
        if self._made is None:
            self._made = make_dataset(self._plan)
        return self._made

    @property
    def spec(self) -> ImageSpec:
        """See `Dataset.spec`; the recorded one, so that no file is read for it."""
        return self._true_spec if self._recorded is None else self._recorded.spec.spec()

    @property
    def factor_names(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """See `Dataset`; those recorded."""
        return self.dataset.factor_names if self._recorded is None else tuple(self._recorded.factor_names)

    @property
    def factor_sizes(self) -> tuple[int, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """See `Dataset`; those recorded."""
        return self.dataset.factor_sizes if self._recorded is None else tuple(self._recorded.factor_sizes)

    def split(self, name: str) -> Split:
        """See `Dataset.split`; read once, and compared with the record.

        Raises:
            UsageError: If the images are not of the recorded shape, or the data cannot be found.
        """
        if name not in self._read:
            if not self._read:
                self._name_namesakes()
            spec = self._true_spec
            if spec.shape != self.spec.shape:
                raise UsageError(
                    f"data: images of this run must be {list(self.spec.shape)}, got {list(spec.shape)} from {self}.",
                    self._way_out,
                )
            with _pointing(self._way_out):
                self._read[name] = self.dataset.split(name)
            self._compare(name)
        return self._read[name]

    def record(self) -> dict[str, Any]:
        """What run.json keeps of the data, with the splits that were read; see `DataRecord`."""
        return DataRecord(
            dataset=self._plan[Kind.DATASET].name,
            places=self._places,
            folder=self._recorded.folder if self._recorded else str(Path.cwd()),
            spec=SpecRecord.of(self._true_spec),
            factor_names=list(self.dataset.factor_names),
            factor_sizes=list(self.dataset.factor_sizes),
            splits={name: self._fingerprint(name) for name in self._read},
        ).model_dump(mode="json")

    def __str__(self) -> str:
        places = ", ".join(f"{name} {path}" for name, path in self._places.items())
        return self._plan[Kind.DATASET].name + (f" ({places})" if places else "")

    def __getattr__(self, name: str) -> Any:
        # Whatever else a plugin's dataset has.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.dataset, name)

    @cached_property
    def _true_spec(self) -> ImageSpec:
        with _pointing(self._way_out):
            return self.dataset.spec

    @property
    def _places(self) -> dict[str, str]:
        given = {name: str(getattr(self.options, name) or "") for name in sorted(self.options.places)}
        return {name: path for name, path in given.items() if path}

    @property
    def _way_out(self) -> str:
        if self._recorded is None or not self.options.places:
            return ""
        name = min(self.options.places)
        flag = name.replace("_", "-")
        return f"If the data of the run were moved, add --data.{flag} PATH, or in Python load(…, data={{{name!r}: …}})."

    def _name_namesakes(self) -> None:
        """Warn of what has, seen from this folder, the path that the data had where the run was started."""
        begun = Path(self._recorded.folder) if self._recorded and self._recorded.folder else Path.cwd()
        for path in map(Path, self._places.values()):
            if path.is_relative_to(begun) and begun != Path.cwd():
                here = path.relative_to(begun)
                with suppress(OSError):
                    if here.exists() and not here.samefile(path):
                        self._warn(f"The data of the run are {path}; {here} in this folder is another and is not read.")

    def _fingerprint(self, name: str) -> SplitRecord:
        if name not in self._found:
            self._found[name] = SplitRecord.model_validate(fingerprint(self._read[name]))
        return self._found[name]

    def _compare(self, name: str) -> None:
        before = self._recorded.splits.get(name) if self._recorded else None
        if before is None:
            return
        found = [f"the {name} split {told}" for told in _differences(before, self._fingerprint(name))]
        found += [told for told in _of_spec(self.spec, self._true_spec) if told not in self.differences]
        if found:
            self.differences += found
            self.other(f"{'; '.join(found)} ({self})")


class Splits(Mapping[str, Split]):
    """The splits of a run by name, made when one is first asked for.

    Args:
        names: Of the splits.
        make: Makes all of them.
    """

    def __init__(self, names: Sequence[str], make: Callable[[], Mapping[str, Split]]) -> None:
        self._names, self._make = tuple(names), make

    @cached_property
    def _made(self) -> Mapping[str, Split]:
        return self._make()

    def __getitem__(self, name: str) -> Split:
        if name not in self._names:
            raise KeyError(name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Numbered(Dataset):
    """Row numbers instead of images, to tell which images of a dataset are in a part of it.

    Args:
        dataset: Whose labels and factors they have.
    """

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset.options)
        self._dataset = dataset

    @property
    def spec(self) -> ImageSpec:
        """See `Dataset.spec`."""
        return ImageSpec((1, 1, 1))

    def split(self, name: str) -> Split:
        """See `Dataset.split`."""
        whole = self._dataset.split(name)
        rows = torch.arange(len(whole), dtype=torch.float32)
        return Split(rows.view(-1, 1, 1, 1), whole.labels, whole.factors)


def refuse_other(told: str) -> None:
    """Refuse to resume a run on other data.

    Raises:
        UsageError: With what differs.
    """
    raise UsageError(
        f"run: the data of a resumed run must be those that it was trained on, but {told}.",
        "Put them back, point at them with --data.OPTION PATH, or start a new run with `genzoo run --recipe config.toml`.",
    )


def refuse_figures(told: str) -> None:
    """Refuse to draw figures of other data into a run.

    Raises:
        UsageError: With what differs.
    """
    raise UsageError(
        f"viz: figures in a run's folder must be of the data that it was trained on, but {told}.",
        "Point at them with --data.OPTION PATH, or give --out FOLDER to draw these elsewhere.",
    )


def warn_of_other(warn: Told) -> Told:
    """What warns of other data, once for each split."""
    return lambda told: warn(f"These are not the data that the run was trained on: {told}.")


def moved(recipe: Recipe, data: Mapping[str, Any], host: Host) -> Recipe:
    """The recipe of a run with its data elsewhere.

    Args:
        recipe: That of the run.
        data: Options of its dataset that say where its files lie.
        host: Where plugins come from.

    Raises:
        UsageError: If another option is named.
    """
    if not data:
        return recipe
    resolved = plan(recipe, host)
    places = resolved[Kind.DATASET].options.places
    given = {str(name).replace("-", "_"): value for name, value in data.items()}
    if refused := sorted(set(given) - places):
        name = resolved[Kind.DATASET].name
        rule = f"say where the dataset {name} lies ({', '.join(sorted(places))})" if places else "be left out"
        reason = "" if places else f": the dataset {name} has no option that says where it lies"
        raise UsageError(f"data: --data options of a run that there is must {rule}, got {', '.join(refused)}{reason}.")
    part = resolved[Kind.DATASET].part()
    return recipe.model_copy(update={"dataset": Part(name=part.name, options={**part.options, **given})})


def _differences(before: SplitRecord, now: SplitRecord) -> list[str]:
    """What differs between two splits, in words; where the number of images does, nothing else is compared."""
    if before.count != now.count:
        return [f"has {now.count:,} images and had {before.count:,}"]
    if (before.shape, before.dtype) != (now.shape, now.dtype):
        return [f"has images {now.shape} of {now.dtype} and had {before.shape} of {before.dtype}"]
    return [
        f"has other {what}" for what in ("images", "labels", "factors") if getattr(before, what) != getattr(now, what)
    ]


def _of_spec(before: ImageSpec, now: ImageSpec) -> list[str]:
    told = [
        f"there are {getattr(now, name)} {what} and were {getattr(before, name)}"
        for name, what in (("classes", "classes"), ("levels", "grey levels"))
        if getattr(before, name) != getattr(now, name)
    ]
    if before.classes == now.classes and before.class_names != now.class_names:
        told.append(f"the classes are called {_listed(now.class_names)} and were called {_listed(before.class_names)}")
    return told


def _listed(names: tuple[str, ...] | None) -> str:
    shown = [*(names or ("by number",))]
    return ", ".join(shown[:10]) + (" …" if len(shown) > 10 else "")


@contextmanager
def _pointing(way_out: str) -> Generator[None]:
    """A block that reads the data of a run; its errors say how to point at moved data."""
    try:
        yield
    except GenzooError as error:
        error.hint = f"{error.hint} {way_out}".strip()
        raise
