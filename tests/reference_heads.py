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


def leading(matrix, count, rounds=3000):
    """Eigenvalues and orthonormal eigenvectors, the largest first, by powers with deflation."""
    f, pairs = len(matrix), []
    for number in range(count):
        v = unit([1.0 / (i + 1 + number) for i in range(f)])
        for _ in range(rounds):
            old = v
            for _, u in pairs:
                along = dot(v, u)
                v = [a - along * b for a, b in zip(v, u)]
            v = [dot(row, v) for row in matrix]
            if dot(v, v) < 1e-24:
                return pairs
            v = unit(v)
            if dot(old, v) > 1 - 1e-14:
                break
        pairs.append((dot(v, [dot(row, v) for row in matrix]), v))
    return pairs


def unit(v):
    length = math.sqrt(dot(v, v))
    return [a / length for a in v]


def outer_sum(rows):
    f = len(rows[0])
    return [[sum(r[i] * r[j] for r in rows) for j in range(f)] for i in range(f)]


def mean_of(rows):
    return [sum(column) / len(rows) for column in zip(*rows)]


def minus(a, b):
    return [p - q for p, q in zip(a, b)]


def subspace_scores(x, y, test, dimensions, centre):
    """Cosine of the angle of each test row to the plane of each class, about the mean of all rows or 0."""
    middle = mean_of(x) if centre else [0.0] * len(x[0])
    frames = []
    for k in range(max(y) + 1):
        rows = [minus(row, middle) for row, c in zip(x, y) if c == k]
        frames.append([v for _, v in leading(outer_sum(rows), dimensions)])
    scores = []
    for row in test:
        away = minus(row, middle)
        length = math.sqrt(dot(away, away))
        scores.append(
            [math.sqrt(sum(dot(away, v) ** 2 for v in frame)) / length for frame in frames]
        )
    return scores


def plane_residual(rows, row, share):
    """(||(I - UU^T)(row - mean)||^2, tail variance) of the fewest directions that hold a share."""
    mean = mean_of(rows)
    away = [minus(r, mean) for r in rows]
    matrix = [[v / (len(rows) - 1) for v in line] for line in outer_sum(away)]
    total = sum(matrix[i][i] for i in range(len(mean)))
    kept, held = [], 0.0
    for value, vector in leading(matrix, len(mean)):
        kept.append(vector)
        held += value
        if held >= share * total:
            break
    gap = minus(row, mean)
    return dot(gap, gap) - sum(dot(gap, v) ** 2 for v in kept), total - held


def transduced(scores, features, strength, neighbours, rounds):
    """y after rounds of y_i = softmax(s_i + strength sum_j w_ij y_j), W symmetric, its degrees added."""
    n = len(scores)
    rows = [unit(f) for f in features]
    near = []
    for i in range(n):
        others = sorted((j for j in range(n) if j != i), key=lambda j: -dot(rows[i], rows[j]))
        near.append(set(others[: neighbours - 1]))
    graph = [[((j in near[i]) + (i in near[j])) / 2 for j in range(n)] for i in range(n)]
    for i in range(n):
        graph[i][i] = sum(graph[i])
    y = [softmax(s) for s in scores]
    for _ in range(rounds):
        pulled = [
            [sum(graph[i][j] * y[j][k] for j in range(n)) for k in range(len(scores[0]))]
            for i in range(n)
        ]
        y = [softmax([a + strength * b for a, b in zip(s, p)]) for s, p in zip(scores, pulled)]
    return y


def normalised_step(x, y, classes, weight, rate):
    """One step of `separate` from (K, f + 1) weights, every row alike."""
    rows = [[*row, 1.0] for row in x]
    n = len(rows)
    eta = rate / (sum(dot(r, r) for r in rows) / n)
    p = [softmax([dot(w, r) for w in weight]) for r in rows]
    wrong = sum(1 - p[i][y[i]] for i in range(n)) / n
    return [
        [
            w + eta * sum(((y[i] == k) - p[i][k]) * rows[i][j] for i in range(n)) / n / wrong
            for j, w in enumerate(weight[k])
        ]
        for k in range(classes)
    ]
