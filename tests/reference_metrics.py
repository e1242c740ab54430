"""The metrics again, slowly: loops over rows, pairs and bins in plain Python."""

import itertools
import math


def temperature(scores, y):
    """The T of the least class-balanced loss: 60 halvings of the slope in 1/T, row by row in lists."""
    classes = sorted(set(y))
    share = [1 / (y.count(label) * len(classes)) for label in y]
    low, high = -4.0, 4.0
    for _ in range(60):
        middle = (low + high) / 2
        slopes = []
        for row, label, weight in zip(scores, y, share, strict=True):
            top = max(row)
            powers = [math.exp((s - top) * 10**middle) for s in row]
            steps = [0.0 if p == 0 else p * (s - top) for p, s in zip(powers, row, strict=True)]
            slopes.append(weight * (math.fsum(steps) / math.fsum(powers) - (row[label] - top)))
        # a slope of 0 is one that is too small for a float: the best is further on
        low, high = (low, middle) if math.fsum(slopes) > 0 else (middle, high)
    return 10 ** -((low + high) / 2)


def calibration_error(p, y, bins):
    """Bins of equal width."""
    total = 0.0
    for b in range(bins):
        mine = [
            (max(row), row.index(max(row)) == label)
            for row, label in zip(p, y, strict=True)
            if b / bins <= max(row) < (b + 1) / bins or (b == bins - 1 and max(row) == 1)
        ]
        total += _gap(mine)
    return total / len(y)


def adaptive_error(p, y, bins):
    """Bins of equal mass: a row goes where the first row of its confidence goes."""
    rows = sorted((max(row), row.index(max(row)) == label) for row, label in zip(p, y, strict=True))
    sure = [c for c, _ in rows]
    place = [sure.index(c) * bins // len(rows) for c in sure]
    return sum(
        _gap([row for row, b in zip(rows, place, strict=True) if b == wanted])
        for wanted in range(bins)
    ) / len(rows)


def _gap(rows):
    """n |accuracy - confidence| of (confidence, right) pairs."""
    return abs(math.fsum(r for _, r in rows) - math.fsum(c for c, _ in rows))


def auroc(known, unknown):
    """Over all pairs."""
    wins = [1.0 if u > k else 0.5 if u == k else 0.0 for u in unknown for k in known]
    return math.fsum(wins) / len(wins)


def fpr_at_known(known, unknown, share):
    """The smallest threshold among the known scores that accepts the share of them."""
    for t in sorted(known):
        if sum(u <= t for u in known) >= share * len(known) - 1e-9:
            return sum(u <= t for u in unknown) / len(unknown)
    raise AssertionError("the largest accepts all")


def oscr(known, right, unknown):
    """Threshold by threshold: the area under a polygon of (unknown accepted, known accepted and right)."""
    points = [(0.0, 0.0)]
    for t in sorted({*known, *unknown}):
        accepted = sum(u <= t for u in unknown) / len(unknown)
        correct = sum(k <= t and bool(ok) for k, ok in zip(known, right, strict=True)) / len(known)
        points.append((accepted, correct))
    return math.fsum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in itertools.pairwise(points))


def average_precision(known, unknown):
    """Threshold by threshold from above: the gain in recall times the precision there."""
    total, recall = 0.0, 0.0
    for t in sorted({*known, *unknown}, reverse=True):
        caught, false = sum(u >= t for u in unknown), sum(k >= t for k in known)
        total += (caught / len(unknown) - recall) * caught / (caught + false)
        recall = caught / len(unknown)
    return total
