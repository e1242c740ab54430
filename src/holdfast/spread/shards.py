"""Shards: files cut into portions, each small enough for one process to do again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from holdfast.core.errors import ConfigError
from holdfast.stream.listed import Listed
from holdfast.stream.walk import Skipped, readable

SIZE = 512  # files: seconds of work, so that little is done again where a process is lost
MOST = 4096  # shards that are handed out; more files make them larger


@dataclass(frozen=True)
class Shard:
    """Some files of a list.

    Attributes:
        number: its place among the shards.
        first: the place of its first file in the list.
        files: of images.
        labels: of each.
    """

    number: int
    first: int
    files: list[Path]
    labels: list[str]


def require_files(listed: Listed) -> Listed:
    """Image files, which other processes can open: the same list, its paths from the root on.

    Raises:
        ConfigError: for vectors, or images that lie inside tables.
    """
    if listed.vectors is not None:
        raise ConfigError(
            f"--engine ray spreads files of images, and {readable(listed.where)} holds vectors, whose "
            "statistics one process takes in seconds: leave --engine out."
        )
    assert listed.pictures is not None
    for _, encoded in listed.pictures.images(listed.rows[:1]):
        if not isinstance(encoded, Path):
            raise ConfigError(
                f"--engine ray spreads files of images, and those of {readable(listed.where)} lie inside "
                "of it: leave --engine out, or write them as files."
            )
    return listed


def without_row(shard: Shard, rows: list[int], unread: Skipped) -> list[tuple[int, str]]:
    """The places, in the list, of files that could not be read, each with the reason.

    Args:
        shard: that was read.
        rows: places in it of those that could be.
        unread: the others in their order, each with the reason.
    """
    lost = sorted({*range(len(shard.files))} - {*rows})
    return [(shard.first + i, why) for i, (_, why) in zip(lost, unread, strict=True)]


def shards_of(listed: Listed, size: int = 0) -> list[Shard]:
    """Portions of files, in their order.

    Args:
        listed: image files (`require_files`).
        size: files in each; 0 takes `SIZE`, or more where there would be more than `MOST` shards.
    """
    count = len(listed.files)
    size = size or max(SIZE, -(-count // MOST))
    return list(_cut(listed, count, size))


def _cut(listed: Listed, count: int, size: int) -> Iterator[Shard]:
    assert listed.pictures is not None
    paths = [Path(str(e)).absolute() for _, e in listed.pictures.images(np.asarray(listed.rows))]
    for number, first in enumerate(range(0, count, size)):
        some = slice(first, first + size)
        yield Shard(number, first, paths[some], list(listed.labels[some]))
