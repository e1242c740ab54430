"""Row weights: a column of a table, which tables without it are given when they are joined."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

import reference
from clouds import UNEVEN, clouds, normal
from holdfast.anchor import MatchLogits
from holdfast.core.errors import DataError
from holdfast.core.rows import Rows, cat, row_weights
from holdfast.core.step import Step
from holdfast.learner import Output
from holdfast.loss import CrossEntropy, Term
from holdfast.statistics import Statistics, add_weighed
from holdfast.testing import check_term


def rows(count, weight=None, **extra):
    y = torch.arange(count) % 3
    if weight is not None:
        extra["weight"] = torch.tensor(weight)
    return Rows(torch.zeros(count, 1), y, torch.zeros_like(y), torch.arange(count), extra)


def test_weights_of_one_and_none_are_the_same():
    assert row_weights(rows(3)) is None is row_weights(rows(2, [1.0, 1.0]))
    assert row_weights(rows(2, [1.0, 2.5])).tolist() == [1.0, 2.5]


@pytest.mark.parametrize("weight", [[-1.0, 2.0], [float("nan"), 1.0], [0.0, 0.0], [1.0]])
def test_what_is_no_weight_is_refused(weight):
    with pytest.raises(DataError, match="column weight"):
        row_weights(rows(2, weight))


def test_a_table_without_weights_is_joined_with_ones_and_other_columns_go():
    joined = cat([rows(2, logits=torch.ones(2, 4)), rows(2, [3.0, 4.0])])
    assert joined.extra.keys() == {"weight"}
    assert joined.extra["weight"].tolist() == [1.0, 1.0, 3.0, 4.0]
    assert cat([rows(2), rows(1)]).extra == {}
    assert cat([rows(1, [2.0], logits=torch.ones(1, 4))] * 2).extra.keys() == {"weight", "logits"}


@pytest.mark.parametrize("classes", ["new", "seen", "all"])
def test_cross_entropy_counts_a_row_as_often_as_it_weighs(classes):
    weight = [2.0, 1.0, 0.0, 3.0, 1.0, 2.0]
    table, logits = rows(6, weight), normal(0, 6, 4)
    out = Output(table.x, table.x, logits)
    step = Step({"batch": table}, lambda x: out, classes=(1, 2), seen=(0, 1, 2))
    value = CrossEntropy(classes)(step)
    compete = {"new": [1, 2], "seen": [0, 1, 2], "all": [0, 1, 2, 3]}[classes]
    often = torch.arange(6).repeat_interleave(torch.tensor(weight).long())
    twin = reference.cross_entropy(logits[often].tolist(), table.y[often].tolist(), compete)
    assert float(value) == pytest.approx(twin, rel=1e-6)


@pytest.mark.parametrize("term", [CrossEntropy("seen"), CrossEntropy("all"), MatchLogits()])
def test_terms_that_weigh_obey_the_law(term):
    assert term.weighs
    check_term(term, run=False)


class Ignores(Term):
    """Says that it weighs rows, and does not."""

    reads = ("features",)
    weighs = True

    def value(self, part, step):
        return part.out.features.mean()


def test_the_law_finds_a_term_that_does_not_do_what_it_says():
    with pytest.raises(AssertionError, match="as many equal rows"):
        check_term(Ignores(), run=False)


class Disturbed(Ignores):
    """Rounds otherwise where there is a weight of one."""

    weighs = False

    def value(self, part, step):
        weight = part.rows.extra.get("weight", torch.full((len(part),), 1.001))
        return (part.out.features.mean(1) * weight).mean()


def test_the_law_finds_a_term_that_ones_disturb():
    with pytest.raises(AssertionError, match="rows that weigh 1"):
        check_term(Disturbed(), run=False)


@pytest.mark.parametrize("structure", ["none", "shared", "full", "diagonal", "low_rank", "factor"])
def test_statistics_of_a_row_of_weight_three_are_those_of_three_rows(structure):
    x, y = clouds(UNEVEN)
    often = torch.arange(len(x)) % 3 + 1
    many = torch.arange(len(x)).repeat_interleave(often)
    empty = Statistics.empty(5, structure, rank=5)
    first, then = slice(None, None, 2), slice(1, None, 2)
    known = add_weighed(empty, x[first], y[first], weight=often[first].float())
    known = add_weighed(known, x[then], y[then], 6, often[then].float())
    twin = empty.add(x[many], y[many], 6)
    assert_close(known.count, twin.count)
    assert_close(known.mean, twin.mean)
    if structure != "none":
        assert_close(known.scatter.pooled(), twin.scatter.pooled())


def test_small_weights_are_no_rounding():
    fraction = 1e-3
    x, y = clouds(UNEVEN)
    empty = Statistics.empty(5, "shared")
    light = add_weighed(empty, x, y, weight=torch.full((len(x),), fraction))
    twice = light.merge(light)
    assert_close(twice.mean, empty.add(x, y).mean)
    assert_close(
        twice.scatter.pooled(), 2 * fraction * empty.add(x, y).scatter.pooled(), rtol=1e-6, atol=0
    )
    assert replace(light, count=twice.count).count.sum() == pytest.approx(2 * fraction * len(x))
