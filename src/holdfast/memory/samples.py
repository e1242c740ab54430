"""Samples: inputs by which a tensor that holds some of them can be recognised (docs/strict.md)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from holdfast.core.numerics import in_float64

LEAST = 8  # numbers in an input that is looked for by correlation
CHANCE = 1e-14  # that two directions which have nothing to do with each other count as one
LOOSEST, TIGHTEST = 1e-3, 1e-6  # of 1 - |correlation|, at which a row counts as a copy
PROJECTED = 32  # numbers of a row by which candidates are found
CHUNK = 256  # rows at a time, that fit a cache
IMAGE_FILES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF", b"II*\x00", b"MM\x00*")


class Samples:
    """Inputs of a task, to be looked for in tensors.

    An input is found exactly (raw or divided by 255, to a thousandth), and by correlation, which
    neither a factor nor a shift hides. Correlation is not asked where it means nothing: of inputs of
    fewer than `LEAST` numbers, of an input that its class's mean gives away (that of a class of one
    row, or of near-duplicates), and where inputs lie so close together that any average is near one.

    Args:
        x: (N, ...) uint8 pixels or float features.
        y: (N,) their classes; None takes all for one class.
    """

    def __init__(self, x: Tensor, y: Int[Tensor, " n"] | None = None):
        self.shape, self.rows = x.shape[1:], x.flatten(1).cpu()
        self.width = self.rows.shape[1]
        self.narrow = self.width < LEAST
        self.y = torch.zeros(len(x), dtype=torch.long) if y is None else y.cpu()
        direction = torch.linspace(-1, 1, self.width, dtype=torch.float64)
        self.direction = direction.cos()

    # what is looked for

    def _marks(self, all_inputs: bool) -> tuple[Tensor, Tensor]:
        """One projection of inputs, sorted, and which they are: all, or those not looked for otherwise."""
        if all_inputs not in self._sorted:
            index = torch.arange(len(self.rows))
            if not all_inputs and self.tolerance:
                index = (~self._distinct).nonzero()[:, 0]
            pieces = [self.rows[i].double() @ self.direction for i in index.split(CHUNK)]
            values, order = (torch.cat(pieces) if pieces else torch.zeros(0)).sort()
            self._sorted[all_inputs] = values, index[order]
        return self._sorted[all_inputs]

    @cached_property
    def _mean(self) -> Float[Tensor, " w"]:
        sums = [piece.float().sum(0) for piece in self.rows.split(CHUNK)]
        return torch.stack(sums).sum(0) / len(self.rows)

    @cached_property
    def _scales(self) -> dict[str, tuple[Tensor | float, Tensor | float]]:
        """Ways of preparing inputs: what is taken off, and what is divided by."""
        squares = [((p.float() - self._mean) ** 2).sum(0) for p in self.rows.split(CHUNK)]
        square = torch.stack(squares).sum(0)
        std = (square / len(self.rows)).sqrt()
        ways = {"raw": (0.0, 1.0), "centred": (self._mean, 1.0)}
        ways["standardised"] = (self._mean, std.clamp_min(1e-6 * float(std.max()) + 1e-30))
        if len(self.shape) == 3 and self.shape[0] > 1:
            channels = self.shape[0]
            mean = self._mean.view(channels, -1).mean(1, keepdim=True)
            second = (square / len(self.rows)).view(channels, -1) + (
                self._mean.view(channels, -1) - mean
            ) ** 2
            deviation = second.mean(1, keepdim=True).sqrt().clamp_min(1e-30)
            size = self.width // channels
            ways["by channel"] = tuple(v.expand(-1, size).flatten() for v in (mean, deviation))  # type: ignore[assignment]
        return ways

    @cached_property
    def _projection(self) -> Tensor:
        """(w, p) random directions that a shift of a row does not move."""
        if self.width <= PROJECTED:
            return torch.eye(self.width) - 1 / self.width
        generator = torch.Generator().manual_seed(0)
        directions = torch.randn(self.width, PROJECTED, generator=generator)
        return directions - directions.mean(0)

    def _project(self, rows: Float[Tensor, "m w"]) -> Float[Tensor, "m p"]:
        """Directions of rows less their mean, in few numbers."""
        rows = rows - rows.mean(1, keepdim=True)
        return torch.nn.functional.normalize(rows @ self._projection, dim=1)

    @cached_property
    def _distinct(self) -> Bool[Tensor, " n"]:
        """Inputs that their class's mean does not give away."""
        classes, place = self.y.unique(return_inverse=True)
        total = torch.zeros(len(classes), self.width)
        for rows, k in zip(self.rows.split(CHUNK), place.split(CHUNK)):
            total.index_add_(0, k, rows.float())
        means, alike = unit_rows(total), []
        for rows, k in zip(self.rows.split(CHUNK), place.split(CHUNK)):
            rows = rows.float()
            norm = (rows - rows.mean(1, keepdim=True)).norm(dim=1).clamp_min(1e-30)
            inner = (rows @ means.T).gather(1, k[:, None])[:, 0]
            alike.append(inner.abs() / norm)
        return torch.cat(alike) < 1 - 4 * LOOSEST

    def _table(self, way: str) -> tuple[Tensor, Tensor]:
        """(M, p) projected inputs of a way, and (M,) which they are."""
        if way not in self._tables:
            shift, scale = self._scales[way]
            raw = way == "raw"
            pieces = [
                self._project(p.float() if raw else (p.float() - shift) / scale)
                for p in self.rows.split(CHUNK)
            ]
            index = self._distinct.nonzero()[:, 0]
            self._tables[way] = torch.cat(pieces)[index], index
        return self._tables[way]

    @cached_property
    def _tables(self) -> dict[str, tuple[Tensor, Tensor]]:
        return {}

    @cached_property
    def _sorted(self) -> dict[bool, tuple[Tensor, Tensor]]:
        return {}

    @cached_property
    def tolerance(self) -> float:
        """1 - |correlation| up to which a row is a copy; 0 where correlation means nothing.

        It is as small as chance demands in this width, and a hundredth of the usual distance from
        an input to its nearest neighbour.
        """
        table, index = self._table("raw")
        if self.narrow or not len(index):
            return 0.0
        chance = 0.5 * CHANCE ** (2 / (self.width - 2))
        some = table[:: max(len(table) // 256, 1)]
        near = (some @ table.T).abs()
        near = near.masked_fill(near > 1 - 1e-6, -1.0).amax(1)
        gap = float((1 - near).median()) if len(table) > 1 else 1.0
        tolerance = min(LOOSEST, chance, 0.01 * gap)
        return tolerance if tolerance > TIGHTEST else 0.0

    # looking

    def inside(self, tensor: Tensor, aggregate: bool = False, weight: bool = False) -> bool:
        """Whether a tensor contains one of the inputs.

        Args:
            tensor: of any shape.
            aggregate: it is a sum over rows, which correlates with a row if that outweighs the
                others: only exact copies count.
            weight: it has the shape of a weight of the learner: pixels are looked for as they are.
        """
        tensor = _dense(tensor)
        if not tensor.numel() or not len(self.rows) or tensor.dtype == torch.bool:
            return False
        for rows in self._layouts(tensor, weight):
            rows = in_float64(rows.detach()).cpu() if self.narrow else rows.detach().float().cpu()
            if self._exactly(rows, aggregate):
                return True
            ways = () if aggregate or not self.tolerance else ("raw",) if weight else self._scales
            if any(self._correlated(rows, way) for way in ways):
                return True
        return False

    def inside_bytes(self, data: bytes) -> bool:
        """Whether bytes are an image file, or hold an input as numbers of a usual type."""
        if data[:4].startswith(IMAGE_FILES) and len(data) > 64:
            return True
        for kind in (np.uint8, np.float16, np.float32, np.float64):
            size = self.width * np.dtype(kind).itemsize
            for start in {0, len(data) % size}:
                whole = (len(data) - start) // size * size
                if whole:
                    values = np.frombuffer(data[start : start + whole], kind)
                    if self.inside(torch.from_numpy(values.astype(np.float64)).nan_to_num(0, 0, 0)):
                        return True
        return False

    def _layouts(self, tensor: Tensor, weight: bool) -> Iterator[Tensor]:
        """The tensor as rows as wide as an input, in each way in which inputs may lie in it."""
        width, last = self.width, tensor.shape[-1] if tensor.ndim else 1
        if self.narrow:
            if width > 1 and tensor.ndim > 1 and last == width:
                yield tensor.reshape(-1, width)
            return
        if tensor.numel() % width == 0:
            yield tensor.reshape(-1, width)
        elif tensor.ndim == 1 and tensor.numel() > width:  # with a number or two before or after
            rest = tensor.numel() % width
            yield tensor[rest:].reshape(-1, width)
            yield tensor[:-rest].reshape(-1, width)
        if tensor.ndim > 1 and last > width:  # with a label beside each
            yield tensor[..., :width].reshape(-1, width)
            yield tensor[..., last - width :].reshape(-1, width)
        if weight:
            return
        if tensor.ndim == 2 and tensor.shape[0] == width != last:
            yield tensor.T
        if len(self.shape) == 3 and self.shape[0] > 1 and tensor.numel() % width == 0:
            c, h, w = self.shape
            yield tensor.reshape(-1, h, w, c).permute(0, 3, 1, 2).reshape(-1, width)

    def _exactly(self, rows: Float[Tensor, "m w"], aggregate: bool) -> bool:
        """By one projection for the nearest inputs, then in full against those.

        Where correlation is asked as well, the inputs that it finds are left to it.
        """
        marks, order = self._marks(aggregate)
        if not len(marks):
            return False
        enough = (rows != 0).sum(1) >= min(3, self.width)
        rows = rows[enough & (rows.std(1) > 0)].double()  # a blank image identifies nobody
        for factor in (1, 255) if len(rows) else ():
            scaled = rows * factor
            place = torch.searchsorted(marks, scaled @ self.direction).clamp_max(len(marks) - 1)
            close = (1e-6 if self.narrow else 1e-3) * scaled.abs().amax(1)
            for neighbour in (place, (place - 1).clamp_min(0)):
                gap = (self.rows[order[neighbour]].double() - scaled).abs().amax(1)
                if bool((gap < close).any()):
                    return True
        return False

    def _correlated(self, rows: Float[Tensor, "m w"], way: str) -> bool:
        """By a projection for candidates, then in full against those."""
        table, index = self._table(way)
        for piece in rows.split(CHUNK):
            likeness = (self._project(piece) @ table.T).abs_()
            hits = (likeness.amax(1) > 1 - 10 * self.tolerance).nonzero()[:, 0]
            place = likeness[hits].argmax(1)
            if len(hits) and self._confirmed(piece[hits], index[place], way):
                return True
        return False

    def _confirmed(self, rows: Tensor, index: Tensor, way: str) -> bool:
        """In full, for rows that differ from their most usual value in three places at least."""
        inputs = self.rows[index].float()
        usual = inputs.median(1, keepdim=True).values
        several = ((inputs - usual).abs() > 1e-6 * (inputs.abs().amax(1, keepdim=True))).sum(1) > 2
        shift, scale = self._scales[way]
        a, b = unit_rows(rows.double()), unit_rows((inputs.double() - shift) / scale)
        return bool(((a * b).sum(1).abs() > 1 - self.tolerance)[several].any())


def unit_rows(x: Float[Tensor, "m w"]) -> Float[Tensor, "m w"]:
    """Rows less their mean, at length 1; zero for a row that is constant up to rounding."""
    x = x - x.mean(1, keepdim=True)
    norm = x.norm(dim=1, keepdim=True)
    return torch.where(norm > 1e-12, x / norm.clamp_min(1e-30), torch.zeros_like(x))


def _dense(tensor: Tensor) -> Tensor:
    """Sparse, quantised and complex tensors as plain ones."""
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    return torch.view_as_real(tensor).flatten() if tensor.is_complex() else tensor
