"""The sizes of image files, read without their pixels."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator

from holdfast.stream.pictures import DEFAULT_SIZE
from holdfast.stream.pixels import Encoded, opened


def common_size(files: Iterable[Encoded]) -> int:
    """The side of square images that share one; 64 if they differ or none can be read."""
    sizes = set()
    for size in sizes_of(files):
        sizes.add(size)
        if len(sizes) > 1:
            return DEFAULT_SIZE
    width, height = next(iter(sizes), (DEFAULT_SIZE, DEFAULT_SIZE))
    return width if width == height else DEFAULT_SIZE


def sizes_of(files: Iterable[Encoded]) -> Iterator[tuple[int, int]]:
    """(width, height) of the images that can be opened."""
    for file in files:
        try:
            with warnings.catch_warnings(), opened(file) as image:
                warnings.simplefilter("ignore")
                size = image.size
        except Exception:  # what a broken file raises depends on its format; it is named when read
            continue
        yield size
