"""Figures of the unknown, against loops over pairs and by their laws."""

import math

import pytest
import torch

import reference_metrics as twin
from holdfast.metrics import (
    auroc,
    average_precision,
    fpr_at_known95,
    fpr_at_unknown95,
    openset_figures,
    oscr,
)


def scores(ties=False):
    generator = torch.Generator().manual_seed(0)
    known = torch.randn(60, generator=generator)
    unknown = torch.randn(41, generator=generator) + 1
    return ((2 * known).round(), (2 * unknown).round()) if ties else (known, unknown)


@pytest.mark.parametrize("ties", [False, True])
def test_they_equal_their_twins(ties):
    known, unknown = scores(ties)
    assert auroc(known, unknown) == pytest.approx(twin.auroc(known.tolist(), unknown.tolist()))
    for share in (0.5, 0.95, 1.0):
        slow = twin.fpr_at_known(known.tolist(), unknown.tolist(), share)
        assert fpr_at_known95(known, unknown, share) == pytest.approx(slow)
        swapped = twin.fpr_at_known((-unknown).tolist(), (-known).tolist(), share)
        assert fpr_at_unknown95(known, unknown, share) == pytest.approx(swapped)


def test_a_constant_score_tells_nothing():
    same = torch.zeros(20), torch.zeros(10)
    assert (auroc(*same), fpr_at_known95(*same), fpr_at_unknown95(*same)) == (0.5, 1.0, 1.0)


def test_a_separating_score_tells_all():
    apart = torch.arange(20.0), 20 + torch.arange(10.0)
    assert (auroc(*apart), fpr_at_known95(*apart), fpr_at_unknown95(*apart)) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize("monotone", [lambda u: 3 * u + 7, torch.sigmoid, lambda u: u**3])
def test_only_the_order_matters(monotone):
    known, unknown = (side.double() for side in scores())
    for figure in (auroc, fpr_at_known95, fpr_at_unknown95):
        assert figure(monotone(known), monotone(unknown)) == figure(known, unknown)


def test_swapped_sides_add_to_one():
    known, unknown = scores(ties=True)
    assert auroc(unknown, known) == pytest.approx(1 - auroc(known, unknown))


def test_no_input_on_a_side_is_no_figure():
    none, some = torch.zeros(0), torch.ones(3)
    for figure in (auroc, fpr_at_known95, fpr_at_unknown95):
        assert math.isnan(figure(none, some)) and math.isnan(figure(some, none))


@pytest.mark.parametrize("ties", [False, True])
def test_rejection_with_a_decision_equals_its_twin(ties):
    known, unknown = scores(ties)
    for right in (torch.arange(60) % 3 > 0, torch.zeros(60).bool(), torch.ones(60).bool()):
        slow = twin.oscr(known.tolist(), right.tolist(), unknown.tolist())
        assert oscr(known, right, unknown) == pytest.approx(slow)
    assert oscr(known, torch.ones(60).bool(), unknown) == pytest.approx(auroc(known, unknown))
    same = torch.zeros(20), torch.arange(20) < 8, torch.zeros(10)
    assert oscr(*same) == pytest.approx(0.2) and math.isnan(oscr(*same[:2], same[2][:0]))


@pytest.mark.parametrize("ties", [False, True])
def test_precision_over_recall_equals_its_twin_and_scikit_learns(ties):
    from sklearn.metrics import average_precision_score

    known, unknown = scores(ties)
    value = average_precision(known, unknown)
    assert value == pytest.approx(twin.average_precision(known.tolist(), unknown.tolist()))
    truth, both = [0] * len(known) + [1] * len(unknown), torch.cat([known, unknown])
    assert value == pytest.approx(average_precision_score(truth, both))
    figures = openset_figures(torch.zeros(30), torch.ones(30).bool(), torch.zeros(10))
    assert figures["average_precision"] == figures["unknown_share"] == 0.25
    assert figures["oscr"] == figures["auroc"] == 0.5 and figures["fpr_at_known95"] == 1.0
