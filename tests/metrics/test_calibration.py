"""Temperature and expected calibration error, against searches and loops."""

import math

import pytest
import torch

from holdfast.metrics import expected_calibration_error, fit_temperature


def answers(n=300, k=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, k, generator=generator, dtype=torch.float64)
    y = torch.multinomial(torch.softmax(logits, 1), 1, generator=generator)[:, 0]
    return logits, y


def balanced_loss(logits, y, T):
    """The mean over classes of the mean -log p."""
    losses = {}
    for row, label in zip(logits.tolist(), y.tolist(), strict=True):
        top = max(v / T for v in row)
        log_sum = top + math.log(math.fsum(math.exp(v / T - top) for v in row))
        losses.setdefault(label, []).append(log_sum - row[label] / T)
    return math.fsum(math.fsum(v) / len(v) for v in losses.values()) / len(losses)


@pytest.mark.parametrize("scale", [0.1, 1.0, 20.0])
def test_the_temperature_is_the_least_of_a_search(scale):
    logits, y = answers()
    found = fit_temperature(scale * logits, y)
    here = balanced_loss(scale * logits, y, found)
    for factor in (0.9, 0.99, 1.01, 1.1):
        assert here < balanced_loss(scale * logits, y, found * factor)
    assert found == pytest.approx(scale, rel=0.35)  # the answers were drawn at temperature 1


def test_scores_that_tell_nothing_keep_their_temperature():
    y = torch.tensor([0, 1, 0])
    assert fit_temperature(torch.zeros(3, 2), y) == 1.0
    assert fit_temperature(torch.randn(3, 1), torch.zeros(3, dtype=torch.long)) == 1.0


def test_a_temperature_cannot_leave_its_bounds():
    sure = torch.eye(3)
    assert 1e-4 <= fit_temperature(sure, torch.arange(3)) < 0.01  # where the slope is 0 in float64
    assert fit_temperature(-sure, torch.arange(3)) == pytest.approx(1e4, rel=1e-3)


def twin(p, y, bins):
    total = 0.0
    for b in range(bins):
        mine = [
            (max(row), row.index(max(row)) == label)
            for row, label in zip(p, y, strict=True)
            if b / bins <= max(row) < (b + 1) / bins or (b == bins - 1 and max(row) == 1)
        ]
        if mine:
            right = math.fsum(r for _, r in mine) / len(mine)
            sure = math.fsum(c for c, _ in mine) / len(mine)
            total += len(mine) / len(y) * abs(right - sure)
    return total


@pytest.mark.parametrize("bins", [1, 10, 15])
@pytest.mark.parametrize("scale", [0.3, 1.0, 50.0])
def test_the_calibration_error_equals_its_twin(bins, scale):
    logits, y = answers()
    p = torch.softmax(scale * logits, 1)
    found = expected_calibration_error(p, y, bins)
    assert found == pytest.approx(twin(p.tolist(), y.tolist(), bins))


def test_answers_drawn_from_the_probabilities_are_calibrated():
    logits, y = answers(20_000)
    assert expected_calibration_error(torch.softmax(logits, 1), y) < 0.02
    assert expected_calibration_error(torch.softmax(5 * logits, 1), y) > 0.1


def test_what_is_no_number_is_no_calibration_error():
    assert math.isnan(
        expected_calibration_error(torch.tensor([[torch.nan, 1.0]]), torch.tensor([1]))
    )
