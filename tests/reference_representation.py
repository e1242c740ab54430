"""Figures of a representation again, slowly: dense matrices, loops over rows, pairs and classes."""

import math

import numpy as np


def by_class(x, y):
    """The rows of each class, in order of its number."""
    x, y = np.asarray(x, float), np.asarray(y)
    return [x[y == c] for c in sorted(set(y.tolist()))]


def within_and_between(x, y):
    """S_W and S_B as matrices."""
    groups = by_class(x, y)
    means = [g.mean(0) for g in groups]
    m = sum(means) / len(means)
    S_W = sum(np.outer(r - M, r - M) for g, M in zip(groups, means) for r in g) / len(x)
    S_B = sum(np.outer(M - m, M - m) for M in means) / len(means)
    return S_W, S_B, len(means)


def nc1(x, y):
    """tr(S_W S_B^+) / K by numpy's pseudo-inverse."""
    S_W, S_B, K = within_and_between(x, y)
    return np.trace(S_W @ np.linalg.pinv(S_B, rcond=1e-10, hermitian=True)) / K


def quotient(x, y):
    """tr S_W / tr S_B."""
    S_W, S_B, _ = within_and_between(x, y)
    return np.trace(S_W) / np.trace(S_B)


def spreads(groups):
    """v_c of each class."""
    return [np.mean([np.sum((r - g.mean(0)) ** 2) for r in g]) for g in groups]


def cdnv(x, y):
    """Over ordered pairs."""
    groups = by_class(x, y)
    v, values = spreads(groups), []
    for a in range(len(groups)):
        for b in range(len(groups)):
            if a != b:
                apart = np.sum((groups[a].mean(0) - groups[b].mean(0)) ** 2)
                values.append((v[a] + v[b]) / (2 * apart))
    return np.mean(values)


def nc2(vectors, others=None, centred=True):
    """The distance from the simplex, entry by entry; with others, that of duality (NC3)."""
    a = np.asarray(vectors, float)
    b = a if others is None else np.asarray(others, float)
    if centred:
        a, b = a - a.mean(0), b - b.mean(0)
    K = len(a)
    G = [[float(np.dot(p, q)) for q in b] for p in a]
    size = math.sqrt(sum(g * g for row in G for g in row))
    total = 0.0
    for i in range(K):
        for j in range(K):
            ideal = ((i == j) - 1 / K) / math.sqrt(K - 1)
            total += (G[i][j] / size - ideal) ** 2
    return math.sqrt(total)


def separation(x, y, first, second):
    """All pairs, in a list."""
    x, y, values = np.asarray(x, float), np.asarray(y), []
    for c in first:
        for d in second:
            if c != d:
                a, b = x[y == c], x[y == d]
                v = spreads([a, b])
                values.append(np.linalg.norm(a.mean(0) - b.mean(0)) / math.sqrt(sum(v) / 2))
    return min(values), float(np.median(values))


def nearer(x, y, rows_of, others, centres=None, pairwise=False):
    """For each row of some classes, whether (or how often) another centre is nearer than its own."""
    x, y, values = np.asarray(x, float), np.asarray(y), []
    for i in range(len(x)):
        if y[i] not in rows_of:
            continue
        if centres is None:
            rest = [j for j in range(len(x)) if y[j] == y[i] and j != i]
            home = x[rest].mean(0)
        else:
            home = np.asarray(centres[y[i]], float)
        mine, beaten = np.linalg.norm(x[i] - home), []
        for c in others:
            if c != y[i]:
                away = x[y == c].mean(0) if centres is None else np.asarray(centres[c], float)
                beaten.append(np.linalg.norm(x[i] - away) < mine)
        values.append(np.mean(beaten) if pairwise else float(any(beaten)))
    return values


def silhouette(x, y):
    """Row by row."""
    x, y, values = np.asarray(x, float), np.asarray(y), []
    for i in range(len(x)):
        far = {}
        for c in set(y.tolist()):
            rest = [j for j in range(len(x)) if y[j] == c and j != i]
            far[c] = np.mean([np.linalg.norm(x[i] - x[j]) for j in rest])
        a, b = far[y[i]], min(value for c, value in far.items() if c != y[i])
        values.append((b - a) / max(a, b))
    return np.mean(values)


def hsic_unbiased(x, y):
    """By Gram matrices with a diagonal of 0, in loops over rows."""
    n = len(x)
    K, L = x @ x.T, y @ y.T
    K, L = K - np.diag(np.diag(K)), L - np.diag(np.diag(L))
    one = np.ones(n)
    trace = sum(K[i] @ L[:, i] for i in range(n))
    middle = (one @ K @ one) * (one @ L @ one) / ((n - 1) * (n - 2))
    return (trace + middle - 2 / (n - 2) * (one @ K @ L @ one)) / (n * (n - 3))


def cka_unbiased(x, y):
    """From `hsic_unbiased`, of rows that are not centred."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    return hsic_unbiased(x, y) / math.sqrt(hsic_unbiased(x, x) * hsic_unbiased(y, y))


def cka_plain(x, y):
    """By centred Gram matrices."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    H = np.eye(len(x)) - 1 / len(x)
    K, L = H @ x @ x.T @ H, H @ y @ y.T @ H
    return np.sum(K * L) / math.sqrt(np.sum(K * K) * np.sum(L * L))


def canonical_correlations(x, y):
    """Singular values of S_x^-1/2 S_xy S_y^-1/2, by eigenvectors."""
    x, y = (np.asarray(a, float) - np.mean(a, 0) for a in (x, y))

    def root(S):
        values, vectors = np.linalg.eigh(S)
        return vectors @ np.diag(values**-0.5) @ vectors.T

    return np.linalg.svd(root(x.T @ x) @ (x.T @ y) @ root(y.T @ y), compute_uv=False)


def procrustes_distance(x, y):
    """d^2 by carrying out the best rotation."""
    x, y = (np.asarray(a, float) - np.mean(a, 0) for a in (x, y))
    x, y = x / np.linalg.norm(x), y / np.linalg.norm(y)
    u, _, v = np.linalg.svd(x.T @ y)
    return np.linalg.norm(x @ u @ v - y) ** 2


def two_nn(x, cut):
    """Slope through 0 and likelihood, by full sorting."""
    x = np.unique(np.asarray(x, float), axis=0)
    n, logs = len(x), []
    for i in range(n):
        near = sorted(np.linalg.norm(x[i] - x[j]) for j in range(n) if j != i)
        logs.append(math.log(near[1] / near[0]))
    logs.sort()
    kept = int(n * (1 - cut))
    heights = [-math.log(1 - (i + 1) / n) for i in range(kept)]
    slope = sum(h * v for h, v in zip(heights, logs)) / sum(v * v for v in logs[:kept])
    return slope, (n - 1) / sum(logs)


def spearman(a, b):
    """Mean ranks by counting."""

    def ranks(values):
        return [sum(w < v for w in values) + (sum(w == v for w in values) - 1) / 2 for v in values]

    return np.corrcoef(ranks(a), ranks(b))[0, 1]


def cosine_distances(x):
    """Pair by pair."""
    x = np.asarray(x, float)
    return [
        1 - np.dot(x[i], x[j]) / np.linalg.norm(x[i]) / np.linalg.norm(x[j])
        for i in range(len(x))
        for j in range(i + 1, len(x))
    ]


def grid(x, features):
    """Means over cells, one by one: cell i of g over H places is floor(iH/g) to ceil((i+1)H/g)."""
    rows = [[sum(cell) / len(cell) for cell in cells] for cells in cells_of(x, features)]
    return np.array(rows, np.float32)


def moments(x, features):
    """Means of cells, then their deviations, unless each cell is one place."""
    rows, every = [], cells_of(x, features)
    single = all(len(cell) == 1 for cells in every for cell in cells)
    for cells in every:
        means = [sum(cell) / len(cell) for cell in cells]
        squares = [sum((v - m) ** 2 for v in c) / len(c) for c, m in zip(cells, means)]
        rows.append(means + [math.sqrt(s) for s in squares] * (not single))
    return np.array(rows, np.float32)


def cells_of(x, features):
    """Of each image, the values of all cells of all channels."""
    channels, *sides = x.shape[1:]
    wanted = min(3, max(1, round(math.sqrt(features / channels))))
    tops, lefts = (
        [(i * h // g, -((-(i + 1) * h) // g)) for i in range(g)]
        for h, g in ((h, min(wanted, h)) for h in sides)
    )
    return [
        [
            [float(v) for line in channel[top:bottom] for v in line[left:right]]
            for channel in image
            for top, bottom in tops
            for left, right in lefts
        ]
        for image in x
    ]
