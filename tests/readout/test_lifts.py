"""Readouts of lifted rows: KLDA, AnaCP, and the width of lifts (section 9), against twins row by row."""

import math

import pytest
import torch
from torch.testing import assert_close

import reference_readouts
from clouds import by_class, clouds, said
from holdfast.core.errors import ConfigError
from holdfast.readout import RandomFeatureRidge, Ridge, build_readout
from holdfast.readout.anacp import drawn_apart, lifted_rows
from holdfast.readout.klda import KernelGaussian, median_distance
from holdfast.readout.lift import FourierFeatures, lift_width
from holdfast.statistics import SharedCovariance, Statistics

SIZES = (30, 20, 25, 28)


def rings(n=120, seed=0):
    """Two classes around one centre: no line parts them."""
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 2
    x = torch.nn.functional.normalize(torch.randn(n, 3, generator=g), dim=1)
    return x * (1 + 1.5 * y[:, None]) + 0.05 * torch.randn(n, 3, generator=g), y


def test_fourier_features_with_a_sharpness_are_its_kernel():
    x, _ = rings(20)
    phi = FourierFeatures(3, 60_000, 1, 0.3)(x.double())
    kernel = torch.tensor([[math.exp(-0.3 * float(((a - b) ** 2).sum())) for b in x] for a in x])
    assert_close(phi @ phi.T, kernel.double(), rtol=0, atol=0.02)


def test_klda_parts_what_no_line_does_and_keeps_its_kernel(fitted):
    (x, y), (test, truth) = rings(), rings(80, 1)
    accuracy = lambda r: float((r.predict(said(test)) == truth).float().mean())
    readout = fitted(KernelGaussian(width=200), (x, y))
    assert accuracy(readout) > 0.95 > 0.7 > accuracy(fitted(build_readout("gaussian"), (x, y)))
    chosen = readout.chosen
    c = chosen * median_distance(x.double())
    assert c == pytest.approx(2 ** round(math.log2(c))) and 1 / 16 <= c <= 16
    fresh = KernelGaussian(width=200)
    fresh.set_extra_state(readout.get_extra_state())
    assert fresh.chosen == chosen
    assert torch.equal(fresh.scores(said(test)), readout.scores(said(test)))


@pytest.mark.parametrize("sharpness, shrinkage", [(0.5, 0.2), (4.0, 0.01)])
def test_klda_is_linear_discriminants_of_lifted_rows_however_they_arrive(
    fitted, sharpness, shrinkage
):
    (x, y), (test, _) = clouds(SIZES), clouds((5,) * 4, seed=1)
    tables = by_class(x, y)
    readout = fitted(KernelGaussian("features", shrinkage, 40, sharpness, 3), *tables)
    s = sharpness / median_distance(tables[0][0].double())
    assert readout.chosen == pytest.approx(s)
    lift = FourierFeatures(x.shape[1], 40, 3, s)
    z, asked = lift(x.double()), lift(test.double())
    twin = reference_readouts.linear_discriminants(z, y.tolist(), asked, shrinkage)
    scores = readout.scores(said(test)).double()
    assert_close(scores - scores[:, :1], twin - twin[:, :1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("targets", ["again", "inverse"])
@pytest.mark.parametrize("push", [0.0, 1.0, 3.0])
def test_targets_are_pushed_apart_where_the_rows_are_white(targets, push):
    x, y = clouds(SIZES)
    known = Statistics.empty(x.shape[1]).add(x, y)
    covariance = SharedCovariance(0.1).matrix(known)
    found = drawn_apart(known.mean, covariance, targets, push)
    twin = reference_readouts.pushed_targets(known.mean, covariance, targets, push)
    assert_close(found, twin)


def test_without_a_push_the_targets_are_the_rule_of_a_shared_gaussian():
    x, y = clouds(SIZES)
    known = Statistics.empty(x.shape[1]).add(x, y)
    covariance = SharedCovariance(0.1).matrix(known)
    gap = known.mean - known.mean.mean(0)
    rule = gap @ torch.linalg.inv(covariance) + known.mean.mean(0)
    assert_close(
        drawn_apart(known.mean, covariance, "again", 0.0),
        torch.nn.functional.normalize(rule, dim=1),
    )


@pytest.mark.parametrize("lifts, targets, strength", [(1, "again", 5.0), (2, "inverse", 0.5)])
def test_anacp_is_a_regression_row_by_row(fitted, lifts, targets, strength):
    (x, y), (test, _) = clouds(SIZES), clouds((5,) * 4, seed=1)
    text = (
        f"anacp:width=12:lifts={lifts}:targets={targets}:push=2:strength={strength}:draws=30:seed=4"
    )
    readout = fitted(build_readout(text), *by_class(x, y))
    decision = readout.decision
    unit = torch.nn.functional.normalize(x.double(), dim=1)
    known = Statistics.empty(x.shape[1]).add(unit, y)
    t = drawn_apart(known.mean, SharedCovariance().matrix(known), targets, 2.0)
    z = lifted_rows(x.shape[1], 12, lifts, 4)(x.double())[:, x.shape[1] :]
    for h, part in enumerate(z.split(12, 1)):
        twin = reference_readouts.ridge_rows(part, t[y], strength)
        assert_close(decision.theta[h], twin)
    asked = lifted_rows(x.shape[1], 12, lifts, 4)(test.double())
    twin = reference_readouts.contrasted(asked[:, x.shape[1] :], decision)
    assert_close(readout.scores(said(test)).double(), twin, rtol=1e-4, atol=1e-5)
    together = fitted(build_readout(text), (x, y))
    assert_close(together.scores(said(test)), readout.scores(said(test)), rtol=1e-4, atol=1e-4)


def test_anacp_tells_classes_and_takes_a_state(fitted):
    (x, y), (test, truth) = clouds(SIZES), clouds((20,) * 4, seed=1)
    readout = fitted(build_readout("anacp:strength=1"), *by_class(x, y))
    plain = fitted(Ridge(), *by_class(x, y))
    right = lambda r: float((r.predict(said(test)) == truth).float().mean())
    assert right(readout) > right(plain) - 0.05
    fresh = build_readout("anacp:strength=1")
    fresh.set_extra_state(readout.get_extra_state())
    assert torch.equal(fresh.scores(said(test)), readout.scores(said(test)))


def test_lifts_are_wide_but_not_beyond_sixteen_times(fitted):
    assert [lift_width(f) for f in (5, 128, 512, 1280)] == [80, 2048, 2048, 5120]
    x, y = clouds(SIZES)
    assert fitted(RandomFeatureRidge(), (x, y)).statistics.mean.shape == (4, lift_width(x.shape[1]))


def test_a_state_of_another_default_width_is_read_in_its_own(fitted):
    (x, y), (test, _) = clouds(SIZES), clouds((5,) * 4, seed=1)
    older = fitted(RandomFeatureRidge(width=512), (x, y))
    fresh = RandomFeatureRidge()
    fresh.set_extra_state(older.get_extra_state())
    assert torch.equal(fresh.scores(said(test)), older.scores(said(test)))


def test_a_balanced_ridge_does_not_count_copies_of_rows(fitted):
    """17.10 at strength 0: where all classes spread alike, every row of a class again changes nothing."""
    x, _ = clouds((30,))
    x = x - x.mean(0)
    centres = 3 * torch.eye(3, x.shape[1])
    y = torch.arange(3).repeat_interleave(30)
    rows = centres[y] + x.repeat(3, 1)
    more, of = torch.cat([rows, rows[y == 1]]), torch.cat([y, y[y == 1]])
    once, again = (
        fitted(Ridge(strength=0.0, balance=True), pair).decision for pair in ((rows, y), (more, of))
    )
    plain = fitted(Ridge(strength=0.0), (more, of)).decision
    assert_close(again.weight, once.weight)
    assert_close(again.bias, once.bias)
    assert not torch.allclose(plain.weight, once.weight)


def test_a_row_counts_for_at_most_ten():
    from holdfast.readout.ridge import balanced

    share = balanced(torch.tensor([1.0, 499.0, 500.0]), cap=10)
    assert float(share[0]) == pytest.approx(0.01 / (0.01 + 2 / 3))
    assert balanced(torch.tensor([40.0, 0.0, 60.0]), 10).tolist() == pytest.approx([0.5, 0, 0.5])


@pytest.mark.parametrize(
    "text, words",
    [
        ("klda:width=-1", "at least 1, not -1"),
        ("klda:sharpness=0", "must be positive, not 0"),
        ("anacp:lifts=0", "lifts and draws of at least 1"),
        ("anacp:targets=twice", "targets"),
    ],
)
def test_settings_that_cannot_be_are_refused(text, words):
    with pytest.raises(ConfigError, match=words):
        build_readout(text)
