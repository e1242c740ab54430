"""Slow, independent twins of every formula: plain Python loops over lists, written from THEORY."""

import itertools
import math

import torch


def dot(a, b):
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def sup_con(z, y, tau, anchors, scale, average):
    """THEORY 3 with gamma 0 and no prototypes."""
    losses = []
    for i in range(len(z)):
        others = [a for a in range(len(z)) if a != i]
        positives = [j for j in others if y[j] == y[i]]
        if not anchors[i] or not positives:
            continue
        d = math.fsum(math.exp(dot(z[i], z[a]) / tau) for a in others)
        logs = [math.log(math.exp(dot(z[i], z[j]) / tau) / d) for j in positives]
        losses.append(-math.fsum(logs) / len(logs))
    count = len(losses) if average == "anchors" else len(z)
    return scale * math.fsum(losses) / count if losses else 0.0


def focus(p, gamma):
    """(1 - p)^gamma with the weight clamped to [0, 1]."""
    return min(max(1 - p, 0.0), 1.0) ** gamma


def focal_collapse(z, y, q, tau, gamma, old, anchors, denominator, scale, average):
    """THEORY 3, term by term as it is written there."""
    losses = []
    for i in range(len(z)):
        if not anchors[i]:
            continue
        others = [a for a in range(len(z)) if a != i]
        own = math.exp(dot(z[i], q[y[i]]) / tau)
        d = math.fsum(math.exp(dot(z[i], z[a]) / tau) for a in others)
        d += math.fsum(math.exp(dot(z[i], q[k]) / tau) for k in old)
        d += own if denominator == "closed" else 0.0
        total, positives = 0.0, [j for j in others if y[j] == y[i]]
        for j in positives:
            c = math.exp(dot(z[i], z[j]) / tau) / d
            total += focus(c, gamma) * math.log(c)
        total += focus(own / d, gamma) * math.log(own / d)
        losses.append(-total / (len(positives) + 1))
    count = len(losses) if average == "anchors" else len(z)
    return scale * math.fsum(losses) / count if losses else 0.0


def softmax(values):
    top = max(values)
    exps = [math.exp(v - top) for v in values]
    return [e / math.fsum(exps) for e in exps]


def relation_distillation(z, z_past, now, past, keys=None):
    """THEORY 4: IRD over the other rows, or S-PRD over the keys."""
    total = 0.0
    for i in range(len(z)):
        others = [a for a in range(len(z)) if a != i]
        rows = keys if keys is not None else [z[a] for a in others]
        rows_past = keys if keys is not None else [z_past[a] for a in others]
        s = softmax([dot(z[i], k) / now for k in rows])
        s_past = softmax([dot(z_past[i], k) / past for k in rows_past])
        total -= math.fsum(p * math.log(s_k) for p, s_k in zip(s_past, s, strict=True))
    return total / len(z)


def cross_entropy(logits, y, compete):
    """Mean over the rows whose class competes of -log softmax within the competing classes."""
    losses = []
    for row, label in zip(logits, y, strict=True):
        if label in compete:
            p = softmax([row[c] for c in compete])
            losses.append(-math.log(p[compete.index(label)]))
    return math.fsum(losses) / len(losses) if losses else 0.0


def divergence(name, past, now, a=0.5):
    """THEORY 7, from probabilities: a sum over the classes of one row."""
    p, q = softmax(past), softmax(now)

    def kl(a, b):
        return math.fsum(x * math.log(x / y) for x, y in zip(a, b, strict=True) if x > 0)

    def entropy(a):
        return -math.fsum(x * math.log(x) for x in a if x > 0)

    if name == "forward_kl":
        return kl(p, q)
    if name == "reverse_kl":
        return kl(q, p)
    if name == "jensen_shannon":
        m = [(x + y) / 2 for x, y in zip(p, q, strict=True)]
        return (kl(p, m) + kl(q, m)) / 2
    if name == "hellinger":
        return math.fsum((math.sqrt(x) - math.sqrt(y)) ** 2 for x, y in zip(p, q, strict=True))
    if name == "balanced_kl":
        lead = 0.75 if entropy(p) < entropy(q) else 0.25 if entropy(p) > entropy(q) else 0.5
        return lead * kl(p, q) + (1 - lead) * kl(q, p)
    if name == "jeffreys":
        return math.fsum((x - y) * math.log(x / y) for x, y in zip(p, q, strict=True))
    if name == "alpha":
        total = math.fsum(x**a * y ** (1 - a) for x, y in zip(p, q, strict=True))
        return (total - 1) / (a * (a - 1))
    raise KeyError(name)


def distillation(past, now, T, name="forward_kl", constant=1.0):
    """THEORY 7: T^2 times the mean divergence of the softened rows, over f''(1)."""
    rows = [
        divergence(name, [v / T for v in a], [v / T for v in b])
        for a, b in zip(past, now, strict=True)
    ]
    return T * T * math.fsum(rows) / len(rows) / constant


def indirect_alignment(h_past, h_now, means, T):
    """THEORY 7: KL between the two networks' softmax of -||h - c_k||^2 / T, the mean over rows."""

    def answer(h):
        return softmax([-math.fsum((a - b) ** 2 for a, b in zip(h, c)) / T for c in means])

    total = 0.0
    for past, now in zip(h_past, h_now, strict=True):
        total += math.fsum(a * math.log(a / b) for a, b in zip(answer(past), answer(now)))
    return total / len(h_now)


def feature_distillation(now, past, distance):
    """mean ||h - h*||^2 over the spread of the past, or mean (1 - cos)."""
    n = len(now)
    if distance == "cosine":
        angles = [
            dot(a, b) / math.sqrt(dot(a, a) * dot(b, b)) for a, b in zip(now, past, strict=True)
        ]
        return math.fsum(1 - c for c in angles) / n
    gap = math.fsum((a - b) ** 2 for x, y in zip(now, past, strict=True) for a, b in zip(x, y))
    return gap / n / spread(past)


def spread(rows):
    """mean ||h - mean h||^2."""
    mean = [math.fsum(column) / len(rows) for column in zip(*rows, strict=True)]
    return math.fsum((v - m) ** 2 for row in rows for v, m in zip(row, mean)) / len(rows)


def uniformity(z, t):
    """log of the mean over pairs of exp(-t ||z_i - z_j||^2), rows at unit length."""
    z = [[v / math.sqrt(dot(row, row)) for v in row] for row in z]
    pairs = [
        math.exp(-t * math.fsum((a - b) ** 2 for a, b in zip(z[i], z[j])))
        for i in range(len(z))
        for j in range(i)
    ]
    return math.log(math.fsum(pairs) / len(pairs))


def match_logits(noted, now):
    """The mean square over what was noted; nan was not there then."""
    gaps = [
        (b - a) ** 2
        for was, is_ in zip(noted, now, strict=True)
        for a, b in zip(was, is_)
        if not math.isnan(a)
    ]
    return math.fsum(gaps) / len(gaps)


def unit_rows(n, d, seed, dtype=torch.float64):
    """Random unit rows."""
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(n, d, generator=generator, dtype=dtype), dim=1)


# curvatures (THEORY 6): one image, one class and one weight at a time, by ordinary backward passes


def slopes(scalar, weights, graph=False):
    """(P,) gradient of a scalar; weights it does not depend on have slope 0."""
    found = torch.autograd.grad(
        scalar, weights, retain_graph=True, create_graph=graph, allow_unused=True
    )
    found = [torch.zeros_like(w) if g is None else g for g, w in zip(found, weights, strict=True)]
    return torch.cat([g.flatten() for g in found])


def curvature(kind, logits, y, weights):
    """(P, P) sum over the rows of ``logits``, dense; ``weights`` are what they were made of."""
    total = 0.0
    for row, label in zip(logits, y.tolist(), strict=True):
        logs = row - row.exp().sum().log()
        p = logs.exp().detach()
        if kind == "fisher":
            for c in range(len(p)):
                g = slopes(logs[c], weights)
                total = total + p[c] * g[:, None] * g
        elif kind == "empirical_fisher":
            g = slopes(logs[label], weights)
            total = total + g[:, None] * g
        elif kind == "ggn":
            J = torch.stack([slopes(value, weights) for value in row])
            total = total + J.T @ (p.diag() - p[:, None] * p) @ J
        else:
            g = slopes(-logs[label], weights, graph=True)
            total = total + torch.stack([slopes(value, weights) for value in g])
    return total


def memory_aware(logits, weights):
    """(P,) mean over the rows of |d ||f||^2 / dw|."""
    return sum(slopes((row**2).sum(), weights).abs() for row in logits) / len(logits)


def weight_penalty(weights, posts):
    """sum over posts (centre, H) of 1/2 sum_k H_k (w_k - c_k)^2, number by number."""
    return math.fsum(
        0.5 * h * (w - c) ** 2
        for centre, H in posts
        for w, c, h in zip(weights, centre, H, strict=False)
    )


def kronecker_factors(learner, name, x, roots):
    """A and G of a layer, one image, position and root at a time (THEORY 6, K-FAC)."""
    module, seen = learner.get_submodule(name), {}

    def note(m, given, out):
        seen["a"], seen["o"] = given[0].detach(), out
        return out.clone()

    hook = module.register_forward_hook(note)
    A = G = 0.0
    for i in range(len(x)):
        logits = learner(x[i : i + 1]).logits[0]
        a, out = seen["a"], seen["o"]
        padded = torch.nn.functional.pad(a[0], [module.padding[1]] * 2 + [module.padding[0]] * 2)
        height, width = out.shape[2:]
        positions = [(r, c) for r in range(height) for c in range(width)]
        (kh, kw), (sh, sw) = module.kernel_size, module.stride
        for r, c in positions:
            patch = padded[:, r * sh : r * sh + kh, c * sw : c * sw + kw].flatten()
            if module.bias is not None:
                patch = torch.cat([patch, patch.new_ones(1)])
            A = A + torch.outer(patch, patch) / (len(positions) * len(x))
        for v in roots[i]:
            g = torch.autograd.grad(logits @ v, out, retain_graph=True)[0][0]
            for r, c in positions:
                G = G + torch.outer(g[:, r, c], g[:, r, c])
    hook.remove()
    return A, G


# learning rates (THEORY 12): every update of a task, written out


def warmup_cosine(peak, epochs, batches, warmup):
    """The rate of every update of a task: linear up to the warm-up's end, then half a cosine to 0."""
    warmup, rates = min(warmup, epochs / 4), []
    for update in range(epochs * batches):
        p = (update + 0.5) / batches
        if p < warmup:
            rates.append(peak * p / warmup)
        else:
            done = (p - warmup) / (epochs - warmup)
            rates.append(peak * (math.cos(math.pi * done) + 1) / 2)
    return rates


def epoch_cosine(peak, epochs, batches, warmup):
    """The public contrastive code's rate of every update: a cosine by epochs from 1, first a line."""
    at = lambda e: peak / 1000 + (peak - peak / 1000) * (1 + math.cos(math.pi * e / epochs)) / 2
    rates = []
    for epoch in range(1, epochs + 1):
        for batch in range(batches):
            line = 0.01 + (batch + (epoch - 1) * batches) / (warmup * batches) * (at(warmup) - 0.01)
            rates.append(line if epoch <= warmup else at(epoch))
    return rates


def levels(least, most):
    """The narrowest of the ranges that hold two greys, by trying every one: (low, bits)."""
    starts = [0] if least >= 0 else [-(2**k) for k in range(17)]
    for bits in (8, 10, 12, 14, 16):
        for low in starts:
            if low <= least and most <= low + 2**bits - 1:
                return low, bits
    return None


def grey(value, low, bits):
    """One grey of a range as 0..255, rounded down."""
    white = 2**bits - 1
    inside = min(max(value - low, 0), white)
    return int(255 * inside // white)


def distinct(x, scale):
    """Inputs apart by more than 0.05 of the scale, taken farthest first."""
    rows = [(row / scale.view(-1, *(1,) * (row.ndim - 1))).flatten() for row in x]
    gap = lambda a, b: math.sqrt(float(((a - b) ** 2).mean()))
    taken = [0]
    while True:
        nearest = [min(gap(row, rows[t]) for t in taken) for row in rows]
        place = max(range(len(rows)), key=lambda i: nearest[i])
        if not nearest[place] > 0.05:
            return len(taken)
        taken.append(place)


def imprint(x, weight, bias):
    """Row and bias of a head for a class of few inputs."""
    mean = sum(x) / len(x)
    length = sum(float(w.norm()) for w in weight) / len(weight) * max(0.5, 1 / len(x))
    row = length * mean / float(mean.norm())
    gaps = sorted(max(float(w @ v + b) for w, b in zip(weight, bias)) - float(row @ v) for v in x)
    half = len(gaps) // 2
    return row, gaps[half] if len(gaps) % 2 else (gaps[half - 1] + gaps[half]) / 2


def sign_test(lost, gained):
    """How many of all coin throws lose at least as often."""
    throws = list(itertools.product([0, 1], repeat=lost + gained))
    return sum(sum(t) >= lost for t in throws) / len(throws)


def comparable(x):
    """Standardised rows; images in 8 x 8 means first."""
    if x.ndim == 4:
        x = x.double() / 255 if x.dtype == torch.uint8 else x.double()
        n, c, h, w = x.shape
        x = torch.stack([
            torch.stack([x[i, j, a * h // 8 : (a + 1) * h // 8, b * w // 8 : (b + 1) * w // 8].mean()
                         for j in range(c) for a in range(8) for b in range(8)])
            for i in range(n)
        ])  # fmt: skip
    x = x.double()
    return ((x - x.mean(0)) / x.std(0, correction=0)).float()


def gap(a, b):
    """Squared distance."""
    return float(((a.double() - b.double()) ** 2).sum())


def within(a, y):
    """Mean squared distance from the class's mean."""
    total = 0.0
    for k in set(y):
        group = [row for row, label in zip(a, y) if label == k]
        mean = sum(group) / len(group)
        total += sum(gap(row, mean) for row in group)
    return total / len(a)


def nearly_same(a, b, near):
    """For each row the nearest one at most so far, among b or its earlier ones; else -1."""
    out = []
    for i, row in enumerate(a):
        gaps = [gap(row, other) for other in (a[:i] if b is None else b)]
        best = min(range(len(gaps)), key=lambda j: gaps[j], default=-1)
        out.append(best if best >= 0 and gaps[best] <= near else -1)
    return out


def other_class(a, y, k=5, agree=4):
    """The class of enough of the k nearest others, where it is not the row's own; else -1."""
    out = []
    for i, row in enumerate(a):
        others = sorted((j for j in range(len(a)) if j != i), key=lambda j: gap(row, a[j]))[:k]
        near = [y[j] for j in others]
        common = max(sorted(set(near)), key=near.count)
        out.append(common if near.count(common) >= agree and common != y[i] else -1)
    return out
