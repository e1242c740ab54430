"""Folder: labelled images as users have them; what can be read is read, and what cannot is listed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from holdfast.core.errors import DataError
from holdfast.stream import arrays
from holdfast.stream.fit import Fit
from holdfast.stream.image_files import ImageFolder, Part, no_images, refuse_lost, scan
from holdfast.stream.levels import Levels
from holdfast.stream.listed import LabelledImages, Listed, read_pictures
from holdfast.stream.pictures import Decoded, Pictures
from holdfast.stream.pixels import Encoded
from holdfast.stream.walk import readable


def read_folder(
    root: str | Path,
    size: int | None = None,
    per_class: int | None = None,
    seed: int = 0,
    strict: bool = False,
    part: Literal["train", "test"] = "train",
    levels: Levels | None = None,
    fit: Fit = "squash",
    resize: int = 0,
) -> LabelledImages:
    """The images of a folder with one folder a class, whose name is the class's.

    A folder with a train and a test part (see `scan`) gives the part that is asked for; one without
    is both. Files are read as `from_path` reads them.

    Args:
        root: the folder.
        size: side to which images are resized; None keeps the size of square images that share one,
            and takes 64 otherwise.
        per_class: at most so many images of each class, chosen by the seed.
        seed: of the choice.
        strict: refuse what would be skipped, in place of listing it.
        part: train, or test where there is one.
        levels: of greys of more than 8 bits; None finds them from these images.
        fit: how images become squares of that side: squash, crop or pad.
        resize: what the shorter side becomes before a crop; 0 is the size.

    Raises:
        ConfigError: if a number makes no sense.
        DataError: if it is no folder, has no such part, or no image in it can be read.
    """
    arrays.positive(size=size)
    listed = list_folder(root, per_class, seed, strict, part)
    return listed.read(size, strict, levels, fit, resize)


def list_folder(
    root: str | Path,
    per_class: int | None = None,
    seed: int = 0,
    strict: bool = False,
    part: Literal["train", "test"] = "train",
) -> Listed:
    """The images of a folder, as `read_folder` chooses them; arguments and errors are those of it."""
    arrays.positive(per_class=per_class)
    root = Path(root).expanduser()
    content = scan(root)
    chosen, notes = choose_part(root, content, part)
    if strict:
        refuse_lost(content.skipped)
    every = Listed(
        root,
        chosen.files,
        chosen.labels,
        pictures_of(chosen),
        np.arange(len(chosen.files)),
        skipped=content.skipped,
        notes=notes,
    )
    return every.kept(per_class, seed)


def read_images(
    files: Sequence[Path],
    size: int | None = None,
    strict: bool = False,
    levels: Levels | None = None,
    fit: Fit = "squash",
    resize: int = 0,
) -> Decoded:
    """Image files, whatever their suffix, as pixels of one square size; those that can be read.

    Args:
        files: of the images.
        size: side to which they are resized; None as for `read_folder`.
        strict: refuse a file that cannot be read, in place of skipping it.
        levels: of greys of more than 8 bits; None finds them from these images.
        fit: how images become squares of that side: squash, crop or pad.
        resize: what the shorter side becomes before a crop; 0 is the size.

    Raises:
        DataError: if they would not fit into memory.
    """
    rows = np.arange(len(files))
    return read_pictures(pictures_in(files), rows, size, strict, levels, fit, resize)


def pictures_in(files: Sequence[Path], labels: Sequence[str] = ()) -> Pictures:
    """Image files, not decoded yet."""

    def images(rows: np.ndarray) -> Iterator[tuple[str, Encoded]]:
        return ((readable(files[i]), files[i]) for i in rows)

    return Pictures(np.array(labels), None, images)


def pictures_of(part: Part) -> Pictures:
    """The images of a part, not decoded yet."""
    return pictures_in(part.files, part.labels)


def choose_part(
    root: Path, content: ImageFolder, part: Literal["train", "test"]
) -> tuple[Part, list[str]]:
    """The part of a folder that is asked for, and a note if it has another.

    Raises:
        DataError: if the part is missing or empty.
    """
    chosen = content.train if part == "train" else content.test or content.train
    if chosen is None:
        raise DataError(
            f"{readable(root)} has a test part and none to train on: name it train/, or give the "
            "folder of the classes itself."
        )
    if not chosen.files:
        raise no_images(chosen.root, content.skipped)
    return chosen, [
        f"the images are those of {readable(chosen.root)}"
    ] if chosen.root != root else []
