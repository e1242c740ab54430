"""Tests of unlearning: each figure against a twin, and what chance alone gives."""

import math

import pytest
import torch
from scipy import stats

import reference_unlearning as twin
from holdfast.core.errors import ConfigError
from holdfast.metrics.unlearning import (
    gaussian_auc,
    klom,
    klom_floor,
    margins,
    membership,
    relearn_time,
    retrained_difference,
)


def normal(*shape, seed=0, mean=0.0, sd=1.0):
    generator = torch.Generator().manual_seed(seed)
    return mean + sd * torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_margins_equal_their_twin():
    logits, y = 3 * normal(7, 4), torch.tensor([0, 3, 1, 1, 2, 0, 3])
    expected = [twin.margin(z, k) for z, k in zip(logits.tolist(), y.tolist())]
    assert margins(logits, y).tolist() == pytest.approx(expected, abs=1e-12)
    assert float(margins(torch.tensor([[90.0, -90.0]]), torch.tensor([0]))) == 180  # no overflow


@pytest.mark.parametrize("models", [3, 17, 60])
def test_klom_equals_its_twins(models):
    a, b = normal(models, 5), normal(models + 1, 5, seed=1, mean=0.7, sd=1.6)
    a[0, 0], b[0, 1] = 500.0, -300.0  # clipped
    for form, of in (("bins", twin.klom_bins), ("gaussian", twin.klom_gaussian)):
        value = klom(a, b, form)
        cut = [t.clamp(-100, 100) if form == "gaussian" else t for t in (a, b)]
        expected = [of(cut[0][:, i].tolist(), cut[1][:, i].tolist()) for i in range(5)]
        assert value.tolist() == pytest.approx(expected, abs=1e-9)
    usual = klom(a, b, "bins" if models >= 50 else "gaussian")
    assert klom(a, b).tolist() == usual.tolist()


def test_klom_of_equal_laws_is_its_floor_and_not_0():
    """Theory, 21.4: by bins 0.90 at 50 models each, 0.34 at 100."""
    for models, floor in ((50, 0.90), (100, 0.34)):
        found = klom(normal(models, 400), normal(models, 400, seed=1), "bins")
        assert float(found.mean()) == pytest.approx(floor, abs=0.08)
        halves = klom_floor(normal(2 * models, 100, seed=2), "bins", splits=4)
        assert float(halves.mean()) == pytest.approx(floor, abs=0.12)
    one = torch.ones(5, 2, dtype=torch.float64)
    assert klom(one, one, "bins").tolist() == [0, 0]
    assert klom(one, one).tolist() == [0, 0]


def test_klom_finds_a_model_that_remembers():
    oracles = normal(40, 30)
    assert float(klom(normal(20, 30, seed=1, mean=2.0), oracles).mean()) > 5 * float(
        klom_floor(oracles).mean()
    )


def test_a_difference_is_that_of_pairs_with_its_interval():
    a, b = [0.91, 0.88, 0.95, 0.90], [0.90, 0.84, 0.93, 0.91]
    found = retrained_difference(a, b)
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert found.mean == pytest.approx(0.015)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.pairs == 4
    alone = retrained_difference([0.5], [0.25])
    assert alone.mean == 0.25 and math.isnan(alone.low) and math.isnan(alone.high)


def test_the_membership_auc_equals_its_twin():
    a, b = normal(13).round(decimals=1), normal(19, seed=1).round(decimals=1)  # with ties
    found = membership(a, b)
    assert found.auc == pytest.approx(twin.auc(a.tolist(), b.tolist()))
    assert found.leak == pytest.approx(abs(found.auc - 0.5))
    assert (found.members, found.unseen) == (13, 19)


@pytest.mark.parametrize("n, sd", [(100, 0.041), (500, 0.018)])
def test_chance_and_a_gap_of_one_spread(n, sd):
    at_chance = [membership(normal(n, seed=s), normal(n, seed=1000 + s)) for s in range(300)]
    values = torch.tensor([m.auc for m in at_chance])
    assert at_chance[0].sd == pytest.approx(sd, abs=6e-4)
    assert float(values.std()) == pytest.approx(sd, rel=0.15)
    assert sum(m.sure for m in at_chance) / 300 == pytest.approx(0.0455, abs=0.04)
    assert gaussian_auc(1.0) == pytest.approx(0.760, abs=1e-3)
    apart = membership(normal(5000, mean=1.0), normal(5000, seed=1))
    assert apart.auc == pytest.approx(gaussian_auc(1.0), abs=0.015)
    assert apart.tpr == pytest.approx(stats.norm.sf(stats.norm.isf(0.01) - 1), abs=0.02)


def test_rows_that_were_forgotten_too_well_leak_too():
    found = membership(normal(200, mean=-1.0), normal(200, seed=1))
    assert found.auc < 0.4 and found.leak > 0.1 and found.sure


def test_true_positives_are_counted_at_one_false_one_in_a_hundred():
    unseen = torch.arange(200.0)  # two may be called members: 198 and 199
    assert membership(torch.tensor([197.5, 197.0, 300.0, 0.0]), unseen).tpr == 0.5
    assert membership(torch.tensor([9.5, 8.5]), torch.arange(10.0)).tpr == 0.5  # none may


def test_the_time_to_relearn():
    assert relearn_time([0.1, 0.4, 0.8, 0.9], 0.8) == 2
    assert relearn_time([0.9], 0.8) == 0
    late = relearn_time([0.1, 0.2], 0.8)
    assert math.isnan(late) and late.reason == "1 steps did not bring it back"


@pytest.mark.parametrize(
    "act, why",
    [
        (lambda: klom(normal(2, 3), normal(9, 3)), "3 models or more, not of 2"),
        (lambda: klom(normal(9, 3), normal(9, 3), "bin"), "auto, bins or gaussian, not 'bin'"),
        (lambda: klom_floor(normal(5, 3)), "6 oracles or more, not 5"),
        (lambda: retrained_difference([1.0], [1.0, 2.0]), "are no pairs"),
        (lambda: membership(normal(3), normal(0)), "give both"),
    ],
)
def test_what_cannot_be_compared_is_refused(act, why):
    with pytest.raises(ConfigError, match=why):
        act()
