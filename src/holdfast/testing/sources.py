"""The laws of a source: all data of a problem."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from holdfast.stream import Source, open_source
from holdfast.testing.compare import difference, expect, global_chance_untouched


def check_source(maker: str | Source | Callable[..., Source]) -> None:
    """Check a source.

    Inputs are (N, C, H, W) uint8 or (N, D) finite float32, of one shape in train and test; labels are
    int64 from 0 to K - 1, one an input, and each class has a name of its own and rows of both sides; no
    test input is a train input; the same seed gives the same rows, and the global generators are left
    alone.

    Args:
        maker: its text, a function that may take ``seed``, or the source itself.

    Raises:
        AssertionError: naming the law that does not hold.
    """
    with global_chance_untouched("a source"):
        first, second = _opened(maker), _opened(maker)
    _tables(first)
    _labels(first)
    train, test = (_digests(x) for x in (first.x, first.test_x))
    shared = len(train & test)
    expect(not shared, f"{first.name}: {shared} test inputs are train inputs too.")
    place = difference(_columns(first), _columns(second))
    expect(not place, f"{first.name}: the same seed gives another {place}.")


def _opened(maker: str | Source | Callable[..., Source]) -> Source:
    if isinstance(maker, Source):
        return maker
    return open_source(maker) if isinstance(maker, str) else maker()


def _columns(source: Source) -> dict[str, object]:
    return {n: getattr(source, n) for n in ("x", "y", "test_x", "test_y", "names")}


def _tables(source: Source) -> None:
    kinds = {4: torch.uint8, 2: torch.float32}
    for words, x in (("x", source.x), ("test_x", source.test_x)):
        expect(
            kinds.get(x.ndim) == x.dtype,
            f"{source.name}: {words} is {x.dtype} of shape {tuple(x.shape)}, "
            "not (N, C, H, W) uint8 or (N, D) float32.",
        )
        expect(
            bool(x.float().isfinite().all()),
            f"{source.name}: {words} has a value that is not finite.",
        )
    pair = tuple(source.x.shape[1:]), tuple(source.test_x.shape[1:])
    expect(
        pair[0] == pair[1], f"{source.name}: train inputs are {pair[0]} and test inputs {pair[1]}."
    )


def _labels(source: Source) -> None:
    K = len(source.names)
    expect(len(set(source.names)) == K, f"{source.name}: two classes have one name.")
    for words, x, y in (("y", source.x, source.y), ("test_y", source.test_x, source.test_y)):
        expect(
            y.dtype == torch.int64 and y.shape == (len(x),),
            f"{source.name}: {words} is {y.dtype} of shape {tuple(y.shape)}, not {len(x)} int64 labels.",
        )
        classes = sorted({*y.tolist()})
        expect(
            classes == list(range(K)),
            f"{source.name}: {words} has the labels {classes[:9]}, not each of 0 to {K - 1}.",
        )


def _digests(x: Tensor) -> set[bytes]:
    return {row.numpy().tobytes() for row in x.contiguous()}
