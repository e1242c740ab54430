"""The statistics of comparisons again, slowly: every pattern, every cell, in plain Python."""

import itertools
import math


def sign_flip(differences):
    """Count the patterns of signs whose sum is as large."""
    seen = abs(math.fsum(differences))
    sums = [
        abs(math.fsum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return sum(total >= seen - 1e-9 for total in sums) / len(sums)


def holm(p):
    """Of each test, the least level at which stepping down through the family rejects it."""
    levels = sorted({min(1.0, k * value) for value in p for k in range(1, len(p) + 1)} | {1.0})
    return [next(a for a in levels if i in _rejected(p, a)) for i in range(len(p))]


def _rejected(p, level):
    """Holm's procedure as it is stated: from the smallest p on, until one is above level / left."""
    output, left = set(), len(p)
    for value, i in sorted((value, i) for i, value in enumerate(p)):
        if value > level / left + 1e-15 and level < 1.0:
            break
        output.add(i)
        left -= 1
    return output


def mean_squares(table):
    """Seeds, orders and the rest, cell by cell."""
    seeds, orders = range(len(table)), range(len(table[0]))
    m = sum(map(sum, table)) / (len(seeds) * len(orders))
    row = [sum(line) / len(orders) for line in table]
    column = [sum(line[o] for line in table) / len(seeds) for o in orders]
    rest = sum((table[s][o] - row[s] - column[o] + m) ** 2 for s in seeds for o in orders)
    of_seeds = sum((row[s] - m) ** 2 for s in seeds for _ in orders)
    of_orders = sum((column[o] - m) ** 2 for _ in seeds for o in orders)
    free = (len(seeds) - 1) * (len(orders) - 1)
    return of_seeds / (len(seeds) - 1), of_orders / (len(orders) - 1), rest / free


def friedman_chi2(scores):
    """From ranks that are counted pair by pair; ties share."""
    N, k = len(scores), len(scores[0])
    rank = [
        [1 + sum(b > a for b in row) + (sum(b == a for b in row) - 1) / 2 for a in row]
        for row in scores
    ]
    total = [sum(line[j] for line in rank) for j in range(k)]
    return 12 / (N * k * (k + 1)) * sum(t * t for t in total) - 3 * N * (k + 1)


def forgetting(R, weights, variant):
    """Task by task."""
    last, parts = len(R) - 1, []
    for j in range(last):
        rows = {"first": [j], "max_before": range(j, last), "max_all": range(j, last + 1)}[variant]
        parts.append(max(R[i][j] for i in rows) - R[last][j])
    return sum(w * f for w, f in zip(weights, parts)) / sum(weights[:last])


def average(R, weights):
    """After each task over what was seen, and then over the tasks."""
    seen = []
    for i, row in enumerate(R):
        pairs = list(zip(weights[: i + 1], row))
        seen.append(sum(w * v for w, v in pairs) / sum(w for w, _ in pairs))
    return sum(seen) / len(seen)


def average_by_classes(R, weights, tasks):
    """After each task over what was seen, each step counted once for every class it brought."""
    steps, seen = [], set()
    for i, row in enumerate(R):
        value = sum(w * v for w, v in zip(weights, row)) / sum(weights[: i + 1])
        steps += [value for _ in set(tasks[i]) - seen]
        seen |= set(tasks[i])
    return sum(steps) / len(steps)


def forgetting_of_recurring(R, weights, variant, tasks):
    """A task counts from the last time that one of its classes came; what came last is not forgotten."""
    last, parts = len(R) - 1, []
    for j, classes in enumerate(tasks):
        again = max(i for i in range(len(tasks)) if set(tasks[i]) & set(classes))
        if again == last:
            continue
        rows = {"first": [again], "max_before": range(again, last)}
        rows = rows.get(variant, range(again, last + 1))
        parts.append((weights[j], max(R[i][j] for i in rows) - R[last][j]))
    return sum(w * f for w, f in parts) / sum(w for w, _ in parts)


def balanced_variances(table):
    """Of y[stream][block][method]: variances of stream, block and rest from sums of squares.

    Where none comes out below 0 these are the restricted likelihood's.
    """
    S, B, k = len(table), len(table[0]), len(table[0][0])
    m = sum(y for one in table for row in one for y in row) / (S * B * k)
    of_stream = [sum(map(sum, one)) / (B * k) for one in table]
    of_block = [[sum(row) / k for row in one] for one in table]
    of_method = [
        sum(table[s][b][j] for s in range(S) for b in range(B)) / (S * B) for j in range(k)
    ]
    streams = B * k * sum((v - m) ** 2 for v in of_stream) / (S - 1)
    blocks = sum(k * (of_block[s][b] - of_stream[s]) ** 2 for s in range(S) for b in range(B))
    blocks /= S * (B - 1)
    rest = sum(
        (table[s][b][j] - of_block[s][b] - of_method[j] + m) ** 2
        for s in range(S)
        for b in range(B)
        for j in range(k)
    ) / ((S * B - 1) * (k - 1))
    return (streams - blocks) / (B * k), (blocks - rest) / k, rest


def restricted_likelihood(y, X, streams, blocks, variances):
    """-2 log of the restricted likelihood, with the whole covariance matrix written out."""
    import numpy as np

    of_stream, of_block, rest = variances
    n = len(y)
    V = np.array(
        [
            [
                of_stream * (streams[i] == streams[j])
                + of_block * (streams[i] == streams[j] and blocks[i] == blocks[j])
                + rest * (i == j)
                for j in range(n)
            ]
            for i in range(n)
        ]
    )
    inverse = np.linalg.inv(V)
    A = X.T @ inverse @ X
    r = y - X @ np.linalg.solve(A, X.T @ inverse @ y)
    return np.linalg.slogdet(V)[1] + np.linalg.slogdet(A)[1] + r @ inverse @ r
