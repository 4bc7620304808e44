"""What the headers of image files say: colours, sizes, and what cannot be kept. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from genzoo import storage
from genzoo.errors import GenzooError, StorageError
from genzoo.parts.cache import cache_folder
from genzoo_datasets.decode import ImageFile, has_alpha, has_other_profile, is_grey, refuse_deep

VERSION = 2
"""To be raised whenever the same files would be told otherwise."""

_MANY = 10_000
_TURNED = range(5, 9)
"""Orientations of a photograph that was held upright."""


@dataclass
class Inspection:
    """Counts of image files by what their headers say.

    Args:
        grey: Stored grey.
        colour: Stored in colour.
        alpha: With an alpha channel or a transparent colour.
        pages: With further pages or frames.
        profile: With a colour profile, or a gamma, other than that of sRGB.
        inks: Stored as CMYK, YCbCr or the like, without being JPEG's own coding.
        least: Smallest height and width.
        greatest: Greatest height and width.
    """

    grey: int = 0
    colour: int = 0
    alpha: int = 0
    pages: int = 0
    profile: int = 0
    inks: int = 0
    least: tuple[int, int] = (1 << 30, 1 << 30)
    greatest: tuple[int, int] = (0, 0)

    def add(self, path: str, dataset: str) -> None:
        """Count one file; one that is no image is left to whoever decodes it.

        Raises:
            UsageError: If it has more than 8 bits a channel.
        """
        file = ImageFile(path)
        try:
            with Image.open(path) as stored:
                refuse_deep(stored, file, dataset)
                turned = "exif" in stored.info and stored.getexif().get(0x0112, 1) in _TURNED
                width, height = reversed(stored.size) if turned else stored.size
                pages = getattr(stored, "n_frames", 1) > 1
                grey, alpha, inks = is_grey(stored), has_alpha(stored), stored.mode in ("CMYK", "YCbCr")
                profile = not inks and has_other_profile(stored)
        except GenzooError:
            raise
        except Exception:  # Whatever Pillow's parsing comes upon.
            return
        self.grey, self.colour = self.grey + grey, self.colour + (not grey)
        self.alpha, self.pages, self.inks = self.alpha + alpha, self.pages + pages, self.inks + inks
        self.profile += profile
        self.least = (min(self.least[0], height), min(self.least[1], width))
        self.greatest = (max(self.greatest[0], height), max(self.greatest[1], width))

    def warnings(self, channels: int, *, chosen: bool) -> list[str]:
        """One sentence for each kind of thing that is lost, with the number of files.

        Args:
            channels: What every image becomes.
            chosen: Whether the user asked for so many channels.
        """
        told: list[str] = []
        if self.alpha:
            told.append(f"{_images(self.alpha)} an alpha channel: what is transparent is laid on white.")
        if self.pages:
            told.append(f"{_images(self.pages)} further pages or frames: the first of each is read.")
        if self.profile:
            told.append(
                f"{_images(self.profile)} a colour profile or gamma other than sRGB's: it is not applied, the stored "
                "numbers are read."
            )
        if self.inks:
            told.append(f"{_images(self.inks)} the colours of ink: RGB is computed without a colour profile.")
        if self.grey and self.colour and channels == 3 and not chosen:
            told.append(
                f"{_images(self.grey)} grey levels and {self.colour} colours: all are read in colour, and in grey with "
                "channels 1."
            )
        if self.colour and channels == 1:
            told.append(f"{_images(self.colour)} colours: they are turned grey, since channels is 1.")
        return told

    def sizes(self) -> str:
        """The sizes in words."""
        least, greatest = ("×".join(map(str, size)) for size in (self.least, self.greatest))
        return least if least == greatest else f"{least} to {greatest}"


def inspect(paths: Sequence[str], digest: str, dataset: str) -> Inspection:
    """Look at the headers of files; of many, what was found is kept in the cache folder.

    Args:
        paths: The files.
        digest: Of these files, as `genzoo_datasets.listing.digest` computes it.
        dataset: Name of the dataset, for errors.

    Raises:
        UsageError: If a file has more than 8 bits a channel.
    """
    kept = cache_folder() / "inspected" / f"{digest[:32]}-{VERSION}.json"
    if len(paths) >= _MANY and (before := _read(kept)) is not None:
        return before
    found = Inspection()
    for path in paths:
        found.add(path, dataset)
    if len(paths) >= _MANY:
        # Looking again next time is the lesser evil.
        with suppress(OSError, StorageError):
            kept.parent.mkdir(parents=True, exist_ok=True)
            storage.replace(kept, json.dumps(asdict(found)).encode())
    return found


def _read(kept: Path) -> Inspection | None:
    with suppress(OSError, ValueError, TypeError, KeyError):
        told = json.loads(kept.read_bytes())
        counts = {name: int(told[name]) for name in ("grey", "colour", "alpha", "pages", "profile", "inks")}
        (a, b), (c, d) = told["least"], told["greatest"]
        return Inspection(**counts, least=(int(a), int(b)), greatest=(int(c), int(d)))
    return None


def _images(count: int) -> str:
    return "1 image has" if count == 1 else f"{count} images have"
