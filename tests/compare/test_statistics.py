"""Means, intervals and tests against slow twins, and against what theory says they must be."""

import math

import numpy as np
import pytest
from scipy import stats

import reference_compare as twin
from holdfast.compare.components import crossed, mean_squares, variance_components
from holdfast.compare.paired import (
    detectable_ratio,
    estimated,
    floor_of_p,
    holm,
    sign_flip,
)
from holdfast.compare.streams import friedman
from holdfast.core.errors import ConfigError


def drawn(seed, *shape):
    values = np.random.default_rng(seed).normal(0.4, 1.0, shape)
    return values if len(shape) > 1 else values.tolist()


@pytest.mark.parametrize("n", [2, 5, 12])
def test_the_interval_and_p_are_those_of_the_t_test(n):
    x = drawn(n, n)
    ours, theirs = estimated(x), stats.ttest_1samp(x, 0)
    assert ours.p == pytest.approx(theirs.pvalue)
    for level in (0.95, 0.9):
        ends = theirs.confidence_interval(level)
        half = ours.half_width(level)
        assert (ours.mean - half, ours.mean + half) == pytest.approx((ends.low, ends.high))


def test_one_block_and_equal_blocks_are_said_as_they_are():
    one, none = estimated([3.0]), estimated([0.0, 0.0])
    assert math.isnan(one.half_width()) and math.isnan(one.p) and not one.within(10.0)
    assert (none.p, none.half_width()) == (1.0, 0.0) and estimated([2.0, 2.0]).p == 0.0
    with pytest.raises(ConfigError, match="at least one"):
        estimated([])


@pytest.mark.parametrize("n", [1, 3, 7, 10])
def test_signs_are_flipped_in_every_pattern(n):
    d = drawn(n, n)
    assert sign_flip(d) == (pytest.approx(twin.sign_flip(d)), True)
    ties = [1.0, -1.0, 2.0, 0.0][:n]
    assert sign_flip(ties)[0] == pytest.approx(twin.sign_flip(ties))


def test_beyond_sixteen_blocks_signs_are_drawn_and_the_same_again():
    d = [v - 0.2 for v in drawn(1, 18)]
    p, exact = sign_flip(d, draws=20_000)
    assert not exact and p == sign_flip(d, draws=20_000)[0]
    assert p == pytest.approx(twin.sign_flip(d), abs=4 * math.sqrt(p * (1 - p) / 20_000))
    assert sign_flip(list(np.ones(40)), draws=1000)[0] == pytest.approx(1 / 1001)


def test_the_floor_is_what_equal_signs_give():
    for n in range(1, 10):
        assert floor_of_p(n) == pytest.approx(sign_flip([1 + v**2 for v in drawn(n, n)])[0])
    assert floor_of_p(5) > 0.05 > floor_of_p(6)


def test_what_is_detectable_is_found_with_power_080():
    table = {3: 3.26, 4: 2.13, 5: 1.68, 6: 1.43, 8: 1.16, 10: 1.00, 15: 0.78, 20: 0.66, 30: 0.53}
    for n, units in table.items():
        assert detectable_ratio(n - 1) / math.sqrt(n) == pytest.approx(units, abs=0.006)
    n, draws = 6, 20_000
    x = np.random.default_rng(0).normal(1.43, 1.0, (draws, n))
    share_seen = (stats.ttest_1samp(x, 0, axis=1).pvalue < 0.05).mean()
    assert share_seen == pytest.approx(0.8, abs=0.015)
    weaker = detectable_ratio(5, power=0.5, alpha=0.1)
    x = np.random.default_rng(1).normal(weaker / math.sqrt(n), 1.0, (draws, n))
    assert (stats.ttest_1samp(x, 0, axis=1).pvalue < 0.1).mean() == pytest.approx(0.5, abs=0.015)


@pytest.mark.parametrize("margin", [0.3, 0.9, 3.0])
def test_equivalence_is_two_one_sided_tests(margin):
    for seed in range(20):
        x = drawn(seed, 6)
        low = stats.ttest_1samp(x, -margin, alternative="greater").pvalue
        high = stats.ttest_1samp(x, margin, alternative="less").pvalue
        assert estimated(x).within(margin) == (max(low, high) < 0.05)
    with pytest.raises(ConfigError, match="above 0"):
        estimated([1.0, 2.0]).within(0.0)


def test_holm_steps_down_through_the_family():
    for seed in range(10):
        p = list(np.random.default_rng(seed).uniform(0, 0.2, 5))
        assert holm(p) == pytest.approx(twin.holm(p))
    adjusted = holm([0.01, math.nan, 0.02])
    assert adjusted[0] == pytest.approx(0.02) and math.isnan(adjusted[1])


def test_variance_is_split_cell_by_cell():
    table = drawn(3, 4, 3)
    assert mean_squares(table) == pytest.approx(twin.mean_squares(table.tolist()))
    of_seeds, of_orders, rest = twin.mean_squares(table.tolist())
    parts = variance_components(table)
    assert parts.seed == pytest.approx(max((of_seeds - rest) / 3, 0))
    assert parts.order == pytest.approx(max((of_orders - rest) / 4, 0))
    with pytest.raises(ConfigError, match="two of each"):
        variance_components(drawn(0, 1, 3))


def test_a_part_below_zero_is_zero_and_named():
    checkers = np.array([[1.0, -1.0], [-1.0, 1.0]])
    parts = variance_components(checkers)
    assert (parts.seed, parts.order) == (0.0, 0.0) and set(parts.negative) == {"seed", "order"}
    assert parts.share(parts.rest) == 1.0


def test_variances_are_recovered_on_average():
    rng, sums = np.random.default_rng(0), np.zeros(3)
    for _ in range(200):
        table = rng.normal(0, 1, (50, 1)) + rng.normal(0, 2, (1, 50)) + rng.normal(0, 1, (50, 50))
        parts = variance_components(table)
        sums += parts.seed, parts.order, parts.rest
    assert sums / 200 == pytest.approx([1.0, 4.0, 1.0], rel=0.05)


@pytest.mark.parametrize("seed_sd, order_sd", [(0.0, 0.0), (0.5, 0.5), (1.0, 2.0)])
def test_crossed_intervals_hold_the_mean_about_as_often_as_they_say(seed_sd, order_sd):
    """Blocks taken for independent do not, once orders matter."""
    rng, inside, naive = np.random.default_rng(5), 0, 0
    for _ in range(1000):
        table = (
            rng.normal(0, seed_sd, (5, 1)) + rng.normal(0, order_sd, (1, 3))
            + rng.normal(0, 1, (5, 3))
        )  # fmt: skip
        a, b = crossed(table), estimated(table.ravel().tolist())
        inside += abs(a.mean) < a.half_width()
        naive += abs(b.mean) < b.half_width()
    assert inside >= 915
    assert naive < 880 if order_sd else naive > 920


@pytest.mark.parametrize("seed_step, order_step", [(0, 0), (0, 5), (5, 0), (5, 5)])
def test_the_error_of_a_crossed_mean_is_that_of_its_formula(seed_step, order_step):
    """No factor above the rest: the plain error; one: the error of its means; both: their sum."""
    checkers = np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.5, 0.0, -0.5], [-0.5, 0.0, 0.5]])
    table = (
        0.3 + checkers + seed_step * np.arange(4)[:, None] - order_step * np.arange(3)[None]
    )  # fmt: skip
    a, b, rest = twin.mean_squares(table.tolist())
    e = crossed(table)
    assert e.n == 12 and e.crossed and e.mean == pytest.approx(table.mean())
    if seed_step and order_step:
        assert e.se**2 * 12 == pytest.approx(a + b - rest)
        assert e.df == pytest.approx((a + b - rest) ** 2 / (a**2 / 3 + b**2 / 2 + rest**2 / 6))
    elif seed_step or order_step:
        means = table.mean(1) if seed_step else table.mean(0)
        assert (e.df, e.se**2) == (len(means) - 1, pytest.approx(means.var(ddof=1) / len(means)))
    else:
        assert (e.df, e.se**2) == (11, pytest.approx(table.var(ddof=1) / 12))


def test_ranks_over_streams_are_friedmans():
    scores = drawn(2, 8, 4)
    ours, chi2 = friedman(scores), twin.friedman_chi2(scores.tolist())
    assert chi2 == pytest.approx(stats.friedmanchisquare(*scores.T).statistic)
    assert ours.statistic == pytest.approx(7 * chi2 / (8 * 3 - chi2))
    assert ours.p == pytest.approx(stats.f.sf(ours.statistic, 3, 21))
    clear = friedman(np.array([[3.0, 2.0, 1.0]] * 6))
    assert clear.mean == (1.0, 2.0, 3.0) and clear.p == 0.0
    with pytest.raises(ConfigError, match="5 streams"):
        friedman(scores[:4])
