"""Laplacian: answers of unlabelled rows, made alike where the rows lie close; apart from every readout."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from holdfast.core.errors import ConfigError, DataError

SETTLED = 1e-6  # relative change of the energy at which it stops
CHUNK = 1024  # rows whose neighbours are looked for at a time


class Transduced(NamedTuple):
    """Answers of rows that were asked together.

    Attributes:
        probabilities: (N, K), by which a class is decided.
        energies: before the first round and after each; they never rise.
    """

    probabilities: Float[Tensor, "n k"]
    energies: list[float]


def transduce(
    scores: Float[Tensor, "n k"],
    features: Float[Tensor, "m f"],
    strength: float = 0.5,
    neighbours: int = 3,
    rounds: int = 20,
    centre: Float[Tensor, " f"] | None = None,
) -> Transduced:
    """Scores of unlabelled rows, smoothed along their graph of nearest neighbours.

    y_i <- softmax(s_i + strength sum_j w_ij y_j), from y_i = softmax(s_i). W is `neighbour_graph`,
    symmetric and positive semi-definite, so that each round lowers the energy
    sum_i y_i . log y_i - <s, Y> - strength/2 <Y, W Y>. With strength 0 it is softmax(s).

    An answer depends here on the other rows that are asked, and where a test set has as many rows of every
    class, this tells the answers: it is no figure of a method. Report it apart.

    Args:
        scores: s, such as a readout's divided by its temperature, or -||f_i - m_c||^2.
        features: of the same rows.
        strength: of the graph, at least 0; choose it on labelled rows held out.
        neighbours: of each row, itself counted.
        rounds: at most.
        centre: taken off the features before they are brought to length 1, such as the mean of the
            training rows; None takes nothing off.

    Raises:
        DataError: for scores and features of different rows.
        ConfigError: for a strength below 0, less than one neighbour, or less than no round.

    Source: Ziko, Dolz, Granger, Ben Ayed, *Laplacian regularized few-shot learning*, ICML 2020, whose
        code has a graph that is not symmetric, for which the energy can rise

    >>> s = torch.tensor([[2.0, 0.0], [0.1, 0.0], [0.0, 0.1]])
    >>> f = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.9, 0.2]])
    >>> transduce(s, f, strength=1.0).probabilities.argmax(1).tolist(), s.argmax(1).tolist()
    ([0, 0, 0], [0, 0, 1])
    """
    if len(scores) != len(features):
        raise DataError(
            f"transduction needs scores and features of the same rows, not {len(scores)} and "
            f"{len(features)} of them."
        )
    if not strength >= 0 or neighbours < 1 or rounds < 0:
        raise ConfigError(
            "transduction needs a strength of at least 0, a neighbour at least and no negative rounds, "
            f"not {strength}, {neighbours} and {rounds}."
        )
    s = scores.double()
    y = torch.softmax(s, 1)
    if not len(y):
        return Transduced(y.to(scores), [])
    graph = neighbour_graph(features if centre is None else features - centre, neighbours)
    energies = [_energy(y, s, graph, strength)]
    for _ in range(rounds):
        y = torch.softmax(s + strength * (graph @ y), 1)
        energies.append(_energy(y, s, graph, strength))
        if abs(energies[-2] - energies[-1]) <= SETTLED * abs(energies[-2]):
            break
    return Transduced(y.to(scores), energies)


def neighbour_graph(x: Float[Tensor, "n f"], neighbours: int = 3) -> Float[Tensor, "n n"]:
    """(N, N) sparse W = A + D: A the symmetrised graph of nearest neighbours, D its row sums.

    A_ij is 1 where j is among the nearest of i and i among those of j, 1/2 where one is, else 0; rows
    are compared at length 1. x^T W x = sum_{i<j} A_ij (x_i + x_j)^2 is never negative.

    Args:
        x: rows.
        neighbours: of each, itself counted: with 1 there is no graph.
    """
    unit, n = functional.normalize(x.double(), dim=1), len(x)
    near = min(neighbours, n) - 1
    rows = torch.arange(n, device=x.device)
    nearest = []
    for some in rows.split(CHUNK):
        likeness = unit[some] @ unit.T
        likeness[torch.arange(len(some), device=x.device), some] = -torch.inf
        nearest.append(likeness.topk(near, dim=1).indices)
    ends = torch.cat(nearest).flatten()
    starts = rows.repeat_interleave(near)
    halves = torch.full((len(ends),), 0.5, dtype=torch.float64, device=x.device)
    both = torch.cat([starts, ends]), torch.cat([ends, starts])
    weights = torch.cat([halves, halves])
    degree = torch.zeros(n, dtype=torch.float64, device=x.device).index_add_(0, both[0], weights)
    places = torch.stack([torch.cat([both[0], rows]), torch.cat([both[1], rows])])
    values = torch.cat([weights, degree])
    return torch.sparse_coo_tensor(places, values, (n, n), check_invariants=False).coalesce()


def _energy(y: Tensor, s: Tensor, graph: Tensor, strength: float) -> float:
    entropy = torch.special.xlogy(y, y).sum()
    return float(entropy - (s * y).sum() - strength / 2 * (y * (graph @ y)).sum())
