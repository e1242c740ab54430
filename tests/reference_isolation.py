"""Slow, independent twins of masks, merging, minor components, ghosts and the choice of a state."""

import math

import torch


def erk(shapes, density):
    """THEORY 15.2: eps by bisection, each layer's share cut at 1."""
    size = {name: math.prod(shape) for name, shape in shapes.items()}
    share = lambda eps, name: min(1.0, eps * sum(shapes[name]) / size[name])
    low, high = 0.0, float(sum(size.values()))
    for _ in range(200):
        middle = (low + high) / 2
        total = sum(share(middle, name) * size[name] for name in shapes)
        low, high = (middle, high) if total < density * sum(size.values()) else (low, middle)
    return {name: share(low, name) for name in shapes}


def ties(moves, keep):
    """THEORY 15.7, number by number."""
    cut = []
    for move in moves:
        count = math.ceil(keep * len(move))
        order = sorted(range(len(move)), key=lambda i: -abs(move[i]))
        cut.append([move[i] if i in order[:count] else 0.0 for i in range(len(move))])
    sums = [sum(move[i] for move in cut) for i in range(len(moves[0]))]
    signs = [(s > 0) - (s < 0) for s in sums]
    usual = 1 if sum(signs) >= 0 else -1
    output = []
    for i, sign in enumerate(signs):
        sign = sign or usual
        agree = [move[i] for move in cut if move[i] * sign > 0]
        output.append(sum(agree) / len(agree) if agree else 0.0)
    return output


def by_state(answers, classes, count, g):
    """One row: of each state's logits among its classes, g a_t + l_k - max l, a_t = -log(H / log K)."""
    total = [-math.inf] * count
    for logits, mine in zip(answers, classes, strict=True):
        values = [logits[k] for k in mine]
        top = max(values)
        z = sum(math.exp(v - top) for v in values)
        p = [math.exp(v - top) / z for v in values]
        entropy = -sum(q * math.log(q) for q in p if q > 0)
        share = entropy / math.log(len(mine)) if len(mine) > 1 else 1.0
        for k, v in zip(mine, values, strict=True):
            total[k] = max(total[k], -g * math.log(max(share, 1e-6)) + v - top)
    return total


def batch_norm(rows, eps, weight, bias):
    """(N, C) rows by their own biased mean and variance."""
    output = [[0.0] * len(rows[0]) for _ in rows]
    for c in range(len(rows[0])):
        column = [row[c] for row in rows]
        mean = sum(column) / len(column)
        variance = sum((v - mean) ** 2 for v in column) / len(column)
        for i, v in enumerate(column):
            output[i][c] = (v - mean) / math.sqrt(variance + eps) * weight[c] + bias[c]
    return output


def residual(x, rows, share):
    """THEORY 17.6 by the eigenvectors of the covariance of float64 rows."""
    rows = rows.double()
    mean = rows.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov(rows.T))
    order = values.argsort(descending=True)
    values, vectors = values[order], vectors[:, order]
    count, covered = 0, 0.0
    while covered < share * float(values.sum()):
        covered += float(values[count])
        count += 1
    u = vectors[:, :count]
    rest = (x.double() - mean) @ (torch.eye(len(u), dtype=torch.float64) - u @ u.T)
    return rest.square().sum(1) / max(float(values[count:].sum()), 1e-6)
