"""Domains again, slowly: autograd where there are closed forms, loops where there are sums."""

import math

import torch
from torch.nn import functional


def _loss(weight, h, y, compete):
    """Mean cross-entropy of rows by a head with its bias in the last column."""
    logits = h @ weight[:, :-1].T + weight[:, -1]
    return functional.cross_entropy(logits[:, compete], torch.tensor([compete.index(c) for c in y]))


def _hessian(weight, h, y, compete):
    return torch.autograd.functional.hessian(lambda w: _loss(w, h, y, compete), weight)


def domain_moments(weight, h, y, compete, form):
    """(gradient, diagonal of the Hessian or the Hessian times the gradient), by autograd."""
    w = weight.clone().requires_grad_()
    (g,) = torch.autograd.grad(_loss(w, h, y, compete), w)
    H = _hessian(weight, h, y, compete)
    if form == "diagonal":
        size = weight.numel()
        return g, H.reshape(size, size).diagonal().reshape(weight.shape)
    return g, torch.einsum("abcd,cd->ab", H, g)


def head_alignment(weight, h, y, domain, compete, a, b, form):
    """1/E sum_e a ||v_e - v||^2 + b ||g_e - g||^2 over the domains with rows of competing classes."""
    rows = {}
    for i, (c, d) in enumerate(zip(y, domain, strict=True)):
        if c in compete:
            rows.setdefault(d, []).append(i)
    parts = {
        d: domain_moments(weight, h[i], [y[k] for k in i], compete, form) for d, i in rows.items()
    }
    g = torch.stack([pair[0] for pair in parts.values()]).mean(0)
    if form == "diagonal":
        v = torch.stack([pair[1] for pair in parts.values()]).mean(0)
    else:
        every = [_hessian(weight, h[i], [y[k] for k in i], compete) for i in rows.values()]
        v = torch.einsum("abcd,cd->ab", torch.stack(every).mean(0), g)
    total = 0.0
    for g_e, v_e in parts.values():
        total += a * float(((v_e - v) ** 2).sum()) + b * float(((g_e - g) ** 2).sum())
    return total / len(parts)


def sensitivity(gradients):
    """Variance over mean square, weight by weight."""
    output = []
    for column in zip(*gradients, strict=True):
        mean = math.fsum(column) / len(column)
        square = math.fsum(g * g for g in column) / len(column)
        variance = math.fsum((g - mean) ** 2 for g in column) / len(column)
        output.append(variance / square if square else 0.0)
    return output


def class_spread(x, y):
    """The trace of the scatter within classes over that of all."""
    mean = [math.fsum(column) / len(x) for column in zip(*x, strict=True)]
    total = math.fsum((v - m) ** 2 for row in x for v, m in zip(row, mean, strict=True))
    within = 0.0
    for c in set(y):
        mine = [row for row, label in zip(x, y, strict=True) if label == c]
        centre = [math.fsum(column) / len(mine) for column in zip(*mine, strict=True)]
        within += math.fsum((v - m) ** 2 for row in mine for v, m in zip(row, centre, strict=True))
    return within / total


def entropy(p):
    """Mean entropy of rows."""
    return math.fsum(-v * math.log(v) for row in p for v in row if v > 0) / len(p)


def information(p):
    """Entropy of the mean less the mean entropy."""
    mean = [math.fsum(column) / len(p) for column in zip(*p, strict=True)]
    return entropy([mean]) - entropy(p)


def density(p, temperature):
    """Soft neighbourhood density, pair by pair."""
    unit = [[v / math.sqrt(math.fsum(w * w for w in row)) for v in row] for row in p]
    rows = []
    for i, u in enumerate(unit):
        likeness = [
            math.fsum(a * b for a, b in zip(u, other, strict=True)) / temperature
            for j, other in enumerate(unit)
            if j != i
        ]
        top = max(likeness)
        powers = [math.exp(s - top) for s in likeness]
        rows.append([power / math.fsum(powers) for power in powers])
    return entropy(rows)


def dev(loss, weight):
    """The weighted loss with its control variate."""
    n = len(loss)
    wl = [w * value for w, value in zip(weight, loss, strict=True)]
    mean_w, mean_wl = math.fsum(weight) / n, math.fsum(wl) / n
    variance = math.fsum((w - mean_w) ** 2 for w in weight) / n
    together = math.fsum((w - mean_w) * (v - mean_wl) for w, v in zip(weight, wl, strict=True)) / n
    e = -together / variance if variance else 0.0
    return mean_wl + e * mean_w - e
