"""Separation, invasion and silhouette: against loops over rows and pairs, and by their laws."""

import math

import pytest
import torch

import reference_representation as twin
from holdfast.metrics import invasion, nearer, separation, silhouette
from holdfast.metrics.missing import reason_of

OLD, NEW = (0, 1), (2, 4)


def rows(shift=1.0):
    generator = torch.Generator().manual_seed(3)
    y = torch.tensor([0] * 9 + [1] * 6 + [2] * 7 + [4] * 8)
    centre = shift * torch.randn(5, 4, generator=generator, dtype=torch.float64)
    return centre[y] + torch.randn(len(y), 4, generator=generator, dtype=torch.float64), y


def test_separation_equals_its_twin_and_the_law_of_gaussians():
    x, y = rows()
    assert separation(x, y, OLD, NEW) == pytest.approx(twin.separation(x, y, OLD, NEW))
    f, D = 16, 3.0
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40000, f, generator=generator, dtype=torch.float64)
    y = torch.arange(40000) % 2
    x[:, 0] += D * y
    assert separation(x, y, [0], [1]).least == pytest.approx(D / f**0.5, rel=0.02)


@pytest.mark.parametrize("pairwise", [False, True])
@pytest.mark.parametrize("with_centres", [False, True])
def test_invasion_equals_its_twin(pairwise, with_centres):
    x, y = rows()
    centres = (
        torch.randn(5, 4, generator=torch.Generator().manual_seed(1)) if with_centres else None
    )
    some = invasion(x, y, OLD, NEW, centres, pairwise)
    count = lambda of, others: twin.nearer(x, y, of, others, centres, pairwise)
    into_old, into_new, within = count(NEW, OLD), count(OLD, NEW), count(NEW, NEW)
    mean = lambda values: sum(values) / len(values)
    assert some.new_into_old == pytest.approx(mean(into_old))
    assert some.old_into_new == pytest.approx(mean(into_new))
    assert some.across == pytest.approx(mean(into_old + into_new))
    assert some.within_new == pytest.approx(mean(within))
    square = lambda v: torch.tensor(v).double().var() / len(v)
    assert some.error == pytest.approx(float(square(into_old + into_new) + square(within)) ** 0.5)


def test_collapsed_classes_do_not_invade():
    y = torch.tensor([0, 0, 1, 1, 2, 2, 4, 4])
    some = invasion(torch.eye(5)[y], y, OLD, NEW)
    assert some.across == some.within_new == 0 and some.signature is False
    assert separation(torch.eye(5)[y], y, OLD, NEW).least == math.inf
    assert silhouette(torch.eye(5)[y], y) == 1


def test_the_signature_is_seen_where_it_was_planted_and_not_where_it_was_not():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(400) % 4
    noise = 0.5 * torch.randn(400, 4, generator=generator, dtype=torch.float64)
    apart = 4 * torch.eye(4, dtype=torch.float64)
    mixed = apart.clone()
    mixed[2], mixed[3] = apart[0] + 0.2, apart[1] + 0.2  # the new classes lie on old ones
    assert invasion(apart[y] + noise, y, (0, 1), (2, 3)).signature is False
    assert invasion(mixed[y] + noise, y, (0, 1), (2, 3)).signature is True


def test_a_single_new_class_has_no_signature():
    x, y = rows()
    some = invasion(x, y, (0, 1, 2), (4,))
    assert some.signature is None and reason_of(some.within_new) == "the task has one class"
    assert 0 <= some.across <= 1


def test_nearer_leaves_out_centres_that_are_not_there():
    x, y = torch.tensor([[0.9]]), torch.tensor([0])
    centres = torch.tensor([[0.0], [torch.nan], [1.0]])
    assert nearer(x, y, centres, [1, 2], pairwise=True).tolist() == [1.0]


def test_silhouette_equals_its_twin_and_takes_a_part_of_many_rows():
    x, y = rows()
    assert silhouette(x, y) == pytest.approx(twin.silhouette(x, y))
    part = silhouette(x.repeat(20, 1), y.repeat(20), most=300)
    assert part == pytest.approx(silhouette(x.repeat(20, 1), y.repeat(20)), abs=0.05)


def test_missing_sides_are_no_number():
    x, y = rows()
    for value in (*separation(x, y, (7,), NEW), *invasion(x, y, (7,), NEW)):
        assert math.isnan(value)
    assert reason_of(invasion(x, y, OLD, (9,)).across) == "there are no rows of new classes"
    alone = torch.cat([x, x[:1]]), torch.cat([y, torch.tensor([3])])
    assert "one row" in reason_of(invasion(*alone, OLD, (2, 3, 4)).across)
    assert "one row" in reason_of(silhouette(*alone))
