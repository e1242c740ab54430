"""The funnel: at which stage of a network two sets of rows look most alike (docs/theory.md, 15.9).

Training and held-out rows, or the rows of a class then and now: where they part least, little is
specific to the one set, and that is a layer to anchor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.core.errors import DataError
from holdfast.core.numerics import in_float64
from holdfast.metrics.missing import Missing

DIRECTIONS, DRAWS = 128, 50


def gaussian_kl(
    first: Float[Tensor, "n f"], second: Float[Tensor, "m f"], shrink: float = 0.01
) -> float:
    """KL(N_1 || N_2) = 1/2 [tr(S_2^-1 S_1) - f + (m_2 - m_1)^T S_2^-1 (m_2 - m_1) + log det S_2 / S_1].

    N_i is the normal law with the mean of a set and its covariance, to which shrink times the mean
    variance of both sets is added in every direction.

    Args:
        first: (N, f) rows.
        second: (M, f) rows.
        shrink: the same for both.

    Returns:
        a number >= 0; `Missing` where a set has no more rows than features, or all rows are equal.
    """
    if min(len(first), len(second)) <= first.shape[1]:
        return Missing(
            f"a covariance of {first.shape[1]} features takes more rows than that, and there are "
            f"{min(len(first), len(second))}"
        )
    sets = [in_float64(first), in_float64(second)]
    means = [x.mean(0) for x in sets]
    spreads = [(x - m).T @ (x - m) / len(x) for x, m in zip(sets, means)]
    more = shrink * sum(float(s.diagonal().mean()) for s in spreads) / 2
    if not more > 0:
        return Missing("all rows are equal")
    roots = [torch.linalg.cholesky(s + more * torch.eye(len(s)).to(s)) for s in spreads]
    relative = torch.linalg.solve_triangular(roots[1], roots[0], upper=False)
    gap = torch.linalg.solve_triangular(roots[1], (means[1] - means[0])[:, None], upper=False)
    logs = [2 * root.diagonal().log().sum() for root in roots]
    total = relative.square().sum() - first.shape[1] + gap.square().sum() + logs[1] - logs[0]
    return float(total.clamp_min(0) / 2)


def sliced_w1(
    first: Float[Tensor, "n f"],
    second: Float[Tensor, "m f"],
    directions: int = DIRECTIONS,
    seed: int = 0,
    relative: bool = True,
) -> float:
    """Mean over random unit directions of the W1 distance of the two sets' projections.

    Args:
        first: (N, f) rows.
        second: (M, f) rows.
        directions: how many.
        seed: of the directions.
        relative: in units of the second set's root mean square deviation in a direction, sqrt(tr S / f);
            only so can layers of different widths and scales be compared.

    Returns:
        a number >= 0; `Missing` for an empty set, or relative to rows that are all equal.
    """
    if not (len(first) and len(second)):
        return Missing("a set has no rows")
    a, b, scale = _projected(first, second, directions, seed)
    if not relative:
        scale = 1.0
    return float(_w1(a, b).mean()) / scale if scale > 0 else Missing("all rows of a set are equal")


def _projected(
    first: Tensor, second: Tensor, directions: int, seed: int
) -> tuple[Tensor, Tensor, float]:
    """Both sets on the same random directions, and the second one's deviation in a direction."""
    chance = torch.Generator().manual_seed(seed)
    lines = torch.randn(first.shape[1], directions, generator=chance, dtype=torch.float64)
    lines = lines / lines.norm(dim=0)
    x, y = in_float64(first).cpu(), in_float64(second).cpu()
    return x @ lines, y @ lines, float((y - y.mean(0)).square().mean().sqrt())


def _w1(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, " d"]:
    """Integral of |F - G| over the line, for each direction: exact for sets of any two sizes."""
    values, order = torch.cat([a, b]).sort(0)
    mine = (order < len(a)).double()
    gap = mine.cumsum(0) / len(a) - (1 - mine).cumsum(0) / len(b)
    return (gap[:-1].abs() * values.diff(dim=0)).sum(0)


@dataclass(frozen=True)
class Funnel:
    """Where two sets part least.

    Attributes:
        stage: the number of the stage, from 1; of equal ones the first.
        distances: `sliced_w1` at every stage.
        sure: share of draws of the rows, with replacement, in which the same stage comes out.
    """

    stage: int
    distances: list[float]
    sure: float


def narrowest(
    first: Sequence[Float[Tensor, "n _"]],
    second: Sequence[Float[Tensor, "m _"]],
    draws: int = DRAWS,
    directions: int = DIRECTIONS,
    seed: int = 0,
) -> Funnel:
    """The stage at which two sets of rows are nearest, by `sliced_w1` in units of each stage's spread.

    Two sets of one law are apart by about the noise of their rows at every stage: only a share of draws
    well above 1 / L says that one stage is special.

    Args:
        first: the stages' outputs for one set.
        second: those for the other.
        draws: of rows with replacement.
        directions: on which they are projected.
        seed: of directions and draws.

    Raises:
        DataError: for no stage, another number of stages, or a stage without rows or spread.

    Source: He, Goldfeld, *Information-theoretic generalization bounds for deep neural networks*, 2024,
        [V] for the text; sliced distances and the draws are choices of this library
    """
    if not first or len(first) != len(second):
        raise DataError(
            f"a funnel compares the same stages of two sets, and there are {len(first)} and {len(second)}."
        )
    some = [_projected(x, y, directions, seed) for x, y in zip(first, second)]
    if not all(len(a) and len(b) and scale > 0 for a, b, scale in some):
        raise DataError("a stage has no rows, or says the same of all of them: it has no spread.")
    distances = _distances(some)
    best = min(range(len(distances)), key=distances.__getitem__)
    chance, same = torch.Generator().manual_seed(seed), 0
    for _ in range(draws):
        sizes = len(first[0]), len(second[0])
        i, j = (torch.randint(size, (size,), generator=chance) for size in sizes)
        again = _distances([(a[i], b[j], scale) for a, b, scale in some])
        same += min(range(len(again)), key=again.__getitem__) == best
    return Funnel(best + 1, distances, same / draws if draws else 1.0)


def _distances(some: Sequence[tuple[Tensor, Tensor, float]]) -> list[float]:
    return [float(_w1(a, b).mean()) / scale for a, b, scale in some]
