"""Tensors that a step would make beside the device it computes on, or too precise for it, seen on the CPU.

``torch.zeros(3)`` is made by the processor, wherever the network is: on an accelerator it is either an
error or a copy that waits. Some devices (MPS) have no float64 at all. Neither shows on the CPU, where
everything is in one place; but a call that names no device does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, no_type_check

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from holdfast.testing.waits import innermost_line

FACTORIES = {
    torch.zeros, torch.ones, torch.empty, torch.full, torch.arange, torch.eye, torch.linspace,
    torch.tensor, torch.as_tensor, torch.rand, torch.randn, torch.randint, torch.randperm,
    torch.from_numpy, torch.scalar_tensor, torch.logspace, torch.normal, torch.tril_indices,
    torch.triu_indices, torch.hann_window, torch.empty_strided,
}  # fmt: skip


@contextmanager
def counting_strays(float64: bool = True) -> Iterator[Counter[str]]:
    """Inside, each tensor made without a device, and each made in float64, is counted by where it is.

    Args:
        float64: whether to count float64 too; not where the network itself is in it.

    >>> x = torch.arange(3.0)
    >>> with counting_strays() as strays:
    ...     y = torch.zeros(3) + x.double() + torch.ones(3, device=x.device)
    >>> sorted(where.split(" at ")[0] for where in strays)
    ['float64', 'zeros']
    """
    counts: Counter[str] = Counter()
    with _Precision(counts if float64 else Counter()), _Factories(counts):
        yield counts


class _Factories(TorchFunctionMode):
    def __init__(self, counts: Counter[str]):
        super().__init__()
        self.counts = counts

    @no_type_check  # a check of every operation would take longer than the operations
    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        copied = func is torch.as_tensor and isinstance(args[0], Tensor)  # it stays where it is
        if func in FACTORIES and kwargs.get("device") is None and not copied:
            self.counts[f"{func.__name__} at {innermost_line(__file__)}"] += 1
        return func(*args, **kwargs)


class _Precision(TorchDispatchMode):
    def __init__(self, counts: Counter[str]):
        super().__init__()
        self.counts = counts

    @no_type_check
    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        double = isinstance(out, Tensor) and out.dtype == torch.float64
        if double and not any(isinstance(a, Tensor) and a.dtype == torch.float64 for a in args):
            self.counts[f"float64 at {innermost_line(__file__)}"] += 1
        return out
