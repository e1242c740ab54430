"""Fixed equidistant prototypes (THEORY 2)."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from holdfast.core.errors import ConfigError
from holdfast.learner import Frame, simplex_etf


def gram_of_a_simplex(K):
    """1 on the diagonal, -1/(K-1) elsewhere, entry by entry."""
    rows = [[1.0 if i == j else -1 / (K - 1) for j in range(K)] for i in range(K)]
    return torch.tensor(rows)


@settings(deadline=None, max_examples=30)
@given(K=st.integers(2, 24), room=st.integers(-1, 12), seed=st.integers(0, 99))
def test_any_simplex_is_equidistant_and_sums_to_zero(K, room, seed):
    d = K + room
    q = simplex_etf(K, d, seed)
    assert q.shape == (K, d)
    assert_close(q @ q.T, gram_of_a_simplex(K), atol=1e-5, rtol=0)
    assert_close(q.sum(0), torch.zeros(d), atol=1e-5, rtol=0)


def test_two_prototypes_are_opposite():
    q = simplex_etf(2, 5)
    assert_close(q[0], -q[1])
    assert_close(q.norm(dim=1), torch.ones(2))


def test_one_prototype_is_a_unit_vector():
    q = simplex_etf(1, 5)
    assert q.shape == (1, 5)
    assert_close(q.norm(dim=1), torch.ones(1))


def test_the_smallest_spaces():
    assert_close(simplex_etf(1, 1).abs(), torch.ones(1, 1))
    assert_close(simplex_etf(2, 1).sort(0).values, torch.tensor([[-1.0], [1.0]]))


def test_a_seed_decides_every_bit():
    assert torch.equal(simplex_etf(7, 9, 3), simplex_etf(7, 9, 3))
    assert not torch.equal(simplex_etf(7, 9, 3), simplex_etf(7, 9, 4))


def test_the_seed_is_the_only_chance():
    torch.manual_seed(1)
    first = simplex_etf(7, 9, 3)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(first, simplex_etf(7, 9, 3))
    assert torch.equal(state, torch.get_rng_state())


def test_rotations_are_uniform():
    """The mean over rotations of q q^T is I/d for every vertex, and the mean of q is 0."""
    q = torch.stack([simplex_etf(3, 4, seed)[0] for seed in range(2000)])
    assert_close(q.mean(0), torch.zeros(4), atol=0.06, rtol=0)
    assert_close(q.T @ q / len(q), torch.eye(4) / 4, atol=0.03, rtol=0)


@pytest.mark.parametrize("K, d", [(10, 8), (3, 1), (130, 128)])
def test_a_space_too_small_is_refused_and_says_what_would_do(K, d):
    with pytest.raises(ConfigError, match=f"dim >= {K - 1}, not {d}"):
        simplex_etf(K, d)


def test_no_class_is_refused():
    with pytest.raises(ConfigError, match="at least 1 class"):
        simplex_etf(0, 4)


def test_a_frame_without_known_classes_has_one_vertex_more_than_dimensions():
    frame = Frame(dim=6)
    assert len(frame) == 7
    q = frame.vectors
    assert_close(q @ q.T, gram_of_a_simplex(7), atol=1e-5, rtol=0)
    frame.require(7)
    with pytest.raises(ConfigError, match="7 prototypes but the stream has 8 classes"):
        frame.require(8)


@pytest.mark.parametrize("K", [2, 4, 6])
def test_any_subset_of_an_open_frame_is_equidistant(K):
    q = Frame(dim=6).vectors[:K]
    off = (q @ q.T)[~torch.eye(K, dtype=torch.bool)]
    assert_close(off, torch.full_like(off, -1 / 6))


def test_a_frame_of_known_classes_is_their_simplex():
    assert torch.equal(Frame(16, classes=5, seed=2).vectors, simplex_etf(5, 16, 2))


def test_a_frame_is_neither_trained_nor_stored():
    frame = Frame(8)
    assert not list(frame.parameters())
    assert not frame.state_dict()
