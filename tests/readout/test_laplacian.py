"""Transduction: its twin, an energy that never rises, and what leaves the answers alone."""

import pytest
import torch
from torch.testing import assert_close

from clouds import normal
from holdfast.core.errors import ConfigError, DataError
from holdfast.readout import neighbour_graph, transduce
from reference_heads import transduced

SCORES, FEATURES = normal(0, 12, 3), normal(1, 12, 4)


@pytest.mark.parametrize("strength, neighbours, rounds", [(0.4, 3, 3), (1.5, 5, 2)])
def test_it_is_its_twin(strength, neighbours, rounds):
    found = transduce(SCORES, FEATURES, strength, neighbours, rounds).probabilities
    twin = transduced(SCORES.tolist(), FEATURES.tolist(), strength, neighbours, rounds)
    assert_close(found, torch.tensor(twin).double())


@pytest.mark.parametrize("strength", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("neighbours", [2, 4, 12])
def test_the_energy_never_rises(strength, neighbours):
    energies = torch.tensor(transduce(SCORES, FEATURES, strength, neighbours, 30).energies)
    assert bool((energies.diff() <= 1e-9).all()) and float(energies[0] - energies[-1]) > 0


def test_its_graph_is_symmetric_and_positive():
    graph = neighbour_graph(FEATURES, 4).to_dense()
    assert_close(graph, graph.T)
    assert float(torch.linalg.eigvalsh(graph)[0]) > -1e-12
    away = graph - graph.diagonal().diag()
    assert_close(graph.diagonal(), away.sum(1))
    assert set(away.flatten().tolist()) == {0.0, 0.5, 1.0}


def test_without_strength_or_neighbours_answers_are_those_of_the_scores():
    plain = torch.softmax(SCORES, 1)
    assert_close(transduce(SCORES, FEATURES, 0.0).probabilities, plain)
    assert_close(transduce(SCORES, FEATURES, 1.0, neighbours=1).probabilities, plain)


def test_the_order_of_rows_says_nothing_and_a_centre_does():
    order = torch.randperm(12, generator=torch.Generator().manual_seed(2))
    found = transduce(SCORES, FEATURES, 0.7).probabilities
    assert_close(transduce(SCORES[order], FEATURES[order], 0.7).probabilities, found[order])
    centred = transduce(SCORES, FEATURES + 5, 0.7, centre=torch.full((4,), 5.0)).probabilities
    assert_close(centred, found)
    assert not torch.allclose(transduce(SCORES, FEATURES + 5, 0.7).probabilities, found)


def test_an_unsure_row_takes_the_answer_of_the_rows_around_it():
    features = torch.cat([normal(3, 10, 4) * 0.1 + 1, normal(4, 10, 4) * 0.1 - 1])
    scores = torch.zeros(20, 2).double()
    scores[:10, 0], scores[10:, 1] = 2.0, 2.0
    scores[3] = torch.tensor([0.0, 0.3])
    assert scores[3].argmax() == 1
    assert transduce(scores, features, 0.5).probabilities[3].argmax() == 0


def test_no_row_at_all_and_few_rows():
    assert transduce(SCORES[:0], FEATURES[:0]).probabilities.shape == (0, 3)
    assert transduce(SCORES[:1], FEATURES[:1]).probabilities.shape == (1, 3)


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match="same rows, not 12 and 11"):
        transduce(SCORES, FEATURES[1:])
    with pytest.raises(ConfigError, match="strength of at least 0"):
        transduce(SCORES, FEATURES, -1.0)
