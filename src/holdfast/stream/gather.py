"""Images as users have them in folders: what can be read is read, and what cannot is told."""

from __future__ import annotations

import os
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from holdfast.errors import DataError
from holdfast.stream import arrays
from holdfast.stream.files import IMAGES
from holdfast.stream.pictures import DEFAULT_SIZE, ROOM, decoded

Skipped = list[tuple[str, str]]  # which file, and why


@dataclass(frozen=True)
class Gathered:
    """Images that could be read.

    Attributes:
        x: (N, 3, S, S) uint8.
        files: where each is.
        labels: the class of each; empty for images without.
        skipped: files that were left out, each with the reason.
    """

    x: UInt8[Tensor, "n 3 s s"]
    files: list[Path]
    labels: list[str] = field(default_factory=list)
    skipped: Skipped = field(default_factory=list)


def gather(
    root: str | Path, size: int | None = None, per_class: int | None = None, seed: int = 0
) -> Gathered:
    """The images of a folder with one folder a class, whose name is the class's.

    Links are followed, but none back to a folder above it; hidden files are passed over. A file that
    is no readable image, or none by its name, is skipped and told. Of an animation the first picture
    counts.

    Args:
        root: the folder.
        size: side to which images are resized; None keeps the size of square images that share one,
            and takes 64 otherwise.
        per_class: at most so many images of each class, chosen by the seed.
        seed: of the choice.

    Raises:
        DataError: if it is no folder, or no image in it can be read.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise DataError(f"{root} is no folder: give one that holds a folder of images a class.")
    found, skipped = [], []
    for file in visible(root):
        parts = file.relative_to(root).parts
        if len(parts) < 2:
            skipped.append((str(file), "in no class folder"))
        elif file.suffix.lower() not in IMAGES:
            skipped.append((str(file), "no image by its name"))
        else:
            found.append((file, unicodedata.normalize("NFC", parts[0])))
    if not found:
        example = root / "cat" / "1.png"
        raise DataError(f"{root} has no images in class folders: it needs some such as {example}.")
    if per_class is not None:
        kept = arrays.keep(
            np.unique([c for _, c in found], return_inverse=True)[1], per_class, seed
        )
        found = [found[i] for i in kept.tolist()]
    x, good, bad = read([file for file, _ in found], size)
    if not good:
        raise DataError(f"no image of {root} can be read: {bad[0][0]} {bad[0][1]}.")
    labels = [found[i][1] for i in good]
    return Gathered(x, [found[i][0] for i in good], labels, skipped + bad)


def read(files: Sequence[Path], size: int | None = None) -> tuple[Tensor, list[int], Skipped]:
    """Images as pixels of one square size: those that can be read, their places, and the others.

    Raises:
        DataError: if they would not fit into memory.
    """
    side = size or common_size(files)
    if len(files) * 3 * side * side > ROOM:
        raise DataError(
            f"{len(files)} images of {side} x {side} pixels need "
            f"{len(files) * 3 * side * side / 2**30:.1f} GiB of memory: give a smaller --size."
        )
    x, good, skipped = np.empty((len(files), 3, side, side), np.uint8), [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about odd metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for place, file in enumerate(files):
            try:
                x[len(good)] = decoded(str(file), file, side).transpose(2, 0, 1)
                good.append(place)
            except DataError as error:
                said = str(error).removeprefix(str(file)).rstrip(".").strip()
                skipped.append((str(file), " ".join(said.split())))
    return torch.from_numpy(x[: len(good)].copy()), good, skipped


def common_size(files: Sequence[Path]) -> int:
    """The side of square images that share one; 64 if they differ or none can be read."""
    sizes = set()
    for file in files:
        try:
            with warnings.catch_warnings(), Image.open(file) as image:
                warnings.simplefilter("ignore")
                sizes.add(image.size)
        except Exception:  # what a broken file raises depends on its format; it is told when read
            continue
        if len(sizes) > 1:
            return DEFAULT_SIZE
    width, height = next(iter(sizes), (DEFAULT_SIZE, DEFAULT_SIZE))
    return width if width == height else DEFAULT_SIZE


def visible(root: Path) -> list[Path]:
    """Every file below a folder but hidden ones, in an order that is the same on every machine."""
    return sorted(_walk(root, set()), key=lambda file: file.relative_to(root).parts)


def _walk(folder: Path, above: set[tuple[int, int]]) -> Iterator[Path]:
    """Files below a folder; a link that leads back to a folder above it is not followed."""
    try:
        here = os.stat(folder)
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    identity = (here.st_dev, here.st_ino)
    if identity in above:
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = Path(entry.path)
        if os.path.isdir(path):  # unlike the entry's own, it bears links that lead nowhere
            yield from _walk(path, above | {identity})
        elif os.path.isfile(path) or os.path.islink(path):
            yield path
