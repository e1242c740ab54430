"""Temperature and expected calibration error, against searches and loops."""

import math

import pytest
import torch

from holdfast.metrics import (
    adaptive_ece,
    brier,
    calibration,
    calibration_figures,
    ece_floor,
    expected_calibration_error,
    fit_temperature,
    nll,
)
from reference_metrics import adaptive_error, calibration_error, temperature


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
    assert fit_temperature(sure, torch.arange(3)) == pytest.approx(1e-4)  # separable
    assert fit_temperature(-sure, torch.arange(3)) == pytest.approx(1e4)  # always wrong
    impossible = torch.tensor([[0.0, -1.0, -torch.inf]])
    assert fit_temperature(impossible, torch.tensor([2])) == pytest.approx(1e4)


def masked(logits):
    logits = logits.clone()
    logits[::2, -1] = -torch.inf
    return logits


SCORES = {
    "usual": lambda logits: logits,
    "flat": lambda logits: 1e-3 * logits,
    "sharp": lambda logits: 500 * logits,
    "shifted": lambda logits: logits + 1e4 * torch.arange(len(logits))[:, None],
    "spread": lambda logits: logits * 10 ** (6 * torch.rand(len(logits), 1, dtype=torch.float64)),
    "masked": masked,
    "rounded": lambda logits: logits.round(),
}


@pytest.mark.parametrize("many", [1, 10**9], ids=["float32", "float64"])
@pytest.mark.parametrize("change", SCORES.values(), ids=SCORES)
def test_newton_finds_what_bisection_finds(change, many, monkeypatch):
    monkeypatch.setattr(calibration, "MANY", many)
    monkeypatch.setattr(calibration, "FIRST", 50)  # begin with a few rows, as on large sets
    torch.manual_seed(0)
    logits, y = answers(k=5)
    y = y.clamp_max(3)  # the masked class is never the true one, and one class has no row
    scores = change(logits)
    twin = temperature(scores.tolist(), y.tolist())
    assert fit_temperature(scores, y) == pytest.approx(twin, rel=1e-6)


def test_newton_finds_the_bounds_that_bisection_finds():
    for scores in (torch.eye(4), -torch.eye(4)):
        twin = temperature(scores.tolist(), [0, 1, 2, 3])
        assert fit_temperature(scores, torch.arange(4)) == pytest.approx(twin, rel=1e-6)


def test_one_true_class_and_one_row_have_a_temperature():
    scores, y = torch.tensor([[2.0, 1.0], [1.0, 2.0], [3.0, 0.0]]), torch.zeros(3, dtype=torch.long)
    twin = temperature(scores.tolist(), y.tolist())
    assert fit_temperature(scores, y) == pytest.approx(twin, rel=1e-6)
    assert fit_temperature(scores[:1], y[:1]) == pytest.approx(1e-4)


def test_many_scores_take_few_passes(monkeypatch):
    """A pass over 20,000 x 400 scores takes some 60 ms: 50 halvings took 9 s."""
    passes = []
    slope = calibration._slope
    monkeypatch.setattr(calibration, "MANY", 1)
    monkeypatch.setattr(
        calibration, "_slope", lambda s, *rest: passes.append(len(s)) or slope(s, *rest)
    )
    logits, y = answers(20_000, 10)
    for scale in (0.01, 1.0, 100.0):
        passes.clear()
        assert fit_temperature(scale * logits, y) == pytest.approx(scale, rel=0.03)
        assert passes.count(20_000) <= 4 and len(passes) < 30


@pytest.mark.parametrize("bins", [1, 10, 15])
@pytest.mark.parametrize("scale", [0.3, 1.0, 50.0])
def test_the_calibration_error_equals_its_twin(bins, scale):
    logits, y = answers()
    p = torch.softmax(scale * logits, 1)
    found = expected_calibration_error(p, y, bins)
    assert found == pytest.approx(calibration_error(p.tolist(), y.tolist(), bins))


def test_answers_drawn_from_the_probabilities_are_calibrated():
    logits, y = answers(20_000)
    assert expected_calibration_error(torch.softmax(logits, 1), y) < 0.02
    assert expected_calibration_error(torch.softmax(5 * logits, 1), y) > 0.1


def test_what_is_no_number_is_no_calibration_error():
    assert math.isnan(
        expected_calibration_error(torch.tensor([[torch.nan, 1.0]]), torch.tensor([1]))
    )


# other figures


@pytest.mark.parametrize("bins", [1, 4, 15])
@pytest.mark.parametrize("digits", [1, 6])
def test_the_adaptive_error_equals_its_twin(bins, digits):
    logits, y = answers()
    p = torch.softmax(logits, 1)
    p = (p * 10**digits).round() / 10**digits  # with ties: they stay together
    found = adaptive_ece(p, y, bins)
    assert found == pytest.approx(adaptive_error(p.tolist(), y.tolist(), bins))


def test_with_uniform_confidences_both_errors_are_one():
    sure = 0.5 + 0.5 * (torch.arange(800, dtype=torch.float64) + 0.5) / 800
    p = torch.stack([sure, 1 - sure], 1)
    y = torch.randint(2, (800,), generator=torch.Generator().manual_seed(0))
    assert adaptive_ece(p, y, 8) == pytest.approx(expected_calibration_error(p, y, 16))


def test_a_constant_prior_is_calibrated_and_one_bin_is_a_difference():
    y = torch.tensor([0] * 6 + [1] * 3 + [2])
    prior = torch.tensor([[0.6, 0.3, 0.1]], dtype=torch.float64).expand(10, 3)
    for error in (expected_calibration_error, adaptive_ece):
        assert error(prior, y) == pytest.approx(0, abs=1e-12)
        logits, labels = answers()
        p = torch.softmax(3 * logits, 1)
        right = (p.argmax(1) == labels).double().mean()
        assert error(p, labels, 1) == pytest.approx(abs(float(right - p.amax(1).mean())))


def test_proper_scores_are_least_at_the_truth():
    truth = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    y = torch.tensor([0] * 5 + [1] * 3 + [2] * 2)
    for score in (nll, brier):
        least = score(truth.expand(10, 3), y)
        for move in ((0.05, -0.05, 0), (-0.02, 0, 0.02), (0, 0.1, -0.1)):
            assert score((truth + torch.tensor(move)).expand(10, 3), y) > least
    assert brier(torch.eye(2)[[0, 0]], torch.tensor([1, 1])) == 2.0  # the worst there is
    assert nll(torch.eye(2), torch.tensor([0, 1])) == 0.0
    assert nll(torch.eye(2), torch.tensor([1, 1])) == math.inf


def test_the_floor_is_what_calibrated_answers_show():
    generator = torch.Generator().manual_seed(0)
    sure = 0.5 + 0.5 * torch.rand(1000, generator=generator, dtype=torch.float64)
    p = torch.stack([sure, 1 - sure], 1)
    assert ece_floor(p) == pytest.approx(0.028, abs=0.001)
    assert ece_floor(p) == ece_floor(p) != ece_floor(p, seed=1)
    assert ece_floor(torch.eye(2)) == 0.0  # who is sure and calibrated makes no error


def test_no_number_has_no_adaptive_error():
    assert math.isnan(adaptive_ece(torch.tensor([[torch.nan, 1.0]]), torch.tensor([1])))


def test_every_figure_is_of_all_rows_and_of_old_and_new_ones_apart():
    p = torch.softmax(3 * torch.randn(90, 4, generator=torch.Generator().manual_seed(3)), 1)
    y, new = torch.arange(90) % 4, torch.arange(90) % 4 > 1
    figures = calibration_figures(p, y, new)
    assert figures["nll"] == pytest.approx(nll(p, y)) and figures["brier"] == brier(p, y)
    assert figures["adaptive_calibration_error"] == adaptive_ece(p, y)
    assert figures["calibration_floor"] == ece_floor(p, 20)
    for side, rows in (("old", ~new), ("new", new)):
        assert figures[f"calibration_error_{side}"] == expected_calibration_error(p[rows], y[rows])
        assert figures[f"brier_{side}"] == brier(p[rows], y[rows])
    parts = [
        figures[f"nll_{side}"] * float(rows.sum()) for side, rows in (("old", ~new), ("new", new))
    ]
    assert sum(parts) / 90 == pytest.approx(figures["nll"])


def test_a_side_without_rows_and_what_is_no_number_have_no_figure():
    p, y = torch.tensor([[1.0, 0.0], [0.5, 0.5]]), torch.tensor([1, 0])
    figures = calibration_figures(p, y, torch.ones(2).bool())
    assert math.isnan(figures["nll_old"]) and 40 < figures["nll_new"] == figures["nll"] < 50
    p[0, 0] = math.nan
    assert all(math.isnan(v) for v in calibration_figures(p, y, torch.ones(2).bool()).values())
