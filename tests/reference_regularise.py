"""Slow, independent twins of the regularisers: plain loops over lists, written from THEORY 18."""

import math

from reference import dot, softmax


def log_softmax(row):
    top = max(row)
    whole = top + math.log(math.fsum(math.exp(v - top) for v in row))
    return [v - whole for v in row]


def self_taught(logits, y, before, a):
    """18.1: `before` has of each row a distribution, or None in the first epoch."""
    total = 0.0
    for row, label, q in zip(logits, y, before, strict=True):
        log_p = log_softmax(row)
        for k in range(len(row)):
            onehot = 1.0 if k == label else 0.0
            t = (1 - a) * onehot + a * (onehot if q is None else q[k])
            total -= t * log_p[k]
    return total / len(y)


def early_learning(logits, targets, beta, keys):
    """18.2: the mean and the targets after the move; targets by key, absent ones are 0."""
    moved = dict(targets)
    for key in {*keys}:
        rows = [logits[i] for i in range(len(keys)) if keys[i] == key]
        fresh = [0.0] * len(rows[0])
        for row in rows:
            q = [min(max(p, 1e-4), 1 - 1e-4) for p in softmax(row)]
            fresh = [f + v / math.fsum(q) / len(rows) for f, v in zip(fresh, q)]
        old = targets.get(key, [0.0] * len(fresh))
        moved[key] = [beta * t + (1 - beta) * f for t, f in zip(old, fresh)]
    total = 0.0
    for row, key in zip(logits, keys, strict=True):
        q = [min(max(p, 1e-4), 1 - 1e-4) for p in softmax(row)]
        total += math.log(1 - dot(q, moved[key]))
    return total / len(keys), moved


def uneven_spectrum(rows):
    """18.3, by one-sided Jacobi rotations of the columns of U: what remains are singular values."""
    unit = [[v / math.sqrt(dot(row, row)) for v in row] for row in rows]
    columns = [list(column) for column in zip(*unit)]
    for _ in range(60):
        for i in range(len(columns)):
            for j in range(i + 1, len(columns)):
                a, b = columns[i], columns[j]
                angle = 0.5 * math.atan2(2 * dot(a, b), dot(a, a) - dot(b, b))
                c, s = math.cos(angle), math.sin(angle)
                columns[i] = [c * x + s * y for x, y in zip(a, b)]
                columns[j] = [c * y - s * x for x, y in zip(a, b)]
    nuclear = math.fsum(math.sqrt(dot(c, c)) for c in columns)
    return 1 - nuclear / math.sqrt(len(unit) * min(len(unit), len(unit[0])))


def nested(h, y, weight, bias, k):
    """18.4: cross-entropy of a head that is given the first k features."""
    losses = []
    for row, label in zip(h, y, strict=True):
        logits = [dot(row[:k], w[:k]) + b for w, b in zip(weight, bias, strict=True)]
        losses.append(-log_softmax(logits)[label])
    return math.fsum(losses) / len(losses)


def orthogonality(kernel, stride):
    """18.5: every place of the correlation of the kernel with itself, padded by zeros."""
    out, into, side = len(kernel), len(kernel[0]), len(kernel[0][0])
    reach = (side - 1) // stride

    def at(m, c, i, j):
        inside = 0 <= i < side and 0 <= j < side
        return kernel[m][c][i][j] if inside else 0.0

    total = 0.0
    for m in range(out):
        for n in range(out):
            for down in range(-reach, reach + 1):
                for right in range(-reach, reach + 1):
                    a = math.fsum(
                        at(m, c, i + down * stride, j + right * stride) * kernel[n][c][i][j]
                        for c in range(into)
                        for i in range(side)
                        for j in range(side)
                    )
                    total += (a - (m == n and down == 0 == right)) ** 2
    return total - max(0, out - stride**2 * into)


def mixup(logits, y, partner, share, eta, balance):
    """18.6: with eta 0 plain mixup."""
    losses = []
    for row, a, b, s in zip(logits, y, partner, share, strict=True):
        log_p = log_softmax(row)
        loss = -s * log_p[a] - (1 - s) * log_p[b]
        if a != b:
            rest = [math.exp(v) for c, v in enumerate(row) if c not in (a, b)]
            d_a, d_b = (
                -math.log(math.exp(row[c]) / (math.exp(row[c]) + math.fsum(rest))) for c in (a, b)
            )
            loss += eta * (s * d_a + (1 - s) * d_b if balance == "lambda" else d_a + d_b)
        losses.append(loss)
    return math.fsum(losses) / len(losses)


def by_deviation(row):
    """18.7: divided by the unbiased deviation over the classes."""
    mean = math.fsum(row) / len(row)
    square = math.fsum((v - mean) ** 2 for v in row) / (len(row) - 1)
    return [v / max(math.sqrt(square), 1e-4) for v in row]


def mixed_distillation(past, now):
    """18.7: mean KL(p* || p) of rows that are divided by their deviations."""
    total = 0.0
    for before, after in zip(past, now, strict=True):
        log_q, log_p = log_softmax(by_deviation(before)), log_softmax(by_deviation(after))
        total += math.fsum(math.exp(a) * (a - b) for a, b in zip(log_q, log_p))
    return total / len(now)


def information(logits, y, centre):
    """18.8: mean_i KL(p_i || c_{y_i})."""
    total = 0.0
    for row, label in zip(logits, y, strict=True):
        for log_p, c in zip(log_softmax(row), centre[label], strict=True):
            total += math.exp(log_p) * (log_p - math.log(c))
    return total / len(y)


def entropy(p):
    return -math.fsum(v * math.log(v) for v in p)
