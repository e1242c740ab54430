"""Readouts by name: one registry, one grammar, and names that tell two readouts apart."""

import pytest
import torch

from holdfast.core.errors import ConfigError
from holdfast.learner import Frame, Output
from holdfast.readout import (
    READOUTS,
    ClassGaussian,
    Head,
    LinearProbe,
    NearestMean,
    PseudoHead,
    RandomFeatureRidge,
    Readout,
    Ridge,
    SharedGaussian,
    build_readout,
    readout_class,
)


@pytest.mark.parametrize("name", READOUTS)
def test_every_name_makes_a_readout_that_carries_it(name):
    readout = build_readout(name, Frame(5))
    assert isinstance(readout, Readout)
    assert readout.name == name
    assert type(readout) is readout_class(name)


def test_settings_follow_with_colons():
    readout = build_readout(
        "class-correlation:tukey=0.7:on=embedding:drift=low_rank:normalise=no:structure=low_rank:rank=3"
    )
    assert isinstance(readout, ClassGaussian)
    values = (readout.tukey, readout.on, readout.drift, readout.normalise)
    assert values == (0.7, "embedding", "low_rank", False)
    assert (readout.structure, readout.rank, readout.gamma1) == ("low_rank", 3, 1.0)
    assert readout.name.startswith("class-correlation:tukey=0.7")


def test_a_space_may_stand_alone():
    spaces = ("features", "hidden", "embedding")
    assert tuple(build_readout(f"gaussian:{on}").on for on in spaces) == spaces


def test_none_is_a_value():
    readout = build_readout("gaussian:shrinkage=none:drift=none")
    assert isinstance(readout, SharedGaussian)
    assert readout.shrinkage is None and not readout.needs_past
    assert build_readout("gaussian:shrinkage=0.5").shrinkage == 0.5


@pytest.mark.parametrize(
    "text, words",
    [
        ("gausian", "unknown readout 'gausian': did you mean 'gaussian'"),
        ("gaussian:embeding", "on 'embeding': did you mean 'embedding'"),
        ("gaussian:tau=1", "unknown parameter of the readout gaussian 'tau'"),
        ("gaussian:drift=rigde", "drift 'rigde': did you mean 'ridge'"),
        ("mean:metric=cosin", "metric 'cosin': did you mean 'cosine'"),
        ("fecam:tukey=much", "tukey cannot be 'much': it must be a number"),
        ("class-correlation:normalise=2", "it must be yes or no"),
        ("gaussian:shrinkage=x", "it must be a number or none"),
        ("class-correlation:rank=2.5", "it must be a whole number"),
        ("head:embedding", "readout head takes no settings"),
        ("fecam:tukey=-1", "tukey must be positive, not -1"),
        ("class-gaussian:structure=low_rank:rank=0", "rank of at least 1, not 0"),
        ("class-gaussian:structure=shared", "must be full, diagonal or low_rank"),
        ("pseudo-head:structure=none", "must be shared, full, diagonal or low_rank"),
        ("prototype", "needs a method with prototypes"),
        ("holdfast.learner:Frame:6", "makes a Frame, which is no readout"),
    ],
)
def test_what_cannot_be_read_is_refused(text, words):
    with pytest.raises(ConfigError, match=words):
        build_readout(text)


def test_a_space_that_a_learner_does_not_have_is_refused():
    x = torch.rand(3, 5)
    with pytest.raises(ConfigError, match="no hidden to read: use on=features"):
        build_readout("gaussian:hidden").select(Output(x, x, x))


@pytest.mark.parametrize(
    "readout, name",
    [
        (Head(), "head"),
        (SharedGaussian(), "gaussian"),
        (SharedGaussian("embedding", drift="none"), "gaussian:on=embedding:drift=none"),
        (SharedGaussian(shrinkage=0.5), "gaussian:shrinkage=0.5"),
        (ClassGaussian(normalise=True), "class-gaussian:normalise=True"),
        (NearestMean(metric="euclidean"), "mean:metric=euclidean"),
        (Ridge(strength=0.1), "ridge:strength=0.1"),
        (RandomFeatureRidge(seed=3), "random-ridge:seed=3"),
        (PseudoHead(structure="full", rank=2), "pseudo-head:structure=full:rank=2"),
        (LinearProbe(decay=0.5), "probe:decay=0.5"),
    ],
)
def test_an_instance_is_named_by_its_settings_and_the_name_builds_it(readout, name):
    assert readout.name == name
    again = build_readout(name)
    assert type(again) is type(readout) and again.name == name


def test_a_name_stays_while_a_readout_learns(fitted):
    x, y = torch.randn(20, 5), torch.arange(20) % 2
    assert fitted(Ridge(), (x, y)).name == "ridge"


class Own(Readout):
    """A readout from outside."""

    label = "own"

    def __init__(self, factor: float = 1.0):
        super().__init__()
        self.factor = factor

    def scores(self, out):
        return self.factor * out.features


def test_readouts_of_ones_own_have_distinct_names_too():
    assert [Own().name, Own(2.0).name] == ["own", "own:factor=2.0"]
