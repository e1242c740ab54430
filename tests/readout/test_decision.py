"""A decision is solved once a fit: its values, how often, and what it does to state and meter."""

import copy
import pickle

import pytest
import torch
from torch.testing import assert_close

from clouds import clouds, said
from holdfast.memory.meter import measure
from holdfast.readout import (
    READOUTS,
    FirstFeatures,
    Head,
    LinearProbe,
    Mixed,
    PseudoHead,
    build_readout,
)
from holdfast.readout import decision as module
from holdfast.readout.streaming import Streaming
from holdfast.statistics.class_statistics import Statistics

SOLVERS = ("cholesky", "solve", "inv", "eigh", "svd", "lstsq")
NO_STATISTICS = ("head", "prototype", "probe", "pseudo-head", "by-state")
TEXTS = [name for name in READOUTS if name not in NO_STATISTICS]


@pytest.fixture
def solved(monkeypatch):
    """Counts every factorisation or system solved."""
    calls = []
    for name in SOLVERS:
        honest = getattr(torch.linalg, name)
        monkeypatch.setattr(
            torch.linalg, name, lambda *a, f=honest, n=name, **k: calls.append(n) or f(*a, **k)
        )
    return calls


@pytest.mark.parametrize("text", TEXTS)
def test_nothing_is_factorised_after_the_fit(text, fitted, solved):
    x, y = clouds((20,) * 4)
    readout = fitted(build_readout(text), (x[y < 2], y[y < 2]), (x[y > 1], y[y > 1]))
    if hasattr(readout, "unknown"):
        readout.unknown(said(x))  # distances are solved when they are first asked
    readout.scores(said(x))  # and so is the decision, as after loading
    solved.clear()
    for _ in range(3):
        readout.scores(said(x))
        readout.probabilities(said(x))
        if hasattr(readout, "unknown"):
            readout.unknown(said(x))
    assert solved == []


@pytest.mark.parametrize("text", TEXTS)
def test_it_is_solved_anew_after_a_fit_and_after_loading(text, fitted):
    (x, y), other = clouds((20,) * 3), clouds((20,) * 3, seed=5)
    readout = fitted(build_readout(text), (x, y))
    first = readout.scores(said(x))
    state = copy.deepcopy(readout.state_dict())
    readout.load_state_dict(fitted(build_readout(text), other).state_dict())
    assert_close(readout.scores(said(x)), fitted(build_readout(text), other).scores(said(x)))
    assert not torch.equal(readout.scores(said(x)), first)
    readout.load_state_dict(state)
    assert torch.equal(readout.scores(said(x)), first)
    again = fitted(readout, (x + 1, y))
    assert not torch.equal(again.scores(said(x)), first)


def twin_of_quadratic(statistics: Statistics, readout, x):
    """-1/2 (x - m).S^-1 (x - m) - 1/2 log |S|, by inverses, one class at a time."""
    columns = []
    for k, mean in enumerate(statistics.mean):
        s = readout.covariance(k)
        gap = x.double() - mean
        distance = torch.einsum("nf,fg,ng->n", gap, torch.linalg.inv(s), gap)
        columns.append(-0.5 * distance - (0.5 * s.logdet() if readout.determinant else 0))
    return torch.stack(columns, 1)


@pytest.mark.parametrize("text", ["class-gaussian", "class-correlation:tukey=1"])
def test_kept_factors_give_the_quadratic_form(text, fitted):
    x, y = clouds((20,) * 4)
    readout = fitted(build_readout(text), (x, y))
    expected = twin_of_quadratic(readout.known, readout, x)
    assert_close(readout.decision(x.double()), expected, rtol=1e-10, atol=1e-10)


def test_factors_too_large_to_keep_give_the_same(fitted, monkeypatch):
    x, y = clouds((20,) * 4)
    expected = fitted(build_readout("class-gaussian"), (x, y)).scores(said(x))
    monkeypatch.setattr(module, "LARGEST", 4 * 25 - 1)
    readout = fitted(build_readout("class-gaussian"), (x, y))
    assert readout.whitening.factors is None
    assert torch.equal(readout.scores(said(x)), expected)


@pytest.mark.parametrize("text", TEXTS)
def test_a_decision_is_no_state_and_is_not_counted(text, fitted):
    x, y = clouds((20,) * 4)
    readout = fitted(build_readout(text), (x, y))
    before = measure({"r": readout}, None)
    states = [s for name, s in readout.state_dict().items() if name.endswith("_extra_state")]
    numbers = sum(t.numel() for state in states for t in state.values() if torch.is_tensor(t))
    readout.scores(said(x))
    assert measure({"r": readout}, None) == before
    assert numbers - before.floats <= 8 * len(
        states
    )  # temperature, what it rests on, strength: kept as numbers


@pytest.mark.parametrize("text", TEXTS)
def test_a_fitted_readout_can_be_copied_and_pickled(text, fitted):
    x, y = clouds((20,) * 4)
    readout = fitted(build_readout(text), (x, y))
    expected = readout.scores(said(x))
    for twin in (copy.deepcopy(readout), pickle.loads(pickle.dumps(readout))):
        assert torch.equal(twin.scores(said(x)), expected)


# whether probabilities are calibrated


@pytest.mark.parametrize("text", READOUTS)
def test_only_a_fitted_temperature_is_called_calibrated(text, fitted):
    from holdfast.learner import Frame

    x, y = clouds((20,) * 4)
    readout = build_readout(text, Frame(5))
    assert not readout.calibrated
    fitted(readout, (x, y))
    fits = isinstance(readout, (Streaming, Mixed, FirstFeatures)) or text == "prototype"
    assert readout.calibrated == fits
    assert fits or readout.temperature == 1.0
    fresh = build_readout(text, Frame(5))
    fresh.load_state_dict(readout.state_dict())
    assert fresh.calibrated == fits


@pytest.mark.parametrize("kind", [Head, LinearProbe, PseudoHead])
def test_what_fits_no_temperature_never_claims_it(kind, fitted):
    assert not fitted(kind(), clouds((20,) * 4)).calibrated


def test_one_class_is_no_calibration(fitted):
    assert not fitted(build_readout("gaussian"), clouds((20,))).calibrated


def test_a_temperature_of_one_may_be_a_fitted_one(fitted):
    readout = fitted(build_readout("gaussian"), clouds((20,) * 4))
    readout.temperature = 1.0
    assert readout.calibrated


@pytest.mark.parametrize("text", TEXTS)
def test_probabilities_are_the_softmax_at_the_temperature(text, fitted):
    x, y = clouds((20,) * 4)
    readout = fitted(build_readout(text), (x, y))
    expected = (readout.scores(said(x)) / readout.temperature).softmax(1)
    assert_close(readout.probabilities(said(x)), expected)
    assert_close(readout.probabilities_of(readout.scores(said(x))), expected)
