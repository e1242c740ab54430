"""PerpGrad: nothing along a weight. A random subspace: nothing outside of it."""

import pytest
import torch
from torch.testing import assert_close

import reference_subspace as reference
from holdfast.anchor import PerpGrad, RandomSubspace
from holdfast.anchor.perpgrad import across
from holdfast.anchor.random_subspace import Directions, hartley
from holdfast.core.errors import ConfigError
from holdfast.loss import CrossEntropy
from holdfast.recipes.method import Method
from holdfast.testing import check_rule, small_stream
from holdfast.testing.bench import Bench
from holdfast.testing.compare import difference, weights
from holdfast.testing.watched import QUICK, learned


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def ran(rule, learner=None, **changes):
    method = Method(CrossEntropy(), [] if rule is None else [rule])
    return weights(
        learned(method, small_stream(each=6), QUICK.updated(epochs=1, **changes)).learner
    )


# across


def test_a_gradient_across_a_weight_is_its_twin():
    for seed in range(3):
        w, g = draws(4, 3, seed=seed), draws(4, 3, seed=seed + 10)
        expected = reference.across(w.flatten().tolist(), g.flatten().tolist())
        result = across(w, g)
        assert_close(result.flatten(), torch.tensor(expected).double())
        assert abs(float((w * result).sum())) < 1e-12
        assert_close(result.norm(), g.norm())


def test_rounding_is_not_blown_up():
    """A gradient along the weight stays as it is; so does one of a weight that is 0."""
    w = draws(5)
    assert torch.equal(across(w, 3 * w), 3 * w)
    assert_close(across(torch.zeros(5).double(), w), w)
    assert torch.equal(across(w, torch.zeros(5).double()), torch.zeros(5).double())


def test_a_length_grows_as_the_square_of_the_step():
    w, g = draws(6), draws(6, seed=1)
    growths = [float((w - eta * across(w, g)).norm() - w.norm()) for eta in (1e-3, 2e-3)]
    assert growths[1] / growths[0] == pytest.approx(4, rel=1e-3)


def test_only_matrices_are_edited_and_the_share_is_recorded():
    bench = Bench()
    step = bench.step()
    CrossEntropy("seen")(step).backward()
    g = {n: p.grad.clone() for n, p in bench.learner.named_parameters() if p.grad is not None}
    edits = PerpGrad().gradient(dict(g), step)
    shares = []
    for name, w in bench.learner.named_parameters():
        if name not in g:
            continue
        if w.ndim < 2:
            assert edits[name] is g[name]
            continue
        w = w.detach()
        assert abs(float((w * edits[name]).sum())) < 1e-5 * float(w.norm() * g[name].norm())
        shares.append(float((w * g[name]).sum() ** 2 / (w.square().sum() * g[name].square().sum())))
    assert float(step.records["along"]) == pytest.approx(sum(shares) / len(shares), rel=1e-4)


def test_a_convolution_before_batch_norm_has_nothing_along_itself():
    """In training mode, where the norm takes out any factor; the head has."""
    bench = Bench()
    bench.learner.train()
    step = bench.step()
    CrossEntropy("seen")(step).backward()
    edits = {n: p.grad for n, p in bench.learner.named_parameters() if p.grad is not None}
    after = PerpGrad().gradient(dict(edits), step)
    first = next(n for n in edits if edits[n].ndim == 4)
    for name, changed in ((first, False), ("head.weight", True)):
        moved = float((after[name] - edits[name]).norm() / edits[name].norm())
        assert (moved > 1e-2) == changed


# random subspaces


@pytest.mark.parametrize("n", [1, 2, 7, 16])
def test_a_hartley_transform_is_its_twin_and_its_own_inverse(n):
    x = draws(n)
    assert_close(hartley(x), torch.tensor(reference.hartley(x.tolist())).double())
    assert_close(hartley(hartley(x)), x)


@pytest.mark.parametrize("n, d", [(11, 4), (16, 16), (9, 1)])
def test_the_directions_are_orthonormal(n, d):
    directions = Directions(n, d, seed=3)
    P = torch.stack([directions.span(e) for e in torch.eye(d).double()], 1)
    assert P.shape == (n, d)
    assert_close(P.T @ P, torch.eye(d).double(), atol=1e-12, rtol=0)
    x = draws(n)
    assert_close(directions.coordinates(x), P.T @ x)
    assert_close(directions.projected(x), P @ P.T @ x)
    other = Directions(n, d, seed=4).projected(x)
    assert d == n or not torch.equal(directions.projected(x), other)


def test_two_random_subspaces_share_d_of_n():
    n, d = 400, 40
    a, b = Directions(n, d, 0), Directions(n, d, 1)
    P = torch.stack([a.span(e) for e in torch.eye(d).double()], 1)
    shared = sum(float(b.projected(column).square().sum()) for column in P.T) / d
    assert shared == pytest.approx(d / n, rel=0.15)


def test_all_dimensions_are_plain_training():
    size = sum(
        w.numel() for n, w in ran(None).items() if w.is_floating_point() and _moves(n)
    )  # at the end, with all heads
    assert not difference(ran(None), ran(RandomSubspace(0.999999)), within=1e-3)
    assert size > 1000


def _moves(name):
    return not name.startswith("projector") and "running" not in name


@pytest.mark.parametrize("kind", ["momentum", "decay", "adam"])
def test_weights_stay_in_the_subspace_of_their_start(kind):
    """And under SGD with momentum it is SGD in theta from 0."""
    n, d = 40, 6
    target, w0 = draws(n), draws(n, seed=1)
    directions, step = Directions(n, d, 0), Bench().step()
    rule = RandomSubspace(d)
    rule._place, rule._directions = (step.task, n), directions
    makes = {
        "momentum": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
        "decay": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1),
        "adam": lambda p: torch.optim.Adam(p, 0.1),
    }
    from holdfast.anchor import edited

    model = torch.nn.Module()
    model.w = torch.nn.Parameter(w0.clone())
    theta = torch.zeros(d).double().requires_grad_()
    optimizers = [makes[kind]([p]) for p in (model.w, theta)]
    for _ in range(30):
        for optimizer, w in zip(optimizers, (model.w, w0 + directions.span(theta))):
            optimizer.zero_grad()
            ((w - target) ** 2 * torch.linspace(0.1, 1, n)).sum().backward()
        with edited([rule], model, step):
            optimizers[0].step()
        optimizers[1].step()
    away = (model.w - w0).detach()
    assert float((away - directions.projected(away)).abs().max()) < 1e-6 < float(away.abs().max())
    if kind == "momentum":
        assert_close(away, directions.span(theta.detach()))


def test_another_task_and_another_seed_have_other_directions():
    results = [ran(RandomSubspace(0.05, seed)) for seed in (0, 0, 1)]
    assert not difference(results[0], results[1]) and difference(results[0], results[2])


def test_shares_and_numbers_of_directions():
    assert RandomSubspace(0.1).dimensions(250) == 25
    assert RandomSubspace(1e-9).dimensions(250) == 1
    assert RandomSubspace(7).dimensions(250) == 7
    with pytest.raises(ConfigError, match="500 directions is too large: 250 weights"):
        RandomSubspace(500).dimensions(250)
    with pytest.raises(ConfigError, match="more than 0 directions"):
        RandomSubspace(0.0)


@pytest.mark.parametrize("rule", [PerpGrad(), RandomSubspace(0.3)])
def test_the_rules_obey_the_laws(rule):
    check_rule(rule)
