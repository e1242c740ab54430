"""Two sets at every stage, and the Monge gap: values that are known, and what cannot be had."""

import math

import pytest
import torch
from scipy import stats

from clouds import normal
from holdfast.core.errors import DataError
from holdfast.metrics import gaussian_kl, monge_gap, narrowest, sliced_w1
from holdfast.metrics.missing import reason_of

LINE = torch.tensor(stats.norm.ppf((torch.arange(2000).numpy() + 0.5) / 2000))[:, None]  # N(0, 1)


def test_equal_sets_are_at_no_distance():
    x = normal(0, 30, 4).double()
    assert gaussian_kl(x, x) == pytest.approx(0, abs=1e-12)
    assert sliced_w1(x, x[torch.randperm(30)]) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("m", [0.5, 2.0])
def test_a_shift_in_one_dimension(m):
    """KL = m^2 / 2 and W1 = |m| of N(0, 1) and N(m, 1)."""
    assert gaussian_kl(LINE, LINE + m, shrink=1e-9) == pytest.approx(m**2 / 2, rel=5e-3)
    assert gaussian_kl(LINE + m, LINE, shrink=1e-9) == pytest.approx(m**2 / 2, rel=5e-3)
    assert sliced_w1(LINE, LINE + m, relative=False) == pytest.approx(m, rel=1e-9)
    spread = float(LINE.std(correction=0))
    assert sliced_w1(LINE, LINE - m) == pytest.approx(m / spread, rel=1e-9)


def test_the_divergence_equals_its_dense_twin():
    x, y, shrink = normal(0, 40, 3).double(), 2 * normal(1, 25, 3).double() + 1, 0.05
    means = [rows.mean(0) for rows in (x, y)]
    plain = [torch.cov(rows.T, correction=0) for rows in (x, y)]
    more = shrink * (plain[0].trace() + plain[1].trace()) / 6 * torch.eye(3, dtype=torch.float64)
    s1, s2 = (s + more for s in plain)
    inverse, d = torch.linalg.inv(s2), means[1] - means[0]
    twin = (inverse @ s1).trace() - 3 + d @ inverse @ d + torch.logdet(s2) - torch.logdet(s1)
    assert gaussian_kl(x, y, shrink) == pytest.approx(float(twin) / 2)
    turn = torch.linalg.qr(normal(2, 3, 3).double()).Q  # an invertible stage that keeps lengths
    assert gaussian_kl(x @ turn + 1, y @ turn + 1, shrink) == pytest.approx(float(twin) / 2)
    assert gaussian_kl(x, y, shrink) != pytest.approx(gaussian_kl(y, x, shrink))


def test_projections_are_at_the_distance_of_scipy():
    x, y = normal(0, 17, 3).double(), 1.5 * normal(1, 29, 3).double() + 0.3
    lines = torch.randn(3, 6, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    lines = lines / lines.norm(dim=0)
    each = [stats.wasserstein_distance((x @ line).numpy(), (y @ line).numpy()) for line in lines.T]
    expected = sum(each) / 6
    assert sliced_w1(x, y, 6, 4, relative=False) == pytest.approx(expected)
    spread = math.sqrt(float(torch.cov(y.T, correction=0).trace()) / 3)
    assert sliced_w1(x, y, 6, 4) == pytest.approx(expected / spread)
    assert sliced_w1(9 * x, 9 * y, 6, 4) == pytest.approx(expected / spread)


def test_the_funnel_is_the_stage_where_two_sets_part_least():
    sets = [
        [normal(s, 60, 4) for s in (0, 1, 2)],
        [normal(s + 5, 60, 4) + shift for s, shift in ((0, 3.0), (1, 0.0), (2, 1.0))],
    ]
    funnel = narrowest(*sets, draws=20)
    assert funnel.stage == 2 and funnel.sure == 1.0
    expected = [sliced_w1(a, b) for a, b in zip(*sets)]
    assert funnel.distances == pytest.approx(expected)
    alike = narrowest([normal(s, 60, 4) for s in range(3)], [normal(s, 60, 4) for s in range(5, 8)])
    assert alike.sure < 0.9  # nothing is special, and the draws say so


def test_a_scale_or_a_wider_stage_is_no_funnel():
    """A width of copies, or a factor, changes no distance but by the directions drawn."""
    x, y = normal(0, 200, 6), normal(1, 200, 6) + 0.5
    wide = lambda rows: torch.cat([rows] * 8, 1) * 100
    plain, larger = sliced_w1(x, y, 512), sliced_w1(wide(x), wide(y), 512)
    assert larger == pytest.approx(plain, rel=0.1)


def test_what_cannot_be_had_says_why():
    x = normal(0, 4, 4)
    assert reason_of(gaussian_kl(x, x)).startswith("a covariance of 4 features takes more rows")
    assert reason_of(gaussian_kl(0 * normal(0, 9, 2), 0 * normal(0, 9, 2))) == "all rows are equal"
    assert reason_of(sliced_w1(x[:0], x)) == "a set has no rows"
    assert reason_of(sliced_w1(x, torch.ones(3, 4))) == "all rows of a set are equal"
    for sets in (([], []), ([x], [x, x]), ([x], [torch.ones(3, 4)])):
        with pytest.raises(DataError):
            narrowest(*sets)


# the Monge gap


def test_a_movement_that_is_a_convex_gradient_has_no_gap():
    x = normal(0, 40, 3).double()
    half = normal(1, 3, 3).double()
    for now in (x, x + 5, x @ (half @ half.T)):
        assert monge_gap(x, now) == pytest.approx(0, abs=1e-9)


def test_a_turn_has_one():
    x = normal(0, 60, 2).double()
    quarter = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    assert monge_gap(x, x @ quarter) > 0.3 * float(x.square().sum(1).mean())
    cloud = torch.cat([x, -x])  # symmetric: turned round, each point finds another in its place
    whole = 4 * float(cloud.square().sum(1).mean())
    assert monge_gap(cloud, -cloud) == pytest.approx(whole)
    assert monge_gap(cloud, -cloud, relative=True) == pytest.approx(1)


def test_the_gap_is_that_of_all_pairings():
    from itertools import permutations

    x, y = normal(0, 5, 2).double(), normal(1, 5, 2).double()
    cost = lambda order: sum(float((x[i] - y[j]).square().sum()) for i, j in enumerate(order)) / 5
    least = min(map(cost, permutations(range(5))))
    assert monge_gap(x, y) == pytest.approx(cost(range(5)) - least)


def test_a_gap_that_cannot_be_had():
    assert reason_of(monge_gap(torch.zeros(1001, 1), torch.zeros(1001, 1))).startswith("an exact")
    assert (
        reason_of(monge_gap(torch.ones(3, 1), torch.ones(3, 1), relative=True)) == "nothing moved"
    )
