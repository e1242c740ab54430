"""Curvatures against dense matrices by double backward, in float64, and the laws they obey."""

import pytest
import torch
from torch.testing import assert_close

import reference
from holdfast.anchor import Curvature, FrameSoftmax, HeadSoftmax, MemoryAware, Quadratic, Unit
from holdfast.core.errors import ConfigError, DataError
from holdfast.core.rows import Rows
from holdfast.curvature.hessian import positive
from holdfast.curvature.layout import Layout, layout_of
from holdfast.curvature.persample import evaluating, inputs_of, persample
from holdfast.learner import Frame, Learner
from holdfast.loss import FocalCollapse
from holdfast.recipes.method import Method
from holdfast.stream.task import Task

CLOSE = {"rtol": 1e-8, "atol": 1e-10}
KINDS = ["fisher", "ggn", "empirical_fisher", "hessian"]
NETWORKS = {
    "mlp": lambda: Learner((4,), "mlp", width=5, dim=4, classes=3),
    "convnet": lambda: Learner((1, 8, 8), "convnet", width=1, dim=4, classes=3),
}


def network(name):
    """In float64, with running statistics that some data left."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        learner = NETWORKS[name]().double().train()
        out = learner(torch.rand(32, *learner.shape).double())
    assert int((out.features > 0).any(0).sum()) >= 2  # alive: the tests below compare no zeros
    return learner


def task_of(learner, n=5, classes=(0, 1, 2), index=0):
    chance = torch.Generator().manual_seed(n + index)
    images = len(learner.shape) == 3
    x = torch.randint(256, (n, *learner.shape), generator=chance, dtype=torch.uint8)
    y = torch.tensor(classes)[torch.arange(n) % len(classes)]
    rows = Rows(x if images else x / 128, y, torch.full_like(y, index), torch.arange(n))
    return Task(index, classes, rows, rows)


def dense(kind, learner, task, likelihood=None):
    likelihood = likelihood or HeadSoftmax()
    layout = layout_of(learner, likelihood.parts)
    weights = [p for name, p in learner.named_parameters() if name in layout.shapes]
    with evaluating(learner):
        logits = likelihood.logits(learner(inputs_of(learner, task.train.x)), task)
        y = likelihood.places(task.train.y, task)
        return reference.curvature(kind, logits, y, weights)


def curvature(learner, task, *args, **options):
    made = Curvature(*args, **options)
    return made.measure(learner, task, made.layout(learner)).values


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_curvature_is_the_dense_one(kind, name):
    learner = network(name)
    task = task_of(learner)
    expected = dense(kind, learner, task)
    clip = kind == "hessian"  # the clipped one is checked against its own definition
    full = curvature(learner, task, kind, "full", clip=clip)
    if clip:
        values, vectors = torch.linalg.eigh(expected)
        assert_close(full, vectors @ values.clamp_min(0).diag() @ vectors.T, rtol=1e-7, atol=1e-8)
        diagonal = curvature(learner, task, kind, clip=True)
        assert_close(diagonal, expected.diagonal().clamp_min(0), **CLOSE)
    else:
        assert_close(full, expected, **CLOSE)
        assert_close(curvature(learner, task, kind), expected.diagonal(), **CLOSE)
    assert learner.training


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("kind", KINDS)
def test_products_with_a_vector_are_the_dense_matrix(name, kind):
    learner = network(name)
    task, made = task_of(learner), Curvature(kind)
    layout = made.layout(learner)
    vector = torch.randn(layout.size, generator=torch.Generator().manual_seed(0)).double()
    with evaluating(learner):
        found = made.times(learner, task, layout, vector)
    assert_close(found, dense(kind, learner, task) @ vector, **CLOSE)


def test_a_likelihood_over_prototypes_reaches_the_projector_and_not_the_head():
    learner, frame = network("mlp"), Frame(4, 3)
    task, likelihood = task_of(learner), FrameSoftmax(frame, 0.5)
    found = curvature(learner, task, "fisher", "full", likelihood)
    expected = dense("fisher", learner, task, likelihood)
    assert_close(found, expected, rtol=1e-6, atol=1e-8)
    covered = Quadratic(Curvature(likelihood=likelihood)).covered(learner)
    assert {name.split(".")[0] for name in covered} == {"backbone", "projector"}


def test_only_the_tasks_own_classes_may_compete():
    learner = network("mlp")
    task, likelihood = task_of(learner, classes=(1, 2)), HeadSoftmax("new")
    found = curvature(learner, task, "empirical_fisher", "full", likelihood)
    assert_close(found, dense("empirical_fisher", learner, task, likelihood), **CLOSE)
    row = Curvature().layout(learner).split(found.diagonal())["head.weight"]
    assert float(row[0].abs().max()) == 0.0 < float(row[1:].min(0).values.max())


@pytest.mark.parametrize("classes", [(2, 1), (2, 0), (0, 2)])
def test_the_tasks_own_classes_may_come_in_any_order(classes):
    """The observed label is the column of its class, wherever that stands among the task's."""
    learner, likelihood = network("mlp"), HeadSoftmax("new")
    task = task_of(learner, classes=classes)
    columns = likelihood.places(task.train.y, task)
    assert [classes[c] for c in columns.tolist()] == task.train.y.tolist()
    with evaluating(learner):
        logits = learner(inputs_of(learner, task.train.x)).logits
        layout = layout_of(learner, likelihood.parts)
        weights = [p for n, p in learner.named_parameters() if n in layout.shapes]
        low, high = sorted(classes)  # the twin takes the two columns in ascending order
        twin = logits[:, [low, high]], (task.train.y == high).long()
        expected = reference.curvature("empirical_fisher", *twin, weights)
    found = curvature(learner, task, "empirical_fisher", "full", likelihood)
    assert_close(found, expected, **CLOSE)
    strange = task_of(learner, classes=(0, 1, 2))
    with pytest.raises(DataError, match=r"classes \[\d\] are not among the task's"):
        likelihood.places(strange.train.y, task)


def test_a_class_that_comes_again_competes_with_all_prototypes():
    """Domain and instance streams: the newest class of a task need not be the newest of all."""
    learner, frame = network("mlp"), Frame(4, 4)
    task, likelihood = task_of(learner, classes=(0, 1)), FrameSoftmax(frame, 0.5)
    layout = layout_of(learner, likelihood.parts)
    with evaluating(learner):
        weights = [p for n, p in learner.named_parameters() if n in layout.shapes]
        z = learner(inputs_of(learner, task.train.x)).embedding
        logits = z @ frame.vectors[:3].to(z).T / 0.5  # the head knows three classes
        expected = reference.curvature("fisher", logits, task.train.y, weights)
    found = curvature(learner, task, "fisher", "full", likelihood)
    assert_close(found, expected, rtol=1e-6, atol=1e-8)


def test_the_ggn_is_the_fisher_and_the_hessian_is_not():
    learner = network("mlp")
    task = task_of(learner)
    fisher, ggn = (dense(kind, learner, task) for kind in ("fisher", "ggn"))
    assert_close(ggn, fisher, **CLOSE)
    assert float((dense("hessian", learner, task) - fisher).abs().max()) > 1e-3


def test_the_sampled_fisher_converges_as_one_over_the_root_of_the_draws():
    learner = network("mlp")
    task, exact = task_of(learner), curvature(learner, task_of(learner), "fisher")
    errors = []
    for draws in (16, 256):
        square = [
            (curvature(learner, task, "sampled_fisher", draws=draws, seed=s) - exact).square().sum()
            for s in range(16)
        ]
        errors.append(float(torch.stack(square).mean().sqrt()))
    assert 2.8 < errors[0] / errors[1] < 5.6  # sqrt(16) = 4
    again = [curvature(learner, task, "sampled_fisher", seed=1) for _ in range(2)]
    assert torch.equal(*again)


@pytest.mark.parametrize("kind", ["fisher", "empirical_fisher"])
def test_it_is_a_sum_over_the_data_and_not_over_batches(kind):
    learner = network("convnet")
    task = task_of(learner, 7)
    parts = [Task(0, (0, 1, 2), task.train[s], task.test) for s in (slice(0, 2), slice(2, 7))]
    whole = curvature(learner, task, kind)
    assert_close(whole, sum(curvature(learner, part, kind) for part in parts), **CLOSE)


def test_what_layers_know_and_what_vmap_finds_are_the_same(monkeypatch):
    learner = network("convnet")
    task = task_of(learner, 40)  # more than one batch
    known = curvature(learner, task, "fisher")
    monkeypatch.setattr("holdfast.curvature.curvature.squared_gradients", lambda *arguments: None)
    assert_close(known, curvature(learner, task, "fisher"), **CLOSE)


def test_a_network_with_layers_unknown_here_is_left_to_vmap():
    learner = network("mlp")
    learner.backbone.layers[1] = torch.nn.PReLU().double()  # a weight that no rule covers
    task = task_of(learner)
    found = curvature(learner, task, "fisher")
    assert_close(found, dense("fisher", learner, task).diagonal(), **CLOSE)


def test_a_network_that_shares_a_weight_is_refused():
    twice = network("mlp")
    twice.backbone.layers = torch.nn.Sequential(*twice.backbone.layers, twice.backbone.layers[2])
    with pytest.raises(ConfigError, match=r"layers\.4\.bias is shared by two layers"):
        Curvature().layout(twice)


def test_the_size_of_a_chunk_does_not_matter():
    learner = network("convnet")
    task, made = task_of(learner, 6), Curvature("empirical_fisher")
    layout, at = made.layout(learner), torch.arange(6)
    with evaluating(learner):
        likelihood = made.likelihood
        vectors = made.output_factors(learner, task).at(slice(None))[:, 0]
        score = lambda out, v: (likelihood.logits(out, task)[0] * v).sum()
        sums = [
            sum(
                layout.flat({n: g.square().sum(0) for n, g in piece.items()})
                for piece in persample(learner, layout, score, task.train.x, at, vectors, chunk)
            )
            for chunk in (1, 4, 6)
        ]
    assert_close(sums[0], sums[1], **CLOSE)
    assert_close(sums[0], sums[2], **CLOSE)


@pytest.mark.parametrize("kind", ["fisher", "hessian"])
def test_weights_that_are_not_covered_leave_no_graph_behind(kind):
    learner = network("convnet")
    task, made = task_of(learner), Curvature(kind, clip=True)
    bare, whole = made.layout(learner, norm=False), made.layout(learner)
    found = made.measure(learner, task, bare).values
    assert not found.requires_grad and bare.size < whole.size
    assert all(p.grad is None for p in learner.parameters())
    assert_close(found, bare.flat(whole.split(made.measure(learner, task, whole).values)), **CLOSE)


def test_memory_aware_is_the_loop():
    learner = network("convnet")
    task, made = task_of(learner), MemoryAware()
    layout = made.layout(learner)
    weights = [p for name, p in learner.named_parameters() if name in layout.shapes]
    with evaluating(learner):
        logits = learner(inputs_of(learner, task.train.x)).logits
        expected = reference.memory_aware(logits, weights)
    assert_close(made.measure(learner, task, layout).values, 2 * expected, **CLOSE)


def test_a_resnet_with_batch_norm_has_gradients_of_every_sample():
    learner = Learner((3, 32, 32), "resnet18", width=2, classes=2)
    task = task_of(learner, 3, (0, 1))
    found = curvature(learner, task, "empirical_fisher")
    with evaluating(learner):
        weights = [p for n, p in learner.named_parameters() if not n.startswith("projector")]
        logits = learner(inputs_of(learner, task.train.x)).logits
        logs = torch.log_softmax(logits, 1).gather(1, task.train.y[:, None])
        expected = sum(reference.slopes(value, weights).square() for value in logs)
    assert_close(found, expected, rtol=1e-3, atol=1e-5)


# what is covered


def test_what_is_covered_can_be_asked():
    learner = Learner((1, 8, 8), width=2, classes=3)
    everything = Quadratic(Curvature()).covered(learner)
    bare = Quadratic(Curvature(), norm=False).covered(learner)
    assert "head.weight" in everything and "backbone.layers.1.weight" in everything
    norms = [f"backbone.layers.{i}.{w}" for i in (1, 4, 7) for w in ("weight", "bias")]
    assert sorted(set(everything) - set(bare)) == sorted(norms)
    assert not any(name.startswith("projector") for name in everything)


def test_a_layout_cuts_what_has_grown_and_refuses_the_rest():
    layout = Layout({"head.weight": (2, 3)})
    assert layout.flat({"head.weight": torch.arange(9.0).view(3, 3)}).tolist() == [*range(6)]
    for other in ({"head.weight": torch.ones(1, 3)}, {"head.weight": torch.ones(2, 4)}, {}):
        with pytest.raises(ConfigError, match=r"holds head\.weight of shape \(2, 3\)"):
            layout.flat(other)
    with pytest.raises(ConfigError, match="backbone"):
        Layout({"backbone.w": (2,)}).flat({"backbone.w": torch.ones(3)})


# bad input


def test_a_full_matrix_that_would_not_fit_is_refused_with_its_size():
    learner = Learner((1, 8, 8), classes=2)
    with pytest.raises(ConfigError, match=r"93,154 weights would take 32\.3 GiB.*use diagonal"):
        curvature(learner, task_of(learner), "fisher", "full")
    with pytest.raises(ConfigError, match="use empirical_fisher or fisher"):
        curvature(learner, task_of(learner), "hessian")


def test_negative_curvature_is_refused_by_its_most_negative_eigenvalue():
    turned = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))[0]
    matrix = turned @ torch.tensor([-0.5, 1.0, 2.0]).diag() @ turned.T
    with pytest.raises(ConfigError, match=r"eigenvalue of the Hessian is -0\.5 .*largest 2"):
        positive(matrix, clip=False)
    assert_close(positive(matrix, clip=True), turned @ torch.tensor([0.0, 1, 2]).diag() @ turned.T)
    with pytest.raises(ConfigError, match=r"entry of the Hessian's diagonal is -1"):
        positive(torch.tensor([-1.0, 2.0]), clip=False)
    assert positive(torch.tensor([-1.0, 2.0]), clip=True).tolist() == [0.0, 2.0]
    learner = network("mlp")
    with pytest.raises(ConfigError, match="most negative"):
        curvature(learner, task_of(learner), "hessian", "full")


def test_a_curvature_without_a_likelihood_is_refused():
    frame = Frame(8)
    loss = FocalCollapse(frame)
    for anchor in (Quadratic(Curvature()), Quadratic(MemoryAware())):
        with pytest.raises(
            ConfigError, match=r"reads the head's logits, and no term.*trains a head.*FrameSoftmax"
        ):
            Method(loss, [anchor])
    named = Quadratic(Curvature(likelihood=FrameSoftmax(frame, 0.5)))
    assert Method(loss, [named, Quadratic(Unit())]).penalties == ["quadratic"] * 2


@pytest.mark.parametrize(
    "options, words",
    [
        ({"kind": "fischer"}, "unknown curvature 'fischer': did you mean 'fisher'"),
        ({"structure": "diagnal"}, "unknown structure 'diagnal'"),
        ({"draws": 0}, "at least 1 draw"),
    ],
)
def test_names_and_numbers_that_do_not_exist(options, words):
    # the checker of the test run reads Literals too, so unknown words go through a plain call
    with pytest.raises(Exception, match=words if "structure" not in options else "structure"):
        Curvature(**options)


def test_a_likelihoods_temperature_is_positive():
    with pytest.raises(ConfigError, match="temperature must be positive, not tau=0"):
        FrameSoftmax(Frame(4), 0.0)
