"""One Gaussian a class: against discriminant analysis, FeCAM in plain loops, and what it costs."""

import math

import pytest
import torch
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from torch.testing import assert_close

from clouds import EVEN, clouds, said
from holdfast.core.errors import ConfigError
from holdfast.memory.meter import measure
from holdfast.readout import (
    ClassGaussian,
    NearestMean,
    PseudoHead,
    Ridge,
    SharedGaussian,
    build_readout,
)
from holdfast.readout.gaussian import Gaussian

PLAIN = {"gamma1": 0.0, "gamma2": 0.0, "pool": 0.0}
BOTH = pytest.mark.parametrize("kind", [SharedGaussian, ClassGaussian])


@pytest.mark.parametrize("portions", [1, 2])
def test_class_gaussians_are_quadratic_discriminant_analysis(fitted, portions):
    """We divide by n - 1, sklearn by n or, before its version 1.9, by n - 1."""
    (x, y), (test, _) = clouds(EVEN), clouds((50,) * 4, seed=1)
    tables = [(x[y % portions == i], y[y % portions == i]) for i in range(portions)]
    ours = fitted(ClassGaussian(**PLAIN), *tables)
    qda = QuadraticDiscriminantAnalysis(priors=[0.25] * 4, store_covariance=True)
    qda.fit(x.double().numpy(), y.numpy())
    theirs = torch.from_numpy(qda.decision_function(test.double().numpy())) - math.log(0.25)
    spreads = torch.stack([torch.from_numpy(c) for c in qda.covariance_])
    ratio = float(ours.covariance(0).trace() / spreads[0].trace())
    assert min(abs(ratio - 1), abs(ratio - 20 / 19)) < 1e-5
    for k in range(4):
        assert_close(ours.covariance(k), ratio * spreads[k], rtol=1e-4, atol=1e-4)
    logs = spreads.logdet()
    expected = (theirs + logs / 2) / ratio - (logs + 5 * math.log(ratio)) / 2
    assert_close(ours.scores(said(test)).double(), expected, rtol=1e-3, atol=1e-2)


def solve(a, b):
    """Gaussian elimination on lists."""
    rows = [[*row, value] for row, value in zip(a, b, strict=True)]
    for i in range(len(rows)):
        lead = max(range(i, len(rows)), key=lambda r: abs(rows[r][i]))
        rows[i], rows[lead] = rows[lead], rows[i]
        rows[i] = [v / rows[i][i] for v in rows[i]]
        for r in range(len(rows)):
            if r != i:
                rows[r] = [v - rows[r][i] * w for v, w in zip(rows[r], rows[i])]
    return [row[-1] for row in rows]


def fecam(x, y, test, gamma1, gamma2, tukey, normalise):
    """-1/2 of FeCAM's squared distance of one row to each class, from its formulas."""
    bend = [[math.copysign(abs(v) ** tukey, v) for v in row] for row in [*x, test]]
    bent, query, scores = bend[:-1], bend[-1], []
    f = len(query)
    for k in sorted(set(y)):
        mine = [row for row, label in zip(bent, y, strict=True) if label == k]
        mean = [math.fsum(r[i] for r in mine) / len(mine) for i in range(f)]
        s = [
            [
                math.fsum((r[i] - mean[i]) * (r[j] - mean[j]) for r in mine) / (len(mine) - 1)
                for j in range(f)
            ]
            for i in range(f)
        ]
        v1 = math.fsum(s[i][i] for i in range(f)) / f
        v2 = math.fsum(s[i][j] for i in range(f) for j in range(f) if i != j) / (f * (f - 1))
        s = [
            [s[i][j] + (gamma1 * v1 if i == j else gamma2 * v2) for j in range(f)] for i in range(f)
        ]
        if normalise:
            s = [[s[i][j] / math.sqrt(s[i][i] * s[j][j]) for j in range(f)] for i in range(f)]
        gap = [q - m for q, m in zip(query, mean)]
        scores.append(-0.5 * math.fsum(g * h for g, h in zip(gap, solve(s, gap))))
    return scores


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize(
    "gamma1, gamma2, tukey", [(1.0, 1.0, 0.5), (0.3, 0.0, 1.0), (0.2, 0.1, 2.0)]
)
def test_class_gaussians_are_fecam(fitted, gamma1, gamma2, tukey, normalise):
    (x, y), (test, _) = clouds(EVEN), clouds((1,) * 4, seed=1)
    own = ClassGaussian(
        gamma1=gamma1, gamma2=gamma2, tukey=tukey, normalise=normalise, pool=0.0, determinant=False
    )
    found = fitted(own, (x, y)).scores(said(test))
    for row, scores in zip(test.tolist(), found, strict=True):
        twin = fecam(x.tolist(), y.tolist(), row, gamma1, gamma2, tukey, normalise)
        assert_close(scores, torch.tensor(twin), rtol=1e-3, atol=1e-3)


def test_pooling_lies_between_a_gaussian_a_class_and_one_for_all(fitted):
    x, y = clouds(EVEN)
    own = fitted(ClassGaussian(gamma1=0.0, pool=1e9), (x, y))
    for k in range(4):
        assert_close(own.covariance(k), own.known.within(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("structure, rank", [("diagonal", 0), ("low_rank", 5)])
def test_a_structure_that_misses_nothing_scores_alike(fitted, structure, rank):
    x = torch.randn(40, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    q, _ = torch.linalg.qr(x - x.mean(0))
    x = (q * torch.tensor([1.0, 2, 3, 4, 5])).float()  # axes of one class are its features
    y = torch.zeros(40, dtype=torch.long)
    both = ClassGaussian(structure=structure, rank=rank), ClassGaussian()
    a, b = (fitted(one, (x, y)).scores(said(x)) for one in both)
    assert_close(a, b, rtol=1e-3, atol=1e-3)


# draws, distances, the unknown


@BOTH
def test_draws_have_the_means_and_covariances_of_the_classes(fitted, kind):
    x, y = clouds((100, 100, 100))
    gaussian = fitted(kind(), (x, y))
    rows, of = gaussian.draw(20_000)
    assert rows.shape == (60_000, 5)
    for k in range(3):
        mine = rows[of == k]
        assert_close(mine.mean(0), gaussian.known.mean[k], rtol=0.05, atol=0.05)
        assert_close(
            torch.cov(mine.T), gaussian.spread.matrix(gaussian.known, k), rtol=0.1, atol=0.05
        )
    again, _ = gaussian.draw(20_000)
    other, _ = gaussian.draw(20_000, seed=1)
    assert torch.equal(again, rows) and not torch.equal(other, rows)


@BOTH
def test_the_distance_is_mahalanobis_to_the_nearest_class(fitted, kind):
    x, y = clouds(EVEN)
    gaussian = fitted(kind(), (x, y))
    twin = [
        min(
            float((row - m) @ torch.linalg.inv(gaussian.covariance(k)) @ (row - m))
            for k, m in enumerate(gaussian.known.mean)
        )
        for row in x.double()
    ]
    assert_close(gaussian.distance(said(x)), torch.tensor(twin, dtype=torch.float64))


@BOTH
@pytest.mark.parametrize("rate", [0.01, 0.05, 0.3])
def test_the_threshold_rejects_no_more_than_the_stated_share_of_such_rows(fitted, kind, rate):
    """It is set for new scenes, which lie further out than rows like those learned."""
    x, y = clouds((300, 300))
    gaussian = fitted(kind(), (x, y))
    fresh, _ = clouds((2000, 2000), seed=1)
    share = float(gaussian.unknown(said(fresh), rate).double().mean())
    assert (rate < 0.05 or rate / 10 < share) and share < rate + 0.02
    assert bool(gaussian.unknown(said(x + 100), rate).all())


@pytest.mark.parametrize("rate", [0.0, 1.0, -1.0])
def test_a_rate_that_is_none_is_refused(fitted, rate):
    with pytest.raises(ConfigError, match="between 0 and 1"):
        fitted(SharedGaussian(), clouds(EVEN)).threshold(rate)


@BOTH
def test_probabilities_sum_to_one_and_are_near_the_truth(fitted, kind):
    x, y = clouds((500,) * 4)
    test, test_y = clouds((2000,) * 4, seed=1)
    early, late = y < 2, y >= 2
    gaussian = fitted(kind(), (x[early], y[early]), (x[late], y[late]))
    p = gaussian.probabilities(said(test))
    assert_close(p.sum(1), torch.ones(len(p)))
    sure, answer = p.max(1)
    assert float(sure.mean() - (answer == test_y).float().mean()) == pytest.approx(0, abs=0.05)
    assert 0.5 < gaussian.temperature < 2


# what is stored


@pytest.mark.parametrize(
    "text, floats",
    [
        ("mean", 4 * 6 + 202),
        ("gaussian", 4 * 6 + 25 + 202),
        ("class-gaussian", 4 * (6 + 25) + 202),
        ("class-gaussian:structure=diagonal", 4 * (6 + 5) + 202),
        ("class-gaussian:structure=low_rank:rank=2", 4 * (6 + 2 * 5 + 1) + 202),
        ("select", 4 * (6 + 2) + 25 + 202),
        ("ridge", 4 * 6 + 25 + 202),
        ("random-ridge:width=7", 4 * 8 + 49 + 202),
        ("fecam", 4 * (11 + 25) + 202),
        ("klda:width=7", 4 * 8 + 49 + 202),
        ("anacp:width=7:lifts=2", 4 * (1 + 5 + 14) + 19**2 + 202),
        ("pseudo-head", 4 * 6 + 25 + 4 * 6),
    ],
)
def test_the_meter_counts_the_stated_formula(fitted, text, floats):
    held = measure({"readout": fitted(build_readout(text), clouds(EVEN))}, None)
    assert (held.images, held.floats) == (0, floats)


@pytest.mark.parametrize("kind", [SharedGaussian, ClassGaussian, NearestMean, Ridge, PseudoHead])
def test_residuals_and_temperature_survive_the_state(fitted, task, identity, kind):
    from holdfast.memory import NoMemory
    from holdfast.readout import FitContext

    x, y = clouds(EVEN)
    one = fitted(kind(drift="ridge"), (x, y))
    one.fit(FitContext(identity, task(x, y, 1), NoMemory(), (0, 1, 2, 3), identity))
    fresh = kind(drift="ridge")
    fresh.load_state_dict(one.state_dict())
    assert fresh.residuals == one.residuals == [None]
    assert torch.equal(fresh.probabilities(said(x)), one.probabilities(said(x)))
    if isinstance(one, Gaussian):
        assert fresh.threshold(0.1) == one.threshold(0.1)


def test_settings_that_cannot_be_are_refused():
    for bad in (
        {"gamma1": -1.0},
        {"gamma2": 0.2},
        {"tukey": 0.0},
        {"structure": "shared"},
        {"pool": -1.0},
    ):
        with pytest.raises(ConfigError, match=next(iter(bad))):
            ClassGaussian(**bad)
