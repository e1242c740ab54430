"""FeCAM as published: unit rows, the power of the mean, two shrinkages; and its older states."""

import math

import pytest
import torch
from torch.testing import assert_close

from clouds import EVEN, UNEVEN, by_class, clouds, said
from holdfast.core.errors import ConfigError
from holdfast.readout import FeCAM, build_readout
from reference_readouts import published_fecam


@pytest.mark.parametrize(
    "gamma1, gamma2, tukey", [(1.0, 1.0, 0.5), (0.3, 0.1, 0.7), (0.6, 0.0, 2.0)]
)
def test_it_is_what_the_published_code_computes(fitted, gamma1, gamma2, tukey):
    (x, y), (test, _) = clouds(EVEN), clouds((2,) * 4, seed=1)
    x, test = x.abs(), test.abs()  # as features after a ReLU
    found = fitted(FeCAM("features", gamma1, gamma2, tukey), *by_class(x, y)).scores(said(test))
    twin = published_fecam(x.tolist(), y.tolist(), test.tolist(), gamma1, gamma2, tukey)
    assert_close(-2 * found.double(), torch.tensor(twin).double(), rtol=1e-3, atol=1e-3)


def test_the_scale_of_a_row_says_nothing(fitted):
    (x, y), (test, _) = clouds(EVEN), clouds((5,) * 4, seed=1)
    readout = fitted(FeCAM(), (x, y))
    assert_close(readout.scores(said(7 * test)), readout.scores(said(test)), rtol=1e-4, atol=1e-5)
    ours = fitted(build_readout("class-correlation"), (x, y))
    assert not torch.allclose(ours.scores(said(7 * test)), ours.scores(said(test)))


def test_it_stores_means_of_rows_and_powers_and_the_scatter_of_powers(fitted):
    x, y = clouds(UNEVEN)
    state = fitted(FeCAM(), (x, y)).get_extra_state()
    assert state["mean"].shape == (4, 10) and state["full"].shape == (4, 5, 5)
    assert_close(state["mean"][1, :5].float(), x[y == 1].mean(0), rtol=1e-4, atol=1e-5)
    power = x[y == 1].double().abs().sqrt() * x[y == 1].sign()
    about = power - power.mean(0)
    assert_close(state["full"][1], about.T @ about)


def test_its_network_and_its_strangeness_are_its_scores(fitted):
    (x, y), (test, _) = clouds(EVEN), clouds((5,) * 4, seed=1)
    readout = fitted(FeCAM(), (x, y))
    network = readout.network(5)
    assert_close(network(test), readout.scores(said(test)), rtol=1e-3, atol=1e-3)
    rows = readout.representation(5)(test)
    strange = readout.strange_network()(rows)
    assert_close(strange.double(), readout.distance(said(test)), rtol=1e-3, atol=1e-3)
    assert_close(strange, -2 * readout.scores(said(test)).amax(1), rtol=1e-3, atol=1e-3)


def test_a_state_of_the_older_meaning_decides_as_it_did_and_learns_on(fitted):
    (x, y), (test, _) = clouds(EVEN), clouds((5,) * 4, seed=1)
    ours = fitted(build_readout("class-correlation"), (x, y))
    read = build_readout("fecam")
    read.set_extra_state(ours.get_extra_state())
    assert torch.equal(read.scores(said(test)), ours.scores(said(test)))
    assert read.needs_past and read.get_extra_state().keys() == ours.get_extra_state().keys()
    more = fitted(read, (x + 1, y)), fitted(ours, (x + 1, y))
    assert torch.equal(*(one.scores(said(test)) for one in more))
    assert torch.equal(read.draw(3)[0], ours.draw(3)[0]) or read.pool == ours.pool


def test_draws_are_of_the_powers(fitted):
    x, y = clouds((200, 200))
    rows, of = fitted(FeCAM(gamma1=0.0, gamma2=0.0), (x, y)).draw(20_000)
    power = x[y == 0].double().abs().sqrt() * x[y == 0].sign()
    assert_close(rows[of == 0].mean(0), power.mean(0), rtol=0.05, atol=0.05)


def test_no_map_moves_it():
    with pytest.raises(ConfigError, match="drift"):
        build_readout("fecam:drift=ridge")
    assert not FeCAM().needs_past and math.isclose(FeCAM().tukey, 0.5)
