"""Conformal sets: ranks by hand, coverage by simulation."""

import math

import pytest
import torch

from holdfast.metrics import (
    class_thresholds,
    conformal_sets,
    conformal_threshold,
    coverage,
    mean_size,
    next_alpha,
)


@pytest.mark.parametrize("n, alpha, rank", [(99, 0.1, 90), (100, 0.1, 91), (19, 0.05, 19)])
def test_the_threshold_has_the_rank_that_is_promised(n, alpha, rank):
    shuffled = torch.randperm(n, generator=torch.Generator().manual_seed(0)).double() + 1
    assert conformal_threshold(shuffled, alpha) == rank


def test_too_few_rows_promise_nothing():
    assert conformal_threshold(torch.ones(18), 0.05) == math.inf  # 19 are needed
    assert conformal_threshold(torch.ones(0), 0.5) == math.inf
    p = torch.tensor([[1.0, 0.0, 0.0]])
    assert mean_size(conformal_sets(p, math.inf)) == 3  # alpha -> 0: all classes
    assert (
        conformal_threshold(torch.ones(100), 0.0)
        == conformal_threshold(torch.ones(9), -1)
        == math.inf
    )
    assert mean_size(conformal_sets(p, conformal_threshold(torch.ones(100), 1.0))) == 0


def draw(n, generator):
    """Answers of a network that is too sure, and the truth."""
    logits = torch.randn(n, 5, generator=generator, dtype=torch.float64)
    y = torch.multinomial(torch.softmax(logits, 1), 1, generator=generator)[:, 0]
    return torch.softmax(3 * logits, 1), y


@pytest.mark.parametrize("alpha", [0.1, 0.3])
def test_exchangeable_rows_are_covered_as_promised(alpha):
    generator, n, shares = torch.Generator().manual_seed(0), 99, []
    for _ in range(300):
        (p, y), (q, z) = draw(n, generator), draw(100, generator)
        threshold = conformal_threshold(1 - p.gather(1, y[:, None])[:, 0], alpha)
        shares.append(coverage(conformal_sets(q, threshold), z))
    shares = torch.tensor(shares, dtype=torch.float64)
    error = 3 * float(shares.std()) / len(shares) ** 0.5
    assert 1 - alpha - error < float(shares.mean()) < 1 - alpha + 1 / (n + 1) + error


def test_a_class_has_a_threshold_of_its_own():
    scores = torch.cat([torch.arange(1.0, 20.0), torch.arange(101.0, 120.0), torch.ones(3)])
    y = torch.tensor([0] * 19 + [1] * 19 + [2] * 3)
    assert class_thresholds(scores, y, 4, 0.05).tolist() == [19.0, 119.0, math.inf, math.inf]
    p = torch.tensor([[0.5, 0.5, 0.0, 0.0]])
    sets = conformal_sets(p, torch.tensor([0.4, 0.6, math.inf, 0.5], dtype=torch.float64))
    assert sets.tolist() == [[False, True, True, False]]


def test_what_may_be_missed_follows_what_was_missed():
    alpha, missed = 0.1, []
    for _ in range(1000):  # whatever answers: it misses whenever it can
        threshold = conformal_threshold(torch.arange(1.0, 1000.0), alpha)
        missed.append(threshold < math.inf)
        alpha = next_alpha(alpha, missed[-1], target=0.1, rate=0.05)
    assert missed[:4] == [True, True, True, False]
    assert abs(sum(missed) / 1000 - 0.1) <= (0.9 + 0.05) / (0.05 * 1000)
    assert next_alpha(0.02, True, 0.1, 0.05) < 0  # then every class is in the set
