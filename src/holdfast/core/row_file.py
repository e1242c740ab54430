"""Row file: rows of one shape and type in a file, read by their places."""

from __future__ import annotations

import itertools
import math
import os
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from holdfast.core.errors import DataError


class RowFile:
    """A file of rows of one shape and type, one after the other, without a header.

    Rows are read by position: no address space is taken, and the system's page cache is what is kept.

    Args:
        path: of the file.
        row: the shape of a row.
        dtype: of its numbers.

    Raises:
        DataError: if the file is not there or is no whole number of rows.
    """

    def __init__(self, path: str | Path, row: Sequence[int], dtype: torch.dtype = torch.uint8):
        self.path, self.row, self.dtype = Path(path), tuple(row), dtype
        self.width = math.prod(self.row) * dtype.itemsize
        try:
            self.handle = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise DataError(f"{self.path} cannot be opened: {error.strerror}.") from None
        weakref.finalize(self, os.close, self.handle)
        size = os.fstat(self.handle).st_size
        if size % self.width:
            raise DataError(f"{self.path} ends within a row: remove it, and it is made again.")
        self.count = size // self.width

    def read(self, place: Tensor) -> Tensor:
        """(N, *row) the rows at these (N,) places, in their order.

        Raises:
            DataError: if the file became shorter.
        """
        if not len(place):
            return torch.empty(0, *self.row, dtype=self.dtype)
        order = place.argsort().numpy()
        places = place.numpy()[order]
        out = torch.empty(len(place), *self.row, dtype=self.dtype)
        rows = out.view(len(place), -1).numpy().view(np.uint8).reshape(len(place), self.width)
        ends = np.flatnonzero((np.diff(places) != 1) | (np.diff(order) != 1)) + 1
        bounds = [0, *ends.tolist(), len(places)]
        for start, end in itertools.pairwise(bounds):  # runs that are neighbours here and there
            first = int(order[start])
            self._fill(rows[first : first + end - start], int(places[start]))
        return out

    def _fill(self, rows: np.ndarray, place: int) -> None:
        """Neighbouring rows, straight into where they belong."""
        view, start = rows.reshape(-1).data, place * self.width
        while view:
            count = self._read_at(view, start)
            if not count:
                raise DataError(f"{self.path} became shorter while it was read: remove it.")
            view, start = view[count:], start + count

    def _read_at(self, view: memoryview, start: int) -> int:
        """Bytes from a place of the file; how many came."""
        if hasattr(os, "preadv"):
            return os.preadv(self.handle, [view], start)
        with self.path.open("rb") as file:  # where there is no reading by position
            file.seek(start)
            return file.readinto(view)
