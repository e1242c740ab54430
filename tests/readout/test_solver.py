"""The normalised solver, and weights in both."""

import logging

import pytest
import torch
from torch.testing import assert_close

from clouds import UNEVEN, clouds, normal
from holdfast.core.errors import ConfigError
from holdfast.memory import ClassBalanced
from holdfast.readout import LinearProbe, build_readout, fit_softmax, separate
from reference_heads import normalised_step


def apart(count=20):
    y = torch.arange(3).repeat_interleave(count)
    return 3 * torch.eye(3)[y].double() + 0.3 * normal(0, 3 * count, 3), y


@pytest.mark.parametrize("rate", [0.5, 2.0])
def test_steps_are_those_of_the_twin_and_the_best_is_kept(rate):
    (x, y), weight, met = clouds(UNEVEN), [[0.0] * 6 for _ in range(4)], []
    for number in range(1, 5):
        weight = normalised_step(x.tolist(), y.tolist(), 4, weight, rate)
        at = torch.tensor(weight).double()
        wrong = (x.double() @ at[:, :5].T + at[:, 5]).argmax(1) != y
        met.append((int(wrong.sum()), number, at))
    fewest, number, at = min(met, key=lambda step: step[:2])
    found = separate(x.double(), y, 4, rate, steps=4, patience=100)
    assert (found.errors, found.steps) == (fewest, number)
    assert_close(torch.cat([found.weight, found.bias[:, None]], 1), at)


def test_the_first_step_of_two_classes_is_the_mean_of_signed_rows():
    x, y = normal(1, 10, 3), torch.arange(10) % 2
    found = separate(x, y, 2, steps=1)
    eta = 1 / float((x.square().sum(1) + 1).mean())
    sign = (2 * y - 1).double()
    assert_close(found.weight[1], eta * (sign[:, None] * x).mean(0))
    assert_close(found.weight[0], -found.weight[1])


def test_it_reaches_no_error_where_rows_can_be_separated():
    x, y = apart()
    found = separate(x, y, 3)
    assert found.errors == 0 and found.steps < 100
    assert bool(((x @ found.weight.T + found.bias).argmax(1) == y).all())


def test_it_says_so_where_they_cannot(caplog):
    x, y = normal(2, 40, 2), torch.arange(40) % 2
    with caplog.at_level(logging.INFO, "holdfast"):
        found = separate(x, y, 2, patience=20)
    wrong = int(((x @ found.weight.T + found.bias).argmax(1) != y).sum())
    assert found.errors == wrong > 0
    assert f"leaves {wrong} of 40 rows wrong" in caplog.text


def test_the_scale_of_rows_changes_no_answer_without_bias_noise():
    x, y = apart()
    x = x - x.mean(0)
    a, b = separate(x, y, 3), separate(1000 * x, y, 3)
    assert torch.equal(
        (x @ a.weight.T + a.bias).argmax(1), (1000 * x @ b.weight.T + b.bias).argmax(1)
    )


def test_a_row_of_weight_two_is_two_rows_of_its_class():
    x, y = clouds((5, 9, 6, 8))
    often = torch.arange(28) % 3 + 1
    many = torch.arange(28).repeat_interleave(often)
    a = fit_softmax(x.double(), y, 4, 0.1, weight=often.double())
    b = fit_softmax(x.double()[many], y[many], 4, 0.1)
    assert_close(a[0], b[0], rtol=1e-3, atol=1e-4)
    assert not torch.allclose(a[0], fit_softmax(x.double(), y, 4, 0.1)[0], atol=1e-3)


def test_a_probe_reads_the_weights_of_stored_rows(fitted, task, table, identity):
    x, y = clouds((30, 30))
    memory = ClassBalanced(20, "readout")
    memory.consolidate(identity, task(x[:30], y[:30]), torch.Generator().manual_seed(0))

    def bias(weight):
        rows = memory.rows
        extra = {} if weight is None else {"weight": weight}
        memory.rows = type(rows)(rows.x, rows.y, rows.task, rows.key, extra)
        probe = LinearProbe()
        fitted(probe, (x[:30], y[:30]), (x[30:], y[30:]), memory=memory)
        return probe.solved["weight"]

    plain = bias(None)
    assert torch.equal(plain, bias(torch.ones(20)))
    assert not torch.allclose(plain, bias(torch.linspace(0.1, 5, 20)), atol=1e-3)


def test_another_solver_is_refused():
    with pytest.raises(ConfigError, match="solver 'newton'"):
        build_readout("probe:solver=newton")
