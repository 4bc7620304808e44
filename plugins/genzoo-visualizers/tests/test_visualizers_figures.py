"""Every visualizer, on every model that it takes: it draws, repeats, responds, and leaves everything as it was."""

from __future__ import annotations

import importlib
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.image import imread

from genzoo.interfaces import Dataset, RunView, Visualizer
from genzoo.interfaces.drawing import Page
from genzoo.options import NoOptions
from genzoo.parts.figures import WIDTH, render, smallest_text
from genzoo.randomness import seeded
from genzoo.testing.reference import (
    CarriedModel,
    ConditionalModel,
    DiscreteModel,
    PlainModel,
    TwoLevelModel,
    reference_parts,
)
from genzoo.types import ImageSpec, LatentSpec, Split
from genzoo_visualizers.plugin import genzoo_visualizers

DECLARED = {component.name: component for component in genzoo_visualizers()}
PAGES = {"explorer"}
"""They return pages, which have tests of their own for what is seen."""
OF_A_FIELD = {"denoising"}
"""They need a prior that is drawn from along a field."""
FIGURES = [name for name in DECLARED if name not in PAGES]


class Wide(PlainModel):
    """Five latent dimensions in place of two."""

    def __init__(self, options, parts) -> None:
        super().__init__(options, parts)
        self.levels = (LatentSpec((5,)),)
        self.prior = parts.prior(self.levels[0])
        self.encoder = parts.network.encoder(parts.image.shape, (10,))
        self.decoder = parts.network.decoder((5,), parts.image.shape)


class Line(PlainModel):
    """One latent dimension."""

    def __init__(self, options, parts) -> None:
        super().__init__(options, parts)
        self.levels = (LatentSpec((1,)),)
        self.prior = parts.prior(self.levels[0])
        self.encoder = parts.network.encoder(parts.image.shape, (2,))
        self.decoder = parts.network.decoder((1,), parts.image.shape)


class ConditionalDiscrete(DiscreteModel):
    """Codes whose decoder's output is turned by the label."""

    capabilities = DiscreteModel.capabilities | ConditionalModel.capabilities - PlainModel.capabilities

    def decode(self, latents, label=None, *, mean=False):
        codes = latents[0]
        if not codes.is_floating_point():
            codes = torch.nn.functional.one_hot((codes + label[:, None]) % 4, 4).float()
        return self.likelihood(self.decoder(codes.flatten(-2)))


MODELS = (PlainModel, ConditionalModel, TwoLevelModel, DiscreteModel, Wide, Line, ConditionalDiscrete)


class Pictures(Dataset):
    """Random images, three classes."""

    def __init__(self, channels: int, n: int, labelled: bool = True, seed: int = 0) -> None:
        super().__init__(NoOptions())
        self.n, self.labelled, self.seed = n, labelled, seed
        self._spec = ImageSpec((channels, 8, 6), classes=3 if labelled else None)

    @property
    def spec(self) -> ImageSpec:
        return self._spec

    def split(self, name: str) -> Split:
        generator = torch.Generator().manual_seed(self.seed + len(name))
        images = torch.randint(0, 256, (self.n, *self.spec.shape), dtype=torch.uint8, generator=generator)
        return Split(images, torch.arange(self.n) % 3 if self.labelled else None)


def rows(epochs: int = 5) -> list[dict[str, Any]]:
    def terms(distortion: float, rate: float) -> dict[str, float]:
        return {"distortion": distortion, "rate": rate, "ratio": distortion / rate, "elbo": -distortion - rate}

    return [
        {
            "epoch": epoch,
            "quantities": {"beta": min(1.0, epoch / 3), "lr": 1e-3},
            "train": terms(150 - epoch, 5 + epoch),
            "test": terms(152 - epoch, 5.2 + epoch),
        }
        for epoch in range(1, epochs + 1)
    ]


def view(kind, channels: int = 1, n: int = 12, labelled: bool = True, seed: int = 0) -> RunView:
    data = Pictures(channels, n, labelled, seed)
    with seeded(seed):
        model = kind(NoOptions(), reference_parts(data.spec)).eval()
    splits = {name: data.split(name) for name in data.splits}
    return RunView(f"{kind.__name__} on pictures", model, data, splits, rows(), seed=7)


def suited(name: str, kind: type) -> type:
    """The model, or one with a field where the figure needs it."""
    return CarriedModel if name in OF_A_FIELD else kind


def load(target: str) -> Any:
    module, name = target.split(":")
    return getattr(importlib.import_module(module), name)


def build(name: str, **values: Any) -> Visualizer:
    component = DECLARED[name]
    options = load(component.options)
    return load(component.target)(options(**{**options.tiny, **values}))


def draw(name: str, run: RunView, **values: Any) -> dict[str, Any]:
    visualizer = build(name, **values)
    visualizer.check(run.model, run.image)
    return dict(visualizer.draw(run))


def drawn(name: str, run: RunView, **values: Any) -> dict[str, bytes]:
    """The figures as files of few pixels."""
    files: dict[str, bytes] = {}
    for key, figure in draw(name, run, **values).items():
        if isinstance(figure, Page):
            files[key] = figure.html.encode()
            continue
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=50, metadata={"Software": None})
        files[key] = buffer.getvalue()
    return files


CASES = [
    pytest.param(name, kind, id=f"{name}-{kind.__name__}")
    for name, component in DECLARED.items()
    for kind in ((CarriedModel,) if name in OF_A_FIELD else MODELS)
    if name in FIGURES and load(component.target).requires <= kind.capabilities
]


@pytest.mark.parametrize("channels", [1, 3], ids=["grey", "colour"])
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_it_draws_something_legible(name: str, kind, channels: int):
    figures = draw(name, view(kind, channels))
    assert figures
    for figure in figures.values():
        assert smallest_text(figure) >= 7
        assert figure.get_size_inches()[0] == WIDTH
        assert figure.get_suptitle().startswith(kind.__name__)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=40)
        buffer.seek(0)
        pixels = imread(buffer)[..., :3].mean(-1)
        assert (np.abs(pixels - np.median(pixels)) > 0.02).mean() > 0.01


@pytest.mark.parametrize("name", DECLARED)
@pytest.mark.parametrize("n", [1, 2])
def test_one_or_two_images_are_enough(name: str, n: int):
    kind = ConditionalModel if load(DECLARED[name].target).requires - PlainModel.capabilities else PlainModel
    assert drawn(name, view(suited(name, kind), n=n))


@pytest.mark.parametrize(
    "name", [n for n in DECLARED if not load(DECLARED[n].target).requires - PlainModel.capabilities]
)
def test_data_without_labels_will_do_where_none_are_needed(name: str):
    assert not load(DECLARED[name].target).needs_labels
    assert drawn(name, view(suited(name, PlainModel), labelled=False))


@pytest.mark.parametrize("name", DECLARED)
def test_the_same_run_gives_the_same_bytes_whatever_came_before(name: str):
    run = view(suited(name, ConditionalModel))
    torch.manual_seed(1)
    first = drawn(name, run)
    torch.rand(17)
    assert drawn(name, run) == first


def test_full_size_files_repeat_too():
    run = view(PlainModel)
    first, second = (render(draw("latent-scatter", run)[""], "svg") for _ in range(2))
    assert first == second


@pytest.mark.parametrize("name", [name for name in DECLARED if name != "training-curves"])
def test_another_model_gives_another_figure(name: str):
    kind = suited(name, ConditionalModel)
    run, other = view(kind), view(kind, seed=1)
    changed = replace(run, model=other.model)
    first, second = drawn(name, run), drawn(name, changed)
    assert first.keys() == second.keys()
    assert all(first[key] != second[key] for key in first)


@pytest.mark.parametrize("name", DECLARED)
def test_it_leaves_everything_as_it_was(name: str):
    run = view(suited(name, ConditionalModel))
    weights = {key: value.clone() for key, value in run.model.state_dict().items()}
    torch.manual_seed(5)
    np.random.seed(5)
    state, numpys, settings = torch.get_rng_state(), np.random.get_state()[1].copy(), dict(mpl.rcParams)
    for mode in (True, False):
        run.model.train(mode)
        draw(name, run)
        assert run.model.training is mode
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == numpys).all()
    assert dict(mpl.rcParams) == settings
    assert plt.get_fignums() == []
    assert torch.is_grad_enabled()
    assert all(parameter.grad is None for parameter in run.model.parameters())
    assert all(torch.equal(value, weights[key]) for key, value in run.model.state_dict().items())


@pytest.mark.parametrize("name", FIGURES)
def test_class_names_and_titles_of_any_kind_are_shown_literally(name: str):
    run = view(suited(name, ConditionalModel))
    spec = replace(run.image, class_names=("</script><img onerror=x>", "$\\frac{1}$", "猫"))
    run.model.image = spec
    run.dataset._spec = spec
    for figure in draw(name, replace(run, title="$x$ 猫 </script>")).values():
        assert "</script>" in figure.get_suptitle()
        assert b"onerror" not in render(figure, "svg")  # text is drawn as outlines


def test_the_declaration_says_what_the_classes_are():
    for name, component in DECLARED.items():
        visualizer = build(name)
        assert visualizer.needs_history is (name == "training-curves")
        assert type(visualizer).__doc__
        assert component.summary
        assert ("conditional" in visualizer.requires) is name.startswith(("class-", "style-"))


def test_the_readme_lists_every_option_with_its_default():
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    for name, component in DECLARED.items():
        assert f"| `{name}` |" in readme
        for option, field in load(component.options).model_fields.items():
            default = "absent" if field.default is None else field.default
            row = f"| `--viz.{name}.{option.replace('_', '-')}` | {default} | {field.description} |"
            assert row in readme, row
