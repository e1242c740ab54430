"""Losses of all pairs by tiles: equal to the dense form and to the loops, in value and in slope."""

import pytest
import torch
from torch.testing import assert_close

import reference
from holdfast.anchor import relation, relation_distillation
from holdfast.core.rows import Rows
from holdfast.core.step import Step
from holdfast.learner import Frame, Output, simplex_etf
from holdfast.loss import (
    contrast,
    contrast_tiles,
    focal_collapse,
    square_tiles,
    sup_con,
    tiles,
    uniform,
    uniformity,
)
from holdfast.loss.contrast_terms import FocalCollapse

PLACES = (contrast, relation, uniform)
Q = simplex_etf(6, 7, seed=3).double()


def by_tiles(monkeypatch, numbers=80):
    """From two rows on; a tile of 23 rows is then three rows high, and the last one two."""
    for place in PLACES:
        monkeypatch.setattr(place, "LARGE", 2)
    monkeypatch.setattr(tiles, "NUMBERS", numbers)


def both(ask, z, monkeypatch):
    """Value and slope, densely and by tiles."""
    results = []
    for prepare in (lambda m: None, by_tiles):
        prepare(monkeypatch)
        rows = z.clone().requires_grad_()
        value = ask(rows)
        (slope,) = torch.autograd.grad(3.0 * value, rows)
        results.append((value.detach(), slope))
    return results


def rows(n=23, dtype=torch.float64, seed=1):
    return reference.unit_rows(n, 7, seed, dtype)


def labels(lonely=True):
    """Five classes; the last row alone in a sixth, if one is to be."""
    y = torch.arange(23) % 5
    y[-1] = 5 if lonely else y[-1]
    return y


@pytest.mark.parametrize("average", ["anchors", "rows"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("numbers", [20, 80, 10_000])
def test_sup_con_is_the_same(average, masked, numbers, monkeypatch):
    y = labels()
    anchors = y != 1 if masked else None
    twin = reference.sup_con(
        rows().tolist(), y.tolist(), 0.3, [not masked or k != 1 for k in y], 1.7, average
    )
    (dense, dense_slope), (value, slope) = both(
        lambda z: sup_con(z, y, 0.3, anchors, 1.7, average), rows(), monkeypatch
    )
    assert_close(value, dense, rtol=1e-12, atol=1e-12)
    assert_close(slope, dense_slope, rtol=1e-10, atol=1e-12)
    assert float(value) == pytest.approx(twin, abs=1e-9)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 4.0])
@pytest.mark.parametrize("denominator", ["closed", "open"])
@pytest.mark.parametrize("old", [(), (0, 5)])
@pytest.mark.parametrize("average", ["anchors", "rows"])
def test_focal_collapse_is_the_same(gamma, denominator, old, average, monkeypatch):
    y = labels()
    rest = (y != 1, denominator, 0.5, average)
    twin = reference.focal_collapse(
        rows().tolist(), y.tolist(), Q.tolist(), 0.2, gamma, old, rest[0].tolist(), *rest[1:]
    )
    (dense, dense_slope), (value, slope) = both(
        lambda z: focal_collapse(z, y, Q, 0.2, gamma, old, *rest), rows(), monkeypatch
    )
    assert_close(value, dense, rtol=1e-12, atol=1e-12)
    assert_close(slope, dense_slope, rtol=1e-10, atol=1e-12)
    assert float(value) == pytest.approx(twin, abs=1e-9)


@pytest.mark.parametrize("now, past", [(0.2, 0.01), (1.0, 0.1)])
@pytest.mark.parametrize("keyed", [False, True])
def test_relations_are_the_same(now, past, keyed, monkeypatch):
    z_past, keys = rows(seed=2), Q if keyed else None
    (dense, dense_slope), (value, slope) = both(
        lambda z: relation_distillation(z, z_past, now, past, keys), rows(), monkeypatch
    )
    twin = reference.relation_distillation(
        rows().tolist(), z_past.tolist(), now, past, Q.tolist() if keyed else None
    )
    assert_close(value, dense, rtol=1e-12, atol=1e-12)
    assert_close(slope, dense_slope, rtol=1e-10, atol=1e-12)
    assert float(value) == pytest.approx(twin, abs=1e-9)


@pytest.mark.parametrize("t", [0.5, 2.0, 200.0])
@pytest.mark.parametrize("gone", [0, 3, 22, 23])
def test_uniformity_is_the_same(t, gone, monkeypatch):
    """With rows of no length, which are left out, and exponents far below the range of the type."""
    z = rows()
    z[:gone] = 0.0
    (dense, dense_slope), (value, slope) = both(lambda z: uniformity(z, t), z, monkeypatch)
    assert_close(value, dense, rtol=1e-12, atol=1e-12)
    assert_close(slope, dense_slope, rtol=1e-10, atol=1e-12)
    if gone == 0 and t < 100:
        assert float(value) == pytest.approx(reference.uniformity(z.tolist(), t), abs=1e-9)


WAYS = {
    "one exponential a side": ("INSIDE", 0.0),
    "nothing kept": ("KEPT", 0),
    "some kept": ("KEPT", 800),
}


@pytest.mark.parametrize("name, value", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("loss", ["sup_con", "fnc2", "fnc2 half", "ird"])
def test_other_ways_through_the_square_are_the_same(loss, name, value, monkeypatch):
    dense, _ = both(LOSSES[loss], rows(), monkeypatch)
    monkeypatch.setattr(square_tiles, name, value)
    tiled = both(LOSSES[loss], rows(), monkeypatch)[1]
    assert_close(tiled, dense, rtol=1e-10, atol=1e-12)


def test_where_asking_for_classes_would_wait_all_tiles_are_looked_through(monkeypatch):
    dense, _ = both(LOSSES["fnc2"], rows(), monkeypatch)
    monkeypatch.setattr(contrast_tiles._Passes, "_ends", None)
    assert_close(both(LOSSES["fnc2"], rows(), monkeypatch)[1], dense, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("temperature", [0.5, 0.01])
def test_a_square_says_sums_and_weighs_its_tiles(temperature, monkeypatch):
    """In single precision: at 0.01 by an exponential a side, which a row far from all others needs."""
    monkeypatch.setattr(tiles, "NUMBERS", 80)
    z = torch.nn.functional.normalize(Q[labels()] + 0.1 * rows(), dim=1).float()
    square, share = square_tiles.Square(z, temperature), torch.rand(23)
    assert square.narrow == (temperature == 0.5)
    s = (z.double() @ z.double().T / temperature).fill_diagonal_(-torch.inf)
    log_d, p = s.logsumexp(1), s.softmax(1) * share[:, None]
    assert_close(square.log_sums().double(), log_d, rtol=1e-5, atol=1e-4)
    total = torch.zeros(23, 23).double()
    for place in square.places():
        w = square.weighed(place, share, log_d.float()).double()
        total[place.rows, place.cols] = w
        total[place.cols, place.rows] = w.T
    assert_close(total, p + p.T, rtol=1e-4, atol=1e-6)


LOSSES = {
    "sup_con": lambda z: sup_con(z, labels(), 0.3, labels() > 0),
    "fnc2": lambda z: focal_collapse(z, labels(), Q, 0.3, 2.0, (5,)),
    "fnc2 half": lambda z: focal_collapse(z, labels(), Q, 0.3, 0.5, (5,), denominator="open"),
    "ird": lambda z: relation_distillation(z, rows(seed=2), 0.3, 0.1),
    "s_prd": lambda z: relation_distillation(z, rows(seed=2), 0.3, 0.1, Q),
    "uniformity": uniformity,
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_slopes_are_those_of_finite_differences(loss, monkeypatch):
    by_tiles(monkeypatch, 300)
    assert torch.autograd.gradcheck(loss, rows().requires_grad_())


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_single_precision_is_the_same_to_1e_5(loss, monkeypatch):
    """Of rows that are not all over the place: within a class they lie close together."""
    z = torch.nn.functional.normalize(Q[labels()] + 0.3 * rows(), dim=1)
    exact = both(loss, z, monkeypatch)[0]
    value, slope = both(loss, z.float(), monkeypatch)[1]
    assert_close(value.double(), exact[0], rtol=1e-5, atol=1e-5)
    assert float((slope - exact[1]).norm() / exact[1].norm()) < 1e-5


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 4.0])
@pytest.mark.parametrize("tau", [0.01, 0.5])
def test_collapsed_rows_have_finite_slopes(gamma, tau, monkeypatch):
    by_tiles(monkeypatch)
    q, y = Q.float(), torch.tensor([0, 1, 0, 1])
    for start in (q[y], q[[2, 2, 2, 2]], q[[1, 0, 1, 0]]):
        z = start.clone().requires_grad_()
        value = focal_collapse(z, y, q, tau, gamma, (2,))
        value.backward()
        assert bool(value.isfinite()) and bool(z.grad.isfinite().all())


def test_the_term_goes_by_tiles_and_notes_the_same_weight(monkeypatch):
    frame, y = Frame(7, 8), labels()
    z = rows(dtype=torch.float32)
    table = Rows(torch.zeros(23, 1), y, (y > 1).long(), torch.arange(23))
    noted = []
    for prepare in (lambda m: None, by_tiles):
        prepare(monkeypatch)
        step = Step(
            {"batch": table},
            lambda x: Output(z, z, z),
            task=1,
            classes=(2, 3, 4, 5),
            seen=(0, 1, 2, 3, 4, 5),
        )
        noted.append((FocalCollapse(frame, gamma=2.0)(step), step.records["focal_weight"]))
    assert_close(noted[0], noted[1], rtol=1e-5, atol=1e-6)


def test_large_batches_go_by_tiles_by_themselves(monkeypatch):
    calls = []

    def noted(z, what):
        calls.append(len(z))
        return z.sum(), z[:, 0], what.anchors

    monkeypatch.setattr(contrast, "contrast_by_tiles", noted)
    monkeypatch.setattr(contrast, "LARGE", 8)
    for n in (7, 8):
        sup_con(rows(n), torch.arange(n) % 2, 0.3)
    assert calls == [8]
