"""Checks of datasets: splits that are what their spec says, the same each time, disjoint, and offline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch

from genzoo.errors import CorruptError, GenzooError, UsageError
from genzoo.randomness import seeded
from genzoo.testing.building import agree, offline, read_splits
from genzoo.testing.checking import CheckFailure, NotApplicable, Unavailable, check, expect
from genzoo.testing.subject import Subject
from genzoo.types import ImageSpec, Kind, Split

DATASET = Kind.DATASET


def splits(subject: Subject) -> tuple[Any, dict[str, Split]]:
    """The dataset with all of its splits.

    Raises:
        Unavailable: If it needs data that is not on this machine, and says so.
    """
    return subject.kept("splits", lambda: _read(subject))


def _read(subject: Subject) -> tuple[Any, dict[str, Split]]:
    dataset = subject.build()
    return dataset, read_splits(dataset)


@check(
    "works-offline",
    DATASET,
    why="Clusters and trains have no network; a run must work from the cache, or say what to fetch before it starts.",
    mend="Read from the cache first; raise a GenzooError with a hint that says what to fetch from where.",
)
def works_offline(subject: Subject) -> None:
    """Without a network it works, or raises an error of genzoo's with the next step."""
    with offline():
        try:
            dataset = subject.build()
            for name in dataset.splits:
                dataset.split(name)
        except GenzooError as error:
            expect(error.hint, "a hint that says what to fetch", str(error))
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            raise CheckFailure("the data, or a GenzooError that says what to fetch", text) from error


@check(
    "has-train-and-test",
    DATASET,
    why="A run trains on train and reports on test.",
    mend="Offer the splits train and test, both with images.",
)
def has_train_and_test(subject: Subject) -> None:
    """There are a train and a test split, with images in both."""
    _, found = splits(subject)
    expect({"train", "test"} <= set(found), "splits train and test", ", ".join(found))
    for name, split in found.items():
        expect(len(split) > 0, f"images in {name}", "none")


@check(
    "images-as-specified",
    DATASET,
    why="Models are built from the spec, before an image is read.",
    mend="Return [N, C, H, W] with the spec's shape, uint8 or float.",
)
def images_as_specified(subject: Subject) -> None:
    """Images have the spec's shape and are uint8 or float."""
    dataset, found = splits(subject)
    for name, split in found.items():
        shape, dtype = tuple(split.images.shape), split.images.dtype
        expect(shape[1:] == dataset.spec.shape and len(shape) == 4, f"{name} [N, {dataset.spec.shape}]", list(shape))
        expect(dtype == torch.uint8 or dtype.is_floating_point, "uint8 or float images", dtype)


@check(
    "pixels-in-range",
    DATASET,
    why="Likelihoods expect pixels in [0, 1].",
    mend="Scale float images to [0, 1], or return uint8, which is read as value/255.",
)
def pixels_in_range(subject: Subject) -> None:
    """Pixels are in [0, 1], finite, and not all the same."""
    _, found = splits(subject)
    for name, split in found.items():
        images = split.images
        if images.is_floating_point():
            expect(bool(images.isfinite().all()), f"finite pixels in {name}", "inf or nan")
            low, high = float(images.min()), float(images.max())
            expect(low >= 0 and high <= 1, f"pixels of {name} in [0, 1]", f"{low:.3g}…{high:.3g}")


@check(
    "images-differ",
    DATASET,
    why="A set of equal images, a blank buffer or one file read again and again, trains to a perfect score.",
    mend="Check the indexing of the reader.",
)
def images_differ(subject: Subject) -> None:
    """Images are not blank, and differ from one another."""
    _, found = splits(subject)
    for name, split in found.items():
        some = split.subset(16).images.float().flatten(1)
        expect(bool((some.amax(1) > some.amin(1)).any()), f"images of {name} with something on them", "blank ones")
        if len(split) > 1:
            expect(bool((some != some[0]).any()), f"images of {name} that differ", "the same one")


@check(
    "same-at-each-call",
    DATASET,
    why="The engine batches by index; a split in another order pairs images with other labels on resume.",
    mend="Draw splits from a torch.Generator seeded by an option, and sort file names.",
)
def same_at_each_call(subject: Subject) -> None:
    """A split is the same at each call, of each instance, under any global seed."""
    first, found = splits(subject)
    with seeded(77):
        second = subject.build()
        for name, split in found.items():
            for again in (first.split(name), second.split(name)):
                same = all(
                    agree(getattr(split, part), getattr(again, part)) for part in ("images", "labels", "factors")
                )
                expect(same, f"the same {name} split again", "another")


@check(
    "splits-disjoint",
    DATASET,
    why="Test images that were trained on make every reported number too good.",
    mend="Divide the images once, by a seeded permutation.",
)
def splits_disjoint(subject: Subject) -> None:
    """No more than a twentieth of the test images are in the training split, repeats by chance aside.

    Tiny images of few grey levels repeat by themselves: how often is read off the training split, whose second half is
    looked for in its first.
    """
    _, found = splits(subject)

    def rows(split: Split) -> Iterable[bytes]:
        # Factors say what an image is, where there are any: a square turned by 90 degrees is another sample.
        table = split.images.flatten(1) if split.factors is None else split.factors
        return (row.numpy().tobytes() for row in table)

    train, test = list(rows(found["train"].subset(20000))), list(rows(found["test"].subset(5000)))
    half = len(train) // 2
    share = _repeated(train, test)
    chance = _repeated(train[:half], train[half:]) if half else 0.0
    # Twice as many images to be found among.
    most = 0.05 + 1.2 * (1 - (1 - chance) ** 2)
    expect(share <= most, f"at most {most:.0%} of test images in train", f"{share:.0%}")
    if 4 * len(test) >= len(train) >= 20 and most >= 0.5:
        # Draws from a few images repeat one another, but not each as often.
        again = sum((Counter(test) & Counter(train)).values()) / len(test)
        expect(again < 0.99, "test images that are not each found in train as often as in test", f"{again:.0%} are")


def _repeated(among: list[bytes], rows: list[bytes]) -> float:
    known = set(among)
    return sum(row in known for row in rows) / len(rows)


@check(
    "labels-as-specified",
    DATASET,
    why="Conditional models index by label; one out of range, or missing, fails in the middle of a run.",
    mend="Give one int64 label below spec.classes, or one float32 vector of spec.conditions, per image; or neither.",
)
def labels_as_specified(subject: Subject) -> None:
    """Labels are int64 below the spec's number of classes, one an image; there are none where the spec has none."""
    dataset, found = splits(subject)
    spec: ImageSpec = dataset.spec
    for name, split in found.items():
        if spec.conditions and split.labels is not None:
            expect(split.labels.dtype == torch.float32, "float32 conditions", split.labels.dtype)
            shape = [len(split), len(spec.conditions)]
            expect(list(split.labels.shape) == shape, f"{shape}", list(split.labels.shape))
            continue
        if spec.classes is None or split.labels is None:
            missing = not spec.labelled and split.labels is None
            expect(missing, "labels if, and only if, the spec has classes", f"classes {spec.classes}, {name} otherwise")
            continue
        expect(split.labels.dtype == torch.int64, "int64 labels", split.labels.dtype)
        expect(tuple(split.labels.shape) == (len(split),), f"[{len(split)}]", list(split.labels.shape))
        low, high = int(split.labels.min()), int(split.labels.max())
        expect(low >= 0 and high < spec.classes, f"labels of {name} in [0, {spec.classes})", f"{low}…{high}")


@check(
    "spec-consistent",
    DATASET,
    why="Figures name classes by it, and likelihoods take their grey levels from it.",
    mend="Give one class name a class, and as many levels as pixels take.",
)
def spec_consistent(subject: Subject) -> None:
    """The spec is known before a split is read, agrees with itself, and with the number of grey levels."""
    fresh = subject.build()
    try:
        spec = fresh.spec
    except GenzooError as error:
        raise Unavailable(f"its data is not here: {error}") from error
    expect(len(spec.shape) == 3 and min(spec.shape) > 0, "a shape (C, H, W)", spec.shape)
    if spec.class_names is not None:
        expect(len(spec.class_names) == (spec.classes or 0), f"{spec.classes} class names", len(spec.class_names))
    _, found = splits(subject)
    expect(fresh.spec == spec, "the same spec after reading", fresh.spec)
    if spec.levels is not None and spec.levels <= 256:
        values = found["train"].subset(64).images.unique()
        expect(len(values) <= spec.levels, f"at most {spec.levels} grey levels", len(values))


@check(
    "factors-as-declared",
    DATASET,
    why="Disentanglement metrics index factors by these names and sizes.",
    mend="Declare factor_names and factor_sizes, one a column of `factors`.",
)
def factors_as_declared(subject: Subject) -> None:
    """Factors are int64 below the declared sizes, one column a declared name; none where none are declared."""
    dataset, found = splits(subject)
    names, sizes = dataset.factor_names, dataset.factor_sizes
    expect(len(names) == len(sizes), "one size a factor name", f"{len(names)} and {len(sizes)}")
    for name, split in found.items():
        if split.factors is None:
            expect(not names, f"factors {', '.join(names)} in {name}", "none")
            continue
        want = (len(split), len(names))
        expect(tuple(split.factors.shape) == want, f"factors {list(want)}", list(split.factors.shape))
        expect(split.factors.dtype == torch.int64, "int64 factors", split.factors.dtype)
        inside = all(
            int(split.factors[:, i].min()) >= 0 and int(split.factors[:, i].max()) < n for i, n in enumerate(sizes)
        )
        expect(inside, f"factors below {sizes}", split.factors.amax(0).tolist())


@check(
    "unknown-split-refused",
    DATASET,
    why="A mistyped split must not be another split.",
    mend="Raise a UsageError that lists the splits.",
)
def unknown_split_refused(subject: Subject) -> None:
    """A split that does not exist is refused."""
    dataset, _ = splits(subject)
    try:
        dataset.split("no-such-split")
    except UsageError:
        return
    except Exception as error:
        raise CheckFailure("a UsageError for an unknown split", f"{type(error).__name__}: {error}") from error
    raise CheckFailure("a UsageError for an unknown split", "images")


@check(
    "transform-keeps-shape-and-range",
    DATASET,
    why="The model is built for the spec, and likelihoods expect pixels in [0, 1].",
    mend="Pad and clamp in `transform`.",
)
def transform_keeps_shape(subject: Subject) -> None:
    """`transform` keeps shape, dtype and range, in training and in evaluation."""
    dataset, found = splits(subject)
    image = found["train"].head(8).batch().image
    for training in (True, False):
        for some in (image, image[:1]):
            out = dataset.transform(some.clone(), training=training)
            expect(
                out.shape == some.shape and out.dtype == some.dtype, f"{list(some.shape)} {some.dtype}", list(out.shape)
            )
            expect(bool(((out >= 0) & (out <= 1)).all()), "pixels in [0, 1]", f"{float(out.min())}…{float(out.max())}")


@check(
    "transform-leaves-images",
    DATASET,
    why="The engine keeps the split in memory and draws from it again.",
    mend="Use no in-place operation in `transform`.",
)
def transform_leaves_images(subject: Subject) -> None:
    """`transform` does not change the images it is given, and gives them back where `transforms` is False."""
    dataset, found = splits(subject)
    image = found["train"].head(8).batch().image
    for training in (True, False):
        copy = image.clone()
        given = dataset.transform(image, training=training)
        expect(torch.equal(image, copy), "images as they were", "others")
        expect(dataset.transforms or torch.equal(given, copy), "the same images, since `transforms` is False", "others")


@check(
    "render-matches-factors",
    DATASET,
    why="Disentanglement scores vary one factor and hold the others; an image of other factors is noise in all of them.",
    mend="Render exactly the factor values that are asked for, in their order.",
    applies=lambda subject: None if subject.build().factor_names else "it has no factors",
)
def render_matches_factors(subject: Subject) -> None:
    """Where images are made from factors, `render` makes those of a split again."""
    dataset, found = splits(subject)
    some = found["test"].head(8)
    if some.factors is None:
        raise NotApplicable("it has no factors")
    again = dataset.render(some.factors)
    if again is None:
        raise NotApplicable("it does not render")
    expect(again.factors is not None and torch.equal(again.factors, some.factors), "the factors asked for", "others")
    expect(agree(again.batch().image, some.batch().image), "the images of the split again", "others")


def _reads_files(subject: Subject) -> str | None:
    folder = subject.folder / "example"
    subject.options()
    return None if any(item.is_file() for item in folder.rglob("*")) else "it needs no files of the user's"


@check(
    "damaged-file-refused",
    DATASET,
    why="A truncated download that passes trains on half of the data, or on noise.",
    mend="Check what is read; raise a CorruptError or a UsageError that names the file.",
    applies=_reads_files,
)
def damaged_file_refused(subject: Subject) -> None:
    """A truncated file of the user's is refused, by its name."""
    files = sorted(item for item in (subject.folder / "example").rglob("*") if item.is_file())
    damaged = files[0]
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    try:
        dataset = subject.build()
        for name in dataset.splits:
            dataset.split(name)
    except (CorruptError, UsageError) as error:
        expect(damaged.name in str(error), f"the name {damaged.name} in the refusal", str(error))
        return
    except Exception as error:
        raise CheckFailure(f"{damaged.name} to be refused by name", f"{type(error).__name__}: {error}") from error
    finally:
        damaged.write_bytes(whole)
    raise CheckFailure(f"a truncated {damaged.name} to be refused", "it was accepted")
