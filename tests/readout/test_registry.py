"""Readouts by name: one table, one grammar."""

import pytest
import torch

from holdfast.errors import ConfigError
from holdfast.learner import Frame
from holdfast.readout import READOUTS, ClassGaussian, SharedGaussian, kind, readout


@pytest.mark.parametrize("name", READOUTS)
def test_every_name_makes_a_readout_that_carries_it(name):
    made = readout(name, Frame(5))
    assert made.name == name
    assert isinstance(made, kind(name))


def test_settings_follow_with_colons():
    made = readout(
        "fecam:tukey=0.7:on=embedding:drift=low_rank:normalise=no:structure=low_rank:rank=3"
    )
    assert isinstance(made, ClassGaussian)
    assert (made.tukey, made.on, made.drift, made.normalise) == (
        0.7,
        "embedding",
        "low_rank",
        False,
    )
    assert (made.structure, made.rank, made.gamma1) == ("low_rank", 3, 1.0)
    assert made.name.startswith("fecam:tukey=0.7")


def test_a_space_may_stand_alone():
    assert [readout(f"gaussian:{on}").on for on in ("features", "hidden", "embedding")] == [
        "features", "hidden", "embedding",
    ]  # fmt: skip


def test_none_is_a_value():
    made = readout("gaussian:shrinkage=none:drift=none")
    assert isinstance(made, SharedGaussian)
    assert made.shrinkage is None and not made.needs_past
    assert readout("gaussian:shrinkage=0.5").shrinkage == 0.5


@pytest.mark.parametrize(
    "text, words",
    [
        ("gausian", "unknown readout 'gausian': did you mean 'gaussian'"),
        ("gaussian:embeding", "no parameter 'embeding': write for example gaussian:on="),
        ("gaussian:tau=1", "no parameter 'tau'"),
        ("gaussian:drift=rigde", "unknown value of gaussian:drift 'rigde': did you mean 'ridge'"),
        ("mean:metric=cosin", "unknown value of mean:metric 'cosin': did you mean 'cosine'"),
        ("fecam:tukey=much", "fecam:tukey=much cannot be read: it must be float"),
        ("fecam:normalise=1", "it must be yes or no"),
        ("gaussian:shrinkage=x", "it must be float or none"),
        ("fecam:rank=2.5", "it must be int"),
        ("head:embedding", "head has no parameters"),
        ("fecam:tukey=-1", "tukey must be positive, not -1"),
        ("class-gaussian:structure=low_rank:rank=0", "rank of at least 1, not 0"),
    ],
)
def test_what_cannot_be_read_is_refused(text, words):
    with pytest.raises(ConfigError, match=words):
        readout(text)


def test_a_space_that_a_learner_does_not_have_is_refused(fitted):
    from holdfast.learner import Output

    x = torch.rand(3, 5)
    with pytest.raises(ConfigError, match="no hidden to read: use on=features"):
        readout("gaussian:hidden").see(Output(x, x, x))
