"""Few streams: a mixed model with random intercepts of stream and block, by restricted likelihood."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import optimize, stats

from holdfast.compare.paired import holm
from holdfast.core.errors import ConfigError

FEWEST = 3  # streams
STARTS = ((1.0, 1.0), (0.0, 1.0), (1.0, 0.0), (0.2, 0.2))  # roots of the ratios of variances


@dataclass(frozen=True)
class Row:
    """One run: the figure of a method on a stream in a block, which belongs to the stream."""

    stream: Hashable
    block: Hashable
    method: str
    value: float


@dataclass(frozen=True)
class Effect:
    """The contrast of a method to the reference, with its standard error; p is Holm's over all of them."""

    method: str
    mean: float
    se: float
    p_holm: float


@dataclass(frozen=True)
class Mixed:
    """What the model says.

    Attributes:
        reference: the method with which all are compared.
        effects: a contrast each.
        df: degrees of freedom of their t: runs - blocks - (methods - 1).
        stream, block, rest: variances.
        streams: how many.
    """

    reference: str
    effects: tuple[Effect, ...]
    df: int
    stream: float
    block: float
    rest: float
    streams: int

    def half_width(self, effect: Effect, level: float = 0.95) -> float:
        """Half of the t interval of a contrast."""
        return float(stats.t.ppf(0.5 + level / 2, self.df)) * effect.se


def mixed_model(rows: Sequence[Row], reference: str) -> Mixed:
    """Y = method + u_stream + v_block(stream) + e, all of u, v and e normal (docs/theory.md, section 14).

    The ratios of the variances of u and v to that of e maximise the restricted likelihood, from several
    starts; the contrasts to the reference are those of generalised least squares. They are over these
    streams: how methods would differ on others is not in the model.

    Args:
        rows: runs; blocks of different streams are different, whatever their names.
        reference: a method among them.

    Raises:
        ConfigError: for fewer than 3 streams, one method, or too few runs for a variance.
    """
    methods = sorted({row.method for row in rows} - {reference})
    streams = sorted({row.stream for row in rows}, key=str)
    blocks = {(row.stream, row.block) for row in rows}
    df = len(rows) - len(blocks) - len(methods)
    if len(streams) < FEWEST or not methods or df < 1:
        raise ConfigError(
            f"a mixed model needs {FEWEST} streams, 2 methods and blocks that they share, not "
            f"{len(streams)} streams, {len(methods) + 1} methods and {len(blocks)} blocks."
        )
    parts = [
        _part([row for row in rows if row.stream == one], reference, methods) for one in streams
    ]
    best = min((_fitted(parts, start) for start in STARTS), key=lambda fit: fit.fun)
    ratios = tuple(float(root) ** 2 for root in best.x)
    beta, covariance, rest = _solved(parts, *ratios)[:3]
    se = np.sqrt(np.diag(covariance))[1:]
    p = [_p(b, s, df) for b, s in zip(beta[1:], se)]
    effects = tuple(
        Effect(*one) for one in zip(methods, map(float, beta[1:]), map(float, se), holm(p))
    )
    variances = (ratios[0] * rest, ratios[1] * rest, rest)
    return Mixed(reference, effects, df, *variances, streams=len(streams))


Part = tuple[Float[np.ndarray, "n p"], Float[np.ndarray, " n"], Float[np.ndarray, "n n"]]


def _part(rows: Sequence[Row], reference: str, methods: Sequence[str]) -> Part:
    """Of one stream: the design (intercept and methods), the figures, and who shares a block."""
    X = np.array([[1.0, *(float(row.method == name) for name in methods)] for row in rows])
    names = [row.block for row in rows]
    same = np.array([[float(a == b) for b in names] for a in names])
    return X, np.array([row.value for row in rows], float), same


def _solved(
    parts: Sequence[Part], stream: float, block: float
) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, "p p"], float, float]:
    """Coefficients, their covariance, the residual variance, and -2 log restricted likelihood.

    V = I + stream 11' + block ZZ' is block-diagonal by stream.
    """
    p, n = parts[0][0].shape[1], sum(len(y) for _, y, _ in parts)
    A, b, yy, logdet = np.zeros((p, p)), np.zeros(p), 0.0, 0.0
    for X, y, same in parts:
        root = np.linalg.cholesky(np.eye(len(y)) + stream + block * same)
        both = np.linalg.solve(root, np.column_stack([X, y]))
        white, target = both[:, :-1], both[:, -1]
        A, b, yy = A + white.T @ white, b + white.T @ target, yy + float(target @ target)
        logdet += 2 * float(np.log(np.diag(root)).sum())
    beta = np.linalg.solve(A, b)
    scale = yy / max(n, 1)
    rest = max((yy - float(beta @ b)) / (n - p), 1e-18 * scale, 1e-300)
    minus_two = (n - p) * math.log(rest) + logdet + float(np.linalg.slogdet(A)[1])
    return beta, rest * np.linalg.inv(A), rest, minus_two


def _fitted(parts: Sequence[Part], start: tuple[float, float]) -> optimize.OptimizeResult:
    """The best roots of the ratios from a start."""
    loss = lambda roots: _solved(parts, float(roots[0]) ** 2, float(roots[1]) ** 2)[3]
    return optimize.minimize(loss, start, method="L-BFGS-B", bounds=[(0.0, 1e3)] * 2)


def _p(mean: float, se: float, df: int) -> float:
    if not se > 0:
        return 1.0 if not mean else 0.0
    return float(2 * stats.t.sf(abs(mean) / se, df))
