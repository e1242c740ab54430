"""Output factors: what they multiply to, what they cost, and when the exact Fisher is sampled."""

import warnings

import pytest
import torch
from torch.testing import assert_close

import holdfast.curvature.fisher as fisher
from holdfast.core.rows import Rows
from holdfast.curvature import Curvature, FrameSoftmax, backward, diagonal
from holdfast.curvature.backward import IMAGES
from holdfast.curvature.diagonal import squared_gradients
from holdfast.curvature.fisher import OutputFactors, softmax_factors
from holdfast.curvature.pairs import PairSums, by_pairs
from holdfast.learner import Frame, Learner
from holdfast.stream.task import Task

CLOSE = {"rtol": 1e-8, "atol": 1e-10}


def problem(classes, n, shape=(1, 8, 8), seed=0):
    """A small convolutional network in float64 and a task of some classes."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        name, width = ("convnet", 1) if len(shape) == 3 else ("mlp", 3)
        learner = Learner(shape, name, width=width, dim=4, classes=classes).double().eval()
    x = torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed)).double()
    y = torch.arange(n) % classes
    rows = Rows(x, y, torch.zeros_like(y), torch.arange(n))
    return learner, Task(0, tuple(range(classes)), rows, rows)


def probabilities(n, k, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, k, generator=generator).double().softmax(1)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_exact_factors_multiply_to_the_fisher_of_the_logits(k):
    p, u = probabilities(6, k), torch.randn(6, k).double()
    factors = OutputFactors(p)
    v = factors.at(slice(None))
    assert v.shape == (6, max(1, k - 1), k) and factors.per_image == v.shape[1]
    F = torch.stack([row.diag() - torch.outer(row, row) for row in p])
    assert_close(torch.einsum("nrk,nrj->nkj", v, v), F)
    assert_close(factors.product(slice(None), u), torch.einsum("nkj,nj->nk", F, u))
    assert torch.equal(factors.at(slice(2, 4)), v[2:4])


def test_drawn_labels_make_factors_by_their_definition():
    p, u = probabilities(4, 3), torch.randn(4, 3).double()
    labels = torch.tensor([[0, 0], [1, 2], [2, 2], [1, 0]])
    factors = OutputFactors(p, labels)
    expected = torch.stack(
        [
            torch.stack([(torch.eye(3)[c] - row) / 2**0.5 for c in drawn])
            for row, drawn in zip(p, labels.tolist())
        ]
    )
    assert_close(factors.at(slice(None)), expected)
    product = torch.einsum("nrk,nrj,nj->nk", expected, expected, u)
    assert_close(factors.product(slice(None), u), product)


@pytest.mark.parametrize(
    "structure, shape", [("diagonal", (1, 8, 8)), ("kfac", (1, 8, 8)), ("full", (4,))]
)
def test_factors_are_made_a_batch_at_a_time(structure, shape, monkeypatch):
    """Never N x (K - 1) x K numbers: the most at once is what a batch of images takes."""
    learner, task = problem(12, 100, shape)
    numbers = []

    def noted(p):
        made = softmax_factors(p)
        numbers.append(made.numel())
        return made

    monkeypatch.setattr(fisher, "softmax_factors", noted)
    monkeypatch.setattr(fisher, "FACTOR_BYTES", 16 * 11 * 12 * 8)
    curvature = Curvature("fisher", structure)
    curvature.measure(learner, task, curvature.layout(learner))
    assert sum(numbers) == 100 * 11 * 12 and max(numbers) <= IMAGES * 11 * 12


@pytest.mark.parametrize("structure", ["diagonal", "kfac"])
def test_a_backward_pass_takes_as_many_factors_as_memory_allows(structure, monkeypatch):
    learner, task = problem(8, 20)
    curvature, passes = Curvature("fisher", structure), []
    layout, gradient = curvature.layout(learner), torch.autograd.grad

    def counted(*arguments, **options):
        passes.append(len(arguments[2]) if options.get("is_grads_batched") else 1)
        return gradient(*arguments, **options)

    monkeypatch.setattr(torch.autograd, "grad", counted)
    together = curvature.measure(learner, task, layout)
    assert passes == [7, 7]  # two batches of images, K - 1 factors
    passes.clear()
    monkeypatch.setattr("holdfast.curvature.backward.BYTES", 1)
    alone = curvature.measure(learner, task, layout)
    assert passes == [1] * 14
    assert_close(together.tensors(), alone.tensors(), **CLOSE)


@pytest.mark.parametrize("numbers", [1, 5_000, 2**27])
@pytest.mark.parametrize("layer", ["convolution", "linear"])
def test_pairs_of_positions_give_the_same_squares(layer, numbers, monkeypatch):
    """Whether the factors of an image come at once or in several passes; and both ways in one network."""
    learner, _ = problem(12, 6)
    if layer == "linear":
        learner.backbone = Places().double()
        learner.projector = torch.nn.Identity()
        learner.head = torch.nn.Linear(3, 12).double()
    x = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(2)).double()
    layout, factors = Curvature().layout(learner), OutputFactors(probabilities(20, 12))
    read = (lambda out: out.logits) if layer == "convolution" else (lambda out: out)
    if layer == "linear":
        learner.forward = lambda x: learner.head(learner.backbone(x))
    monkeypatch.setattr(backward, "BYTES", numbers)
    uses, add = [], PairSums.add

    def noted(sums, g):
        uses.append(type(sums.module).__name__)
        add(sums, g)

    monkeypatch.setattr(PairSums, "add", noted)
    ours = squared_gradients(learner, layout, read, x, factors)
    assert set(uses) == {"Conv2d" if layer == "convolution" else "Linear"}
    for place in (backward, diagonal):
        monkeypatch.setattr(place, "by_pairs", lambda module, out, factors: False)
    uses.clear()
    direct = squared_gradients(learner, layout, read, x, factors)
    assert uses == []
    assert_close(ours, direct, rtol=1e-10, atol=1e-14)
    twin = torch.zeros_like(ours)
    weights = [w for name, w in learner.named_parameters() if name in layout.shapes]
    for logits, each in zip(read(learner(x)), factors.at(slice(None)), strict=True):
        for v in each:
            pulled = torch.autograd.grad(
                logits @ v, weights, retain_graph=True, materialize_grads=True
            )
            twin += torch.cat([g.flatten() for g in pulled]).square()
    assert_close(ours, twin, rtol=1e-10, atol=1e-14)


class Places(torch.nn.Module):
    """A linear layer at four places of an image, whose squares are averaged."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(16, 3)

    def forward(self, x):
        return self.layer(x.flatten(1).unflatten(1, (2, 2, 16))).square().mean((1, 2))


@pytest.mark.parametrize("factors, pays", [(5, False), (6, True)])
def test_pairs_are_taken_where_they_are_fewer(factors, pays):
    """At 3 x 3 positions: (9 + 1) / 2 = 5 factors are as many products."""
    conv, out = torch.nn.Conv2d(2, 4, 3), torch.zeros(1, 4, 3, 3)
    assert by_pairs(conv, out, factors) == pays
    assert by_pairs(torch.nn.Linear(2, 4), torch.zeros(1, 9, 4), factors) == pays
    assert not by_pairs(torch.nn.Linear(2, 4), torch.zeros(1, 4), factors)
    assert not by_pairs(torch.nn.BatchNorm2d(4), out, 99)


class Squaring(torch.autograd.Function):
    """An operation whose backward pass cannot be vectorised."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * x * g + 0 * float(g.sum())


def test_an_operation_that_cannot_be_vectorised_goes_one_factor_at_a_time():
    learner, task = problem(4, 6, (4,))
    x = torch.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError):
        torch.autograd.grad(Squaring.apply(x), x, torch.eye(3), is_grads_batched=True)
    layout, p = Curvature().layout(learner), probabilities(6, 4)
    plain = squared_gradients(
        learner, layout, lambda out: out.logits**2, task.train.x, OutputFactors(p)
    )
    special = squared_gradients(
        learner, layout, lambda out: Squaring.apply(out.logits), task.train.x, OutputFactors(p)
    )
    assert_close(special, plain, **CLOSE)


@pytest.mark.parametrize("kind", ["fisher", "ggn"])
def test_above_many_classes_the_exact_one_is_sampled_with_a_warning(kind, monkeypatch):
    monkeypatch.setattr("holdfast.curvature.curvature.EXACT_CLASSES", 3)
    learner, task = problem(4, 10)
    layout = Curvature().layout(learner)
    with pytest.warns(UserWarning, match=rf"exact {kind} of 4 classes would take 3.*exact=True"):
        sampled = Curvature(kind, seed=5).measure(learner, task, layout)
    asked = Curvature("sampled_fisher", seed=5).measure(learner, task, layout)
    assert torch.equal(sampled.values, asked.values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exact = Curvature(kind, exact=True).measure(learner, task, layout).values
        three, few = problem(3, 10)
        Curvature(kind).measure(three, few, Curvature().layout(three))
    monkeypatch.setattr("holdfast.curvature.curvature.EXACT_CLASSES", 100)
    assert torch.equal(exact, Curvature(kind).measure(learner, task, layout).values)
    assert not torch.equal(exact, sampled.values)


def test_a_low_rank_stays_exact_for_a_product_needs_no_factor(monkeypatch):
    learner, task = problem(4, 10, (4,))
    layout = Curvature().layout(learner)
    exact = Curvature("ggn", "low_rank", rank=3).measure(learner, task, layout)
    monkeypatch.setattr("holdfast.curvature.curvature.EXACT_CLASSES", 3)
    monkeypatch.setattr(fisher, "softmax_factors", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = Curvature("ggn", "low_rank", rank=3).measure(learner, task, layout)
    assert torch.equal(exact.root, again.root)


def test_the_likelihood_over_a_frame_has_its_classes_counted_too(monkeypatch):
    monkeypatch.setattr("holdfast.curvature.curvature.EXACT_CLASSES", 3)
    learner, task = problem(4, 10)
    curvature = Curvature("fisher", "kfac", FrameSoftmax(Frame(4, 4)))
    with pytest.warns(UserWarning, match="of 4 classes"):
        curvature.measure(learner, task, curvature.layout(learner))
