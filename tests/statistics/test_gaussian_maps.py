"""Gaussian optimal transport: its closed form, and as a map of drift."""

import pytest
import torch
from torch.testing import assert_close

from holdfast.readout.ridge import Gram
from holdfast.statistics.drift import FITS, DriftRule, fit_drift
from holdfast.statistics.gaussian_maps import gaussian_transport, transport
from statistics_clouds import WIDE, noise, past


def covariance(seed):
    x = past(60, seed)
    return (x - x.mean(0)).T @ (x - x.mean(0)) / len(x)


def root(matrix):
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ values.clamp_min(0).sqrt().diag() @ vectors.T


def test_it_carries_one_covariance_into_the_other_and_turns_nothing():
    before, after = covariance(0), covariance(1)
    a = gaussian_transport(before, after)
    assert_close(a @ before @ a, after, rtol=1e-10, atol=1e-10)
    assert_close(a, a.T, rtol=0, atol=1e-10)
    assert float(torch.linalg.eigvalsh(a)[0]) > 0
    identity = torch.eye(WIDE, dtype=torch.float64)
    assert_close(gaussian_transport(before, before), identity, rtol=0, atol=1e-10)


def test_of_commuting_covariances_it_is_the_quotient_of_their_roots():
    before = covariance(0)
    after = before @ before + 2 * before  # the same eigenvectors
    expected = torch.linalg.inv(root(before)) @ root(after)
    assert_close(gaussian_transport(before, after), expected)


def test_no_other_map_with_the_same_end_moves_less():
    """tr(S* + S - 2 A S*) against maps that turn on the way: A_Q = S*^(-1/2) Q S^(1/2)."""
    before, after = covariance(0), covariance(1)
    cost = lambda a: float((before + after - before @ a - a.T @ before).trace())
    best = cost(gaussian_transport(before, after))
    for seed in range(4):
        turn = torch.linalg.qr(noise(torch.empty(WIDE, WIDE), seed)).Q
        other = torch.linalg.inv(root(before)) @ turn @ root(after)
        assert_close(other.T @ before @ other, after)
        assert cost(other) > best


def test_a_stretch_is_found_and_a_rotation_is_not():
    x = past()
    stretch = torch.eye(WIDE, dtype=torch.float64) + 0.3 * covariance(2) / covariance(2).trace()
    drift = fit_drift(x, x @ stretch + 1, "transport")
    assert drift.residual < 1e-4
    assert_close(drift(past(20, 1)), past(20, 1) @ stretch + 1, rtol=1e-2, atol=2e-2)
    white = torch.linalg.qr(x - x.mean(0)).Q * len(x) ** 0.5
    quarter = torch.linalg.qr(noise(torch.empty(WIDE, WIDE))).Q
    turned = fit_drift(white, white @ quarter, "transport")
    assert turned.residual > 0.5  # where a ridge leaves nothing
    assert fit_drift(white, white @ quarter, "ridge").residual < 1e-4


def test_it_asks_no_pairs():
    x, moved = past(), noise(past()) + past()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(3))
    plain = transport(x, moved - x)(1e-3)
    shuffled = transport(x, moved[order] - x)(1e-3)
    assert_close(plain.linear, shuffled.linear)
    assert_close(plain.shift, shuffled.shift)


@pytest.mark.parametrize("strength", [1e-4, 0.1])
def test_both_covariances_get_the_same_more(strength):
    x, moved = past(), noise(past())
    now = x + moved
    away, there = x - x.mean(0), now - now.mean(0)
    before, after = away.T @ away / len(x), there.T @ there / len(x)
    more = strength * before.trace() / WIDE * torch.eye(WIDE, dtype=torch.float64)
    expected = gaussian_transport(before + more, after + more)
    assert_close(transport(x, moved)(strength).matrix, expected)


def test_it_is_registered_as_the_others():
    assert "transport" in FITS
    assert DriftRule.of("transport+blend=2").blend == 2.0
    x = past()
    assert fit_drift(x, x + noise(x), "transport+energy=0.9").energy == 0.9


# the limit of self-distillation: refitting a ridge on its own soft answers


@pytest.mark.parametrize("a", [0.2, 0.7])
def test_distilling_with_the_truth_ends_at_one_ridge_with_a_larger_penalty(a):
    """f <- G (a y + (1 - a) f), G = K (K + l I)^-1, ends at K (K + (l / a) I)^-1 y."""
    x, y = past(40) - past(40).mean(0), noise(torch.empty(40, 3), 1)
    y = y - y.mean(0)
    zero = torch.zeros(WIDE, dtype=torch.float64)
    of = lambda targets: Gram(x.T @ x / 40, x.T @ targets / 40, targets.mean(0), zero)
    strength, f = 0.3, torch.zeros_like(y)
    values, errors = torch.linalg.eigvalsh(x @ x.T), []
    limit = of(y).solve(strength / a)(x)
    for _ in range(200):
        f = of(a * y + (1 - a) * f).solve(strength)(x)
        errors.append(float((f - limit).norm()))
    assert_close(f, limit)
    more = strength * 40 * float((x.T @ x / 40).diagonal().mean())
    slowest = (1 - a) * float(values[-1]) / (float(values[-1]) + more)
    assert errors[2] <= slowest * errors[1] * (1 + 1e-9)


def test_distilling_without_the_truth_forgets_every_mode_at_its_own_rate():
    x = past(40) - past(40).mean(0)
    values, vectors = torch.linalg.eigh(x @ x.T)
    zero, strength = torch.zeros(WIDE, dtype=torch.float64), 0.3
    more = strength * 40 * float((x.T @ x / 40).diagonal().mean())
    for mode in (-1, -3):
        f = first = vectors[:, [mode]]
        for _ in range(5):
            f = Gram(x.T @ x / 40, x.T @ f / 40, f.mean(0) * 0, zero).solve(strength)(x)
        assert_close(f, (values[mode] / (values[mode] + more)) ** 5 * first)
