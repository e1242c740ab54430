"""Embed: images, still encoded, through a frozen backbone; each once, in a stated memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from holdfast.core.errors import ConfigError, DataError
from holdfast.learner.batches import MEMORY, batch_size, features_of, frozen_of
from holdfast.learner.cache import CachedFeatures, FeatureCache
from holdfast.stream.fit import Square
from holdfast.stream.levels import Levels
from holdfast.stream.pictures import Pictures, careful, levels_of, reason
from holdfast.stream.pixels import Encoded, NeedsLevels, decoded
from holdfast.stream.walk import Skipped, readable


@dataclass(frozen=True)
class Embedded:
    """Features of the images that could be read.

    Attributes:
        features: (M, f) float32, on the CPU.
        rows: (M,) places, among the images, of those in features.
        skipped: the images that could not be read, each with the reason.
        levels: by which greys of more than 8 bits were read; None if there were none.
        passed: how many images went through the backbone; the others were known.
    """

    features: Float32[Tensor, "m f"]
    rows: np.ndarray
    skipped: Skipped
    levels: Levels | None
    passed: int


def embed(
    learner: nn.Module,
    images: Sequence[Path | bytes] | tuple[Pictures, np.ndarray],
    cache: FeatureCache | None = None,
    memory: int = MEMORY,
    levels: Levels | None = None,
    strict: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> Embedded:
    """Features of encoded images by a learner's frozen backbone, in batches of one size.

    Images become squares as the backbone says (`Backbone.size`, ``fit`` and ``resize``), or of the
    learner's own shape. One file is decoded at a time; an image that occurs twice, or is in the
    cache, is not computed again. Every batch is filled up to the same number, so that on one machine
    the features of an image do not depend on what comes with it.

    Args:
        learner: with a frozen ``backbone``, ``shape``, ``mean`` and ``std``.
        images: files or encoded bytes; or pictures and the (M,) ascending rows wanted of them.
        cache: where features are kept; not used for a backbone without ``sha256``.
        memory: bytes that pixels and activations may take, beside the network and the features.
        levels: of greys of more than 8 bits; None finds them from these images.
        strict: refuse an image that cannot be read, in place of skipping it.
        progress: called with the images done and all images, after each batch and at the end.

    Raises:
        ConfigError: if the backbone is not frozen, or takes no colour images.
        DataError: if strict, for the first image that cannot be read.
        StoreError: if the cache cannot be used.
    """
    pictures, rows = _pictures(images)
    while True:
        work = Embedding(learner, len(rows), memory, levels, strict, progress)
        opened = nullcontext()
        if cache is not None and work.network.sha256:
            opened = cache.open(work.identity, work.network.features)
        try:
            with opened as known:
                return work.run(pictures.images(rows), known)
        except NeedsLevels:
            with careful():
                levels = levels_of([(pictures, rows)])


class Embedding:
    """One pass over images that are to be embedded; the arguments are those of `embed`."""

    def __init__(
        self,
        learner: nn.Module,
        count: int,
        memory: int = MEMORY,
        levels: Levels | None = None,
        strict: bool = False,
        progress: Callable[[int, int], object] | None = None,
    ):
        self.learner, self.count, self.memory = learner, count, memory
        self.levels, self.strict, self.progress = levels, strict, progress
        self.network = network = frozen_of(learner)
        shape: tuple[int, ...] = learner.shape  # type: ignore[assignment]
        if len(shape) != 3 or shape[0] != 3:
            raise ConfigError(
                f"the learner takes inputs of shape {shape}, not images of 3 channels."
            )
        self.square = Square(
            network.size or shape[1], network.fit, network.resize if network.size else 0
        )
        self.skipped: Skipped = []
        self.passed = 0
        self._first: dict[bytes, int] = {}  # the place of an image that is done or waits
        self._copies: list[tuple[int, int]] = []
        self._waiting: list[tuple[bytes, int]] = []
        self._pixels: np.ndarray | None = None  # of those that wait

    @property
    def identity(self) -> str:
        """What decides on the features of an image, as text."""
        square, network = self.square, self.network
        text = f"{network.sha256} {square.side} {square.fit} {square.resize} {self.levels}"
        if not network.normalises:
            mean, std = (getattr(self.learner, name).tolist() for name in ("mean", "std"))
            text += f" {mean} {std}"
        return text

    def run(
        self, images: Iterable[tuple[str, Encoded]], known: CachedFeatures | None = None
    ) -> Embedded:
        """Embed them all, but for those in the cache."""
        self.features = np.empty((self.count, self.network.features), np.float32)
        rows = []
        for i, (where, encoded) in enumerate(images):
            key = content_key(encoded)
            if self._place(len(rows), key, where, encoded, known):
                rows.append(i)
            if self._pixels is not None and len(self._waiting) == len(self._pixels):
                self._flush(known)
                self._report(i + 1)
        self._flush(known)
        for place, first in self._copies:
            self.features[place] = self.features[first]
        self._report(self.count)
        features = torch.from_numpy(self.features[: len(rows)])
        return Embedded(features, np.array(rows, np.int64), self.skipped, self.levels, self.passed)

    def _report(self, done: int) -> None:
        if self.progress is not None:
            self.progress(done, self.count)

    def _place(
        self, row: int, key: bytes, where: str, encoded: Encoded, known: CachedFeatures | None
    ) -> bool:
        """Find an image's features, or put it on the list; whether it can be read."""
        if key in self._first:
            self._copies.append((row, self._first[key]))
            return True
        stored = known.get(key) if known is not None and key else None
        if stored is not None:
            self.features[row] = stored
        else:
            try:
                with careful():
                    pixels = decoded(where, encoded, self.square, self.levels)
            except DataError as error:
                if self.strict:
                    raise
                self.skipped.append(reason(where, error))
                return False
            if self._pixels is None:
                batch = batch_size(self.learner, self.square.side, self.memory)
                self._pixels = np.zeros((batch, *pixels.shape), np.uint8)
            self._pixels[len(self._waiting)] = pixels
            self._waiting.append((key, row))
        if key:
            self._first[key] = row
        return True

    def _flush(self, known: CachedFeatures | None) -> None:
        """Compute those that wait; the batch is full, with what was there before if need be."""
        if not self._waiting or self._pixels is None:
            return
        x = torch.from_numpy(self._pixels).permute(0, 3, 1, 2)
        features = features_of(self.learner, x).numpy()[: len(self._waiting)]
        self.features[[row for _, row in self._waiting]] = features
        if known is not None:
            known.add([key for key, _ in self._waiting], features)
        self.passed += len(self._waiting)
        self._waiting.clear()


def content_key(encoded: Encoded) -> bytes:
    """SHA-256 of an encoded image; nothing for one that cannot be read."""
    if isinstance(encoded, bytes):
        return hashlib.sha256(encoded).digest()
    try:
        if encoded is None:
            return b""
        with encoded.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return b""


def _pictures(
    images: Sequence[Path | bytes] | tuple[Pictures, np.ndarray],
) -> tuple[Pictures, np.ndarray]:
    """Pictures and the rows of them; a tuple of files is files."""
    if len(images) == 2 and isinstance(images[0], Pictures):
        return images[0], cast("np.ndarray", images[1])
    files = cast("Sequence[Path | bytes]", images)

    def encoded(rows: np.ndarray) -> Iterator[tuple[str, Encoded]]:
        for i in rows:
            file = files[i]
            yield (readable(file) if isinstance(file, Path) else f"image {i}"), file

    return Pictures(np.empty(0), None, encoded), np.arange(len(files))
