"""Divergences: values, what they are zero for, their strength near equality, and extreme logits."""

import copy
import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

import reference
from holdfast.anchor import (
    DIVERGENCES,
    alpha,
    balanced_kl,
    f_divergence,
    forward_kl,
    make_divergence,
)
from holdfast.core.errors import ConfigError

CONSTANT = dict.fromkeys(DIVERGENCES, 1.0)  # f''(1)
CONSTANT |= {"jensen_shannon": 0.25, "hellinger": 0.5, "jeffreys": 2.0}


@pytest.fixture(params=DIVERGENCES)
def name(request):
    return request.param


def logits(seed=0, n=6, k=5, spread=2.0):
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(n, k, generator=generator, dtype=torch.float64)


def test_equals_its_twin(name):
    past, now = logits(0), logits(1)
    found = DIVERGENCES[name](past, now)
    twin = [reference.divergence(name, a, b) for a, b in zip(past.tolist(), now.tolist())]
    assert_close(found, torch.tensor(twin, dtype=torch.float64), rtol=1e-10, atol=1e-12)
    assert_close(DIVERGENCES[name](past, now, True), found / CONSTANT[name])


def test_log_probabilities_are_logits(name):
    past, now = logits(0), logits(1)
    assert_close(
        DIVERGENCES[name](past.log_softmax(1), now.softmax(1).log()), DIVERGENCES[name](past, now)
    )


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 8), spread=st.floats(0.01, 30))
def test_never_negative_and_zero_only_for_the_same_distribution(seed, k, spread):
    past, now = logits(seed, 4, k, spread), logits(seed + 1, 4, k, spread)
    apart = (past.softmax(1) - now.softmax(1)).abs().sum(1)
    for name, by in DIVERGENCES.items():
        value = by(past, now)
        assert bool((value >= -1e-14).all()), name
        assert bool((value >= 0.01 * apart**2 - 1e-14).all()), name  # Pinsker, with room
        assert bool((by(past, past + 3.0).abs() < 1e-12).all()), name


def test_gradients_are_right(name):
    past, now = logits(0, 3, 4).requires_grad_(), logits(1, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(DIVERGENCES[name], (past, now))


def test_near_equality_each_is_half_its_constant_times_the_fisher_form(name):
    """Div / (d^T F d) -> f''(1)/2: 1/2 for KL, 1/8 for Jensen-Shannon; 1/2 for all once normalised."""
    z, d = logits(0, spread=1.0), logits(1, spread=1.0)
    p = z.softmax(1)
    form = (p * d**2).sum(1) - (p * d).sum(1) ** 2
    for size in (1e-2, 1e-3):
        ratio = DIVERGENCES[name](z, z + size * d) / (size**2 * form)
        assert_close(ratio, torch.full_like(ratio, CONSTANT[name] / 2), rtol=3 * size, atol=0)
        ratio = DIVERGENCES[name](z, z + size * d, True) / (size**2 * form)
        assert_close(ratio, torch.full_like(ratio, 0.5), rtol=3 * size, atol=0)


@pytest.mark.parametrize("size", [1e2, 1e4, 1e30])
def test_extreme_logits_give_finite_values_and_gradients(name, size):
    past = size * torch.tensor([[1.0, 0.0, -1.0], [0.0, 0.0, 0.0], [1.0, 1.0, -1.0]])
    now = (
        size * torch.tensor([[-1.0, 0.0, 1.0], [1.0, -1.0, 0.0], [1.0, 1.0, -1.0]])
    ).requires_grad_()
    value = DIVERGENCES[name](past, now)
    value.sum().backward()
    assert bool(value.isfinite().all()) and bool(now.grad.isfinite().all())
    assert float(value[0].detach()) > 0.6 and float(value[2].detach()) == pytest.approx(0, abs=1e-6)


def test_half_precision_is_computed_in_float32(name):
    past, now = logits(0).bfloat16(), logits(1).bfloat16()
    assert_close(DIVERGENCES[name](past, now), DIVERGENCES[name](past.float(), now.float()))


# the list of docs/theory.md, section 7: values for p* = (1/2, 1/2), p = (3/4, 1/4)

ORACLES = {
    "forward_kl": 0.14384,
    "reverse_kl": 0.13081,
    "jensen_shannon": 0.03382,
    "hellinger": 0.06815,
    "jeffreys": 0.27465,
    "alpha": 0.13630,
    "alpha:a=2": 0.16667,
    "alpha:a=0": 0.13081,
    "alpha:a=1": 0.14384,
}


@pytest.mark.parametrize("text", ORACLES)
def test_the_list_of_divergences_has_its_values(text):
    past = torch.zeros(1, 2, dtype=torch.float64)
    now = torch.tensor([[0.75, 0.25]], dtype=torch.float64).log()
    assert float(make_divergence(text)(past, now, False)) == pytest.approx(ORACLES[text], abs=6e-6)


@pytest.mark.parametrize("a", [-1.0, -0.3, 0.2, 0.5, 0.8, 1.4, 2.0])
def test_every_alpha_equals_its_twin_and_is_as_strong(a):
    past, now = logits(0), logits(1)
    by = make_divergence(f"alpha:a={a}")
    twin = [reference.divergence("alpha", *rows, a) for rows in zip(past.tolist(), now.tolist())]
    assert_close(
        by(past, now, True), torch.tensor(twin, dtype=torch.float64), rtol=1e-9, atol=1e-12
    )
    assert_close(by(now, past, True), make_divergence(f"alpha:a={1 - a}")(past, now, True))
    z, d = logits(2, spread=1.0), 1e-3 * logits(3, spread=1.0)
    p = z.softmax(1)
    form = (p * d**2).sum(1) - (p * d).sum(1) ** 2
    assert_close(by(z, z + d, True) / form, torch.full_like(form[:], 0.5), rtol=1e-2, atol=0)
    left, right = z.clone().requires_grad_(), now.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda u, v: by(u, v, False), (left, right))


def test_alpha_joins_the_two_kl_divergences():
    past, now = logits(0), logits(1)
    for edge, name in ((0, "reverse_kl"), (1, "forward_kl")):
        for a in (edge - 1e-7, edge + 1e-7):
            value = make_divergence(f"alpha:a={a:.8f}")(past, now, False)
            assert_close(value, DIVERGENCES[name](past, now), rtol=1e-5, atol=0)


@pytest.mark.parametrize("a", [-1.0, 0.01, 0.99, 2.0])
def test_alpha_of_rows_far_apart_is_finite_in_single_precision(a):
    past, now = torch.tensor([[300.0, 0.0]]), torch.tensor([[0.0, 300.0]]).requires_grad_()
    value = make_divergence(f"alpha:a={a}")(past, now, False)
    value.sum().backward()
    assert bool(value.isfinite().all()) and bool(now.grad.isfinite().all())
    if 0 < a < 1:
        overlap = math.exp(-300 * a) + math.exp(-300 * (1 - a))
        assert float(value.detach()) == pytest.approx((1 - overlap) / (a * (1 - a)), rel=1e-4)


def test_a_padded_past_asks_for_a_above_0_and_a_stays_in_its_range():
    padded, now = torch.tensor([[0.0, 0.0, -torch.inf]]), torch.tensor([[1.0, 0.0, 0.5]])
    finite = lambda text: bool(make_divergence(text)(padded, now, False).isfinite())
    assert finite("alpha:a=0.01") and finite("alpha:a=2")
    assert not (finite("alpha:a=-0.5") or finite("alpha:a=0") or finite("jeffreys"))
    for a in (-1.1, 2.5, math.nan):
        with pytest.raises(ConfigError, match=r"must lie in \[-1, 2\]"):
            alpha(now, now, a=a)


# any f


@pytest.mark.parametrize(
    "name, f, constant",
    [
        ("forward_kl", lambda u: u * u.log(), 1.0),
        ("reverse_kl", lambda u: -u.log(), 1.0),
        ("jensen_shannon", lambda u: 0.5 * (u * u.log() - (1 + u) * ((1 + u) / 2).log()), 0.25),
        (
            "hellinger",
            lambda u: 3 * (u - 1) + 7 + (1 - u.sqrt()) ** 2,
            0.5,
        ),  # an affine part is nothing
    ],
)
def test_a_generator_gives_the_divergence_of_its_name(name, f, constant):
    past, now = logits(0), logits(1)
    assert_close(f_divergence(f)(past, now, False), DIVERGENCES[name](past, now))
    normal = DIVERGENCES[name](past, now) / constant
    assert_close(f_divergence(f)(past, now, True), normal)
    assert_close(f_divergence(f, curvature=constant)(past, now, True), normal)


def test_a_generator_made_without_gradients_is_the_same():
    with torch.no_grad():
        made = f_divergence(lambda u: (u - 1) ** 2)
    assert_close(made(logits(0), logits(1), True) * 2, made(logits(0), logits(1), False))


def test_a_quadratic_generator_stays_finite_in_float32():
    past, now = torch.tensor([[1e4, -1e4]]), torch.tensor([[-1e4, 1e4]])
    assert bool(f_divergence(lambda u: (u - 1) ** 2)(past, now, True).isfinite())


def test_a_generator_without_curvature_cannot_be_normalised():
    variation = f_divergence(lambda u: (u - 1).abs() / 2)
    past, now = logits(0), logits(1)
    distance = (past.softmax(1) - now.softmax(1)).abs().sum(1) / 2
    assert_close(variation(past, now, False), distance)
    with pytest.raises(ConfigError, match=r"f''\(1\) = 0 cannot be normalised"):
        variation(past, now, True)


# details


def test_the_more_certain_side_leads():
    sure, unsure = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.3, 0.0]])
    for past, now, share in ((sure, unsure, 0.9), (unsure, sure, 0.1)):
        expected = share * forward_kl(past, now) + (1 - share) * forward_kl(now, past)
        assert_close(balanced_kl(past, now, share=0.9), expected)
    flipped = sure.flip(1)  # as certain as each other
    expected = (forward_kl(sure, flipped) + forward_kl(flipped, sure)) / 2
    assert_close(balanced_kl(sure, flipped, share=0.9), expected)
    both = (forward_kl(sure, unsure) + forward_kl(unsure, sure)) / 2
    assert_close(balanced_kl(sure, unsure, share=0.5), both)
    assert_close(balanced_kl(sure, unsure, share=1.0), forward_kl(sure, unsure))


def test_jensen_shannon_is_symmetric_and_bounded():
    past, now = logits(0, spread=30.0), logits(1, spread=30.0)
    js = DIVERGENCES["jensen_shannon"]
    assert_close(js(past, now), js(now, past))
    assert float(js(past, now).max()) <= math.log(2) + 1e-12


def test_a_class_the_past_gives_nothing_counts_nothing_forward():
    padded = torch.tensor([[1.0, 0.0, -torch.inf]])
    now = torch.tensor([[1.0, 0.0, 0.5]], requires_grad=True)
    value = forward_kl(padded, now)
    value.sum().backward()
    p, q = reference.softmax([1.0, 0.0]), reference.softmax([1.0, 0.0, 0.5])
    assert float(value.detach()) == pytest.approx(sum(a * math.log(a / b) for a, b in zip(p, q)))
    assert bool(now.grad.isfinite().all())


def test_bad_names_and_shares_are_refused():
    with pytest.raises(ConfigError, match="unknown divergence 'forward': did you mean"):
        make_divergence("forward")
    with pytest.raises(ConfigError, match="must lie in"):
        balanced_kl(logits(), logits(), share=0.4)


def chi_square(u):
    return (u - 1) ** 2


@pytest.mark.parametrize("by", [*DIVERGENCES.values(), f_divergence(chi_square)])
def test_a_divergence_survives_pickling_and_copying(by):
    past, now = logits(0), logits(1)
    for again in (pickle.loads(pickle.dumps(by)), copy.deepcopy(by)):
        assert torch.equal(again(past, now, True), by(past, now, True))


def test_a_divergence_is_written_with_its_settings():
    past, now = logits(0), logits(1)
    assert make_divergence("hellinger") is DIVERGENCES["hellinger"]
    found = make_divergence("balanced_kl:share=0.6")(past, now, False)
    assert_close(found, balanced_kl(past, now, share=0.6))
    assert not torch.equal(found, balanced_kl(past, now))
    with pytest.raises(ConfigError, match="parameter of the divergence balanced_kl 'shear'"):
        make_divergence("balanced_kl:shear=0.6")
