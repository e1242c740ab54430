"""The largest eigenvalues of a curvature, from products with vectors alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.core.errors import ConfigError
from holdfast.curvature.matrix import Diagonal, Matrix


def largest_eigenvalues(
    times: Callable[[Tensor], Tensor], size: int, rank: int, like: Tensor
) -> tuple[Float[Tensor, " r"], Float[Tensor, "p r"]]:
    """The largest eigenvalues, ascending, and their vectors, by Lanczos iteration in float64.

    Args:
        times: v to H v.
        size: P.
        rank: how many.
        like: a tensor of the device and precision to use for the products.

    Raises:
        ConfigError: if the rank is not below P.
    """
    if rank >= size:
        raise ConfigError(
            f"a low-rank curvature of {size} weights needs a rank below {size}, not {rank}: "
            "use structure='full'."
        )

    def matvec(v: np.ndarray) -> np.ndarray:
        return times(torch.from_numpy(np.ravel(v)).to(like)).cpu().double().numpy()

    from scipy.sparse.linalg import LinearOperator, eigsh  # costs half a second

    operator = LinearOperator((size, size), matvec, dtype=np.float64)  # pyright: ignore
    start = np.random.default_rng(0).standard_normal(size)
    exact = like.dtype == torch.float64
    values, vectors = eigsh(
        operator,
        rank,
        which="LA",
        v0=start,
        tol=0 if exact else 1e-4,  # pyright: ignore[reportArgumentType]
    )
    return torch.from_numpy(values).to(like), torch.from_numpy(vectors).to(like)


def max_eigenvalue(matrices: list[Matrix]) -> float:
    """The largest eigenvalue of the sum of some matrices whose layouts only grew.

    Exact for diagonals; else by power iteration, from below and within a few percent.
    """
    if not matrices:
        return 0.0
    layout = matrices[-1].layout
    diagonals = [m.spread(layout) for m in matrices if isinstance(m, Diagonal)]
    if len(diagonals) == len(matrices):
        return float(torch.stack(diagonals).sum(0).max())
    first = next(iter(matrices[-1].tensors().values()))
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(layout.size, generator=generator, dtype=torch.float64).to(first.dtype)
    v, size = v.to(first.device), 0.0
    for _ in range(50):
        v = v / v.norm().clamp_min(torch.finfo(v.dtype).tiny)
        v = torch.stack([m.over(v, layout) for m in matrices]).sum(0)
        size = float(v.norm())
    return size
