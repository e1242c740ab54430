"""Slow twins of the tests of unlearning: plain loops over plain numbers."""

import math


def margin(logits, y):
    """z_y - log of the sum over the others."""
    return logits[y] - math.log(sum(math.exp(z) for c, z in enumerate(logits) if c != y))


def klom_bins(a, b, bins=20, clip=100.0, empty=1e-5):
    """KL of two histograms over the joint range of clipped margins."""
    a, b = ([max(-clip, min(clip, v)) for v in values] for values in (a, b))
    low, high = min(a + b), max(a + b)

    def shares(values):
        counts = [0] * bins
        for v in values:
            counts[min(int((v - low) / (high - low) * bins), bins - 1)] += 1
        return [count / len(values) for count in counts]

    total = 0.0
    for p, q in zip(shares(a), shares(b)):
        if p > 0:
            total += p * math.log(p / max(q, empty))
    return total


def klom_gaussian(a, b):
    """KL of two normal laws of these means and standard deviations."""
    mean = lambda v: sum(v) / len(v)
    sd = lambda v: math.sqrt(sum((x - mean(v)) ** 2 for x in v) / (len(v) - 1))
    m1, m2, s1, s2 = mean(a), mean(b), sd(a), sd(b)
    return math.log(s2 / s1) + (s1**2 + (m1 - m2) ** 2) / (2 * s2**2) - 0.5


def auc(members, unseen):
    """The share of pairs in which the member has the larger score."""
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a in members for b in unseen]
    return sum(wins) / len(wins)


def softmax_loss_gradient(w, x, y):
    """(K, f) gradient of -log p_y of one row."""
    z = [sum(a * b for a, b in zip(row, x)) for row in w]
    total = sum(math.exp(v) for v in z)
    p = [math.exp(v) / total for v in z]
    return [[(p[k] - (k == y)) * value for value in x] for k in range(len(w))]
