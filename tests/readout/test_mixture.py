"""Mixtures of readouts, and how their weights learn."""

import math

import pytest
import torch
from torch.testing import assert_close

from clouds import EVEN, clouds, said
from holdfast.core.errors import ConfigError
from holdfast.readout import KernelEnsemble, Mixture, build_readout, mirror_step

TEST = clouds((3,) * 4, seed=1)[0]


def test_probabilities_are_the_weighted_mean_of_those_of_the_readouts(fitted):
    x, y = clouds(EVEN)
    readout = fitted(Mixture("gaussian+mean", rate=0.7), (x, y))
    each = [member.probabilities(said(TEST)).double() for member in readout.members]
    w = readout.shares
    assert not torch.allclose(w[0], w[1])
    assert_close(
        readout.probabilities(said(TEST)).double(),
        w[0] * each[0] + w[1] * each[1],
        rtol=1e-4,
        atol=1e-6,
    )


def test_every_row_is_asked_before_it_is_learned_and_then_all_are(fitted, monkeypatch):
    x, y = clouds(EVEN)
    calls = []

    readout = Mixture("mean+gaussian", portions=4)
    loss = Mixture._loss

    def noted(self, member, learned, context, asked):
        keys = set(learned.task.train.key.tolist()), set(context.task.train.key[asked].tolist())
        calls.append(keys)
        return loss(self, member, learned, context, asked)

    monkeypatch.setattr(Mixture, "_loss", noted)
    fitted(readout, (x, y))
    assert len(calls) == 3 * 2
    assert all(not learned & asked for learned, asked in calls)
    assert len(set.union(*(asked for _, asked in calls))) == 60
    assert [int(m.known.count.sum()) for m in readout.members] == [80, 80]


def test_its_readouts_learn_as_they_would_alone(fitted):
    x, y = clouds(EVEN)
    mixed, alone = (
        fitted(Mixture("gaussian+ridge"), (x, y)),
        fitted(build_readout("gaussian"), (x, y)),
    )
    assert torch.equal(mixed.members[0].scores(said(TEST)), alone.scores(said(TEST)))
    assert mixed.calibrated


def test_the_descent_is_optimistic_and_without_a_guess_is_plain():
    mixture = Mixture("gaussian+mean+ridge", rate=0.5)
    assert_close(mixture.shares, torch.full((3,), 1 / 3).double())
    losses = torch.tensor([0.2, 1.0, 0.7]).double()
    mixture.learn(losses)
    plain = [math.exp(-0.5 * g) for g in losses.tolist()]
    assert_close(mixture.weight, torch.tensor(plain).double() / sum(plain))
    twice = [math.exp(-1.0 * g) for g in losses.tolist()]  # the last loss is the guess of the next
    assert_close(mixture.shares, torch.tensor(twice).double() / sum(twice))


def test_equal_losses_leave_weights_even_and_the_best_wins_geometrically():
    mixture = Mixture("gaussian+mean", rate=1.0)
    for _ in range(3):
        mixture.learn(torch.tensor([0.4, 0.4]).double())
    assert mixture.shares.tolist() == pytest.approx([0.5, 0.5])
    ratios = []
    for _ in range(4):
        mixture.learn(torch.tensor([0.1, 0.6]).double())
        ratios.append(float(mixture.weight[1] / mixture.weight[0]))
    assert ratios == pytest.approx([math.exp(-0.5 * t) for t in range(1, 5)])


def test_regret_to_the_best_readout_stays_under_the_bound():
    """log J / rate + rate sum_t |g_t - g_{t-1}|^2, of losses that come at random."""
    generator, rate, rounds = torch.Generator().manual_seed(0), 0.5, 200
    mixture, total, each = Mixture("gaussian+mean+ridge", rate=rate), 0.0, torch.zeros(3).double()
    variation, last = 0.0, torch.zeros(3).double()
    for _ in range(rounds):
        losses = (
            torch.rand(3, generator=generator).double() * torch.tensor([1.0, 0.8, 0.9]).double()
        )
        total += float(mixture.shares @ losses)
        each += losses
        variation += float((losses - last).abs().max() ** 2)
        last = losses
        mixture.learn(losses)
    assert total - float(each.min()) <= math.log(3) / rate + rate * variation
    assert total < float(each.max())


def test_a_step_of_no_length_moves_nothing():
    w = torch.tensor([0.2, 0.8]).double()
    assert_close(mirror_step(w, torch.tensor([3.0, -1.0]).double(), 0.0), w)


@pytest.mark.parametrize(
    "text, words",
    [
        ("mixture:of=gausian+mean", "did you mean 'gaussian'"),
        ("mixture:of=", "needs a readout at least"),
        ("mixture:portions=1", "at least 2 portions"),
        ("mixture:rate=0", "a positive rate"),
        ("klda-ensemble:seeds=0", "needs a readout at least"),
    ],
)
def test_what_cannot_be_is_refused(text, words):
    with pytest.raises(ConfigError, match=words):
        build_readout(text)


def test_an_ensemble_of_kernels_is_the_mean_of_its_seeds(fitted):
    x, y = clouds(EVEN)
    ensemble = fitted(KernelEnsemble(width=40, seeds=3, seed=5), (x, y))
    each = [
        fitted(build_readout(f"klda:width=40:seed={s}"), (x, y)).probabilities(said(TEST)).double()
        for s in (5, 6, 7)
    ]
    assert_close(ensemble.probabilities(said(TEST)).double(), sum(each) / 3, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(each[0], each[1], atol=1e-3)
    assert build_readout("mixture:of=(gaussian:on=embedding)+mean").members[0].on == "embedding"
