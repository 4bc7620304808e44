"""Checks of what a dataset's values say: labels that fit their images, and an evaluation that draws nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from genzoo.randomness import seeded
from genzoo.testing.checking import NotApplicable, check, expect
from genzoo.testing.checks.dataset import DATASET, splits
from genzoo.testing.subject import Subject
from genzoo.types import Split

_LEAST = 20
"""Images below which nothing is said of labels."""


def _labelled(subject: Subject) -> tuple[Split, Split, int]:
    dataset, found = splits(subject)
    train, test = found["train"], found["test"]
    if dataset.spec.classes is None or train.labels is None or test.labels is None:
        raise NotApplicable("it has no labels")
    return train, test, dataset.spec.classes


@check(
    "labels-fit-images",
    DATASET,
    why="Labels that are shifted or shuffled against the images train a conditional model on noise, and no shape tells.",
    mend="Select images and labels by the same index, and sort neither without the other. Labels that images do not show "
    "are declared by `labels_unseen`, with the reason.",
)
def labels_fit_images(subject: Subject) -> None:
    """The nearest training image names the label of an image better than chance; of rendered images, `render` does.

    Nearest by pixels, by the strengths of their frequencies, which do not move with the image, or the nearest class mean:
    one of the three must be right more often than chance by 3 standard errors, of up to 1000 training and 1000 test
    images, unless there are fewer than 20 or nearly all are of one class. Nothing is drawn, so that a data set passes
    always or never. Where `labels_unseen` says why the images do not show their labels, they must not.
    """
    if _rendered(subject):
        return
    unseen = splits(subject)[0].labels_unseen
    train, test, _ = _labelled(subject)
    train, test = train.subset(3000), test.subset(1000, seed=1)
    assert train.labels is not None
    assert test.labels is not None
    known = _pooled(train)
    count = min(len(train), 1000)
    for which, split, own in (("training", train.select(slice(0, count)), True), ("test", test, False)):
        assert split.labels is not None
        some = _pooled(split)
        guesses = [train.labels[_nearest(item(known), item(some), own=own)] for item in (_flat, _strengths)]
        guesses.append(_class_mean(known, train.labels, some, own=own))
        _better_than_chance(which, guesses, split.labels, unseen)


def _rendered(subject: Subject) -> bool:
    dataset, found = splits(subject)
    for name, split in found.items():
        some = split.subset(200)
        again = None if some.factors is None else dataset.render(some.factors)
        if again is None or again.labels is None or some.labels is None:
            return False
        expect(torch.equal(again.labels, some.labels), f"the labels of {name} that `render` gives", "others")
    return True


def _better_than_chance(which: str, guesses: list[Tensor], labels: Tensor, unseen: str) -> None:
    if len(labels) < _LEAST:
        return
    best = (0, 0.0)
    for named in guesses:
        right = int((named == labels).sum())
        top = int(max(named.max(), labels.max())) + 1
        first, second = (torch.bincount(item, minlength=top) / len(item) for item in (named, labels))
        chance = float((first * second).sum())
        if chance > 0.9:
            return
        least = len(labels) * chance + 3 * (chance * (1 - chance) * len(labels)) ** 0.5
        # Of labels that are said not to show, far more must be named before that is taken for untrue.
        if unseen:
            most = len(labels) * chance + 8 * (chance * (1 - chance) * len(labels)) ** 0.5
            seen = (
                f"{right} of {len(labels)} {which} labels named by the nearest training image, 8 standard errors above"
            )
            expect(right <= most, f"labels that images do not show, since `labels_unseen` says so: {unseen}", seen)
        elif right > min(least, 0.95 * len(labels)):
            return
        best = max(best, (right, least))
    if unseen:
        return
    said = f"the nearest training image to name more than {best[1]:.0f} of {len(labels)} {which} labels, 3 standard errors "
    expect(False, said + "above chance", best[0])


def _flat(images: Tensor) -> Tensor:
    return images.flatten(1)


def _strengths(images: Tensor) -> Tensor:
    """The strengths of an image's frequencies, which stay when it is moved."""
    return torch.fft.rfft2(images).abs().flatten(1)


def _class_mean(train: Tensor, labels: Tensor, some: Tensor, *, own: bool) -> Tensor:
    """The class with the nearest mean, an image's own left out of it."""
    flat, asked = train.flatten(1), some.flatten(1)
    kept = labels.unique()
    distances: list[Tensor] = []
    for label in kept.tolist():
        mine = labels == label
        mean = flat[mine].mean(0, keepdim=True)
        found = torch.cdist(asked, mean)[:, 0]
        if own:
            # Without itself the mean moves away from the image.
            count = int(mine.sum())
            found = torch.where(mine[: len(asked)], found * count / max(count - 1, 1), found)
        distances.append(found)
    return kept[torch.stack(distances).argmin(0)]


def _pooled(split: Split) -> Tensor:
    images = split.batch().image
    side = max(images.shape[-2:])
    if side > 32:
        images = torch.nn.functional.avg_pool2d(images, -(-side // 32), ceil_mode=True)
    return images


def _nearest(train: Tensor, some: Tensor, *, own: bool = False) -> Tensor:
    """Where the nearest of ``train`` to each of ``some`` is; with ``own`` these are the first of it, and not their own."""
    distance = torch.cdist(some, train)
    if own:
        distance.fill_diagonal_(float("inf"))
    return distance.argmin(1)


@check(
    "classes-occur",
    DATASET,
    why="Files sorted by class and cut in two give a test split of classes that were never trained on.",
    mend="Divide by a seeded permutation, or within each class; let spec.classes be the number that occur.",
)
def classes_occur(subject: Subject) -> None:
    """Every class has training images, and the splits have their classes in shares that overlap by half at least."""
    train, test, classes = _labelled(subject)
    assert train.labels is not None
    assert test.labels is not None
    counts = [
        torch.bincount(split.labels, minlength=classes).double() for split in (train, test) if split.labels is not None
    ]
    if len(train) >= 20 * classes:
        missing = [index for index, count in enumerate(counts[0].tolist()) if not count]
        expect(not missing, "training images of every class", f"none of {', '.join(map(str, missing[:5]))}")
    if len(train) >= 10 * classes and len(test) >= 10 * classes:
        overlap = float(torch.minimum(counts[0] / counts[0].sum(), counts[1] / counts[1].sum()).sum())
        expect(overlap >= 0.5, "shares of classes in train and test that overlap by half at least", f"{overlap:.0%}")


@check(
    "pixels-use-the-range",
    DATASET,
    why="Grey levels stored as 0 and 1 in bytes, or divided by 255 twice, are nearly black images, and every bound is met.",
    mend="Return bytes from 0 to 255, or floats from 0 to 1.",
)
def pixels_use_the_range(subject: Subject) -> None:
    """The brightest and the darkest pixel of a split are a tenth of the range apart at least."""
    _, found = splits(subject)
    for name, split in found.items():
        image = split.subset(500).batch().image
        gap = float(image.max() - image.min())
        expect(gap >= 0.1, f"pixels of {name} that span a tenth of [0, 1]", f"{gap:.3g}")


@check(
    "evaluation-draws-nothing",
    DATASET,
    why="Augmented or noisy test images give another number at each evaluation, and a worse one.",
    mend="Return images as they are where training is False, or draw by a seed and the image alone.",
)
def evaluation_draws_nothing(subject: Subject) -> None:
    """`transform` in evaluation gives the same images under any seed, image by image, whatever else is in the batch."""
    dataset, found = splits(subject)
    image = found["test"].head(12).batch().image
    with torch.no_grad():
        with seeded(1):
            first = dataset.transform(image.clone(), training=False)
        with seeded(2):
            second = dataset.transform(image.clone(), training=False)
        part = dataset.transform(image[:2].clone(), training=False)
    expect(torch.equal(first, second), "the same images under another seed", "others")
    expect(torch.equal(first[:2], part), "the same images in a smaller batch", "others")


@check(
    "factors-change-images",
    DATASET,
    why="A factor that changes no image is noise in every disentanglement score.",
    mend="Let `render` read every column of the factors, in the order of factor_names.",
    applies=lambda subject: None if subject.build().factor_names else "it has no factors",
)
def factors_change_images(subject: Subject) -> None:
    """Where images are made from factors, each factor alone changes some image, and all splits are as `render` has them."""
    dataset, found = splits(subject)
    for name, split in found.items():
        some = split.subset(16)
        if some.factors is None:
            raise NotApplicable("it has no factors")
        again = dataset.render(some.factors)
        if again is None:
            raise NotApplicable("it does not render")
        same = torch.allclose(again.batch().image, some.batch().image, atol=1e-6)
        expect(same, f"the images of {name} again", "others")
    base = found["train"].subset(32).factors
    assert base is not None
    plain = dataset.render(base)
    assert plain is not None
    for column, (name, size) in enumerate(zip(dataset.factor_names, dataset.factor_sizes, strict=True)):
        if size < 2:
            continue
        moved = base.clone()
        moved[:, column] = (moved[:, column] + 1) % size
        other = dataset.render(moved)
        assert other is not None
        expect(not torch.equal(plain.images, other.images), f"other images for another {name}", "the same ones")


@check(
    "names-fit-images",
    DATASET,
    why="Names lead a user from an image in a figure to its file; those of another split, or order, lead to another file.",
    mend="Return one name an image from `names`, in the split's order, or None.",
)
def names_fit_images(subject: Subject) -> None:
    """`names` gives as many names as a split has images, the same each time, and not those of another split."""
    dataset, found = splits(subject)
    seen: dict[tuple[str, ...], str] = {}
    for name, split in found.items():
        given = dataset.names(name)
        if given is None:
            continue
        expect(len(given) == len(split), f"{len(split)} names of {name}", len(given))
        expect(list(given) == list(dataset.names(name) or ()), f"the same names of {name} again", "others")
        first = seen.setdefault(tuple(given), name)
        expect(first == name or len(split) < 2, f"other names of {name} than of {first}", "the same")


_TURNED = {
    "transposed": lambda image: image.transpose(-1, -2),
    "upside down": lambda image: image.flip(-2),
    "mirrored": lambda image: image.flip(-1),
    "turned by half": lambda image: image.flip(-1, -2),
    "inverted": lambda image: 1 - image,
}


@check(
    "splits-are-alike",
    DATASET,
    why="Test images that are turned against the training images make a good model look bad, and no shape tells.",
    mend="Read all splits by the same code: the same order of axes, the same scale, the same sign.",
)
def splits_are_alike(subject: Subject) -> None:
    """On average, test images are not like the training images transposed, mirrored, turned or inverted.

    By the mean image, and by the mean strength of each frequency.
    """
    _, found = splits(subject)
    if len(found["train"]) < _LEAST or len(found["test"]) < _LEAST:
        raise NotApplicable(f"it has fewer than {_LEAST} images")
    train, test = (found[name].subset(3000).batch().image.double() for name in ("train", "test"))
    for feature in (lambda image: image, lambda image: torch.fft.fft2(image).abs()):
        seen, want = feature(train), feature(test)
        # What two halves of one split differ by is chance.
        error = float((seen.var(0) / len(seen) + want.var(0) / len(want)).sum())
        apart = float((seen.mean(0) - want.mean(0)).square().sum())
        for what, turn in _TURNED.items():
            turned = feature(turn(train)).mean(0)
            if turned.shape == want.shape[1:]:
                near = float((turned - want.mean(0)).square().sum())
                wrong = apart > 4 * error and near < 0.5 * apart
                expect(not wrong, "test images that on average are like the training images", f"some like them {what}")


@check(
    "augments-each-image",
    DATASET,
    why="One coin for a whole batch makes batches of mirrored images alone, and the noise of a step follows it.",
    mend="Draw for each image: torch.rand(len(image)) < 0.5.",
    applies=lambda subject: None if subject.build().transforms else "it has no `transform` of its own",
)
def augments_each_image(subject: Subject) -> None:
    """In training, where images are changed at random, some of a batch are and others are not."""
    dataset, found = splits(subject)
    image = found["train"].subset(32).batch().image
    if len(image) < 8:
        raise NotApplicable("it has fewer than 8 images")
    changed: list[float] = []
    for seed in range(24):
        with torch.no_grad(), seeded(seed):
            made = dataset.transform(image.clone(), training=True)
        changed.append(float((made != image).flatten(1).any(1).double().mean()))
    none, all_ = sum(share == 0 for share in changed), sum(share > 0.5 for share in changed)
    mixed = sum(0 < share <= 0.5 for share in changed)
    at_once = none >= 3 and all_ >= 3 and not mixed
    expect(not at_once, "images of a batch changed one by one", f"none in {none} batches of 24, most of them in {all_}")
