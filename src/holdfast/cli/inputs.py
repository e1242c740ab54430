"""What ``holdfast predict`` is asked about: files, folders, tables, features and lists, a few at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from holdfast.core.errors import DataError
from holdfast.stream.folder import pictures_in
from holdfast.stream.image_files import NO_IMAGE, SUFFIXES, is_image
from holdfast.stream.labelled import is_table, list_labelled
from holdfast.stream.listed import Listed
from holdfast.stream.pictures import Pictures
from holdfast.stream.pixels import Encoded
from holdfast.stream.walk import Skipped, readable, walk

IMAGES, VECTORS = 32, 4096  # at a time: those of one batch are answered together
CHUNK = 2**16  # bytes of a list that are taken at once


@dataclass(frozen=True)
class Batch:
    """A few inputs.

    Attributes:
        listed: images or vectors, none opened yet.
        skipped: files that come after them and are none.
    """

    listed: Listed
    skipped: Skipped = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """What each is called."""
        return [readable(file) for file in self.listed.files]


def batches(paths: Sequence[Path]) -> Iterator[Batch]:
    """Everything that was named, in order: files whatever their suffix, and the images below folders.

    Args:
        paths: of files, folders and tables; ``-`` stands for the paths on standard input, which are
            answered as they come.

    Raises:
        DataError: if nothing is named, folders hold no image, or a table cannot be used.
    """
    if not paths:
        raise DataError("no image was given: name files or folders, or - for a list of them.")
    empty, others = True, 0
    for named in _named(paths):
        for batch in _inside(named):
            empty = empty and not len(batch.listed.files)
            others += len(batch.skipped)
            yield batch
    if empty:
        names = ", ".join(readable("standard input" if str(p) == "-" else p) for p in paths)
        beside = f" ({others} other files)" if others else ""
        raise DataError(
            f"{names} holds no image{beside}: suffixes that are read are {', '.join(SUFFIXES)}."
        )


def _named(paths: Iterable[Path]) -> Iterator[list[Path]]:
    """The paths in groups: those of the command together, those of a list as they come."""
    group: list[Path] = []
    for path in paths:
        if str(path) != "-":
            group.append(path)
            continue
        yield group
        group = []
        for names in names_on(sys.stdin.buffer):
            yield [Path(name) for name in names]
    yield group


def names_on(stream: Any) -> Iterator[list[str]]:
    """The names of a list as they come: one a line, or each ended by NUL if one is in sight first.

    Args:
        stream: of bytes.
    """
    rest, separator = b"", b""
    while piece := stream.read1(CHUNK):
        rest += piece
        separator = separator or next((end for end in (b"\0", b"\n") if end in rest), b"")
        if separator:
            *whole, rest = rest.split(separator)
            yield _decoded(whole, separator)
    yield _decoded([rest], separator)


def _decoded(names: Iterable[bytes], separator: bytes) -> list[str]:
    lines = (name if separator == b"\0" else name.rstrip(b"\r\n") for name in names)
    return [os.fsdecode(line) for line in lines if line]


def _inside(paths: Iterable[Path]) -> Iterator[Batch]:
    """The inputs behind some paths."""
    waiting: list[Path] = []
    for path in paths:
        folder, table = path.is_dir(), is_table(path)
        if not folder and not table:
            waiting.append(path)
            continue
        yield from _files(waiting)
        waiting = []
        if table:
            listed = list_labelled(path, part="test", labelled=False)
            yield from cut(listed)
            continue
        inside, out = walk(path, repeats=True)
        yield from _files([file for file in inside if is_image(file)])
        out += [(readable(file), NO_IMAGE) for file in inside if not is_image(file)]
        yield Batch(_listing([]), out)
    yield from _files(waiting)


def _files(files: Sequence[Path]) -> Iterator[Batch]:
    return cut(_listing(files))


def _listing(files: Sequence[Path]) -> Listed:
    return Listed("images", list(files), [], pictures_in(files), np.arange(len(files)))


def cut(listed: Listed) -> Iterator[Batch]:
    """A few at a time; a table is gone through once.

    Args:
        listed: images or vectors, none opened yet.
    """
    count = VECTORS if listed.pictures is None else IMAGES
    encoded = None if listed.pictures is None else listed.pictures.images(listed.rows)
    for start in range(0, len(listed.files), count):
        files = listed.files[start : start + count]
        if encoded is None:
            assert listed.vectors is not None
            vectors = listed.vectors[start : start + count]
            yield Batch(replace(listed, files=files, vectors=vectors))
            continue
        images = pictures_from(list(islice(encoded, count)))
        rows = np.arange(len(files))
        yield Batch(replace(listed, files=files, pictures=images, rows=rows))


def pictures_from(encoded: Sequence[tuple[str, Encoded]]) -> Pictures:
    """Encoded images that are in memory, each with its name."""
    return Pictures(np.empty(0), None, lambda rows: (encoded[i] for i in rows))
