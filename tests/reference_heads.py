"""Slow twins of heads, memories and what is fitted to rows, in plain loops."""

import math


def solve(matrix, right):
    """x with A x = b, by elimination with the largest pivot."""
    rows = [[*row, b] for row, b in zip(matrix, right)]
    n = len(rows)
    for i in range(n):
        pivot = max(range(i, n), key=lambda r: abs(rows[r][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for r in range(n):
            if r != i:
                factor = rows[r][i] / rows[i][i]
                rows[r] = [a - factor * b for a, b in zip(rows[r], rows[i])]
    return [rows[i][n] / rows[i][i] for i in range(n)]


def dot(a, b):
    return sum(p * q for p, q in zip(a, b))


def ridge_leverage(rows, level):
    """a_i (A^T A + level I)^-1 a_i^T of each row."""
    f = len(rows[0])
    gram = [[sum(r[i] * r[j] for r in rows) + level * (i == j) for j in range(f)] for i in range(f)]
    return [dot(row, solve(gram, row)) for row in rows]


def softmax(scores):
    top = max(scores)
    shares = [math.exp(s - top) for s in scores]
    return [s / sum(shares) for s in shares]
