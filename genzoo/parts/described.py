"""Words for what a data set holds, the same for every data set."""

from __future__ import annotations

from collections.abc import Sequence

from genzoo.types import ImageSpec

_SHOWN = 20


def split_line(name: str, count: int, image: ImageSpec, classes: Sequence[int] | None = None) -> str:
    """A split in one line.

    Args:
        name: Of the split.
        count: Number of its images.
        image: What one is.
        classes: Number of images of each class, or None without labels.

    Example:
        >>> split_line("train", 24, ImageSpec((3, 16, 16), 2, class_names=("cat", "dog")), [12, 12])
        'train: 24 images of 3×16×16; 2 classes (cat: 12, dog: 12)'
    """
    shape = "×".join(map(str, image.shape))
    told = f"{name}: {count} image{'' if count == 1 else 's'} of {shape}"
    if classes is None:
        return f"{told}; no labels"
    shown = [f"{image.class_name(label)}: {number}" for label, number in enumerate(classes[:_SHOWN])]
    if len(classes) > _SHOWN:
        rest = classes[_SHOWN:]
        shown.append(f"and {len(rest)} more of {min(rest)} to {max(rest)} images")
    return f"{told}; {len(classes)} class{'' if len(classes) == 1 else 'es'} ({', '.join(shown)})"
