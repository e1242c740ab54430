"""Slow twins of drift maps and readouts: written row by row from the formulas (THEORY 9 and 17)."""

import math

import torch


def rows_about(x):
    return x - sum(x) / len(x)


def sylvester_map(x, moved, strength):
    """B with G B + s mean(l) B S / mean(q) = X^T D, as one linear system of f^2 unknowns (17.15)."""
    f = x.shape[1]
    past, d, new = rows_about(x), rows_about(moved), rows_about(x + moved)
    gram, spread = past.T @ past, new.T @ new
    spread = spread / (spread.trace() / f)
    back = strength * gram.trace() / f
    eye = torch.eye(f, dtype=x.dtype)
    system = torch.kron(gram, eye) + back * torch.kron(eye, spread.T.contiguous())
    return torch.linalg.solve(system, (past.T @ d).flatten()).view(f, f)


def blended(x, moved_by, n, temp):
    """Each point with 1 - exp(-n / (temp f)) of its movement (17.12)."""
    keep = 1 - math.exp(-n / (temp * x.shape[1]))
    return torch.stack([row + keep * (moved_by(row[None])[0] - row) for row in x])


def row_space(rows, energy):
    """The projector on the leading right vectors of uncentred rows (17.11)."""
    _, s, v = torch.linalg.svd(rows, full_matrices=False)
    total, kept, projector = float((s**2).sum()), 0.0, torch.zeros(rows.shape[1], rows.shape[1]).double()
    for value, vector in zip(s.tolist(), v):
        if kept >= energy * total or value**2 <= rows.shape[1] * 2.3e-16 * float(s[0]) ** 2:
            break
        kept += value**2
        projector = projector + torch.outer(vector, vector)
    return projector


def bent_point(x, centre, size, weights):
    """gelu((x - c) / size U + c) V + d of one point, unit by unit."""
    u, c, v, d = weights
    out = d.clone()
    for h in range(u.shape[1]):
        inner = float(sum((x[i] - centre[i]) / size * u[i, h] for i in range(len(x))) + c[h])
        out = out + inner * 0.5 * (1 + math.erf(inner / math.sqrt(2))) * v[h]
    return out


def left_by_other_classes(past, now, y, fit):
    """The share of movement left where each of up to 5 groups of classes is left out in turn."""
    classes = sorted(set(y.tolist()))
    left = total = 0.0
    for group in range(min(5, len(classes))):
        gone = {k for place, k in enumerate(classes) if place % 5 == group}
        out = [i for i, k in enumerate(y.tolist()) if k in gone]
        rest = [i for i, k in enumerate(y.tolist()) if k not in gone]
        drift = fit(past[rest], now[rest])
        for i in out:
            left += float(((now[i] - drift(past[i : i + 1])[0]) ** 2).sum())
            total += float(((now[i] - past[i]) ** 2).sum())
    return left / total
