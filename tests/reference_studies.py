"""Slow twins of what studies vary: plain Python loops over lists, written from the theory's section 13."""

import math

from reference import dot, focus


def pulled_collapse(z, y, q, tau, gamma, old, anchors, denominator, average, pulls):
    """FNC2 with a pull left out, term by term; pulls is (pairs, prototype, gamma of the pull)."""
    pairs, prototype, pull_gamma = pulls
    losses = []
    for i in range(len(z)):
        others = [a for a in range(len(z)) if a != i]
        positives = [j for j in others if y[j] == y[i]] if pairs else []
        if not anchors[i] or not (positives or prototype):
            continue
        own = math.exp(dot(z[i], q[y[i]]) / tau)
        d = math.fsum(math.exp(dot(z[i], z[a]) / tau) for a in others)
        d += math.fsum(math.exp(dot(z[i], q[k]) / tau) for k in old)
        if denominator == "closed" and prototype:
            d += own
        total = 0.0
        for j in positives:
            c = math.exp(dot(z[i], z[j]) / tau) / d
            total += focus(c, gamma) * math.log(c)
        if prototype:
            total += focus(own / d, pull_gamma) * math.log(own / d)
        losses.append(-total / (len(positives) + prototype))
    count = len(losses) if average == "anchors" else len(z)
    return math.fsum(losses) / count if losses else 0.0


def normalised(v):
    size = math.sqrt(dot(v, v))
    return [x / size for x in v]


def running(q, met, z, y, momentum):
    """q_c <- normalise(mu q_c + (1 - mu) mean); the mean itself where c is met first."""
    output = [list(row) for row in q]
    for c in set(y):
        rows = [z[i] for i in range(len(z)) if y[i] == c]
        mean = [math.fsum(column) / len(rows) for column in zip(*rows)]
        mixed = [momentum * a + (1 - momentum) * b for a, b in zip(q[c], mean)]
        output[c] = normalised(mixed if met[c] else mean)
    return output
