"""Slow twins of subspaces and edited gradients: plain loops over lists, or the published steps."""

import cmath
import math

import torch


def dot(a, b):
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def published_gpm(tasks, eps, strict):
    """THEORY 14.1: the bases after each task, from matrices A (in, n), by the published steps.

    ``strict`` is the published count; otherwise one direction more while the share is not reached.
    """
    M, bases = None, []
    for A in tasks:
        total = float((A * A).sum())
        left = A if M is None else A - M @ (M.T @ A)
        covered = total - float((left * left).sum())
        U, s, _ = torch.linalg.svd(left, full_matrices=False)
        r, share = 0, covered / total
        for value in s.tolist():
            following = share + value**2 / total
            if (following if strict else share) >= eps or value**2 < 1e-13 * total:
                break
            r, share = r + 1, following
        M = U[:, :r] if M is None else torch.cat([M, U[:, :r]], 1)
        M = M[:, : len(A)]
        bases.append(M)
    return bases


def owm_steps(rows, alpha, size):
    """THEORY 14.2: one rank-one step a row."""
    P = [[float(i == j) for j in range(size)] for i in range(size)]
    for r in rows:
        k = [dot(P[i], r) for i in range(size)]
        below = alpha + dot(r, k)
        P = [[P[i][j] - k[i] * k[j] / below for j in range(size)] for i in range(size)]
    return P


def off(a, b):
    """THEORY 14.6."""
    c = dot(a, b) / max(dot(b, b), 1e-10)
    return [x - c * y for x, y in zip(a, b, strict=True)]


def orthogonal(task, anchor, keep, when, add):
    """The sum of the two gradients, each against the other as it was."""
    conflict = when == "always" or dot(task, anchor) < 0
    first = off(task, anchor) if conflict and keep != "task" else task
    second = off(anchor, task) if conflict and keep != "anchor" else anchor
    return [x + add * y for x, y in zip(first, second, strict=True)]


def passing(a, b):
    """THEORY 15.1, one number."""
    sign = (a > 0) - (a < 0)
    return 0.5 * (1 + sign * (a + b) / (abs(a) + abs(b) + 1e-300)) if a * b < 0 else 1.0


def across(w, g):
    """THEORY 14.7, one tensor as a list."""
    c = dot(w, g) / (dot(w, w) + 1e-30)
    left = [y - c * x for x, y in zip(w, g, strict=True)]
    length, before = math.sqrt(dot(left, left)), math.sqrt(dot(g, g))
    return g if length < 1e-6 * before else [x * before / length for x in left]


def stablemax(x):
    """THEORY 14.7: the probabilities of one row."""
    s = [v + 1 if v >= 0 else 1 / (1 - v) for v in x]
    return [v / math.fsum(s) for v in s]


def hartley(x):
    """By the sum."""
    n = len(x)
    turn = [[cmath.exp(2j * math.pi * i * j / n) for j in range(n)] for i in range(n)]
    return [math.fsum((t.real + t.imag) * v for t, v in zip(row, x)) / math.sqrt(n) for row in turn]
