"""What a check is given: one component, and the ways to build it and to see what it does."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

from genzoo.declare import Component
from genzoo.errors import GenzooError, UsageError
from genzoo.interfaces import Loss, Model
from genzoo.options import Options
from genzoo.randomness import seeded
from genzoo.testing import building
from genzoo.testing.bench import SPECS
from genzoo.testing.checking import CheckFailure
from genzoo.testing.exercises import EXERCISES
from genzoo.types import ImageSpec, Kind, LatentSpec

_T = TypeVar("_T")

REAL_LATENTS = (LatentSpec((2,)), LatentSpec((1,)), LatentSpec((4, 2, 2)), LatentSpec((4, 4, 4)))
CATEGORICAL_LATENTS = (LatentSpec((3,), 4), LatentSpec((4, 4), 4))


class Plugin(Protocol):
    """What the kit needs of an installed component; `genzoo.host.plugin_host.Installed` has it."""

    @property
    def component(self) -> Component: ...
    @property
    def distribution(self) -> str: ...
    @property
    def version(self) -> str: ...
    def load(self) -> type: ...
    def options_class(self) -> type[Options]: ...
    def make_options(self, values: Mapping[str, Any]) -> Options: ...


class Subject:
    """One component under test.

    Args:
        plugin: The installed component.
        module: Its declaration module, None where it is not known.
    """

    def __init__(self, plugin: Plugin, module: str | None = None) -> None:
        self.plugin = plugin
        self.module = module
        self.component = plugin.component
        self.kind = plugin.component.kind
        self._kept: dict[str, Any] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="genzoo-check-", ignore_cleanup_errors=True)

    def close(self) -> None:
        """Removes the temporary folder."""
        self._folder.cleanup()

    @property
    def label(self) -> str:
        """``kind/name``."""
        return f"{self.kind}/{self.component.name}"

    @cached_property
    def folder(self) -> Path:
        return Path(self._folder.name)

    @cached_property
    def cls(self) -> Any:
        return self.plugin.load()

    @cached_property
    def families(self) -> frozenset[str]:
        """What it is beyond its kind: a model or another generator, a loss or another objective, a network of bodies, of
        fields or of both."""
        if self.kind == Kind.MODEL:
            return frozenset({"model" if issubclass(self.cls, Model) else "generator"})
        if self.kind == Kind.LOSS:
            return frozenset({"loss" if issubclass(self.cls, Loss) else "objective"})
        if self.kind == Kind.NETWORK:
            offers = self.cls.offers
            return frozenset({"bodies"} if "encoder" in offers else set()) | ({"field"} & offers)
        return frozenset()

    @cached_property
    def capabilities(self) -> frozenset[str]:
        """A model's, as its class declares them or as an instance sets them."""
        declared = getattr(self.cls, "capabilities", None)
        return self.build().capabilities if declared is None else declared

    @property
    def is_other(self) -> bool:
        """Whether it is not what most of its kind are."""
        return bool(self.families) and not self.families & {"model", "loss", "bodies"}

    def outside(self, family: str) -> str | None:
        """Why a check of a family is not asked of it, None where it is."""
        return f"it is no {family}" if family and family not in self.families else None

    @cached_property
    def options_class(self) -> type[Options]:
        return self.plugin.options_class()

    @cached_property
    def _example(self) -> dict[str, Any]:
        folder = self.folder / "example"
        folder.mkdir()
        return self.options_class.example(folder)

    def options(self, **values: Any) -> Options:
        """The options of the tests: the tiny values, the example files, then ``values`` over both."""
        return self.plugin.make_options({**self.options_class.tiny, **self._example, **values})

    def build(self, options: Options | None = None, seed: int = 0, **where: Any) -> Any:
        """The component under a seed; see the builder of its kind in `genzoo.testing.building`.

        Args:
            options: The tests' options by default.
            seed: Seed of its initial weights.
            where: ``image`` or ``latent``; the first that it accepts by default.
        """
        with seeded(seed):
            return building.BUILDERS[self.kind](self, self.options() if options is None else options, **where)

    @cached_property
    def image(self) -> ImageSpec:
        """The first image spec of the bench that the component serves."""
        return self._first(SPECS, lambda spec: self.build(image=spec))

    @cached_property
    def latent(self) -> LatentSpec:
        """The first latent of the bench that a prior serves."""
        return self.latents(*sorted(self.cls.supports, reverse=True))[0]

    def latents(self, *supports: str) -> list[LatentSpec]:
        """The latents of the bench that a prior serves, one of each support at least.

        Raises:
            CheckFailure: If it refuses all of one support.
        """
        served: list[LatentSpec] = []
        for support in supports:
            offered = REAL_LATENTS if support == "real" else CATEGORICAL_LATENTS
            accepted = [spec for spec in offered if self._accepts(spec)]
            if not accepted:
                raise CheckFailure(f"a prior that says it supports {support!r} latents to take one", "it refused all")
            served += accepted
        return served

    def _accepts(self, spec: LatentSpec) -> bool:
        try:
            self.build(latent=spec)
        except UsageError:
            return False
        return True

    def exercise(self, options: Options | None = None, seed: int = 0) -> building.Trace:
        """All that the component does on the bench, by name, as a function of its options and the seed."""
        with seeded(seed + 100):
            return EXERCISES[self.kind](self, self.options() if options is None else options)

    @cached_property
    def trace(self) -> building.Trace:
        """The exercise with the tests' options."""
        return self.exercise()

    def kept(self, name: str, make: Callable[[], _T]) -> _T:
        """A value that is costly to make, made once."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def _first(self, offered: tuple[_T, ...], build: Callable[[_T], Any]) -> _T:
        refusals: list[str] = []
        for choice in offered:
            try:
                build(choice)
            except GenzooError as error:
                refusals.append(str(error))
                continue
            return choice
        raise CheckFailure("one of the bench's shapes to be accepted", f"all refused, the last with: {refusals[-1]}")
