"""Neural collapse: how far the rows of a class draw together (docs/theory.md, section 15).

All in float64, on rows that were not trained on: training rows collapse whatever the representation
is worth. With M_c the mean of class c, m the mean of the K means, M~ = M - m, S_W the covariance
within classes (all deviations, divided by N), S_B = M~^T M~ / K.

Source: Papyan, Han, Donoho, *Prevalence of neural collapse*, PNAS 2020
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from holdfast.core.numerics import in_float64
from holdfast.metrics.class_means import ClassMeans, differ
from holdfast.metrics.missing import Missing

CUT = 1e-10  # of the largest eigenvalue: a smaller one is rounding


def nc1(x: Float[Tensor, "n f"], y: Int[Tensor, " n"]) -> float:
    """tr(S_W S_B^+) / K: the spread within classes, measured by the spread between them; 0 collapsed.

    The pseudo-inverse has rank K - 1 at most, and leaves out eigenvalues below 1e-10 of the largest.
    S_W is read in these directions alone, so fewer rows than features are no obstacle.

    Args:
        x: (N, f) features.
        y: (N,) classes.

    Returns:
        a number >= 0; `Missing` for fewer than two classes, a class of one row, or equal means.
    """
    some = ClassMeans.of(x, y)
    if some.lacks:
        return Missing(some.lacks)
    K = len(some.labels)
    _, size, directions = torch.linalg.svd(_centred(some.means), full_matrices=False)
    square = size.square()[: K - 1]
    if not differ(some.means):
        return Missing("all class means are equal")
    kept = square > CUT * square[0]
    deviation = (some.x - some.means[some.place]) @ directions[: K - 1][kept].T
    return float((deviation.square().mean(0) * K / square[kept]).sum() / K)


def nc1_quotient(x: Float[Tensor, "n f"], y: Int[Tensor, " n"]) -> float:
    """Tr S_W / tr S_B: the form that can be compared between layers of different widths.

    Args:
        x: (N, f) features.
        y: (N,) classes.

    >>> x = torch.tensor([[-3.0], [-1.0], [1.0], [3.0]])
    >>> nc1_quotient(x, torch.tensor([0, 0, 1, 1]))
    0.25
    """
    some = ClassMeans.of(x, y)
    if some.lacks:
        return Missing(some.lacks)
    if not differ(some.means):
        return Missing("all class means are equal")
    between = _centred(some.means).square().sum(1).mean()
    within = (some.x - some.means[some.place]).square().sum(1).mean()
    return float(within / between)


def cdnv(x: Float[Tensor, "n f"], y: Int[Tensor, " n"]) -> float:
    """Mean over pairs c != c' of (v_c + v_c') / (2 ||M_c - M_c'||^2); 0 collapsed.

    Args:
        x: (N, f) features.
        y: (N,) classes.

    Returns:
        a number >= 0; `Missing` as for `nc1`.

    Source: Galanti, György, Hutter, *On the role of neural collapse in transfer learning*, ICLR 2022

    >>> cdnv(torch.tensor([[-3.0], [-1.0], [1.0], [3.0]]), torch.tensor([0, 0, 1, 1]))
    0.0625
    """
    some = ClassMeans.of(x, y)
    if some.lacks:
        return Missing(some.lacks)
    first, second = torch.triu_indices(len(some.labels), len(some.labels), 1)
    between = (some.means[first] - some.means[second]).square().sum(1)
    if not bool((between > 0).all()):
        return Missing("two class means are equal")
    return float(((some.spreads[first] + some.spreads[second]) / (2 * between)).mean())


def nc2(vectors: Float[Tensor, "k f"], centred: bool = True) -> float:
    """|| G / ||G||_F - (I - 11^T/K) / sqrt(K-1) ||_F with G = V~ V~^T; 0 for a simplex.

    Of class means, or of a bank of prototypes: a bank whose vectors all turn into one direction
    shows here.

    Args:
        vectors: (K, f) class means or prototypes.
        centred: whether their mean is taken away; of prototypes that should be a simplex about 0,
            False asks for that too.

    Returns:
        a number in [0, 2]; always 0 for two classes (centred); `Missing` for fewer, or equal vectors.
    """
    vectors = in_float64(vectors)
    if len(vectors) < 2:
        return Missing(f"it takes two classes, and there {'is one' if len(vectors) else 'is none'}")
    defined = differ(vectors)
    vectors = _centred(vectors) if centred else vectors
    return _from_simplex(vectors @ vectors.T, defined)


def equinorm(means: Float[Tensor, "k f"]) -> float:
    """Standard deviation over mean of the lengths ||M~_c||; 0 where all are as long.

    Args:
        means: (K, f) class means.

    Returns:
        a number >= 0; `Missing` for fewer than two classes, or equal means.
    """
    means = in_float64(means)
    if len(means) < 2:
        return Missing(f"it takes two classes, and there {'is one' if len(means) else 'is none'}")
    if not differ(means):
        return Missing("all class means are equal")
    size = _centred(means).norm(dim=1)
    return float(size.std(correction=0) / size.mean())


def nc3(weights: Float[Tensor, "k f"], means: Float[Tensor, "k f"]) -> float:
    """`nc2` with G = W~ M~^T: whether head and class means are dual; 0 if they are.

    Args:
        weights: (K, f) rows of the head, or prototypes, for the classes of the means.
        means: (K, f) class means.

    Returns:
        a number in [0, 2]; `Missing` for fewer than two classes, or equal vectors.
    """
    weights, means = in_float64(weights), in_float64(means)
    if len(means) < 2:
        return Missing(f"it takes two classes, and there {'is one' if len(means) else 'is none'}")
    defined = differ(weights) and differ(means)
    return _from_simplex(_centred(weights) @ _centred(means).T, defined)


def nc4(
    predicted: Int[Tensor, " n"],
    x: Float[Tensor, "n f"],
    means: Float[Tensor, "k f"],
    classes: Int[Tensor, " k"],
) -> float:
    """Share of rows for which the head and the nearest class mean decide alike.

    Args:
        predicted: (N,) the head's classes; for Task-IL, the best within the task's.
        x: (N, f) features.
        means: (K, f) of the same classes among which the head chose.
        classes: (K,) their numbers.

    Returns:
        a share; `Missing` without rows, or for one class.
    """
    if not len(x) or len(means) < 2:
        return Missing("it takes rows of two classes")
    nearest = torch.cdist(in_float64(x), in_float64(means)).argmin(1)
    return float(
        (classes.to(nearest.device)[nearest] == predicted.to(nearest.device)).double().mean()
    )


def prototype_alignment(means: Float[Tensor, "k d"], prototypes: Float[Tensor, "k d"]) -> float:
    """Mean over classes of cos(M_c, q_c): 1 where every class lies at its prototype.

    Args:
        means: (K, d) mean embeddings.
        prototypes: (K, d) of the same classes.

    Returns:
        a number in [-1, 1]; `Missing` without a class, or for a mean or prototype of length 0.
    """
    means, prototypes = in_float64(means), in_float64(prototypes)
    sizes = means.norm(dim=1) * prototypes.norm(dim=1)
    if not len(means) or not bool((sizes > 0).all()):
        return Missing("a class has no direction")
    return float(((means * prototypes).sum(1) / sizes).mean())


def collapse_gap(
    stage: Float[Tensor, "n g"], features: Float[Tensor, "n f"], y: Int[Tensor, " n"]
) -> float:
    """`nc1_quotient` of a stage of the network, less that of its features.

    The quotient alone can be compared between widths; `nc1` cannot.

    Args:
        stage: (N, g) what an earlier or later layer says of the rows.
        features: (N, f) of the same rows.
        y: (N,) classes.

    Source: Tirer, Huang, Niles-Weed, *Perturbation analysis of neural collapse*, ICML 2023
    """
    first, second = nc1_quotient(stage, y), nc1_quotient(features, y)
    return first if first != first else second if second != second else first - second


def _centred(vectors: Tensor) -> Tensor:
    return vectors - vectors.mean(0)


def _from_simplex(G: Tensor, defined: bool) -> float:
    """How far a Gram matrix is from that of a simplex, both at Frobenius length 1."""
    K, size = len(G), G.norm()
    if not defined or not bool(size > 0):
        return Missing("all vectors are equal")
    simplex = (torch.eye(K).to(G) - 1 / K) / (K - 1) ** 0.5
    return float((G / size - simplex).norm())
