"""Information of answers given the class: against its twin, where it is known, and when it counts."""

import math

import pytest
import torch
from torch.testing import assert_close

import reference_regularise as reference
from clouds import normal
from holdfast.core.errors import ConfigError
from holdfast.core.rows import Rows
from holdfast.core.step import Step
from holdfast.learner import Output
from holdfast.loss import ConditionalInformation, divergence_from_class

Y = torch.tensor([0, 1, 1, 0, 2, 2, 2, 0])


def means(p, y):
    return torch.stack([p[y == c].mean(0) for c in range(int(y.max()) + 1)])


def test_it_equals_its_twin():
    z, centre = normal(0, 8, 4), normal(1, 3, 4).softmax(1)
    twin = reference.information(z.tolist(), Y.tolist(), centre.tolist())
    assert float(divergence_from_class(z, Y, centre).mean()) == pytest.approx(twin)
    z.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: divergence_from_class(z, Y, centre), z)


def test_with_true_means_it_is_a_difference_of_entropies_and_with_others_more():
    z = normal(0, 8, 4)
    p = z.softmax(1)
    centre, shares = means(p, Y), torch.bincount(Y) / len(Y)
    value = float(divergence_from_class(z, Y, centre).mean())
    whole = math.fsum(
        float(s) * reference.entropy(c) for s, c in zip(shares, centre.tolist(), strict=True)
    )
    single = math.fsum(reference.entropy(row) for row in p.tolist()) / len(p)
    assert value == pytest.approx(whole - single, rel=1e-5)
    assert 0 <= value <= math.log(4)
    other = normal(1, 3, 4).softmax(1)
    gap = (shares[:, None] * centre * (centre.log() - other.log())).sum()
    assert float(divergence_from_class(z, Y, other).mean()) == pytest.approx(
        value + float(gap), rel=1e-5
    )
    same = normal(2, 3, 4)[Y]
    assert_close(divergence_from_class(same, Y, means(same.softmax(1), Y)), torch.zeros(8).double())


def step_of(z, y, epoch, epochs=4):
    y = y + 2
    rows = Rows(torch.zeros(len(y), 1), y, torch.ones_like(y), torch.arange(len(y)))
    said = Output(z, z, z)
    options = {"task": 1, "classes": (2, 3, 4), "seen": (0, 1, 2, 3, 4)}
    return Step({"batch": rows}, lambda x: said, epoch=epoch, epochs=epochs, **options)


def logits(seed, scale=1.0):
    """Of eight rows over five classes, the first two of them old."""
    return scale * normal(seed, 8, 5)


def test_class_means_are_those_of_the_epoch_before_its_time():
    term = ConditionalInformation(0.5)
    assert term.first(4) == 2 and ConditionalInformation(0.1).first(4) == 3
    assert term.first(1) == 1 and ConditionalInformation(1.0).first(3) == 1
    for epoch, seeds in ((0, (0, 1)), (1, (2, 3))):
        for seed in seeds:
            assert float(term(step_of(logits(seed), Y, epoch))) == 0
    p = torch.cat([logits(s)[:, 2:].softmax(1) for s in (2, 3)])
    centre = means(p, Y.repeat(2))
    z = logits(4).requires_grad_()
    value = term(step_of(z, Y, 2))
    twin = reference.information(z.detach()[:, 2:].tolist(), Y.tolist(), centre.tolist())
    assert float(value.detach()) == pytest.approx(-twin)
    assert not bool(torch.autograd.grad(value, z)[0][:, :2].any())
    fresh = ConditionalInformation(0.5)
    fresh.load_state_dict(term.state_dict())
    at = step_of(logits(5), Y, 2)
    assert torch.equal(fresh(at), term(step_of(logits(5), Y, 2)))


@pytest.mark.parametrize("factor, goes_on", [(1.04, True), (1.07, False)])
def test_it_stops_where_cross_entropy_rose_by_more_than_a_twentieth(factor, goes_on):
    """Rows of two classes whose cross-entropy is known: log(1 + e^-gap)."""

    def rows_with(loss):
        gap = -math.log(math.exp(loss) - 1)
        z = torch.full((2, 5), -60.0).double()
        z[0, 2] = z[1, 3] = gap
        z[0, 3] = z[1, 2] = 0.0
        return z + torch.tensor([[0.0], [0.5]]).double()

    term, y = ConditionalInformation(0.5, 0.05), torch.tensor([0, 1])
    for epoch in (0, 1):
        term(step_of(rows_with(0.4), y, epoch))
    term(step_of(rows_with(0.4 * factor), y, 2))
    value = float(term(step_of(rows_with(0.1), y, 3)))
    assert (value < -1e-3) == goes_on and (value == 0) != goes_on


def test_a_task_of_one_epoch_has_none_and_nothing_is_kept_after_one():
    term = ConditionalInformation()
    for seed in (0, 1):
        assert float(term(step_of(logits(seed), Y, 0, 1))) == 0
    assert term.notes
    term.consolidate(None, None)
    assert term.get_extra_state() == {}
    with pytest.raises(ConfigError, match=r"lies in \(0, 1\], not 0"):
        ConditionalInformation(0.0)
    with pytest.raises(ConfigError, match="at least 0, not -1"):
        ConditionalInformation(rise=-1.0)
