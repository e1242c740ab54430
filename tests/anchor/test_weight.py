"""Weight anchors against loops, the identity of two quadratics, and what their state survives."""

import copy
import warnings
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import reference
from holdfast.anchor import (
    Curvature,
    FrameSoftmax,
    Importance,
    MemoryAware,
    PathIntegral,
    Proximal,
    Quadratic,
    Rule,
    SynapticIntelligence,
    Unit,
    WeightAligning,
    edited,
)
from holdfast.anchor.prior import Anchored
from holdfast.core.errors import ConfigError, DivergedError
from holdfast.core.rows import Rows
from holdfast.core.settings import Machine, Network
from holdfast.core.step import Step
from holdfast.curvature.layout import layout_of
from holdfast.curvature.matrix import Diagonal, Full
from holdfast.curvature.persample import weights_of
from holdfast.learner import Learner
from holdfast.loss import CrossEntropy
from holdfast.recipes import make
from holdfast.recipes.method import Method
from holdfast.stream.task import Task
from holdfast.train.runner import Run
from holdfast.train.setup import Setup

SMALL = {"network": Network(width=4), "machine": Machine("cpu")}


class Point(nn.Module):
    """A network that is one weight vector."""

    def __init__(self, w):
        super().__init__()
        self.head = nn.Module()
        self.head.weight = nn.Parameter(torch.as_tensor(w, dtype=torch.float64).clone())


class Given(Importance):
    """An H that is given, task after task."""

    parts = ("head",)

    def __init__(self, *matrices, summed=False):
        super().__init__()
        self.matrices, self.summed = matrices, summed
        self.structure = "diagonal" if matrices[0].ndim == 1 else "full"

    def measure(self, learner, task, layout):
        H = self.matrices[task.index]
        return (Diagonal if H.ndim == 1 else Full)(layout, H)


def task_of(index, n=4, shape=(4,), classes=(0, 1)):
    chance = torch.Generator().manual_seed(index)
    y = torch.tensor(classes)[torch.arange(n) % len(classes)]
    x = torch.rand(n, *shape, generator=chance)
    rows = Rows(x, y, torch.full_like(y, index), torch.arange(n))
    return Task(index, classes, rows, rows)


def step_of(learner, lr=0.1, size=0):
    return Step({"batch": task_of(0).train}, lambda x: None, learner=learner, lr=lr, size=size)


def learn(method, stream, training):
    work = Run(method, stream, Setup(training, **SMALL))
    events = list(work.events())
    return work, events


# the quadratic


def random_spd(n, seed):
    root = torch.randn(n, n, generator=torch.Generator().manual_seed(seed)).double()
    return root @ root.T + torch.eye(n).double()


def test_two_quadratics_end_where_both_data_sets_would():
    """THEORY 6: H = A, weight 1, gives (A + B)^-1 (A a + B b); a dropped 1/2 would not."""
    A, B = random_spd(3, 0), random_spd(3, 1)
    a, b = torch.tensor([1.0, -2.0, 0.5]).double(), torch.tensor([0.0, 3.0, 1.0]).double()
    learner = Point(a)
    anchor = Quadratic(Given(A))
    anchor.consolidate(learner, task_of(0))
    optimizer = torch.optim.LBFGS(
        learner.parameters(), max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-16
    )

    def objective():
        optimizer.zero_grad()
        w = learner.head.weight
        loss = 0.5 * (w - b) @ B @ (w - b) + anchor(step_of(learner, lr=0.0))
        loss.backward()
        return loss

    for _ in range(5):
        optimizer.step(objective)
    both = torch.linalg.solve(A + B, A @ a + B @ b)
    assert_close(learner.head.weight.detach(), both, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("per_task", [False, True])
def test_online_and_per_task_penalties_are_the_loops(per_task):
    H, centres = [torch.rand(4).double(), torch.rand(6).double()], [torch.rand(4), torch.rand(6)]
    decay = 0.7
    anchor = Quadratic(Given(*H), weight=1.5, decay=decay, per_task=per_task)
    for t, centre in enumerate(centres):  # the head grows from four numbers to six
        anchor.consolidate(Point(centre), task_of(t))
    w = torch.rand(8).double()
    if per_task:
        posts = list(zip(centres, H))
    else:
        posts = [(centres[1], H[1] + decay * torch.cat([H[0], torch.zeros(2)]))]
    posts = [(c.tolist(), h.tolist()) for c, h in posts]
    learner = Point(w)
    found = anchor(step_of(learner))
    assert found.item() == pytest.approx(1.5 * reference.weight_penalty(w.tolist(), posts))
    found.backward()
    assert learner.head.weight.grad[6:].tolist() == [0.0, 0.0]  # rows that came later are free


def test_a_full_matrix_grows_as_its_diagonal_does():
    H = random_spd(4, 0)
    full = Quadratic(Given(H, torch.zeros(6, 6).double()))
    flat = Quadratic(Given(H.diagonal(), torch.zeros(6).double()))
    for t, centre in enumerate((torch.zeros(4), torch.zeros(6))):
        full.consolidate(Point(centre), task_of(t))
        flat.consolidate(Point(centre), task_of(t))
    for place in range(6):
        step = step_of(Point(torch.eye(6)[place]))
        assert_close(full(step), flat(step))


def test_a_summed_curvature_is_set_against_a_mean_over_the_new_images():
    for summed, expected in ((True, 0.5 * 2 * 9 * 3 / 12), (False, 0.5 * 2 * 9 * 3)):
        anchor = Quadratic(Given(torch.full((1,), 2.0).double(), summed=summed), weight=3.0)
        anchor.consolidate(Point([1.0]), task_of(0))
        assert anchor(step_of(Point([4.0]), size=12)).item() == pytest.approx(expected)


def test_the_first_task_is_not_held_and_the_log_shows_the_ratio(tiny_stream, tiny_training):
    _, events = learn(make("online_ewc"), tiny_stream, tiny_training)
    logs = [event.records for event in events if hasattr(event, "records")]
    assert [log["quadratic"] for log in logs[:2]] == [0.0, 0.0]
    assert "quadratic/loss" not in logs[0]
    for log in logs[2:]:
        ratio = log["quadratic"] / log["cross_entropy"]
        assert log["quadratic/loss"] == pytest.approx(ratio, rel=1e-4) and ratio > 0


# the recipes against twins


@pytest.mark.parametrize("name, posts", [("ewc", 2), ("online_ewc", 1)])
def test_ewc_is_its_twin_on_the_same_step(name, posts, tiny_stream, tiny_training):
    work, _ = learn(make(name, weight=3.0), tiny_stream, tiny_training)
    anchor = work.continual.method.terms[-1]
    kept = anchor.prior.quadratics
    assert len(kept) == posts + (name == "ewc")
    layout = kept[-1].layout
    (newest, H), before = (kept[-1].centre, kept[-1].H.values), work.learner
    assert torch.equal(newest, layout.flat(weights_of(before)))
    if name == "ewc":
        assert_close(H, Curvature().measure(before, tiny_stream[2], layout).values)
    moved = copy.deepcopy(work.learner)
    with torch.no_grad():
        for p in moved.parameters():
            p.add_(0.01)
    weights = layout.flat(weights_of(moved))
    older = [post.layout.flat(weights_of(moved)) for post in kept]
    expected = sum(
        reference.weight_penalty(w.tolist(), [(p.centre.tolist(), p.H.values.tolist())])
        for w, p in zip(older, kept)
    )
    found = anchor(step_of(moved, size=48)).item()
    assert found == pytest.approx(3.0 * expected / 48, rel=1e-4)
    assert len(weights) == layout.size


def test_synaptic_intelligence_is_the_loop():
    """SGD with momentum on a small problem, the path integral kept by hand beside it."""
    torch.manual_seed(0)
    learner = Learner((4,), "mlp", width=3, classes=2)
    task, path = task_of(0), SynapticIntelligence()
    anchor = Quadratic(PathIntegral(path, xi=0.2), weight=2.0)
    layout = layout_of(learner, ("backbone", "head"))
    start = layout.flat(weights_of(learner))
    omega = [0.0] * layout.size
    optimizer = torch.optim.SGD(learner.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    for _ in range(5):
        step = Step({"batch": task.train}, learner, seen=(0, 1), learner=learner, lr=0.1)
        loss = CrossEntropy()(step) + anchor(step)
        optimizer.zero_grad()
        loss.backward()
        named = dict(learner.named_parameters())
        g = torch.cat([named[n].grad.flatten() for n in layout.shapes]).tolist()
        before = layout.flat(weights_of(learner)).tolist()
        with edited([path], learner, step):
            optimizer.step()
        after = layout.flat(weights_of(learner)).tolist()
        omega = [o - gi * (y - x) for o, gi, x, y in zip(omega, g, before, after, strict=True)]
    end = layout.flat(weights_of(learner))
    anchor.consolidate(learner, task)
    path.consolidate(learner, task)
    expected = [
        2 * max(o, 0.0) / ((y - x) ** 2 + 0.2)
        for o, x, y in zip(omega, start.tolist(), end.tolist(), strict=True)
    ]
    assert max(expected) > 0.001
    assert_close(anchor.prior.quadratics[0].H.values, torch.tensor(expected), rtol=1e-3, atol=1e-6)
    assert path.moved == path.omega == {}


def test_the_path_integral_needs_its_rule(tiny_stream, tiny_training):
    method = Method(CrossEntropy(), [Quadratic(PathIntegral(SynapticIntelligence()))])
    with pytest.raises(ConfigError, match="put its rule among"):
        learn(method, tiny_stream, tiny_training)


# the linear term


class Parabola(Given):
    """Losses 1/2 (w - m)^T H (w - m), whose curvature and slope are known."""

    def __init__(self, matrices, minima):
        super().__init__(*matrices, summed=True)
        self.minima = minima

    def gradient(self, learner, task, layout):
        return self.matrices[task.index] @ (learner.head.weight.detach() - self.minima[task.index])


@pytest.mark.parametrize("per_task", [False, True])
def test_with_its_linear_term_a_quadratic_is_the_old_loss_wherever_it_is_centred(per_task):
    """A quadratic loss expanded anywhere, not at its minimum alone, is itself up to a constant."""
    H, minima = [random_spd(3, s) for s in (0, 1)], torch.randn(2, 3).double()
    anchor = Quadratic(Parabola(H, minima), weight=12.0, linear=True, per_task=per_task)
    for t, centre in enumerate(torch.randn(2, 3).double()):
        anchor.consolidate(Point(centre), task_of(t))
    old = lambda w: sum(0.5 * (w - m) @ A @ (w - m) for A, m in zip(H, minima))
    w = torch.randn(3).double().requires_grad_()
    expected = torch.autograd.grad(old(w), w)[0]
    learner = Point(w.detach())
    anchor(step_of(learner, lr=0.0, size=12)).backward()
    assert_close(learner.head.weight.grad, expected)
    plain = Quadratic(Parabola(H, minima), weight=12.0, per_task=per_task)
    plain.consolidate(Point(torch.randn(3).double()), task_of(0))
    learner.head.weight.grad = None
    plain(step_of(learner, lr=0.0, size=12)).backward()
    assert float((learner.head.weight.grad - expected).abs().max()) > 0.1


def test_the_slope_is_the_gradient_of_the_summed_loss_and_the_diagnostics_say_its_norm():
    learner = Learner((4,), "mlp", width=3, classes=2)
    task, anchor = task_of(0), Quadratic(Curvature())
    logits = learner.eval()(task.train.x).logits
    torch.nn.functional.cross_entropy(logits, task.train.y, reduction="sum").backward()
    named = {n: p.grad for n, p in learner.named_parameters() if p.grad is not None}
    layout = anchor.prior.layout(learner)
    expected = layout.flat(named)
    assert_close(Curvature().gradient(learner, task, layout), expected)
    anchor.consolidate(learner, task)
    told = anchor.diagnostics(learner, task)
    assert told["gradient"] == pytest.approx(float(expected.norm())) and told["gradient"] > 0.1
    top = anchor.prior.quadratics[0].H.values.max()
    assert told["max_eigenvalue"] == pytest.approx(float(top)) and told["weights"] == layout.size
    with pytest.raises(ConfigError, match="needs a curvature, and Unit is of no loss"):
        Quadratic(Unit(), linear=True)


# stiffness and the proximal step


def test_a_stiff_quadratic_warns_once_with_its_value():
    anchor = Quadratic(Given(torch.tensor([1.0, 50.0]).double()), weight=2.0)
    anchor.consolidate(Point([0.0, 0.0]), task_of(0))
    learner = Point([1.0, 1.0])
    with pytest.warns(UserWarning, match=r"max\(H\) is 10, over 2.*Proximal"):
        anchor(step_of(learner, lr=0.1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert anchor(step_of(learner, lr=0.1)).item() == pytest.approx(51.0)
        Quadratic(Given(torch.ones(2).double()))(step_of(learner, lr=0.1))


@pytest.mark.parametrize("per_task", [False, True])
def test_the_proximal_step_is_the_minimum_it_is_defined_by(per_task):
    H = [torch.tensor([1.0, 50.0]).double(), torch.tensor([2.0, 1.0, 300.0]).double()]
    centres = [torch.tensor([1.0, -1.0]).double(), torch.tensor([3.0, 0.5, -2.0]).double()]
    rule = Proximal(Given(*H), weight=2.0, per_task=per_task)
    for t, centre in enumerate(centres):
        rule.consolidate(Point(centre), task_of(t))
    learner, lr = Point([0.3, 0.2, 0.1, 0.4]), 0.1
    g = torch.tensor([1.0, -2.0, 3.0, 4.0]).double()
    learner.head.weight.grad = g.clone()
    before = learner.head.weight.detach().clone()
    with edited([rule], learner, step_of(learner, lr)):
        torch.optim.SGD(learner.parameters(), lr).step()
    u, found = before - lr * g, learner.head.weight.detach()
    posts = rule.prior.quadratics
    slope = (found - u) / lr  # of |w - u|^2 / (2 lr), which the quadratics' slope must cancel
    for post in posts:
        n = len(post.centre)
        slope[:n] += 2.0 * post.H.values * (found[:n] - post.centre)
    assert_close(slope, torch.zeros(4).double(), atol=1e-9, rtol=0)
    assert len(posts) == 1 + per_task


def test_the_proximal_anchor_survives_where_the_penalty_diverges(tiny_stream, tiny_training):
    heavy = {"importance": Unit(), "weight": 1e4, "decay": 0.0}
    with pytest.warns(UserWarning, match="over 2"), pytest.raises(DivergedError):
        learn(Method(CrossEntropy(), [Quadratic(**heavy)]), tiny_stream, tiny_training)
    rule = Proximal(**heavy)
    work, _ = learn(Method(CrossEntropy(), [rule]), tiny_stream, tiny_training)
    assert work.result.status == "complete"
    post = work.continual.method.rules[0].prior.quadratics[0]
    assert bool(post.centre.isfinite().all())
    backbone = {n for n in post.layout.shapes if n.startswith("backbone")}
    assert backbone and all(bool(p.isfinite().all()) for p in work.learner.parameters())


def test_a_heavy_proximal_anchor_keeps_the_backbone_in_place(tiny_stream, tiny_training):
    centres = []

    class Noted(Proximal):
        def consolidate(self, learner, task, past=None):
            super().consolidate(learner, task, past)
            centres.append(self.prior.quadratics[-1].layout.split(self.prior.quadratics[-1].centre))

    def travelled(weight):
        centres.clear()
        learn(Method(CrossEntropy(), [Noted(Unit(), weight, 0.0)]), tiny_stream, tiny_training)
        names = [n for n in centres[0] if n.startswith("backbone")]
        return max(float((centres[2][n] - centres[0][n]).abs().max()) for n in names)

    assert travelled(1e6) < 1e-4 < 0.01 < travelled(0.0)


def test_a_proximal_anchor_takes_a_diagonal_only():
    with pytest.raises(ConfigError, match="needs structure='diagonal'"):
        Proximal(Curvature(structure="full"))


# the same in whole runs


@pytest.mark.parametrize(
    "name, options",
    [
        ("ewc", {"classes": "new", "fisher": "sampled_fisher", "norm": False}),
        ("online_ewc", {"classes": "new", "fisher": "empirical_fisher", "decay": 0.5}),
        ("si", {"classes": "new", "norm": False}),
        ("mas", {"classes": "new", "norm": False}),
        ("l2", {"classes": "new", "weight": 0.0}),
        *((name, {"step": "proximal"}) for name in ("ewc", "online_ewc", "si", "mas", "l2")),
        ("kfac_laplace", {"classes": "new", "norm": False, "decay": 0.5}),
    ],
)
def test_variants_run_and_another_weight_gives_another_network(
    name, options, tiny_stream, tiny_training
):
    work, _ = learn(make(name, **options), tiny_stream, tiny_training)
    other, _ = learn(make(name, **options | {"weight": 5.0}), tiny_stream, tiny_training)
    anchor = next(a for a in work.continual.method.anchors if isinstance(a, Anchored))
    norms = [n for n in anchor.covered(work.learner) if ".layers.1." in n]
    assert bool(norms) == options.get("norm", True)
    a, b = (w.learner.head.weight for w in (work, other))
    assert bool(a.isfinite().all()) and bool(b.isfinite().all()) and not torch.equal(a, b)


def test_a_contrastive_method_may_be_held_by_the_likelihood_it_names(tiny_stream, tiny_training):
    plain = make("fnc2", dim=8)
    curvature = Curvature(likelihood=FrameSoftmax(plain.frame, 0.5))
    anchors = [*plain.anchors, Quadratic(curvature)]
    work, events = learn(replace(plain, anchors=anchors), tiny_stream, tiny_training)
    assert events[-1].result.status == "complete"
    assert events[-2].records["quadratic"] > 0
    covered = work.continual.method.terms[-1].covered(work.learner)
    assert "projector.2.weight" in covered and "head.weight" not in covered


def test_a_summed_curvature_does_not_depend_on_how_the_past_was_cut():
    """Additivity over tasks: online with decay 1 holds the sum of the tasks' curvatures."""
    learner = Learner((4,), "mlp", width=5, classes=2)
    anchor, layout = Quadratic(Curvature()), layout_of(learner, ("backbone", "head"))
    tasks = [task_of(t) for t in range(3)]
    for task in tasks:
        anchor.consolidate(learner, task)
    total = sum(Curvature().measure(learner, task, layout).values for task in tasks)
    assert float(total.max()) > 0
    assert_close(anchor.prior.quadratics[0].H.values, total)


# state


@pytest.mark.parametrize(
    "kind",
    [
        "ewc",
        "online_ewc",
        "si",
        "mas",
        "l2",
        "full",
        "proximal",
        "kfac_laplace",
        "low_rank",
        "linear",
    ],
)
def test_state_survives_into_fresh_objects_bit_for_bit(kind, tiny_stream, tiny_training):
    made = {
        "full": lambda: Method(CrossEntropy(), [Quadratic(Given(random_spd(9, 5)), per_task=True)]),
        "proximal": lambda: Method(CrossEntropy(), [Proximal(Curvature("empirical_fisher"))]),
        "low_rank": lambda: Method(CrossEntropy(), [Quadratic(Curvature("ggn", "low_rank"))]),
        "linear": lambda: Method(CrossEntropy(), [Quadratic(Curvature(), linear=True)]),
    }.get(kind, lambda: make(kind))
    if kind == "full":
        anchor, fresh, learner = made().terms[-1], made().terms[-1], Point(torch.rand(9))
        anchor.consolidate(learner, task_of(0))
    else:
        work, _ = learn(made(), tiny_stream, tiny_training)
        learner, method = work.learner, made()
        parts = (work.continual.method, method)
        anchor, fresh = (
            [*m.terms, *m.rules][-1 if m.rules and kind == "proximal" else 1] for m in parts
        )
    fresh.load_state_dict(copy.deepcopy(anchor.state_dict()))
    assert len(fresh.prior.quadratics) == len(anchor.prior.quadratics) > 0
    for a, b in zip(anchor.prior.quadratics, fresh.prior.quadratics):
        assert a.layout == b.layout
        assert torch.equal(a.centre, b.centre)
        assert_close(a.H.tensors(), b.H.tensors(), rtol=0, atol=0)
    assert fresh.prior.max_eigenvalue == anchor.prior.max_eigenvalue
    if not isinstance(fresh, Rule):
        with torch.no_grad():
            for p in learner.parameters():
                p.add_(0.1)
        step = step_of(learner, lr=0.0)
        assert (anchor(step).item() > 0) or kind == "linear"
        assert torch.equal(fresh(step), anchor(step))


def test_the_path_so_far_survives_too():
    path, fresh = SynapticIntelligence(), SynapticIntelligence()
    path.moved, path.omega = {"w": torch.ones(2)}, {"w": torch.rand(2)}
    fresh.load_state_dict(path.state_dict())
    assert torch.equal(fresh.omega["w"], path.omega["w"])
    assert torch.equal(fresh.moved["w"], path.moved["w"])


@pytest.mark.parametrize("later_steps", [0, 1])
def test_a_path_of_the_older_state_goes_on(later_steps):
    """It kept where the weights started, in place of how far they moved."""
    learner = Point([1.0, 2.0])
    layout = layout_of(learner, ("head",))
    path = SynapticIntelligence()
    older = {"start": {"head.weight": torch.zeros(2)}, "omega": {"head.weight": torch.ones(2)}}
    path.load_state_dict({"_extra_state": older})
    for _ in range(later_steps):
        learner.head.weight.grad = torch.ones(2).double()
        with edited([path], learner, step_of(learner)):
            torch.optim.SGD(learner.parameters(), 0.5).step()
    assert_close(path.displacement(learner, layout), learner.head.weight.detach())
    assert_close(
        path.omega["head.weight"].double(), torch.full((2,), 1 + 0.5 * later_steps).double()
    )


def test_the_path_integral_does_not_see_what_other_rules_make_of_a_move():
    """A proximal step draws the weights back after the optimiser: omega and displacement stay."""
    H, lr = torch.tensor([50.0, 3.0]).double(), 0.1
    for order in (1, -1):
        rule, path = Proximal(Given(H)), SynapticIntelligence()
        learner, g = Point([1.0, 1.0]), torch.tensor([2.0, -1.0]).double()
        rule.consolidate(Point([0.0, 0.0]), task_of(0))
        for _ in range(2):
            before = learner.head.weight.detach().clone()
            learner.head.weight.grad = g.clone()
            with edited([rule, path][::order], learner, step_of(learner, lr)):
                torch.optim.SGD(learner.parameters(), lr).step()
            drawn = learner.head.weight.detach() - before
            assert float((drawn + lr * g).abs().min()) > 0.01  # the weights moved otherwise
        assert_close(path.omega["head.weight"], 2 * lr * g**2)
        assert_close(path.displacement(learner, layout_of(learner, ("head",))), -2 * lr * g)


@pytest.mark.parametrize("kind", [Quadratic, Proximal])
def test_the_centre_is_the_network_that_stays_after_aligning(kind, tiny_stream, tiny_training):
    anchor = kind(Curvature("empirical_fisher"), per_task=True)
    work, _ = learn(Method(CrossEntropy(), [anchor, WeightAligning()]), tiny_stream, tiny_training)
    newest = next(
        a for a in work.continual.method.anchors if isinstance(a, Anchored)
    ).prior.quadratics[-1]
    assert torch.equal(newest.centre, newest.layout.flat(weights_of(work.learner)))
    norms = work.learner.head.weight.norm(dim=1)
    assert_close(norms[:4].mean(), norms[4:].mean())  # and it is the aligned one


def test_the_meter_counts_centres_and_curvatures_as_floats(tiny_stream, tiny_training):
    held = {}
    for name in ("finetune", "online_ewc", "ewc"):
        work, _ = learn(make(name), tiny_stream, tiny_training)
        held[name] = [task.holdings.floats for task in work.result.tasks]
        assert [task.holdings.images for task in work.result.tasks] == [0, 0, 0]
    sizes = [p.layout.size for p in work.continual.method.terms[-1].prior.quadratics]
    extra = lambda name: [a - b for a, b in zip(held[name], held["finetune"])]
    assert extra("online_ewc") == [2 * size for size in sizes]
    assert extra("ewc") == [2 * sum(sizes[: t + 1]) for t in range(3)]


# bad input


@pytest.mark.parametrize("made", [Quadratic, Proximal])
def test_numbers_outside_their_range_are_refused(made):
    with pytest.raises(ConfigError, match="weight must be at least 0, not -1"):
        made(Unit(), weight=-1.0)
    with pytest.raises(ConfigError, match=r"decay must be between 0 and 1, not 1\.5"):
        made(Unit(), decay=1.5)
    with pytest.raises(ConfigError, match="xi of synaptic intelligence must be positive"):
        PathIntegral(SynapticIntelligence(), xi=0.0)


def test_frozen_weights_are_refused_at_the_first_step():
    learner = Learner((4,), "mlp", width=3, classes=2).requires_grad_(False)
    for importance in (Unit(), MemoryAware(), Curvature()):
        with pytest.raises(ConfigError, match="no weight of backbone or head is trainable"):
            Quadratic(importance)(step_of(learner))


def test_a_network_of_other_shapes_is_refused():
    anchor, fresh = Quadratic(Unit()), Quadratic(Unit())
    anchor.consolidate(Learner((4,), "mlp", width=3, classes=2), task_of(0))
    fresh.load_state_dict(anchor.state_dict())
    with pytest.raises(ConfigError, match=r"holds backbone\.layers\.0\.weight of shape \(3, 4\)"):
        fresh(step_of(Learner((4,), "mlp", width=5, classes=2)))
    with pytest.raises(ConfigError, match="holds head"):
        fresh(step_of(Learner((4,), "mlp", width=3, classes=1)))
    grown = Learner((4,), "mlp", width=3, classes=2)
    grown.head.grow(4)
    assert bool(fresh(step_of(grown)).isfinite())


def test_a_step_without_its_learner_is_refused():
    with pytest.raises(ConfigError, match="learner="):
        Quadratic(Unit())(step_of(None))
