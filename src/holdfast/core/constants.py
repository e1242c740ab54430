"""Small tensors that never change, made once on each device.

A list of classes or a table of numbers that is copied from the host in every step makes an
accelerator wait for it in every step.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

Numbers = float | int | tuple[Any, ...]
KEPT = 256  # constants at a time


def class_index(classes: Iterable[int], device: torch.device) -> Int[Tensor, " k"]:
    """(K,) int64: classes as an index that lies on a device already. Nobody may change it.

    >>> class_index((2, 0), torch.device("cpu"))
    tensor([2, 0])
    """
    return _made_once(tuple(classes), device, torch.int64)


def constant(numbers: Numbers, like: Tensor) -> Float[Tensor, ...]:
    """Numbers in the type of a tensor and on its device. Nobody may change them.

    Args:
        numbers: one, or nested tuples of them.
        like: whose type and device count.

    >>> constant((0.5, 1.0), torch.zeros(3).double())
    tensor([0.5000, 1.0000], dtype=torch.float64)
    """
    return _made_once(numbers, like.device, like.dtype)


@lru_cache(maxsize=KEPT)
def _made_once(numbers: Numbers, device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):  # one of inference mode could not serve a gradient later
        return torch.tensor(numbers, dtype=dtype, device=device)
