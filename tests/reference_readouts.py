"""Slow twins of drift maps and readouts: written row by row from the formulas (THEORY 9 and 17)."""

import math

import numpy as np
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
    total, kept, projector = (
        float((s**2).sum()),
        0.0,
        torch.zeros(rows.shape[1], rows.shape[1]).double(),
    )
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


def discriminants_with_prior(x, y, test, prior):
    """Scores about the mean of all rows by (scatter + m D) / (n - K + m), m = prior f."""
    x, y, test = (np.asarray(v, float) for v in (x, y, test))
    classes, (n, f) = sorted(set(y.tolist())), x.shape
    means = np.array([x[y == k].mean(0) for k in classes])
    scatter = np.zeros((f, f))
    for row, k in zip(x, y):
        away = row - means[classes.index(k)]
        scatter += np.outer(away, away)
    variances = np.diag(scatter) / (n - len(classes))
    variances = np.maximum(variances, variances.mean() / 1000)
    rows = prior * f
    s = (scatter + rows * np.diag(variances)) / (n - len(classes) + rows)
    centre = x.mean(0)
    scores = []
    for row in test - centre:
        solved = [np.linalg.solve(s, m - centre) for m in means]
        scores.append([row @ w - (m - centre) @ w / 2 for w, m in zip(solved, means)])
    return scores


def linear_discriminants(x, y, test, shrinkage):
    """x.S^-1 m_k - 1/2 m_k.S^-1 m_k with S (1 - a) W + a tr(W)/f I, W by the rows (THEORY 9)."""
    classes = sorted(set(y))
    means = torch.stack([sum(r for r, k in zip(x, y) if k == c) / y.count(c) for c in classes])
    within = sum(torch.outer(r - means[k], r - means[k]) for r, k in zip(x, y)) / (
        len(y) - len(classes)
    )
    f = x.shape[1]
    eye = torch.eye(f).to(x)
    s = (1 - shrinkage) * within + (shrinkage + 1e-6) * within.trace() / f * eye
    weight = torch.linalg.solve(s, means.T)
    return test @ weight - 0.5 * (means.T * weight).sum(0)


def pushed_targets(means, covariance, targets, push):
    """17.9, by the eigenvectors of both Gram matrices in place of an SVD."""
    middle = sum(means) / len(means)
    values, vectors = torch.linalg.eigh(covariance)
    inverse = vectors @ (values**-0.5).diag() @ vectors.T
    white = (means - middle) @ inverse
    squares, right = torch.linalg.eigh(white.T @ white)
    out = torch.zeros_like(means)
    for square, v in zip(squares, right.T):
        s = float(square.clamp_min(0)) ** 0.5
        if s > 1e-6:
            out = out + (s + push) / s * torch.outer(white @ v, v)
    back = inverse if targets == "again" else torch.linalg.inv(inverse)
    rows = out @ back + middle
    return torch.stack([row / row.norm() for row in rows])


def ridge_rows(z, targets, strength):
    """Least squares with a row more a feature."""
    eye = strength**0.5 * torch.eye(z.shape[1]).to(z)
    rows = torch.cat([z, eye])
    return torch.linalg.lstsq(
        rows, torch.cat([targets, torch.zeros(len(eye), targets.shape[1]).to(z)])
    ).solution


def contrasted(z, decision):
    """gelu(o R') V + b, a row at a time."""
    out = []
    for row in z:
        parts = [part @ t for part, t in zip(row.split(decision.theta.shape[1]), decision.theta)]
        o = sum(p / p.norm() for p in parts) / len(parts)
        inner = o @ decision.second
        bent = torch.stack([v * 0.5 * (1 + math.erf(float(v) / 2**0.5)) for v in inner])
        out.append(bent @ decision.weight + decision.bias)
    return torch.stack(out)


def published_fecam(x, y, test, gamma1, gamma2, tukey):
    """FeCAM's squared distances by its public code's steps, for rows of numbers that are not negative."""
    unit = lambda row: [v / math.sqrt(math.fsum(w * w for w in row)) for v in row]
    power = lambda row: [v**tukey for v in row]
    f, out = len(x[0]), [[] for _ in test]
    for k in sorted(set(y)):
        mine = [row for row, label in zip(x, y) if label == k]
        bent = [power(row) for row in mine]
        c = torch.tensor(bent, dtype=torch.float64).T.cov().tolist()
        for _ in range(2):
            v1 = math.fsum(c[i][i] for i in range(f)) / f
            v2 = math.fsum(c[i][j] for i in range(f) for j in range(f) if i != j) / (f * (f - 1))
            c = [
                [c[i][j] + (gamma1 * v1 if i == j else gamma2 * v2) for j in range(f)]
                for i in range(f)
            ]
        c = [[c[i][j] / math.sqrt(c[i][i] * c[j][j]) for j in range(f)] for i in range(f)]
        inverse = torch.linalg.pinv(torch.tensor(c, dtype=torch.float64))
        centre = unit(power([math.fsum(r[i] for r in mine) / len(mine) for i in range(f)]))
        for row, distances in zip(test, out):
            gap = torch.tensor(
                [a - b for a, b in zip(unit(power(row)), centre)], dtype=torch.float64
            )
            distances.append(float(gap @ inverse @ gap))
    return out


def by_entropy(heads, sharpness):
    """A mixture of probabilities, p_e with weight H(p_e)^-g."""
    weights = [
        max(-math.fsum(p * math.log(p) for p in one if p > 0), 1e-6) ** -sharpness for one in heads
    ]
    total = math.fsum(weights)
    return [
        math.fsum(w * one[k] for w, one in zip(weights, heads)) / total
        for k in range(len(heads[0]))
    ]
