"""Slow, independent twins of the formulas of exemplar-free methods: plain loops, from THEORY 17 and 18."""

import math

from reference import dot, softmax


def feature_matrix(logits, weight):
    """THEORY 17.14: mean over rows of W^T (diag p - p p^T) W."""
    f, total = len(weight[0]), None
    total = [[0.0] * f for _ in range(f)]
    for row in logits:
        p = softmax(row)
        for a in range(f):
            for b in range(f):
                first = math.fsum(p[k] * weight[k][a] * weight[k][b] for k in range(len(p)))
                ma = math.fsum(p[k] * weight[k][a] for k in range(len(p)))
                mb = math.fsum(p[k] * weight[k][b] for k in range(len(p)))
                total[a][b] += (first - ma * mb) / len(logits)
    return total


def fisher_distillation(now, past, matrix, strength, eta):
    """mean_i d_i (strength E + eta I) d_i^T."""
    values = []
    for h, old in zip(now, past, strict=True):
        d = [a - b for a, b in zip(h, old, strict=True)]
        values.append(strength * dot(d, [dot(row, d) for row in matrix]) + eta * dot(d, d))
    return math.fsum(values) / len(values)


def covariance(h):
    n, f = len(h), len(h[0])
    mean = [math.fsum(row[j] for row in h) / n for j in range(f)]
    return [
        [math.fsum((r[a] - mean[a]) * (r[b] - mean[b]) for r in h) / (n - 1) for b in range(f)]
        for a in range(f)
    ]


def cholesky(a):
    """The lower factor, entry by entry."""
    n = len(a)
    root = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            rest = a[i][j] - math.fsum(root[i][k] * root[j][k] for k in range(j))
            root[i][j] = math.sqrt(rest) if i == j else rest / root[j][j]
    return root


def anti_collapse(h, beta, jitter):
    """THEORY 17.13: -mean_j min(chol(cov + jitter I)_jj, beta)."""
    matrix = covariance(h)
    for j in range(len(matrix)):
        matrix[j][j] += jitter
    root = cholesky(matrix)
    return -math.fsum(min(root[j][j], beta) for j in range(len(root))) / len(root)


def rate(z, epsilon):
    """1/2 logdet(I + d/(N e) Z^T Z), by the factor's diagonal."""
    n, d = len(z), len(z[0])
    matrix = [
        [(a == b) + d / (n * epsilon) * math.fsum(r[a] * r[b] for r in z) for b in range(d)]
        for a in range(d)
    ]
    root = cholesky(matrix)
    return math.fsum(math.log(root[j][j]) for j in range(d))


def coding_rate(z, y, epsilon):
    """THEORY 18.9."""
    total = rate(z, epsilon)
    for c in set(y or []):
        rows = [row for row, label in zip(z, y, strict=True) if label == c]
        total -= len(rows) / len(z) * rate(rows, epsilon)
    return total


def gelu(x):
    return 0.5 * x * (1 + math.erf(x / math.sqrt(2)))


def feature_map(x, centre, scale, weight, bias, inner=None, inner_bias=None, outer=None):
    """x + r (W z + b + U gelu(V z + v) / sqrt(hidden)), z = (x - c) / r of length at most 3."""
    z = [(a - c) / scale for a, c in zip(x, centre, strict=True)]
    length = math.sqrt(dot(z, z))
    z = [a * min(1.0, 3.0 / length) for a in z] if length else z
    move = [dot(row, z) + b for row, b in zip(weight, bias, strict=True)]
    if inner is not None:
        units = [gelu(dot(row, z) + v) for row, v in zip(inner, inner_bias, strict=True)]
        move = [m + dot(row, units) / math.sqrt(len(units)) for m, row in zip(move, outer)]
    return [a + scale * m for a, m in zip(x, move, strict=True)]


def apart(a, b, spread):
    """mean_i |a_i - b_i|^2 / spread."""
    gaps = [math.fsum((p - q) ** 2 for p, q in zip(r, s, strict=True)) for r, s in zip(a, b)]
    return math.fsum(gaps) / len(gaps) / spread


def cosines_apart(a, b, rows=128):
    """Mean over all pairs of the first rows of (cos(a_i, a_j) - cos(b_i, b_j))^2."""
    a, b = a[:rows], b[:rows]

    def cosine(x, y):
        return dot(x, y) / math.sqrt(dot(x, x) * dot(y, y))

    gaps = [
        (cosine(a[i], a[j]) - cosine(b[i], b[j])) ** 2 for i in range(len(a)) for j in range(len(a))
    ]
    return math.fsum(gaps) / len(gaps)


def cycle_distillation(now, past, there, back, cycle, pairs, spread):
    """THEORY 17.15, each of its six parts as it is written."""
    forth, undone = [there(x) for x in past], [back(x) for x in now]
    ways = apart(undone, past, spread) + apart(forth, now, spread)
    around = apart([there(x) for x in undone], now, spread)
    around += apart([back(x) for x in forth], past, spread)
    alike = cosines_apart(forth, now) + cosines_apart(undone, past)
    return ways + cycle * around + pairs * alike


def left_within_classes(now, mapped, y, unseen):
    """THEORY 9: covariance within classes of what a map leaves, as large as on rows it did not see."""
    left = [[a - b for a, b in zip(r, m, strict=True)] for r, m in zip(now, mapped, strict=True)]
    total = math.fsum(dot(e, e) for e in left) / len(left)
    f, classes = len(left[0]), sorted(set(y))
    out = [[0.0] * f for _ in range(f)]
    for k in classes:
        mine = [e for e, label in zip(left, y, strict=True) if label == k]
        mean = [math.fsum(e[j] for e in mine) / len(mine) for j in range(f)]
        for e in mine:
            for a in range(f):
                for b in range(f):
                    out[a][b] += (e[a] - mean[a]) * (e[b] - mean[b])
    times = max(unseen / total, 1.0) / (len(left) - len(classes))
    return [[times * v for v in row] for row in out]
