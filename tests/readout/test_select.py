"""Rows held out, the rule they choose, and how far answers can be believed."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from clouds import EVEN, by_class, clouds, said
from holdfast.core.errors import ConfigError
from holdfast.metrics import fit_temperature
from holdfast.readout import Select, build_readout
from holdfast.readout.again import decide_by
from holdfast.readout.confidence import Confidence
from holdfast.readout.held_out import Fold, HeldOut, scene_folds
from holdfast.readout.lift import FourierFeatures, sharpness_of
from holdfast.readout.rule import COMPARED, FEATURES, RULES, USUAL, Asked
from holdfast.readout.select import compared
from holdfast.statistics import Statistics


def scenes(each=6, per_class=4, classes=3, apart=40.0, seed=0):
    """Classes of a few scenes each, every scene far from the others of its class."""
    chance = torch.Generator().manual_seed(seed)
    centres = apart * torch.randn(classes, per_class, 5, generator=chance)
    x = centres.repeat_interleave(each, 1) + torch.randn(
        classes, per_class * each, 5, generator=chance
    )
    scene = torch.arange(per_class).repeat_interleave(each).repeat(classes)
    return (
        x.flatten(0, 1).double(),
        torch.arange(classes).repeat_interleave(per_class * each),
        scene,
    )


# rows held out


def test_a_scene_is_left_out_as_one():
    x, y, scene = scenes()
    place = scene_folds(x, y)
    for k in range(3):
        for s in range(4):
            assert len(place[(y == k) & (scene == s)].unique()) == 1
    assert set(place.tolist()) == {0, 1, 2, 3}


def test_folds_do_not_depend_on_the_order_of_the_rows():
    x, y = clouds(EVEN)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    assert torch.equal(scene_folds(x[order], y[order]), scene_folds(x, y)[order])


def test_a_fold_is_measured_by_statistics_without_it():
    x, y = clouds(EVEN)
    x = x.double()
    before = Statistics.empty(5).add(x[y < 2], y[y < 2])
    new = y >= 2
    held = HeldOut(before, x[new], y[new], 4)
    assert held.count == int(new.sum())
    for fold, place in zip(held.folds, range(4), strict=True):
        out = scene_folds(x[new], y[new]) == place
        rest = torch.cat([x[y < 2], x[new][~out]]), torch.cat([y[y < 2], y[new][~out]])
        twin = Statistics.empty(5).add(*rest, 4)
        assert_close(fold.rest.mean, twin.mean, rtol=1e-10, atol=1e-10)
        assert_close(fold.rest.scatter.pooled(), twin.scatter.pooled(), rtol=1e-10, atol=1e-10)
        assert torch.equal(fold.x, x[new][out])


def test_a_class_of_one_row_cannot_be_held_out():
    x, y = clouds((1, 1, 1))
    assert HeldOut(Statistics.empty(5), x.double(), y, 3).folds == []


# the rule


def test_the_rule_is_the_one_that_gets_most_rows_held_out_right(fitted):
    x, y = clouds(EVEN)
    readout = fitted(Select(), (x, y))
    held = HeldOut(Statistics.empty(5), x.double(), y, 4)
    shares = {}
    for name in COMPARED:
        rule, right = RULES[name], torch.zeros(4)
        for fold in held.folds:
            guess = rule.solve(fold.rest)(fold.x).argmax(1)
            right += torch.stack([(guess[fold.y == k] == k).sum() for k in range(4)])
        shares[name] = float((right / 20).double().mean())
    assert readout.accuracies == pytest.approx(shares)
    best = max(shares.values())
    assert readout.chosen == USUAL or shares[readout.chosen] == best > shares[USUAL]
    assert readout.reason.startswith(readout.chosen)


def test_scales_that_differ_by_feature_are_found(fitted):
    x, y = clouds((40,) * 4)
    readout = fitted(Select(), (x * torch.tensor([1.0, 1e4, 1e-4, 1.0, 1e3]), y))
    assert readout.accuracies[readout.chosen] > readout.accuracies[USUAL] + 0.05


def test_a_handful_is_decided_by_means(fitted):
    x, y = clouds((2,) * 4)
    assert fitted(Select(), (x, y)).chosen == FEATURES


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_can_be_asked_for_and_survives_the_state(fitted, rule):
    x, y = clouds(EVEN)
    readout = fitted(Select(rule=rule), *by_class(x, y))
    assert readout.chosen == rule
    assert_close(readout.decision(x.double()), RULES[rule].solve(readout.known)(x.double()))
    other = Select(rule=rule)
    other.load_state_dict(readout.state_dict())
    assert torch.equal(other.scores(said(x)), readout.scores(said(x)))
    assert other.threshold(0.1) == readout.threshold(0.1)


def test_an_unknown_rule_is_refused():
    with pytest.raises(ConfigError, match="unknown"):
        build_readout("select:rule=forest")


# confidence


def test_the_temperature_is_that_of_the_rows_held_out(fitted):
    x, y = clouds(EVEN)
    readout = fitted(Select(rule=USUAL), (x, y))
    held = HeldOut(Statistics.empty(5), x.double(), y, 4)
    scores = torch.cat([RULES[USUAL].solve(fold.rest)(fold.x) for fold in held.folds])
    labels = torch.cat([fold.y for fold in held.folds])
    assert (scores.argmax(1) != labels).any()
    expected = fit_temperature(scores, labels)
    assert readout.temperature == pytest.approx(expected, rel=1e-6)
    assert readout.calibrated


def test_new_scenes_are_as_sure_as_they_are_right(fitted):
    """Few scenes a class, and test rows of new ones: the confidence is not that of rows seen again."""
    gap = []
    for seed in range(5):
        chance = torch.Generator().manual_seed(100 + seed)
        centres = 1.5 * torch.randn(6, 1, 8, generator=chance)
        spots = centres + torch.randn(6, 30, 8, generator=chance)  # scenes of a class
        jitter = lambda n: 0.2 * torch.randn(6, 30, n, 8, generator=chance)  # noqa: B023
        x = (spots[:, :, None] + jitter(8))[:, :10].reshape(-1, 8)
        test = (spots[:, :, None] + jitter(8))[:, 10:].reshape(-1, 8)
        readout = fitted(Select(), (x, torch.arange(6).repeat_interleave(80)))
        p, y = readout.probabilities(said(test)), torch.arange(6).repeat_interleave(160)
        gap.append(float(p.amax(1).mean() - (p.argmax(1) == y).double().mean()))
    assert abs(sum(gap) / 5) < 0.06, gap


def test_confidence_is_averaged_over_tasks_and_forgets_other_scores():
    one = Confidence().after(2.0, torch.linspace(0, 1, 101).double(), (101, 2))
    two = one.after(8.0, torch.linspace(2, 3, 101).double(), (202, 3))
    assert two.temperature == pytest.approx(4.0)  # the mean of the logarithms
    assert two.threshold(0.5) == pytest.approx(1.5)
    assert two.rows == 202
    from dataclasses import replace

    fresh = replace(one, forgotten=True).after(8.0, torch.zeros(5), (106, 3))
    assert fresh.temperature == pytest.approx(8.0)


def test_many_classes_are_measured_again_once_a_quarter_has_come():
    now = Confidence(at=(1000, 100))
    assert not now.stale(1200, 110)
    assert now.stale(1250, 110) and now.stale(1100, 125) and now.stale(1001, 50)


def test_nothing_is_unknown_where_nothing_was_measured(fitted):
    x, y = clouds((1, 1, 1))
    readout = fitted(Select(), (x, y))
    assert not readout.calibrated
    assert not readout.unknown(said(x + 1000)).any()
    with pytest.raises(ConfigError, match="no image could be held out"):
        readout.threshold()


def test_strange_inputs_are_unknown(fitted):
    x, y = clouds((60,) * 4)
    readout = fitted(Select(), (x, y))
    fresh, _ = clouds((500,) * 4, seed=1)
    assert float(readout.unknown(said(fresh), 0.1).double().mean()) < 0.12
    between = x.mean(0).expand(50, -1)  # like no class
    assert readout.unknown(said(between), 0.1).all()


def test_the_regression_is_an_exportable_network(fitted):
    x, y = clouds(EVEN)
    readout = fitted(Select(), (x, y))
    raw = readout.strangeness(readout.known, readout.decision, x.double())
    assert_close(readout.strange_network()(x).double(), raw, rtol=1e-4, atol=1e-5)


def test_where_every_row_held_out_is_right_no_more_than_that_is_claimed(fitted):
    x, y, _ = scenes(apart=0.0)
    readout = fitted(Select(), (x + 100 * torch.eye(5).double()[y], y))
    p = readout.probabilities(said(x + 100 * torch.eye(5).double()[y]))
    assert 0.9 < float(p.amax(1).mean()) < 0.999


# thresholds by class


def test_a_class_that_looks_stranger_gets_a_threshold_of_its_own():
    strange = torch.cat([torch.zeros(40), torch.full((20,), 3.0), torch.full((5,), 9.0)]).double()
    y = torch.tensor([0] * 40 + [1] * 20 + [2] * 5)
    found = Confidence().gapped(strange, y, 4)
    assert found.shift(5).tolist() == [0.0, 3.0 * 20 / 30, 0.0, 0.0, 0.0]  # 5 rows are too few
    again = found.gapped(torch.tensor([0.0, 0.0, 6.0]).double(), torch.tensor([0, 0, 1]), 4)
    assert float(again.gap[1]) == pytest.approx((20 * 3 + 6) / 21)
    assert float(found.gap[1]) == 3.0  # a value: it is not changed


def test_strangeness_is_less_the_shift_of_the_class_it_is_taken_for(fitted):
    x, y = clouds((40,) * 4)
    x = x + 3 * x.std() * (y == 3)[:, None] * torch.randn(
        x.shape, generator=torch.Generator().manual_seed(3)
    )
    readout = fitted(Select(), (x, y))
    raw = readout.strangeness(readout.known, readout.decision, x.double())
    best = readout.decision(x.double()).argmax(1)
    assert float(readout.shift.abs().min()) > 0.001  # each had enough rows
    assert_close(readout.strange(said(x)), raw - readout.shift[best])
    other = Select()
    other.load_state_dict(readout.state_dict())
    assert torch.equal(other.strange(said(x)), readout.strange(said(x)))


def test_a_class_keeps_its_threshold_where_another_is_removed(fitted):
    x, y = clouds((40,) * 4)
    readout = fitted(Select(scatter="factor"), (x, y))
    before = readout.confidence.gap
    decide_by(readout, readout.known.select([0, 2, 3]))
    assert readout.confidence.gap.tolist() == before[[0, 2, 3]].tolist()
    assert readout.confidence.nominal


# sets


def test_sets_hold_the_true_class_as_often_as_was_asked(fitted):
    noise = torch.Generator().manual_seed(5)
    x, y = clouds((100,) * 4)
    readout = fitted(Select(), (x + 2 * torch.randn(x.shape, generator=noise), y))
    fresh, of = clouds((500,) * 4, seed=1)
    fresh = fresh + 2 * torch.randn(fresh.shape, generator=noise)
    p = readout.probabilities(said(fresh))
    assert float((p.argmax(1) == of).double().mean()) < 0.95
    for cover in (0.8, 0.9, 0.95, 0.98):
        sets = readout.sets(p, cover)
        held = float(sets.gather(1, of[:, None]).double().mean())
        assert held > cover - 0.03
        assert bool(sets.gather(1, p.argmax(1, keepdim=True)).all())
    assert readout.sets(p, 0.9999).all()  # too few rows held out to promise so much
    with pytest.raises(ConfigError, match="between 0 and 1"):
        readout.sets(p, 1.0)


def test_the_limit_of_sets_is_the_rank_that_a_finite_sample_needs():
    scores = torch.zeros(99, 2).double()
    scores[:, 1] = torch.linspace(-4, 4, 99).double()
    now = (
        Confidence()
        .after(1.0, torch.zeros(99).double(), (99, 2))
        .missing(scores, torch.zeros(99).long())
    )
    missed = torch.softmax(scores, 1)[:, 1].sort().values
    assert now.missable(0.5) == pytest.approx(
        float(torch.quantile(missed, 0.5 * (1 + 1 / 99))), abs=0.01
    )
    assert now.missable(0.995) == float("inf")


def test_no_set_without_a_row_held_out(fitted):
    x, y = clouds((1, 1, 1))
    readout = fitted(Select(), (x, y))
    with pytest.raises(ConfigError, match="no image could be held out"):
        readout.sets(readout.probabilities(said(x)))


# scatters and lifts


def test_a_factor_scatter_decides_as_a_shared_one_and_gives_a_class_back(fitted):
    x, y = clouds(EVEN)
    one, two = fitted(Select(), *by_class(x, y)), fitted(Select(scatter="factor"), *by_class(x, y))
    assert one.chosen == two.chosen
    assert_close(one.decision(x.double()), two.decision(x.double()), rtol=1e-10, atol=1e-10)
    rest = two.known.remove_class(3)
    fewer = Statistics.empty(5).add(x[y < 3].double(), y[y < 3], 4)
    assert_close(rest.mean, fewer.mean, rtol=1e-10, atol=1e-10)
    assert_close(rest.scatter.pooled(), fewer.scatter.pooled(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("lift", ["random", "klda"])
def test_a_lift_separates_what_no_line_does(fitted, lift):
    """A ring around a ball."""
    chance = torch.Generator().manual_seed(0)
    x = torch.randn(400, 2, generator=chance)
    x = torch.cat([x[:200] * 0.3, 3 * torch.nn.functional.normalize(x[200:])])
    x = torch.cat([x, torch.full((400, 6), 1.0)], 1)
    y = torch.arange(2).repeat_interleave(200)
    right = {}
    for name in ("none", lift):
        readout = fitted(Select(lift=name), (x, y))
        right[name] = float((readout.scores(said(x)).argmax(1) == y).double().mean())
    assert right[lift] > 0.95 > 0.8 > right["none"], right


def test_the_fourier_features_are_those_of_a_gaussian_kernel():
    x = torch.nn.functional.normalize(torch.randn(6, 8, generator=torch.Generator().manual_seed(0)))
    lifted_rows = FourierFeatures(8, 40_000)(x.double())
    kernel = (-sharpness_of(8) * 8 * torch.cdist(x, x).double() ** 2).exp()
    assert_close(lifted_rows @ lifted_rows.T, kernel, rtol=0, atol=0.03)


def test_an_unknown_lift_is_refused():
    with pytest.raises(ConfigError, match="lift 'up'"):
        build_readout("select:lift=up")


# many classes


def test_rules_are_compared_on_the_classes_near_the_rows():
    x = torch.arange(300.0).double()[:, None].expand(300, 2).contiguous()
    rest = Statistics.empty(2).add(x, torch.arange(300))
    fold = Fold(rest, x[[7]] + 0.1, torch.tensor([250]))
    assert compared(fold, 4).tolist() == [6, 7, 8, 250]
    assert compared(fold, 300) is None


@pytest.mark.parametrize("name", RULES)
def test_a_rule_among_some_classes_gives_the_scores_it_gives_among_all(name):
    x, y = clouds(EVEN)
    known = Statistics.empty(5).add(x.double(), y)
    some = torch.tensor([1, 3])
    few = RULES[name].of(Asked(known, some))(x.double())
    assert_close(few, RULES[name].solve(known)(x.double())[:, some], rtol=1e-10, atol=1e-10)


# exactness


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 6), st.sampled_from(["shared", "factor"]))
def test_any_order_and_any_split_give_the_same_model(chance, parts, scatter):
    """Also where a class comes again: statistics, and the decision of every rule."""
    x, y = clouds((1, 2, 9, 12), seed=4)
    x = x.double()
    order = list(range(len(y)))
    chance.shuffle(order)
    cuts = sorted(chance.sample(range(len(y) + 1), parts - 1))
    split = Statistics.empty(5, scatter)
    for start, end in zip([0, *cuts], [*cuts, len(y)]):
        rows = torch.tensor(order[start:end], dtype=torch.long)
        split = split.add(x[rows], y[rows], 4)
    whole = Statistics.empty(5, scatter).add(x, y, 4)
    assert_close(split.count, whole.count)
    assert_close(split.mean, whole.mean, rtol=1e-10, atol=1e-10)
    assert_close(split.scatter.pooled(), whole.scatter.pooled(), rtol=1e-10, atol=1e-10)
    for rule in RULES.values():
        one, two = rule.solve(split)(x), rule.solve(whole)(x)
        assert_close(one, two, rtol=1e-10, atol=1e-10 * float(two.abs().max()))


def test_one_image_of_a_class_is_enough(fitted):
    near, far = torch.zeros(1, 5), torch.full((1, 5), 2.0)
    alone = fitted(Select(), (near, torch.tensor([0])))
    assert alone.scores(said(far)).argmax(1).tolist() == [0]
    assert torch.isfinite(alone.probabilities(said(far))).all()
    both = fitted(Select(), (torch.cat([near, far]), torch.tensor([0, 1])))
    assert both.scores(said(torch.cat([near + 0.1, far - 0.1]))).argmax(1).tolist() == [0, 1]
