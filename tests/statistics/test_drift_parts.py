"""Drift maps beyond the ridge: Sylvester, blends, row spaces, networks; and forecasts (section 9)."""

import pytest
import torch
from torch.testing import assert_close

from holdfast.core.errors import ConfigError
from holdfast.readout import Ridge, build_readout
from holdfast.statistics import DriftMap, DriftRule, NetworkMap, RowSpaceMap, Statistics, fit_drift
from holdfast.statistics.drift import FITS, class_forecast
from holdfast.statistics.network_map import standard_draws
from reference_readouts import bent_point, blended, left_by_other_classes, row_space, sylvester_map
from statistics_clouds import WIDE, noise, past, turn


def linear_map(seed=3):
    return DriftMap(turn(WIDE, seed), past(1, 8)[0], past(1, 9)[0])


def statistics_of(x, y, structure):
    return Statistics.empty(WIDE, structure, WIDE).add(x, y)


# the Sylvester form


@pytest.mark.parametrize("strength", [1e-3, 1e-1, 10.0])
def test_the_metric_of_the_new_features_is_a_sylvester_equation(strength):
    x = past()
    moved = x @ turn(6) + noise(x)
    drift = FITS["sylvester"][0](x, moved)(strength)
    assert_close(drift.linear, sylvester_map(x, moved, strength))


def test_where_the_new_features_spread_alike_the_metric_changes_nothing():
    z = standard_draws(100, WIDE)
    x = z @ torch.linalg.inv(torch.eye(WIDE) + turn(6)).double()
    moved = z - x
    ridge, sylvester = (FITS[name][0](x, moved)(0.3) for name in ("ridge", "sylvester"))
    assert_close(sylvester.linear, ridge.linear)
    bent = past()
    assert not torch.allclose(
        *(FITS[n][0](bent, noise(bent))(0.3).linear for n in ("ridge", "sylvester"))
    )


# the blend


@pytest.mark.parametrize("by", ["ridge", "sylvester", "learned", "low_rank", "translation"])
@pytest.mark.parametrize("temp", [0.5, 7.0])
def test_a_blend_leaves_movement_out_where_inputs_are_few(by, temp):
    x = past(20)
    now = x + x @ turn(6) + 1
    make, settings = FITS[by]
    plain = make(x, now - x)(settings[1])
    mixed = DriftRule(by, temp).maker(x, now - x)(settings[1])
    new = past(30, 1)
    assert_close(mixed(new), blended(new, plain, 20, temp))
    known = statistics_of(past(40, 2), torch.arange(2).repeat(20), "full")
    assert_close(known.moved(mixed).mean, blended(known.mean, plain, 20, temp))


def test_a_blend_goes_from_the_identity_to_the_map():
    x = past()
    now, new = x + x @ turn(6) + 1, past(30, 1)
    assert_close(fit_drift(x, now, "ridge+blend=1e6")(new), new, rtol=0, atol=0.02)
    slow = fit_drift(x, now, "ridge+blend=1e6", torch.arange(len(x)) % 2)
    assert slow.residual > 0.99 and slow.forecast > 0.99  # they are of the map as it is
    assert_close(fit_drift(x, now, "ridge+blend=0.1")(new), fit_drift(x, now)(new))
    assert_close(fit_drift(x, x, "ridge+blend")(new), new)


# row spaces


@pytest.mark.parametrize("structure", ["full", "factor", "low_rank"])
@pytest.mark.parametrize("energy", [0.5, 0.99, 1.0])
def test_a_row_space_cut_moves_statistics_as_it_moves_the_rows(structure, energy):
    x = torch.cat([past(40, 1), past(4, 2)])  # the second class does not fill the space
    y = torch.tensor([0] * 40 + [1] * 4)
    drift = RowSpaceMap(linear_map(), energy)
    after = statistics_of(x, y, structure).moved(drift)
    for k in range(2):
        rows = drift.of(x[y == k]) @ row_space(x[y == k], energy)
        assert_close(after.mean[k], rows.mean(0))
        assert_close(after.scatter.matrix(k), (rows - rows.mean(0)).T @ (rows - rows.mean(0)))


def test_with_all_energy_and_rows_in_plenty_a_cut_is_the_map():
    x, y = past(80), torch.arange(2).repeat(40)
    known, drift = statistics_of(x, y, "full"), linear_map()
    a, b = known.moved(RowSpaceMap(drift, 1.0)), known.moved(drift)
    assert_close(a.mean, b.mean)
    assert_close(a.scatter.full, b.scatter.full)
    less = known.moved(RowSpaceMap(drift, 0.5))
    assert int(torch.linalg.matrix_rank(less.scatter.full[0], rtol=1e-9)) < WIDE


def test_row_spaces_need_a_scatter_of_each_class():
    with pytest.raises(ConfigError, match="structure=shared does not keep: use a readout"):
        build_readout("gaussian:drift=ridge+energy")
    assert build_readout("class-gaussian:drift=ridge+energy=0.9").tracker.rule.energy == 0.9
    with pytest.raises(ConfigError, match="use structure=full"):
        statistics_of(past(9), torch.zeros(9).long(), "shared").moved(
            RowSpaceMap(linear_map(), 0.9)
        )


# networks and draws


def network_map(straight=False):
    g = torch.Generator().manual_seed(4)
    shapes = ((WIDE, 5), (5,), (5, WIDE), (WIDE,))
    weights = tuple(torch.randn(s, generator=g, dtype=torch.float64) for s in shapes)
    weights = (*weights[:2], 1e-14 * weights[2], 1e-14 * weights[3]) if straight else weights
    return NetworkMap(linear_map(), weights, 2.5, 0.7)


@pytest.mark.parametrize("structure", ["shared", "full", "diagonal", "low_rank", "factor", "none"])
def test_draws_through_a_network_that_adds_nothing_go_as_by_the_linear_map(structure):
    """The draws have mean 0 and covariance I to the last digits, so nothing is lost by drawing."""
    x, y = past(60), torch.arange(3).repeat(20)
    known = statistics_of(x, y, structure)
    drift = network_map(straight=True)
    a, b = known.moved(drift), known.moved(drift.linear)
    assert_close(a.mean, b.mean, rtol=0, atol=1e-10)
    if structure not in ("none", "diagonal"):
        assert_close(a.scatter.pooled(), b.scatter.pooled(), rtol=1e-10, atol=1e-9)
    if structure == "diagonal":  # draws see the diagonal of A^T diag(s) A too
        assert_close(a.scatter.diagonal, b.scatter.diagonal, rtol=1e-10, atol=1e-9)


def test_a_class_goes_with_its_draws():
    x, y = past(60), torch.arange(3).repeat(20)
    known, drift = statistics_of(x, y, "full"), network_map()
    after = known.moved(drift)
    k, z = 1, standard_draws(1000, WIDE)
    covariance = known.scatter.full[k] / 19
    values, vectors = torch.linalg.eigh(covariance)
    root = values.sqrt()[:, None] * vectors.T
    rows = []
    for row in (known.mean[k] + z @ root)[:]:
        straight = row + (row - drift.linear.centre) @ drift.linear.linear + drift.linear.shift
        rows.append(straight + 0.7 * bent_point(row, drift.linear.centre, 2.5, drift.weights))
    rows = torch.stack(rows)
    assert_close(after.mean[k], rows.mean(0))
    about = rows - rows.mean(0)
    assert_close(after.scatter.full[k], about.T @ about * 19 / 1000)


def test_draws_are_standard_to_the_last_digit_and_near_to_the_gaussian():
    z = standard_draws(500, WIDE, seed=2)
    assert_close(z.sum(0), torch.zeros(WIDE).double(), rtol=0, atol=1e-10)
    assert_close(z.T @ z, 500 * torch.eye(WIDE).double(), rtol=0, atol=1e-9)
    plain = torch.randn(500, WIDE, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert float((z - plain).abs().max()) < 0.5
    assert not torch.equal(z, standard_draws(500, WIDE, seed=3))


def test_a_network_follows_a_bend_and_leaves_the_random_numbers_alone():
    x, new = past(600), past(200, 1)
    bend = lambda rows: rows + 2 * (rows - 3).abs()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    drift = fit_drift(x, bend(x), "network")
    assert torch.equal(torch.get_rng_state(), before)
    error = lambda by: float((fit_drift(x, bend(x), by)(new) - bend(new)).square().mean())
    assert error("network") < 0.7 * error("ridge")
    assert torch.equal(fit_drift(x, bend(x), "network")(new), drift(new))
    assert drift.residual < fit_drift(x, bend(x)).residual


# one algebra


@pytest.mark.parametrize("structure", ["shared", "full", "factor"])
def test_means_scatters_and_gram_matrices_move_in_one_algebra(structure):
    x, y = past(60), torch.arange(3).repeat(20)
    known, drift = statistics_of(x, y, structure), linear_map()
    gram = lambda s: s.scatter.pooled() + (s.count[:, None] * s.mean).T @ s.mean
    after = known.moved(drift)
    ones = torch.ones(60, 1).double()
    sides = torch.cat([x, ones], 1)
    p = torch.cat([drift.matrix, (drift.shift - drift.centre @ drift.linear)[None]])
    whole = p.T @ (sides.T @ sides) @ p  # the Gram matrix of rows with a 1, moved by the affine map
    assert_close(gram(after), whole, rtol=1e-12, atol=1e-10)
    flat = DriftMap(drift.linear, torch.zeros(WIDE).double(), torch.zeros(WIDE).double())
    assert_close(
        gram(known.moved(flat)), flat.matrix.T @ gram(known) @ flat.matrix, rtol=1e-12, atol=1e-10
    )


# forecasts


@pytest.mark.parametrize("by", ["ridge", "sylvester", "learned", "translation"])
@pytest.mark.parametrize("classes", [2, 3, 7])
def test_a_forecast_is_what_the_map_of_other_classes_leaves(by, classes):
    x, y = past(70), torch.arange(70) % classes
    x = x + 2.0 * y[:, None]
    now = x + x @ turn(6) + noise(x)
    make, settings = FITS[by]
    setting = settings[1]
    fit = lambda a, b: make(a, b - a)(setting)
    assert class_forecast(x, now, y, make, setting) == pytest.approx(
        left_by_other_classes(x, now, y, fit), rel=1e-9
    )


def test_a_forecast_sees_what_a_residual_cannot():
    """Each class moves its own way, rows of a class alike: rows held out are easy, classes are not."""
    x = torch.cat([past(100, 1), past(100, 2) + 60])
    y = torch.arange(2).repeat_interleave(100)
    now = x + torch.where(y[:, None] == 0, 5.0, -5.0)
    drift = fit_drift(x, now, "translation", y)
    assert drift.residual < 1e-6 < 1 < drift.forecast
    assert fit_drift(x, x + 1, "ridge", y).forecast == pytest.approx(0, abs=1e-12)


def test_a_forecast_needs_two_classes_and_labels():
    x = past(50)
    assert fit_drift(x, x + 1, "ridge").forecast is None
    assert fit_drift(x, x + 1, "ridge", torch.zeros(50).long()).forecast is None
    y = torch.tensor([0] * 45 + [1] * 5)
    assert fit_drift(x, x + 1, "ridge", y).forecast is None  # 5 rows are too few to fit on
    blend = fit_drift(x, x + 1, "ridge+blend=0.1", torch.arange(50) % 2)
    assert blend.forecast == pytest.approx(0, abs=1e-9)


# names


@pytest.mark.parametrize(
    "text, rule",
    [
        ("ridge", ("ridge", None, None)),
        ("sylvester+blend", ("sylvester", 1.0, None)),
        ("low_rank+energy=0.9+blend=2", ("low_rank", 2.0, 0.9)),
        ("none", ("none", None, None)),
    ],
)
def test_a_text_names_a_map_and_its_parts(text, rule):
    assert DriftRule.of(text) == DriftRule(*rule)


@pytest.mark.parametrize(
    "text, words",
    [
        ("rigde+blend", "unknown drift 'rigde': did you mean 'ridge'"),
        ("ridge+blendd", "unknown part of a drift map 'blendd': did you mean 'blend'"),
        ("ridge+blend=0", "'0' must be a number above 0"),
        ("ridge+blend=x", "'x' must be a number above 0"),
        ("ridge+blend+blend", "give it once"),
        ("none+blend", "no map left to change"),
        ("ridge+energy=1.5", "at most 1"),
        ("network+energy", "energy needs a linear map"),
    ],
)
def test_a_text_that_is_no_map_is_refused(text, words):
    with pytest.raises(ConfigError, match=words):
        DriftRule.of(text)


READERS = (
    "gaussian",
    "class-gaussian",
    "ridge",
    "mean",
    "pseudo-head",
    "select",
    "random-ridge:width=9",
)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("drift", ["sylvester", "ridge+blend=3", "network+blend"])
def test_every_readout_that_follows_takes_every_map(name, drift):
    readout = build_readout(f"{name}:drift={drift}")
    assert readout.needs_past and readout.drift == drift
    if isinstance(readout, Ridge):
        assert readout.tracker.rule == DriftRule.of(drift)
