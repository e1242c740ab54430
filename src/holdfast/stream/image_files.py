"""Image files in folders: which are read, which part they belong to, and of which class they are."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from mimetypes import MimeTypes
from pathlib import Path

from holdfast.core.errors import DataError
from holdfast.stream.walk import ONCE, Skipped, readable, walk

SUFFIXES = (
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".bmp", ".gif", ".webp", ".avif",
    ".tif", ".tiff", ".pbm", ".pgm", ".ppm", ".pnm", ".jp2", ".j2k", ".jpx",
)  # fmt: skip
TRAIN = ("train", "training")  # of these, and of the next, the first that exists is used
TEST = ("test", "val", "valid", "validation")
NO_IMAGE = "no image by its name"
UNUSED = "not used beside"
OTHER = {
    ".bak", ".cfg", ".conf", ".csv", ".db", ".gz", ".ini", ".jsonl", ".lock", ".log", ".md", ".npy", ".npz",
    ".parquet", ".pkl", ".pt", ".pth", ".rst", ".safetensors", ".tmp", ".toml", ".yaml", ".yml",
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """The images of one part of a folder, by class.

    Attributes:
        root: the folder whose folders are the classes.
        files: of the images, in order of their paths.
        labels: the class of each.
    """

    root: Path
    files: list[Path] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ImageFolder:
    """What a folder holds.

    Attributes:
        train: images to train on; None if the folder holds a test part only.
        test: images to test on; None if it has no part of that name.
        skipped: what is in neither, each with the reason.
    """

    train: Part | None
    test: Part | None
    skipped: Skipped


def label_of(name: str) -> str:
    """The class that a folder's name stands for: readable, in Unicode's NFC."""
    return unicodedata.normalize("NFC", readable(name))


def is_image(file: Path) -> bool:
    """Whether a file is read as an image, by its suffix."""
    return file.suffix.lower() in SUFFIXES


def is_lost(file: str, why: str) -> bool:
    """Whether a skipped file may be an image that is missed: its suffix does not say otherwise.

    >>> [is_lost(name, NO_IMAGE) for name in ("a.heic", "a.dcm", "scan", "a.csv", "README.txt")]
    [True, True, True, False, False]
    >>> is_lost("a.png", "is not a readable image"), is_lost("a.png", "a link to b.png")
    (True, False)
    """
    if why.startswith((*ONCE, UNUSED)):
        return False
    suffix = Path(file).suffix.lower()
    kind = _types().guess_type(f"x{suffix}")[0] or "image/unknown"
    image = kind.startswith("image/") or kind in ("application/dicom", "application/octet-stream")
    return image and suffix not in OTHER


@cache
def _types() -> MimeTypes:
    return MimeTypes()


def refuse_lost(skipped: Skipped) -> None:
    """Stop at the first image that was skipped.

    Raises:
        DataError: if there is one.
    """
    for file, why in skipped:
        if is_lost(file, why):
            raise DataError(f"{file}: {why}. Repair or remove it, or do without --strict-data.")


def scan(root: Path) -> ImageFolder:
    """The images of a folder with one folder a class, perhaps below train/ and test/ (or val/).

    The parts are known by their names: train or training, and test, val, valid or validation. Both,
    or one of them alone, are parts and no classes. An image in no class folder, and a file that is
    no image by its name, is skipped.

    Raises:
        DataError: if it is no folder.
    """
    if not root.is_dir():
        raise DataError(
            f"{readable(root)} is no folder: give one that holds a folder of images a class."
        )
    files, skipped = walk(root)
    skipped += [(readable(file), NO_IMAGE) for file in files if not is_image(file)]
    images = [file for file in files if is_image(file)]
    tops = sorted({file.relative_to(root).parts[0] for file in images if file.parent != root})
    train, test = _parts(tops)
    if train is None and test is None:
        return ImageFolder(_classes(root, images, skipped), None, skipped)
    parts: list[Part | None] = []
    for top in (train, test):
        inside = [] if top is None else [f for f in images if f.relative_to(root).parts[0] == top]
        parts.append(None if top is None else _classes(root / top, inside, skipped))
    used = " and ".join(f"{readable(top)}/" for top in (train, test) if top is not None)
    for top in tops:
        if top not in (train, test):
            skipped.append((readable(root / top), f"{UNUSED} {used}"))
    skipped += [(readable(file), "in no class folder") for file in images if file.parent == root]
    return ImageFolder(parts[0], parts[1], skipped)


def _parts(tops: Iterable[str]) -> tuple[str | None, str | None]:
    """Which of the folders are the train and the test part; none if they are classes."""
    named = {}
    for top in tops:
        named.setdefault(top.lower(), top)
    train = next((named[name] for name in TRAIN if name in named), None)
    test = next((named[name] for name in TEST if name in named), None)
    alone = len(named) == 1
    return (train, test) if alone or (train is not None and test is not None) else (None, None)


def _classes(root: Path, images: Iterable[Path], skipped: Skipped) -> Part:
    """The images below a folder by class; those in no class folder are skipped."""
    part = Part(root)
    for file in images:
        parts = file.relative_to(root).parts
        if len(parts) > 1:
            part.files.append(file)
            part.labels.append(label_of(parts[0]))
        else:
            skipped.append((readable(file), "in no class folder"))
    return part


def no_images(root: Path, skipped: Skipped) -> DataError:
    """The error for a folder without images: what it needs, what is read and what it holds instead."""
    root_name = readable(root)
    example = readable(root / "cat" / "1.png")
    suffixes = sorted(
        {Path(file).suffix.lower() for file, why in skipped if why == NO_IMAGE} - {""}
    )
    instead = f"; it holds files of {', '.join(suffixes[:10])}" if suffixes else ""
    return DataError(
        f"{root_name} has no images in class folders: it needs some such as {example}{instead}. "
        f"Suffixes that are read: {', '.join(SUFFIXES)}."
    )
