"""Kronecker factors and low rank: exact where theory says so, and matrices that add and grow."""

import numpy as np
import pytest
import scipy.sparse.linalg
import torch
from torch import nn
from torch.testing import assert_close

import reference
from holdfast.anchor import Curvature
from holdfast.core.errors import ConfigError
from holdfast.core.rows import Rows
from holdfast.curvature.eigenvalues import max_eigenvalue
from holdfast.curvature.fisher import OutputFactors
from holdfast.curvature.kfac import kronecker_factors
from holdfast.curvature.layout import Layout, layout_of
from holdfast.curvature.matrix import Diagonal, Full, Kronecker, LowRank, matrix_from
from holdfast.curvature.persample import evaluating, inputs_of
from holdfast.learner import Learner
from holdfast.stream.task import Task

CLOSE = {"rtol": 1e-8, "atol": 1e-10}


def task_of(shape, n, classes=(0, 1, 2), index=0):
    chance = torch.Generator().manual_seed(n)
    y = torch.tensor(classes)[torch.arange(n) % len(classes)]
    x = torch.rand(n, *shape, generator=chance)
    rows = Rows(x, y, torch.full_like(y, index), torch.arange(n))
    return Task(index, classes, rows, rows)


def learner_of(shape=(4,), name="mlp", width=5):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        learner = Learner(shape, name, width=width, dim=4, classes=3).double().train()
        learner(torch.rand(32, *shape).double())
    return learner.eval()


def dense(learner, task, kind="fisher"):
    layout = layout_of(learner, ("backbone", "head"))
    weights = [p for n, p in learner.named_parameters() if n in layout.shapes]
    logits = learner(inputs_of(learner, task.train.x)).logits
    return layout, reference.curvature(kind, logits, task.train.y, weights)


def block(layout, matrix, layer):
    at = torch.arange(layout.size)
    at = torch.cat([p.flatten() for n, p in layout.split(at).items() if n.startswith(f"{layer}.")])
    return matrix[at[:, None], at]


def made(learner, task, kind="fisher", **options):
    anchor = Curvature(kind, "kfac", **options)
    return anchor.measure(learner, task, anchor.layout(learner))


# exactness


@pytest.mark.parametrize("kind", ["fisher", "empirical_fisher", "ggn"])
def test_linear_layers_are_exact_for_one_sample(kind):
    learner, task = learner_of(), task_of((4,), 1)
    layout, expected = dense(learner, task, kind)
    found = made(learner, task, kind).dense()
    for layer in ("backbone.layers.0", "head"):
        if layer in {n.rpartition(".")[0] for n in layout.shapes}:
            assert_close(block(layout, found, layer), block(layout, expected, layer), **CLOSE)
    inside = block(layout, expected, "head")
    assert float(inside.abs().max()) > 1e-4


class Deep(nn.Module):
    """Linear after linear: what a squared loss makes Kronecker factors exact for."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 2, bias=False)

    def forward(self, x):
        return self.b(self.a(x))


class Squared(OutputFactors):
    """Of 1/2 ||f - y||^2: the unit vectors."""

    def at(self, rows):
        return torch.eye(2).double().expand(len(self.p[rows]), 2, 2)


def test_a_deep_linear_network_with_a_squared_loss_is_exact_in_every_block():
    """The gradient of each output is the same for all samples, so the mean of products is the product."""
    torch.manual_seed(0)
    net, x = Deep().double(), torch.rand(7, 3).double()
    layout = Layout({n: tuple(p.shape) for n, p in net.named_parameters()})
    found = kronecker_factors(net, layout, lambda out: out, x, Squared(x.new_zeros(7, 2))).dense()
    weights = list(net.parameters())
    rows = [reference.slopes(value, weights) for value in net(x).flatten()]
    expected = torch.stack(rows).T @ torch.stack(rows)
    for layer in ("a", "b"):
        assert_close(block(layout, found, layer), block(layout, expected, layer), **CLOSE)
    apart = expected.clone()
    for layer in ("a", "b"):
        at = torch.cat(
            [
                p.flatten()
                for n, p in layout.split(torch.arange(layout.size)).items()
                if n.startswith(layer)
            ]
        )
        apart[at[:, None], at] = 0
    assert float(apart.abs().max()) > 0.1  # what is left out, and so is 0 in the other
    assert float((found - expected + apart).abs().max()) < 1e-8


def test_factors_are_the_means_they_are_defined_as():
    """Of a convolution, by loops over images, positions and output factors."""
    learner, task = learner_of((1, 8, 8), "convnet", 1), task_of((1, 8, 8), 3)
    curvature = Curvature("fisher", "kfac")
    layout = curvature.layout(learner)
    name = next(n for n, m in learner.named_modules() if isinstance(m, nn.Conv2d))
    (A, G) = curvature.measure(learner, task, layout).pairs[name][0]
    factors = curvature.output_factors(learner, task)
    expected_A, expected_G = reference.kronecker_factors(
        learner, name, inputs_of(learner, task.train.x), factors.at(slice(None))
    )
    assert_close(A, expected_A, **CLOSE)
    assert_close(G, expected_G, **CLOSE)


def test_batch_norm_has_the_diagonal_and_the_batches_do_not_matter(monkeypatch):
    learner, task = learner_of((1, 8, 8), "convnet", 2), task_of((1, 8, 8), 9)
    whole = made(learner, task)
    layout = whole.layout
    exact = Curvature("fisher").measure(learner, task, layout).values
    norms = [n for n, m in learner.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    for name in norms:
        weights = f"{name}.weight"
        assert_close(layout.split(whole.rest)[weights], layout.split(exact)[weights], **CLOSE)
    monkeypatch.setattr("holdfast.curvature.backward.IMAGES", 2)
    again = made(learner, task)
    assert_close(again.tensors(), whole.tensors(), **CLOSE)


def test_it_is_nearer_the_dense_matrix_than_a_diagonal():
    learner, task = learner_of(), task_of((4,), 20)
    layout, expected = dense(learner, task)
    inside = block(layout, expected, "head")
    near = (block(layout, made(learner, task).dense(), "head") - inside).norm()
    flat = (inside.diagonal().diag() - inside).norm()
    assert near < 0.6 * flat


def test_curvlinops_finds_the_same_factors():
    curvlinops = pytest.importorskip("curvlinops")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)).double()
    x, y = torch.rand(8, 4).double(), torch.arange(8) % 3
    layout = Layout({n: tuple(p.shape) for n, p in net.named_parameters()})
    p = torch.softmax(net(x), 1).detach()
    found = kronecker_factors(net, layout, lambda out: out, x, OutputFactors(p)).dense()
    theirs = curvlinops.KFACLinearOperator(
        net,
        nn.CrossEntropyLoss(reduction="sum"),
        list(net.parameters()),
        [(x, y)],
        fisher_type="type-2",
        separate_weight_and_bias=False,
    )
    assert_close(found, theirs @ torch.eye(layout.size).double(), rtol=1e-6, atol=1e-8)


# low rank


@pytest.mark.parametrize("kind", ["fisher", "empirical_fisher", "hessian"])
def test_low_rank_keeps_the_largest_eigenvalues(kind):
    learner, task = learner_of(), task_of((4,), 12)
    layout, expected = dense(learner, task, kind)
    curvature = Curvature(kind, "low_rank", rank=4, clip=True)
    found = curvature.measure(learner, task, layout)
    values, vectors = torch.linalg.eigh(expected)
    top = vectors[:, -4:] @ values[-4:].diag() @ vectors[:, -4:].T
    assert_close(found.dense(), top, rtol=1e-6, atol=1e-8)
    assert found.root.shape == (layout.size, 4)


def test_a_rank_that_is_no_saving_is_refused():
    learner, task = learner_of(), task_of((4,), 3)
    curvature = Curvature("ggn", "low_rank", rank=10000)
    with pytest.raises(ConfigError, match=r"needs a rank below \d+, not 10000.*structure='full'"):
        curvature.measure(learner, task, curvature.layout(learner))
    with pytest.raises(ConfigError, match="rank of at least 1, not 0"):
        Curvature("ggn", "low_rank", rank=0)


# matrices


def matrices(size, seed):
    torch.manual_seed(seed)
    layout = Layout({"backbone.w": (2, 2), "head.weight": (size, 3), "head.bias": (size,)})
    root, p = torch.randn(layout.size, 2).double(), layout.size
    pairs = {"head": [(_spd(4), _spd(size))]}
    rest = torch.cat([torch.rand(4), torch.zeros(p - 4)]).double()
    return {
        "diagonal": Diagonal(layout, torch.rand(p).double()),
        "full": Full(layout, _spd(p)),
        "low_rank": LowRank(layout, root),
        "kfac": Kronecker(layout, pairs, rest),
    }


def _spd(n):
    root = torch.randn(n, n).double()
    return root @ root.T


@pytest.mark.parametrize("structure", ["diagonal", "full", "low_rank", "kfac"])
def test_a_matrix_adds_scales_grows_and_survives_saving(structure):
    old, new = matrices(2, 0)[structure], matrices(3, 1)[structure]
    at = new.layout.places(old.layout)
    grown = torch.zeros(new.layout.size, new.layout.size).double()
    grown[at[:, None], at] = old.dense()
    expected = 0.5 * grown + new.dense()
    total = old.scaled(0.5).plus(new)
    if structure == "low_rank":  # the best of rank 2
        values, vectors = torch.linalg.eigh(expected)
        expected = vectors[:, -2:] @ values[-2:].diag() @ vectors[:, -2:].T
    assert_close(total.dense(), expected)
    v = torch.randn(new.layout.size).double()
    assert_close(old.over(v, new.layout), grown @ v)
    fresh = matrix_from(total.layout, total.tensors())
    assert torch.equal(fresh.times(v), total.times(v)) and type(fresh) is type(total)
    top = torch.linalg.eigvalsh(grown + new.dense()).max()
    assert max_eigenvalue([old, new]) == pytest.approx(float(top), rel=0.05)
    assert max_eigenvalue([]) == 0.0


@pytest.mark.parametrize("structure", ["diagonal", "full", "low_rank", "kfac"])
def test_a_matrix_is_written_as_one_calculates(structure):
    old, new = matrices(2, 0)[structure], matrices(3, 1)[structure]
    H, P = new.dense(), new.layout.size
    v, V = torch.randn(P).double(), torch.randn(P, 3).double()
    assert new.shape == (P, P)
    assert_close(new @ v, H @ v)
    assert_close(new @ V, H @ V)
    assert_close((2 * new).dense(), 2 * H)
    assert_close((new * 0.5).dense(), H / 2)
    for total in (old + new, new + old):
        assert total.layout == new.layout
        assert_close(total.dense(), old.plus(new).dense())
    with pytest.raises(ConfigError, match=rf"multiplies vectors \({P},\).*not \({P + 1},\)"):
        new @ torch.ones(P + 1)
    with pytest.raises(ConfigError, match="at least 0, not -1"):
        -1.0 * new
    other = matrices(3, 1)["full" if structure == "diagonal" else "diagonal"]
    with pytest.raises(ConfigError, match="have no sum: give both the same structure"):
        new + other


@pytest.mark.parametrize("structure", ["diagonal", "full", "low_rank", "kfac"])
def test_scipy_may_use_it(structure):
    new = matrices(3, 1)[structure]
    H, operator = new.dense().numpy(), new.to_linear_operator()
    b, B = (
        np.random.default_rng(0).standard_normal((new.layout.size, 4)).T[0],
        np.eye(new.layout.size),
    )
    assert operator.shape == H.shape and operator.dtype == np.float64
    np.testing.assert_allclose(operator @ b, H @ b)
    np.testing.assert_allclose(operator @ B, H)
    np.testing.assert_allclose(operator.T @ b, H @ b)
    damped = scipy.sparse.linalg.aslinearoperator(
        operator
    ) + 0.1 * scipy.sparse.linalg.aslinearoperator(B)
    x, info = scipy.sparse.linalg.cg(damped, b, rtol=1e-12)
    assert info == 0
    np.testing.assert_allclose(H @ x + 0.1 * x, b, atol=1e-8)


# bad input


class Odd(Learner):
    def __init__(self):
        super().__init__((4,), "mlp", width=3, classes=2)
        self.backbone.odd = nn.Bilinear(3, 3, 3)


def test_layers_it_does_not_know_are_named():
    learner, task = Odd(), task_of((4,), 3, (0, 1))
    with pytest.raises(ConfigError, match=r"backbone\.odd is none of them: use structure='diag"):
        made(learner, task)
    with pytest.raises(ConfigError, match="a Hessian has none of: use kind='ggn'"):
        Curvature("hessian", "kfac")


def test_a_layer_used_twice_is_named():
    learner, task = learner_of(), task_of((4,), 3)
    first = learner.head.forward
    learner.forward = lambda x: Learner.forward(learner, x)._replace(
        logits=learner.head(learner.backbone(x)) + learner.head(learner.backbone(x))
    )
    with evaluating(learner), pytest.raises(ConfigError, match="is used twice in a forward pass"):
        made(learner, task)
    assert learner.head.forward == first
