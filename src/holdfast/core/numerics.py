"""Small numerics that every room uses: precision, scale, sums by class."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from holdfast.core.errors import DataError


def class_sums(
    known: Shaped[Tensor, "o ..."] | None,
    x: Float[Tensor, "n ..."],
    y: Int[Tensor, " n"],
    classes: int,
) -> Float[Tensor, "k ..."]:
    """(K, ...) sums of the rows of each class, on top of the (O, ...) sums known before, O <= K.

    >>> import torch
    >>> class_sums(torch.tensor([1.0]), torch.tensor([2.0, 3.0, 4.0]), torch.tensor([0, 1, 1]), 2)
    tensor([3., 7.])
    """
    total = x.new_zeros(classes, *x.shape[1:])
    if known is not None and len(known):
        total[: len(known)] = known
    return total.index_add(0, y, x)


def at_least_float32(x: Tensor) -> Tensor:
    """The same numbers in single precision at least: half is too narrow for a softmax.

    >>> at_least_float32(torch.zeros(1).bfloat16()).dtype, at_least_float32(torch.zeros(1).double()).dtype
    (torch.float32, torch.float64)
    """
    return x.to(torch.promote_types(x.dtype, torch.float32))


def log_clip(x: Float[Tensor, "n d"], limit: float = 5.0) -> Float[Tensor, "n d"]:
    """Values up to ``limit``; beyond it sign(x) (limit + log(1 + |x| - limit)): monotone and smooth.

    The first task fixes each feature's scale; in a later one it may lie hundreds of deviations away.

    >>> log_clip(torch.tensor([[-1.0, 5.0, 404.0]]))
    tensor([[-1.0000,  5.0000, 10.9915]])
    """
    excess = (x.abs() - limit).clamp(0.0, torch.finfo(x.dtype).max)
    return torch.where(excess > 0, x.sign() * (limit + excess.log1p()), x)


def solve_positive(a: Float[Tensor, "f f"], b: Float[Tensor, "f k"]) -> Float[Tensor, "f k"]:
    """A^-1 B of a symmetric positive definite A; of one that is not, to rounding, by elimination.

    >>> solve_positive(torch.tensor([[4.0, 0.0], [0.0, 2.0]]), torch.tensor([[4.0], [4.0]])).tolist()
    [[1.0], [2.0]]
    """
    root, fault = torch.linalg.cholesky_ex(a)
    return torch.linalg.solve(a, b) if bool(fault) else torch.cholesky_solve(b, root)


def float64_device(device: torch.device | str) -> torch.device:
    """The device itself, or the CPU for one that has no double precision (Apple's MPS).

    >>> float64_device("mps"), float64_device(torch.device("cpu"))
    (device(type='cpu'), device(type='cpu'))
    """
    device = torch.device(device)
    return torch.device("cpu") if device.type == "mps" else device


def in_float64(x: Shaped[Tensor, ...]) -> Float[Tensor, ...]:
    """The same numbers in double precision, on the CPU where the device has none."""
    return x.to(float64_device(x.device)).double()


def to_device(x: Tensor, device: torch.device | str) -> Tensor:
    """The tensor on a device; float64 becomes float32 on one that lacks it (mps)."""
    lacks = torch.device(device).type == "mps" and x.dtype == torch.float64
    return x.to(device, torch.float32) if lacks else x.to(device)


def to_float(x: Shaped[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
    """uint8 as float32 in [0, 1]; floats pass through; anything else raises DataError."""
    if not (x.is_floating_point() or x.dtype == torch.uint8):
        raise DataError(f"inputs must be uint8 pixels or floats, not {x.dtype}.")
    return x if x.is_floating_point() else x.to(torch.float32).div_(255)
