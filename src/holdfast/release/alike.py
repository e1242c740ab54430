"""Which rows are the same picture, or nearly, and which lie among rows of another class."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.nn import functional

from holdfast.core.numerics import to_float

NEAR = 0.03  # of a class's mean squared deviation: rows at a smaller squared distance are as one
SIDE = 8  # pixels to which images are averaged before they are compared
MOST = 10_000  # rows that are compared with each other
CHUNK = 1024


def contents(x: Shaped[Tensor, "n ..."]) -> list[bytes]:
    """A hash of each row: equal rows, equal hashes."""
    rows = x.contiguous().cpu().numpy()
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows]


@dataclass(frozen=True)
class Scale:
    """How rows are compared: a mean, and a deviation, of each column.

    Attributes:
        mean: (D,).
        std: (D,); 1 where a column does not vary.
    """

    mean: Float[Tensor, " d"]
    std: Float[Tensor, " d"]


def comparable(
    x: Shaped[Tensor, "n ..."], scale: Scale | None = None
) -> tuple[Float[Tensor, "n d"], Scale]:
    """Standardised rows, and by what; images are averaged to 8 x 8 pixels first.

    Args:
        x: (N, C, H, W) pixels, or (N, D) features.
        scale: by which they are standardised; None takes their own.
    """
    rows = x
    if x.ndim == 4:
        small = lambda p: functional.adaptive_avg_pool2d(to_float(p), min(SIDE, *p.shape[2:]))
        rows = torch.cat([small(piece).flatten(1) for piece in x.split(CHUNK)])
    rows = rows.double()
    if scale is None:
        std = rows.std(0, correction=0)
        scale = Scale(rows.mean(0), torch.where(std > 0, std, 1.0))
    return ((rows - scale.mean) / scale.std).float(), scale


def spread(a: Float[Tensor, "n d"], y: Int[Tensor, " n"]) -> float:
    """The mean squared distance of rows from the mean of their class.

    >>> spread(torch.tensor([[0.0], [2.0], [7.0]]), torch.tensor([0, 0, 1]))
    0.6666666865348816
    """
    groups = [a[y == k] for k in y.unique().tolist()]
    return float(torch.cat([((g - g.mean(0)) ** 2).sum(1) for g in groups]).mean())


def nearly_same(
    a: Float[Tensor, "n d"], b: Float[Tensor, "m d"] | None, near: float
) -> Int[Tensor, " n"]:
    """(N,) for each row the place of the nearest row of b if that is nearly the same, else -1.

    Args:
        a: rows.
        b: others; None compares a with its own earlier rows.
        near: the squared distance up to which rows are nearly the same.
    """
    out = []
    for start, gap in _gaps(a, a if b is None else b):
        if b is None:
            rows = torch.arange(start, start + len(gap))[:, None]
            gap = gap.masked_fill(torch.arange(len(a)) >= rows, torch.inf)
        best = gap.min(1)
        out.append(torch.where(best.values <= near, best.indices, -1))
    return torch.cat(out) if out else torch.zeros(0, dtype=torch.long)


def other_class(
    a: Float[Tensor, "n d"], y: Int[Tensor, " n"], k: int = 5, agree: int = 4
) -> Int[Tensor, " n"]:
    """(N,) the class that a row lies among where that is not its own, else -1.

    It lies among a class if ``agree`` of its ``k`` nearest other rows are of it.

    Args:
        a: rows.
        y: their classes.
        k: neighbours that are asked.
        agree: how many of them must be of one class.
    """
    if len(a) <= k:
        return torch.full_like(y, -1)
    out = []
    for start, gap in _gaps(a, a):
        rows = torch.arange(len(gap))
        gap[rows, rows + start] = torch.inf
        near = y[gap.topk(k, dim=1, largest=False).indices]
        common = near.mode(1).values
        enough = (near == common[:, None]).sum(1) >= agree
        out.append(torch.where(enough & (common != y[start : start + len(gap)]), common, -1))
    return torch.cat(out)


def _gaps(
    a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]
) -> Iterator[tuple[int, Float[Tensor, "c m"]]]:
    """Squared distances of a part of the rows from all others, and where the part starts."""
    square = (b**2).sum(1)
    for start in range(0, len(a), CHUNK):
        piece = a[start : start + CHUNK]
        yield start, ((piece**2).sum(1)[:, None] + square - 2 * piece @ b.T).clamp_min(0)
