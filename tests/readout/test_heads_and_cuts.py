"""A readout of the first features, and a readout a domain."""

import math

import pytest
import torch
from torch.testing import assert_close

from clouds import EVEN, UNEVEN, clouds, said
from holdfast.core.errors import ConfigError
from holdfast.readout import DomainHeads, FirstFeatures, build_readout, mixed_by_entropy
from reference_readouts import by_entropy

TEST = clouds((3,) * 4, seed=1)[0]


@pytest.mark.parametrize("width", [1, 3, 9])
@pytest.mark.parametrize("of", ["gaussian", "ridge", "mean:metric=euclidean"])
def test_the_first_features_are_read_as_if_there_were_no_others(fitted, of, width):
    x, y = clouds(UNEVEN)
    first = fitted(FirstFeatures(of, width), (x, y))
    alone = fitted(build_readout(of), (x[:, :width], y))
    assert_close(first.probabilities(said(TEST)), alone.probabilities(said(TEST[:, :width])))
    assert_close(first.strange(said(TEST)), alone.strange(said(TEST[:, :width])))
    assert first.calibrated == alone.calibrated
    network = first.network(5)
    assert network is None or torch.allclose(network(TEST), first.scores(said(TEST)), atol=1e-4)


def test_features_beyond_the_cut_are_not_kept(fitted):
    x, y = clouds(EVEN)
    narrow, all_of_them = (fitted(FirstFeatures("gaussian", width), (x, y)) for width in (2, 5))
    numbers = [sum(t.numel() for t in r.inner.statistics.state().values() if torch.is_tensor(t))
               for r in (narrow, all_of_them)]  # fmt: skip
    assert numbers[0] < numbers[1]


@pytest.mark.parametrize("sharpness", [0.0, 0.7, 3.0])
def test_heads_are_weighed_by_their_entropy(sharpness):
    p = torch.softmax(
        3 * torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(0)).double(), 2
    )
    mixed = mixed_by_entropy(p, sharpness)
    for row in range(6):
        assert mixed[row].tolist() == pytest.approx(by_entropy(p[:, row].tolist(), sharpness))


def test_equal_heads_say_what_one_says_and_the_surest_decides_in_the_limit():
    p = torch.tensor([[[0.7, 0.2, 0.1]], [[0.7, 0.2, 0.1]]], dtype=torch.float64)
    assert_close(mixed_by_entropy(p, 2.3), p[0])
    p = torch.tensor([[[0.5, 0.4, 0.1]], [[0.02, 0.98, 0.0]]], dtype=torch.float64)
    assert_close(mixed_by_entropy(p, 200.0), p[1])
    certain = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]])
    assert mixed_by_entropy(certain, 5.0).tolist() == [[1.0, 0.0]]


def test_a_domain_is_a_head_and_one_domain_is_its_readout(fitted):
    x, y = clouds(EVEN)
    alone = fitted(build_readout("gaussian:drift=none"), (x, y))
    one = fitted(DomainHeads(sharpness=0.4), (x, y))
    assert_close(one.probabilities(said(TEST)), alone.probabilities(said(TEST)))
    two = fitted(DomainHeads(sharpness=0.4), (x, y), (-x, y))
    other = fitted(build_readout("gaussian:drift=none"), (x, y), (-x, y))
    each = torch.stack(
        [torch.softmax(h.scores(said(TEST)).double() / h.temperature, 1) for h in two.heads]
    )
    assert_close(each[0].float(), alone.probabilities(said(TEST)))
    assert not torch.allclose(
        each[1].float(), other.probabilities(said(TEST))
    )  # of its own rows alone
    p = two.probabilities(said(TEST)).double()
    assert_close(p, mixed_by_entropy(each, 0.4), rtol=1e-4, atol=1e-6)
    assert_close(two.network(5)(TEST).exp().double(), p, rtol=0, atol=1e-4)
    assert alone.calibrated and not two.calibrated  # each head is, on its own domain


def test_a_class_is_nothing_to_a_head_that_never_met_it(fitted):
    x, y = clouds(EVEN)
    first, second = (x[y < 2], y[y < 2]), (x[y >= 2], y[y >= 2])
    heads = fitted(DomainHeads(), first, second)
    p = heads.probabilities(said(TEST))
    assert_close(p.sum(1), torch.ones(len(TEST)))
    alone = fitted(build_readout("gaussian:drift=none"), first)
    sure = alone.probabilities(said(TEST))
    assert torch.equal(p[:, 0] > p[:, 1], sure[:, 0] > sure[:, 1])
    assert_close(heads.network(5)(TEST).exp(), p, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: FirstFeatures("gaussian", 0), "width of at least 1, not 0"),
        (lambda: FirstFeatures("head"), "cannot cut what head reads"),
        (lambda: FirstFeatures("gaussian:embedding"), "cannot cut what gaussian:embedding reads"),
        (lambda: DomainHeads("gaussian:drift=ridge"), "cannot keep gaussian:drift=ridge"),
        (lambda: DomainHeads(sharpness=-1), "sharpness of at least 0"),
        (lambda: DomainHeads(sharpness=math.nan), "sharpness of at least 0"),
    ],
)
def test_what_cannot_be_is_one_sentence(make, words):
    with pytest.raises(ConfigError, match=words):
        make()
