"""Where decoded pixels go: into memory, or into a file beside the run when they would not fit."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from holdfast.core.errors import ConfigError, DataError
from holdfast.core.filed import all_rows
from holdfast.core.headroom import available_memory
from holdfast.core.row_file import RowFile
from holdfast.stream.fit import Square
from holdfast.stream.levels import Levels
from holdfast.stream.pixels import Encoded, decoded

Where = Literal["auto", "memory", "disk"]
SHARE = 4  # of the memory that is free, what pixels may take before they go to the disk
AHEAD = 4  # images a thread that wait to be decoded
FORMAT = 1

Images = Iterator[tuple[str, Encoded]]
Pixels = tuple[str, np.ndarray | DataError]
Lost = list[tuple[str, DataError]]  # images that cannot be read: where each is, and why


@dataclass(frozen=True)
class PixelStore:
    """Where decoded images are kept when they are too many for memory.

    A file there is named by what it was decoded from, byte for byte, and how: another run, or the same
    one resumed, reads it and decodes nothing.

    Args:
        folder: of the files; made when it is needed.
        where: ``disk``, ``memory``, or ``auto``: on disk what takes more than a quarter of the free memory.
    """

    folder: Path
    where: Where = "auto"

    def wants(self, size: int) -> bool:
        """Whether pixels of so many bytes go to the disk."""
        if self.where == "auto":
            return size > available_memory() // SHARE
        return self.where == "disk"

    def find(self, key: str) -> tuple[Tensor, np.ndarray, Lost] | None:
        """What was decoded before: pixels, which rows they are, and what could not be read."""
        try:
            about = json.loads(self._about(key).read_text("utf-8"))
            file = RowFile(self._pixels(key), about["row"])
        except (OSError, ValueError, KeyError, DataError):
            return None
        good = np.array(about["rows"], np.int64)
        lost = [(where, DataError(why)) for where, why in about["lost"]]
        return (all_rows(file), good, lost) if file.count == len(good) else None

    def keep(self, key: str, row: Sequence[int], images: Iterator[Pixels]) -> bool:
        """Write images as they come; False if one has another size, and nothing is kept.

        Raises:
            ConfigError: if the folder cannot be written.
        """
        good: list[int] = []
        lost: Lost = []
        half = self._pixels(key).with_suffix(f".{os.getpid()}.part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with half.open("wb", buffering=2**20) as file:
                for i, (where, pixels) in enumerate(images):
                    if isinstance(pixels, DataError):
                        lost.append((where, pixels))
                        continue
                    if pixels.shape[:2] != tuple(row[1:]):
                        return False
                    file.write(np.ascontiguousarray(pixels.transpose(2, 0, 1)).data)
                    good.append(i)
            os.replace(half, self._pixels(key))
            words = [(where, str(error)) for where, error in lost]
            about = {"format": FORMAT, "row": list(row), "rows": good, "lost": words}
            half.write_text(json.dumps(about), "utf-8")
            os.replace(half, self._about(key))
        except OSError as error:
            size = len(good) * math.prod(row) / 2**30
            raise ConfigError(
                f"{self.folder} does not take more than {size:.1f} GiB of pixels ({error.strerror}): make "
                "room there, choose another --out, or use --pixels memory."
            ) from None
        finally:
            with suppress(OSError):
                half.unlink(missing_ok=True)
        return True

    def _pixels(self, key: str) -> Path:
        return self.folder / f"{key}.pixels"

    def _about(self, key: str) -> Path:
        return self.folder / f"{key}.json"


def content_key(images: Images, square: Square | None, levels: Levels | None) -> str:
    """What decoded pixels depend on: the encoded bytes of each image, and how they are decoded."""
    total = hashlib.blake2b(digest_size=16)
    total.update(repr((FORMAT, square and asdict(square), levels)).encode())
    for _, encoded in images:
        if isinstance(encoded, bytes):
            total.update(hashlib.blake2b(encoded).digest())
        elif encoded is not None:
            try:
                with encoded.open("rb") as file:
                    total.update(hashlib.file_digest(file, "blake2b").digest())
            except OSError as error:
                total.update(f"{encoded.name} {error.strerror}".encode())
        else:
            total.update(b"none")
    return total.hexdigest()


def in_threads(images: Images, square: Square | None, levels: Levels | None) -> Iterator[Pixels]:
    """Images decoded in as many threads as torch has, in their order, a few ahead of what is asked.

    An image that cannot be read comes as its error.
    """
    workers = torch.get_num_threads()
    if workers == 1:
        yield from (_pixels(where, encoded, square, levels) for where, encoded in images)
        return
    with ThreadPoolExecutor(workers, "holdfast-decode") as pool:
        ahead: list[Future[Pixels]] = []
        try:
            while True:
                more = list(islice(images, workers * AHEAD - len(ahead)))
                ahead += [pool.submit(_pixels, *image, square, levels) for image in more]
                if not ahead:
                    return
                yield ahead.pop(0).result()
        finally:
            for future in ahead:
                future.cancel()


def _pixels(where: str, encoded: Encoded, square: Square | None, levels: Levels | None) -> Pixels:
    try:
        return where, decoded(where, encoded, square, levels)
    except DataError as error:
        return where, error
