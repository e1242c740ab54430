"""What would make an accelerator wait for the host, counted on the CPU.

A kernel is queued and the host goes on, until it asks for a number (``item``, ``tolist``, ``if
tensor``), for a shape that depends on numbers (``nonzero``, a mask as an index), or copies a list or
number from its own memory. In a step of training each of these empties the queue.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, no_type_check

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

OPERATIONS = {
    "aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::_unique2",
    "aten::unique_dim", "aten::bincount", "aten::equal", "aten::lift_fresh",
    "aten::repeat_interleave",
}  # fmt: skip
INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}
READING = {"tolist", "numpy"}  # which the CPU does without an operation
ROOT = Path(__file__).parents[1]


@contextmanager
def counting_waits() -> Iterator[Counter[str]]:
    """Inside, everything that would make an accelerator wait is counted, by what and where it is.

    >>> x = torch.arange(3.0)
    >>> with counting_waits() as waits:
    ...     y = x[x > 1] * float(x[0])
    >>> sum(waits.values())
    2
    """
    counts: Counter[str] = Counter()
    with _Operations(counts), _Readings(counts):
        yield counts


class _Operations(TorchDispatchMode):
    def __init__(self, counts: Counter[str]):
        super().__init__()
        self.counts = counts

    @no_type_check  # a check of every operation would take longer than the operations
    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        name = func._schema.name
        if name in OPERATIONS or (name in INDEXING and any(map(_is_mask, args[1]))):
            self.counts[f"{name} at {innermost_line()}"] += 1
        return func(*args, **(kwargs or {}))


class _Readings(TorchFunctionMode):
    def __init__(self, counts: Counter[str]):
        super().__init__()
        self.counts = counts

    @no_type_check
    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if getattr(func, "__name__", "") in READING:
            self.counts[f"{func.__name__} at {innermost_line()}"] += 1
        return func(*args, **(kwargs or {}))


def _is_mask(index: Tensor | None) -> bool:
    return index is not None and index.dtype in (torch.bool, torch.uint8)


def innermost_line(*files: str) -> str:
    """The innermost line of this package that asked; a backward pass has only the line that began it.

    Args:
        files: which only look on.
    """
    aside = {__file__, *files}
    for frame in reversed(traceback.extract_stack()):
        if Path(frame.filename).is_relative_to(ROOT) and frame.filename not in aside:
            return f"{Path(frame.filename).relative_to(ROOT)}:{frame.lineno}"
    return "a caller's line"
