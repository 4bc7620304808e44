"""The house style, the palette under colour blindness, and files that repeat byte for byte."""

from __future__ import annotations

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib import image as mpl_image
from PIL import Image

from genzoo.errors import UsageError
from genzoo.interfaces import Animation, Page
from genzoo.parts import figures
from genzoo.parts.drawings import contents, save_drawing
from genzoo.types import ImageSpec

# Machado, Oliveira and Fernandes 2009, A physiologically-based model for simulation of color vision deficiency,
# severity 1.0, on linear RGB.
VISION = {
    "full": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def lab(colours: tuple[str, ...], vision: str) -> np.ndarray:
    """CIELAB (D65) of hex colours as an eye of this kind sees them, ``[N, 3]``."""
    rgb = np.array([mpl.colors.to_rgb(colour) for colour in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = (linear @ VISION[vision].T).clip(0, 1) @ TO_XYZ.T / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], -1)


def closest(colours: tuple[str, ...], vision: str) -> float:
    seen = lab(colours, vision)
    distance = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
    return float((distance + np.eye(len(colours)) * 1e9).min())


def test_the_colour_arithmetic_gives_known_values():
    assert lab(("#ffffff",), "full")[0] == pytest.approx([100, 0, 0], abs=0.02)
    assert lab(("#ff0000",), "full")[0] == pytest.approx([53.24, 80.09, 67.20], abs=0.05)


@pytest.mark.parametrize("vision", VISION)
def test_palette_stays_apart_under_every_kind_of_vision(vision: str):
    assert len(set(figures.PALETTE)) >= 10
    assert closest(figures.PALETTE, vision) > 25


def test_matplotlibs_own_palette_would_fail_that():
    default = tuple(mpl.rcParamsDefault["axes.prop_cycle"].by_key()["color"])
    assert min(closest(default, vision) for vision in VISION) < 8


@pytest.mark.parametrize("vision", VISION)
def test_every_colour_stands_out_from_white_paper(vision: str):
    paper = lab(("#ffffff",), vision)
    assert np.linalg.norm(lab(figures.PALETTE, vision) - paper, axis=-1).min() > 25


def test_colours_repeat_with_another_marker():
    assert figures.colour(3) == figures.colour(13)
    assert figures.marker(3) != figures.marker(13)


def test_the_style_leaks_nothing_and_ignores_the_users():
    with mpl.rc_context({"axes.labelsize": 33, "font.family": ["serif"], "xtick.labelsize": 40}):
        before = dict(mpl.rcParams)
        figure = figures.new_figure(2)
        with figures.drawing(0, "test"):
            axes = figure.add_subplot()
            axes.set_xlabel("x")
        figures.render(figure)
        assert dict(mpl.rcParams) == before
    assert axes.xaxis.label.get_fontsize() == figures.STYLE["axes.labelsize"]
    assert axes.get_xticklabels()[0].get_fontsize() == figures.STYLE["xtick.labelsize"]


def test_pyplot_never_hears_of_a_figure():
    figures.new_figure(2)
    assert plt.get_fignums() == []


def test_drawing_seeds_puts_back_and_stops_gradients():
    torch.manual_seed(3)
    state = torch.get_rng_state()
    with figures.drawing(0, "a"):
        first = torch.rand(3)
        assert not torch.is_grad_enabled()
    with figures.drawing(0, "a"):
        again = torch.rand(3)
    with figures.drawing(0, "b"):
        other = torch.rand(3)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()


def plot(height: float = 2.0):
    figure = figures.new_figure(height)
    with figures.house_style():
        axes = figure.add_subplot()
        axes.plot([0, 1, 2], [0, 1, 0])
        axes.set_title("costs $5 or $6, not maths")
    return figure


@pytest.mark.parametrize("format", figures.FORMATS)
def test_the_same_figure_gives_the_same_bytes(format: str):
    first, second = (figures.render(plot(), format) for _ in range(2))
    assert first == second
    assert first != figures.render(plot(2.5), format)
    assert b"matplotlib v" not in first.lower()


def test_a_figure_saved_by_hand_is_in_the_house_style_too(tmp_path):
    by_hand = plot()
    by_hand.savefig(tmp_path / "x.png")
    sizes = {label.get_fontsize() for label in by_hand.axes[0].get_xticklabels()}
    assert sizes == {figures.STYLE["xtick.labelsize"]}


def test_a_figure_is_written_in_each_format_beside_the_path(tmp_path):
    files = save_drawing(plot(), tmp_path / "v1.5-samples", ("png", "svg"))
    assert [file.name for file in files] == ["v1.5-samples.png", "v1.5-samples.svg"]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    pixels = mpl_image.imread(files[0])
    assert pixels.shape[1] == figures.WIDTH * figures.DPI
    assert pixels.std() > 0.01
    assert b"<svg" in files[1].read_bytes()


def test_an_unknown_format_writes_nothing(tmp_path):
    with pytest.raises(UsageError, match="gif"):
        save_drawing(plot(), tmp_path / "x", ("png", "gif"))
    assert list(tmp_path.iterdir()) == []


def test_an_animation_is_one_file_of_its_frames_and_a_page_is_written_as_it_is(tmp_path):
    frames = [figures.new_figure(1.5) for _ in range(3)]
    for number, frame in enumerate(frames):
        frame.add_subplot().plot([0, number])
    (moving,) = save_drawing(Animation(frames, seconds=0.25), tmp_path / "moving", ("png", "svg"))
    assert moving.name == "moving.gif"
    with Image.open(moving) as image:
        assert (image.n_frames, image.info["loop"], image.info["duration"]) == (3, 0, 250)
        assert image.size[0] == figures.WIDTH * figures.DPI
        shown = []
        for number in range(3):
            image.seek(number)
            shown.append(image.convert("RGB").tobytes())
        assert len(set(shown)) == 3
    assert contents(Animation(frames, seconds=0.25))["gif"] == moving.read_bytes()
    (page,) = save_drawing(Page("<title>ü</title>"), tmp_path / "page")
    assert (page.name, page.read_text(encoding="utf-8")) == ("page.html", "<title>ü</title>")


@pytest.mark.parametrize("make", [lambda: Animation([]), lambda: Animation([figures.new_figure(1)], 0.001)])
def test_an_animation_that_shows_nothing_is_refused(make):
    with pytest.raises(UsageError, match="animation: "):
        make()


def test_smallest_text_measures_what_is_shown():
    figure = figures.new_figure(2)
    with figures.house_style():
        figure.text(0.5, 0.5, "tiny", size=6)
        figure.text(0.5, 0.5, "hidden", size=2).set_visible(False)
        figure.text(0.5, 0.5, "", size=1)
    assert figures.smallest_text(figure) == pytest.approx(6 * 800 / 96 / figures.WIDTH)
    assert figures.smallest_text(plot()) >= 7


def test_class_names_fall_back_to_the_index():
    image = ImageSpec((1, 4, 4), classes=4, class_names=("あ", "a name that is long", "</script>", ""))
    assert figures.class_names(image) == ["0", "a name that…", "</script>", "3"]
    assert figures.class_names(ImageSpec((1, 4, 4), classes=2)) == ["0", "1"]
    assert figures.class_names(ImageSpec((1, 4, 4))) == []
