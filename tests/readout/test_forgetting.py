"""Rows taken out of a readout: against the same readout fitted without them."""

import pytest
import torch
from torch.testing import assert_close

from holdfast.core.errors import ConfigError, DataError
from holdfast.learner import Output
from holdfast.readout import build_readout
from holdfast.testing.bench import Bench
from holdfast.testing.forgetting import forgets_rows
from holdfast.testing.readouts import fit

CLOSE = {"rtol": 1e-8, "atol": 1e-8}
# nothing is chosen by rows, so that a fit without them is the very same readout
FIXED = [
    "gaussian:shrinkage=0.3:tukey=0.7:drift=none",
    "gaussian:drift=none",  # its shrinkage is a function of the statistics
    "class-gaussian:structure=full:drift=none:gamma1=0.4:gamma2=0.2",
    "class-gaussian:structure=diagonal:drift=none",
    "class-gaussian:structure=factor:drift=none:pool=3",
    "class-correlation:drift=none",
    "fecam:gamma1=0.6:gamma2=0.3",
    "mean",
    "mean:metric=euclidean",
    "subspace:dimensions=2:structure=factor:drift=none",
    "ridge:strength=0.05:drift=none:balance=True",
    "random-ridge:width=40:strength=0.1:drift=none",
    "select:rule=gaussian, shrinkage 0.8",
    "anacp:width=24:strength=2:draws=8",
    "pseudo-head:each=12:drift=none",
    "pseudo-head:each=12:drift=none:structure=diagonal",
]
CHOOSES = {
    "ridge:drift=none": {"strength", "temperature", "threshold"},
    "select": {"rule", "temperature", "threshold"},
    "klda:width=30": {"kernel", "temperature", "threshold"},
    "mean": {"temperature", "threshold"},
    "subspace:structure=full:drift=none": {"dimensions", "temperature", "threshold"},
}


def cloud(each=14, classes=3, wide=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(classes).repeat(each)
    x = torch.randn(len(y), wide, generator=generator)
    return x + 2 * torch.randn(classes, wide, generator=generator)[y], y


def said(x):
    return Output(x, x, x)


def scores(readout, x):
    """In float64 where it has them."""
    if hasattr(readout, "decision"):
        return readout.decision(readout.read(said(x)))
    return readout.scores(said(x)).double()


@pytest.mark.parametrize("text", FIXED)
def test_a_readout_that_forgot_is_one_that_never_had_the_rows(fitted, text):
    x, y = cloud()
    gone = torch.arange(len(y)) % 5 == 0
    forgetful = fitted(build_readout(text), (x, y))
    assert (
        float(
            (scores(forgetful, x) - scores(fitted(build_readout(text), (x[~gone], y[~gone])), x))
            .abs()
            .max()
        )
        > 1e-4
    )
    forgetful.forget(said(x[gone]), y[gone])
    expected = scores(fitted(build_readout(text), (x[~gone], y[~gone])), x)
    close = CLOSE if hasattr(forgetful, "decision") else {"rtol": 1e-4, "atol": 1e-4}
    assert_close(scores(forgetful, x), expected, **close)


@pytest.mark.parametrize("text", CHOOSES)
def test_what_was_chosen_with_the_rows_is_named(fitted, text):
    x, y = cloud(each=24)
    readout = fitted(build_readout(text), (x, y))
    chosen = readout.forget(said(x[:4]), y[:4])
    assert chosen.keys() == CHOOSES[text]
    assert set(chosen.values()) == {"as it was chosen with them"}


def test_each_readout_of_a_mixture_forgets_or_none(fitted):
    x, y = cloud()
    stay, rows = torch.arange(len(y)) % 5 > 0, said(x[::5])
    mixed = fitted(build_readout("mixture:of=(ridge:strength=0.1:drift=none)+mean"), (x, y))
    names = mixed.forget(rows, y[::5])
    assert {"weights", "temperature of mean"} < names.keys()
    alone = fitted(build_readout("mean"), (x[stay], y[stay]))
    assert_close(scores(mixed.members[1], x), scores(alone, x), **CLOSE)
    mixed = fitted(build_readout("mixture:of=mean+probe"), (x, y))
    before = scores(mixed.members[0], x)
    with pytest.raises(ConfigError, match="the readout probe is no function of statistics"):
        mixed.forget(rows, y[::5])
    assert torch.equal(scores(mixed.members[0], x), before)


def test_rows_forgotten_one_by_one_in_any_order_are_those_forgotten_together(fitted):
    x, y = cloud()
    text = "class-gaussian:structure=full:drift=none"
    together = fitted(build_readout(text), (x, y))
    together.forget(said(x[:6]), y[:6])
    for order in (range(6), reversed(range(6))):
        single = fitted(build_readout(text), (x, y))
        for i in order:
            single.forget(said(x[i : i + 1]), y[i : i + 1])
        assert_close(scores(single, x), scores(together, x), **CLOSE)


# what is refused


@pytest.mark.parametrize("text", ["probe", "head"])
def test_a_readout_without_statistics_refuses(text):
    with pytest.raises(ConfigError, match=f"the readout {text} is no function of statistics"):
        build_readout(text).forget(said(torch.zeros(1, 2)), torch.zeros(1).long())


def test_rows_that_cannot_be_taken_out_leave_the_readout_as_it_was(fitted):
    x, y = cloud()
    readout = fitted(build_readout("gaussian:drift=none"), (x, y))
    before = scores(readout, x)
    with pytest.raises(DataError, match="class 1 has 14 rows, so 15 cannot be removed"):
        readout.forget(said(x[:1].expand(15, -1)), torch.ones(15).long())
    with pytest.raises(DataError, match="spread further than what is stored"):
        readout.forget(said(x[:1] + 90), y[:1])
    assert torch.equal(scores(readout, x), before)
    low = fitted(build_readout("class-gaussian:structure=low_rank:rank=2:drift=none"), (x, y))
    with pytest.raises(ConfigError, match="rows cannot be taken out of a class"):
        low.forget(said(x[:1]), y[:1])
    with pytest.raises(ConfigError, match="has learned no task yet"):
        build_readout("mean").forget(said(x[:1]), y[:1])


def test_statistics_that_a_map_moved_give_no_rows_back(fitted):
    x, y = cloud()
    readout = fitted(build_readout("gaussian"), (x, y))
    readout.residuals.append(None)  # a task in which nothing moved
    readout.forget(said(x[:1]), y[:1])
    readout.residuals.append(0.1)
    with pytest.raises(ConfigError, match=r"moved its statistics by 1 drift map since"):
        readout.forget(said(x[1:2]), y[1:2])


# the laws see who does otherwise


def test_the_law_sees_a_readout_that_forgets_nothing_or_half_or_keeps_silent():
    def changed(**attributes):
        readout = build_readout("ridge:drift=none")
        fit(readout, bench, bench.stream[0], bench.stream.seen(0))
        forgets_rows(readout, bench, bench.stream[0], "ridge")
        readout.__class__ = type("Ridge", (type(readout),), attributes)
        return readout

    def loses_then_refuses(self, out, y, slack=0.0):
        self.tracker.statistics = self.known.remove(self.read(out)[:1], y[:1])
        raise ConfigError("no")

    bench = Bench()
    names = dict.fromkeys(("strength", "temperature", "threshold"), "kept")
    plain = type(build_readout("ridge")).forget
    for forget, why in (
        (lambda self, out, y: names, "otherwise than one that never had the rows"),
        (lambda self, out, y: plain(self, out.rows(y == y[0]), y[y == y[0]]), "otherwise than one"),
        (lambda self, out, y: plain(self, out, y) and {}, r"does not say of \['strength'\]"),
        (loses_then_refuses, "refuses to forget, and has changed all the same"),
    ):
        with pytest.raises(AssertionError, match=why):
            forgets_rows(changed(forget=forget), bench, bench.stream[0], "ridge")
