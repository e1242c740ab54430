"""Feature cache: what a frozen backbone makes of an image, kept by the content of its file.

    CACHE/<network>.json    which network and preparation the features are of
    CACHE/<network>.rows    float32 features, a row an image
    CACHE/<network>.index   for each row the key of its image, and a check sum of the row

Both files only grow. A row counts once it stands in both; what a kill left half written is cut off.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from filelock import FileLock, Timeout
from jaxtyping import Float32

from holdfast.core.errors import ConfigError, StoreError

KEY, CHECK = 32, 4  # bytes of SHA-256, and of CRC-32


class FeatureCache:
    """A folder of features by image; those of another network go into files of their own.

    Args:
        folder: is made when features are first written.

    Raises:
        ConfigError: if it is a file.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder).expanduser()
        if self.folder.exists() and not self.folder.is_dir():
            raise ConfigError(f"{self.folder} is a file: a cache of features is a folder.")

    def open(self, identity: str, width: int) -> CachedFeatures:
        """The features of one network and preparation.

        Args:
            identity: text that says which; another one opens other files.
            width: f.

        Raises:
            StoreError: if the folder cannot be used.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return CachedFeatures(self.folder, identity, width)
        except OSError as error:
            raise StoreError(
                f"the cache {self.folder} cannot be used ({error.strerror or error}): name another."
            ) from None


class CachedFeatures:
    """Features of one network by the keys of images; a context that closes its files.

    While one process has it open, others read what stood there, and write nothing.

    Args:
        folder: of the cache.
        identity: of the network.
        width: f.
    """

    def __init__(self, folder: Path, identity: str, width: int):
        about = json.dumps({"identity": identity, "width": width}, indent=2) + "\n"
        stem = folder / hashlib.sha256(about.encode()).hexdigest()[:24]
        self.width = width
        self._paths = stem.with_suffix(".rows"), stem.with_suffix(".index")
        self._lock = FileLock(stem.with_suffix(".lock"))
        self._files: tuple[BinaryIO, BinaryIO] | None = None
        try:
            self._lock.acquire(timeout=0)
            stem.with_suffix(".json").write_text(about)
            for path in self._paths:
                path.touch()
        except Timeout:
            pass
        try:
            self._read()
        except BaseException:
            self.close()
            raise

    def _read(self) -> None:
        """Take in every row that stands in both files; cut off the rest, if it is ours to write."""
        row, entry = 4 * self.width, KEY + CHECK
        present = all(path.exists() for path in self._paths)
        sizes = [path.stat().st_size for path in self._paths] if present else [0, 0]
        count = min(sizes[0] // row, sizes[1] // entry)
        index = self._paths[1].read_bytes()[: count * entry] if count else b""
        self._where: dict[bytes, int] = {}
        self._checks: list[bytes] = []
        for i in range(count):
            line = index[i * entry : (i + 1) * entry]
            self._where[line[:KEY]] = i
            self._checks.append(line[KEY:])
        self._map: np.ndarray = np.empty((0, self.width), np.float32)
        if self._lock.is_locked:
            rows, keys = (path.open("r+b") for path in self._paths)
            self._files = rows, keys
            for file, size in ((rows, count * row), (keys, count * entry)):
                file.truncate(size)
                file.seek(size)

    def __len__(self) -> int:
        return len(self._where)

    def get(self, key: bytes) -> Float32[np.ndarray, " f"] | None:
        """The features of an image; None if they are not there, or no longer what was written."""
        place = self._where.get(key)
        if place is None:
            return None
        if place >= len(self._map):
            count = len(self._checks)
            self._map = np.memmap(self._paths[0], np.float32, "r", shape=(count, self.width))
        row = np.array(self._map[place])
        return row if _check(row) == self._checks[place] else None

    def add(self, keys: Sequence[bytes], features: Float32[np.ndarray, "n f"]) -> None:
        """Append the features of images; nothing if another process is writing.

        Raises:
            StoreError: if they cannot be written, as when the disk is full.
        """
        if self._files is None or not len(keys):
            return
        checks = [_check(row) for row in features]
        try:
            for file, content in zip(
                self._files,
                (
                    np.ascontiguousarray(features).tobytes(),
                    b"".join(map(bytes.__add__, keys, checks)),
                ),
            ):
                file.write(content)
                file.flush()
        except OSError as error:
            raise StoreError(
                f"{self._paths[0]} cannot be written ({error.strerror or error}): make room, or go "
                "without a cache."
            ) from None
        for key, check in zip(keys, checks):
            self._where[key] = len(self._checks)
            self._checks.append(check)

    def close(self) -> None:
        """Close the files, and let others write."""
        for file in self._files or ():
            file.close()
        self._files = None
        self._lock.release()

    def __enter__(self) -> CachedFeatures:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _check(row: np.ndarray) -> bytes:
    return zlib.crc32(np.ascontiguousarray(row).tobytes()).to_bytes(CHECK, "little")
