"""Subspaces: what GPM, OWM and CoSO hold, and what they do not."""

import copy
import logging
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import reference_subspace as reference
from holdfast.anchor import GPM, OWM, CoSO, Rule, edited
from holdfast.anchor.owm import shrunk
from holdfast.anchor.subspace_basis import count_directions, extended, grown, kept_of, sketched
from holdfast.anchor.subspace_inputs import columns_of, dense_layers, input_grams, mean_inputs
from holdfast.core.errors import ConfigError
from holdfast.core.output import outputs
from holdfast.core.ranks import Ranks, together
from holdfast.core.step import Step
from holdfast.learner import Learner
from holdfast.loss import CrossEntropy
from holdfast.recipes import make
from holdfast.recipes.method import Method
from holdfast.testing import check_rule, small_stream, vectors
from holdfast.testing.bench import Bench
from holdfast.testing.compare import difference
from holdfast.testing.watched import QUICK, learned
from holdfast.train.continual import Continual


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def matrices(count=5, d=12, n=4):
    """Inputs of a few tasks: of low rank, and of falling sizes."""
    generator = chance()
    sizes = torch.logspace(0, -2, n, dtype=torch.float64)
    return [torch.randn(d, n, generator=generator).double() * sizes for _ in range(count)]


def assert_same_span(a, b, within=1e-7):
    assert a.shape == b.shape
    assert_close(a @ a.T, b @ b.T, atol=within, rtol=0)


# bases


@pytest.mark.parametrize(
    "eps, strict",
    [(0.5, False), (0.5, True), (0.97, False), (0.97, True), (0.9999, True), (1.0, False)],
)
def test_a_basis_grows_as_in_the_published_steps(eps, strict):
    M = None
    for A, expected in zip(matrices(), reference.published_gpm(matrices(), eps, strict)):
        M = grown(M, A @ A.T, eps, strict)
        assert_same_span(M, expected)


def test_the_published_count_keeps_one_direction_fewer():
    A = matrices(1)[0]
    fewer, more = (grown(None, A @ A.T, 0.9, strict).shape[1] for strict in (True, False))
    assert fewer == more - 1
    energy = torch.linalg.svdvals(A).square()
    assert energy[:fewer].sum() < 0.9 * energy.sum() <= energy[:more].sum()


def test_a_basis_stays_orthonormal_and_never_shrinks():
    M, ranks = None, []
    for A in matrices(5):
        M = grown(M, A @ A.T, 1.0)
        ranks.append(M.shape[1])
        assert_close(M.T @ M, torch.eye(M.shape[1]).double(), atol=1e-10, rtol=0)
    assert ranks == [4, 8, 12, 12, 12]


def test_no_energy_is_no_direction():
    assert grown(None, torch.zeros(3, 3).double(), 1.0).shape == (3, 0)
    assert count_directions(torch.zeros(3), 0.0, 1.0) == 0


def gradients(count, d=9, n=6, seed=0):
    generator = chance(seed)
    fall = torch.logspace(0, -1.5, n, dtype=torch.float64)
    return [torch.randn(d, n, generator=generator).double() * fall for _ in range(count)]


def sketch_of(Gs, rank):
    """The sketch, and the bound on what it misses: what was subtracted, and the tails that were cut."""
    B, missed = Gs[0][:, :0], 0.0
    for G in Gs:
        U, s, _ = torch.linalg.svd(G, full_matrices=False)
        join = torch.cat([B, U[:, :rank] * s[:rank]], 1)
        t = torch.linalg.svdvals(join)
        missed += float(t[rank] ** 2) if len(t) > rank else 0.0
        missed += float(s[rank] ** 2) if len(s) > rank else 0.0
        B = sketched(B, U, s, rank)
    return B, missed


@pytest.mark.parametrize("rank", [2, 4, 20])
def test_a_sketch_is_below_the_sum_and_misses_no_more_than_it_dropped(rank):
    """THEORY 14.3 (a)."""
    Gs = gradients(8)
    B, missed = sketch_of(Gs, rank)
    values = torch.linalg.eigvalsh(sum(G @ G.T for G in Gs) - B @ B.T)
    assert B.shape[1] <= rank
    assert values[0] > -1e-10 and values[-1] <= missed + 1e-10
    assert values[-1] > 0.01 if rank == 2 else missed < 1e-20 or rank == 4


def test_what_a_sketch_leaves_joins_the_basis_without_more():
    """THEORY 14.3 (e): gradients that are orthogonal to M have directions that are."""
    M = torch.linalg.qr(torch.randn(9, 3, generator=chance(5)).double())[0]
    B, _ = sketch_of([G - M @ (M.T @ G) for G in gradients(8)], 4)
    U = torch.linalg.svd(B, full_matrices=False)[0]
    assert_close(M.T @ U, torch.zeros(3, 4).double(), atol=1e-10, rtol=0)
    both = kept_of(M, B, 1.0)
    assert both.shape == (9, 7)
    assert_same_span(both, torch.cat([M, U], 1))
    assert torch.equal(kept_of(M, B * 0, 0.98), M)
    assert extended(M, torch.eye(9).double()).shape == (9, 9)
    nothing = sketched(B[:, :0], B[:, :0], B[0, :0], 4)
    assert kept_of(None, nothing, 0.98).shape == (9, 0)


@pytest.mark.parametrize("alpha", [0.1, 10.0])
def test_owm_is_its_closed_form_and_its_steps(alpha):
    R = torch.randn(7, 5, generator=chance()).double()
    identity = torch.eye(5).double()
    P = shrunk(shrunk(identity, R[:3], alpha), R[3:], alpha)
    assert_close(P, torch.linalg.inv(identity + R.T @ R / alpha))
    assert_close(P, torch.tensor(reference.owm_steps(R.tolist(), alpha, 5)).double())


# inputs


def network(kind="vectors", double=True):
    """A learner for the small stream, with two classes seen and two new."""
    stream = small_stream(vectors) if kind == "vectors" else small_stream()
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        learner = Learner(stream.shape, "auto", 24 if kind == "vectors" else 6, 8, 4)
    learner.normalise_by(stream[0].train.x)
    return (learner.double() if double else learner), stream


@pytest.mark.parametrize("kind", ["vectors", "textures"])
def test_the_inputs_of_a_layer_are_what_its_weight_is_multiplied_by(kind):
    """W times the columns is the layer's output, and the moments are those of the columns."""
    learner, stream = network(kind)
    x, layers = stream[0].train.x[:5], dense_layers(learner)
    grams, means = input_grams(learner, layers, x), mean_inputs(learner, layers, x)
    assert set(layers) == {n for n, p in learner.named_parameters() if p.ndim > 1}
    given, results = {}, {}

    def note(name):
        def hook(module, arguments, out):
            given[name], results[name] = arguments[0].clone(), out.clone()

        return hook

    hooks = [layer.register_forward_hook(note(name)) for name, layer in layers.items()]
    learner.eval()(x.double() / (255 if kind == "textures" else 1))
    for hook in hooks:
        hook.remove()
    for name, layer in layers.items():
        columns = columns_of(layer, given[name])
        product = columns @ layer.weight.flatten(1).T
        product = product if layer.bias is None else product + layer.bias
        out = results[name]
        assert_close(product, out.movedim(1, -1).flatten(0, -2), atol=1e-9, rtol=0)
        assert_close(grams[name], columns.T @ columns, check_dtype=False)
        assert_close(means[name], columns.mean(0), check_dtype=False)


def test_grouped_convolutions_are_no_layers():
    odd = nn.Sequential(nn.Conv2d(4, 4, 3, groups=2), nn.Conv2d(4, 4, 3, padding_mode="circular"))
    assert dense_layers(odd) == {}


# what is held


OPTIMISERS = {
    "momentum": lambda w: torch.optim.SGD(w, 0.05, momentum=0.9),
    "decay": lambda w: torch.optim.SGD(w, 0.05, momentum=0.9, weight_decay=1e-2),
    "adam": lambda w: torch.optim.Adam(w, 5e-3),
    "adamw": lambda w: torch.optim.AdamW(w, 5e-3, weight_decay=0.1),
}


def few(stream, index, count):
    """A task with its first rows of each class alone."""
    task = stream[index]
    rows = torch.cat([(task.train.y == c).nonzero()[:count, 0] for c in task.classes])
    return replace(task, train=task.train[rows])


class OnlyGradient(Rule):
    """A rule whose update is left out."""

    def __init__(self, rule):
        super().__init__()
        self.rule = rule

    def gradient(self, gradient, step):
        return self.rule.gradient(gradient, step)


def taught(rule, optimiser, kind="vectors", count=2, steps=25, wrap=None, prepare=None):
    """Old outputs before and after a task that a rule watched over, and by how much weights moved."""
    learner, stream = network(kind)
    old, new = few(stream, 0, count), stream[1]
    first = Step(
        {"batch": floats(old.train)}, learner, None, 0, old.classes, old.classes, learner=learner
    )
    learner.hold_norms("all")
    rule.moved.update(n for n, p in learner.named_parameters() if p.requires_grad)
    if prepare is not None:
        prepare(rule, learner, first)
    rule.consolidate(learner.eval(), old)
    learner.train()
    before, weights = outputs(learner, old.train), copy.deepcopy(learner.state_dict())
    wrapped = rule if wrap is None else wrap(rule)
    optimizer = OPTIMISERS[optimiser](learner.parameters())
    for _ in range(steps):
        step = Step(
            {"batch": floats(new.train)}, learner, None, 1, new.classes,
            old.classes + new.classes, learner=learner, lr=0.05,
        )  # fmt: skip
        optimizer.zero_grad()
        CrossEntropy("seen")(step).backward()
        with edited([wrapped], learner, step):
            optimizer.step()
    after = outputs(learner, old.train)
    moved = {n: gap(p.detach(), weights[n]) for n, p in learner.named_parameters()}
    return before, after, moved, (learner, weights)


def floats(rows):
    x = rows.x.double() / 255 if rows.x.dtype == torch.uint8 else rows.x.double()
    return rows.with_x(x)


def gap(a, b):
    return float((a - b).detach().abs().max())


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_old_outputs_stay_under_every_optimiser(optimiser):
    """THEORY 14.1 (a), the law: with all inputs and eps = 1, features and old classes' logits."""
    before, after, moved, _ = taught(GPM(eps=1.0), optimiser)
    assert gap(before.features, after.features) < 1e-6
    assert gap(before.logits[:, :2], after.logits[:, :2]) < 1e-6
    assert gap(before.logits[:, 2:], after.logits[:, 2:]) > 1e-2  # new classes' rows are free
    assert moved["backbone.layers.0.weight"] > 1e-2


@pytest.mark.parametrize("optimiser", ["decay", "adam"])
def test_a_projected_gradient_alone_does_not_hold_old_outputs(optimiser):
    before, after, _, _ = taught(GPM(eps=1.0), optimiser, wrap=OnlyGradient)
    assert gap(before.features, after.features) > 1e-3


def test_a_residual_network_of_convolutions_holds_them_too():
    before, after, moved, _ = taught(GPM(eps=1.0), "decay", "textures", 1, 10)
    assert gap(before.features, after.features) < 1e-6
    assert max(v for n, v in moved.items() if n.startswith("backbone")) > 1e-3
    free = taught(GPM(eps=0.5), "decay", "textures", 1, 10)
    assert gap(free[0].features, free[1].features) > 1e-3


@pytest.mark.parametrize("optimiser", ["decay", "adamw"])
def test_a_projected_head_keeps_the_old_inputs_logits_of_all_classes(optimiser):
    before, after, moved, _ = taught(GPM(eps=1.0, head="projected"), optimiser)
    assert gap(before.logits, after.logits) < 1e-6 and moved["head.weight"] > 1e-3


def test_a_free_head_moves_the_old_rows():
    before, after, _, _ = taught(GPM(eps=1.0, head="free"), "decay")
    assert gap(before.features, after.features) < 1e-6
    assert gap(before.logits[:, :2], after.logits[:, :2]) > 1e-2


@pytest.mark.parametrize("seed", [5, 9, 14])  # at which the old rows once moved by their last bit
def test_old_rows_of_the_head_stay_bit_for_bit_and_so_do_biases(seed):
    torch.manual_seed(seed)
    for rule in (GPM(0.9), OWM(), CoSO()):
        prepare = one_row_steps if isinstance(rule, CoSO) else None
        _, _, moved, (learner, weights) = taught(rule, "decay", prepare=prepare)
        for name in ("head.weight", "head.bias"):
            now = learner.get_parameter(name)
            assert torch.equal(now[:2], weights[name][:2]) and not torch.equal(now, weights[name])
        assert moved["backbone.layers.0.bias"] == 0
    assert taught(GPM(0.9, hold_others=False), "decay")[2]["backbone.layers.0.bias"] > 0


def test_owm_with_a_tiny_alpha_holds_what_its_means_span():
    """THEORY 14.2: one row a batch, so that the means span the inputs."""
    rule = OWM(alpha=1e-12, batch=1)
    before, after, moved, _ = taught(rule, "decay")
    assert gap(before.features, after.features) < 1e-6 and moved["backbone.layers.0.weight"] > 1e-2
    loose = taught(OWM(alpha=1e-12, batch=4), "decay")  # one mean of all rows: they move about it
    assert gap(loose[0].features, loose[1].features) > 1e-2


def one_row_steps(rule, learner, step):
    """Steps of the first task of one row each, as CoSO sketches gradients; the network stays."""
    rows = step["batch"].rows
    for i in range(len(rows)):
        one = Step(
            {"batch": rows[i : i + 1]}, learner, None, 0, step.classes, step.seen, learner=learner
        )
        learner.zero_grad()
        CrossEntropy("seen")(one).backward()
        rule.gradient({n: p.grad for n, p in learner.named_parameters() if p.grad is not None}, one)
    learner.zero_grad()


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_coso_in_the_inputs_holds_the_first_layers_outputs(optimiser):
    """THEORY 14.3 (d): a gradient of one row is a multiple of its input; deeper layers have dead units."""
    rule = CoSO("in", eps=1.0)
    _, _, moved, (learner, weights) = taught(rule, optimiser, prepare=one_row_steps)
    rows = few(small_stream(vectors), 0, 2).train.x
    a = learner._prepared(rows.double())
    change = learner.backbone.layers[0].weight - weights["backbone.layers.0.weight"]
    assert gap(a @ change.T, torch.zeros(())) < 1e-6 < 1e-3 < moved["backbone.layers.0.weight"]


def test_coso_in_the_outputs_holds_m_t_w_and_lets_old_outputs_move():
    rule = CoSO("out", eps=0.9)
    before, after, _, (learner, weights) = taught(rule, "decay", prepare=one_row_steps)
    for name, M in rule.bases.items():
        assert 0 < M.shape[1] < len(M)
        change = (learner.get_parameter(name) - weights[name]).flatten(1).detach()
        assert gap(M.T @ change, torch.zeros(())) < 1e-6 < 1e-4 < float(change.abs().max())
    assert gap(before.features, after.features) > 1e-2


# nothing held, everything held


def plain(method, **changes):
    return learned(method, small_stream(each=6), QUICK.updated(epochs=1, **changes))


def test_without_a_direction_it_is_fine_tuning_bit_for_bit():
    """THEORY 14.1 (b)."""
    states = [
        dict(plain(Method(CrossEntropy(), anchors)).learner.state_dict())
        for anchors in ([], [GPM(eps=0.0, growth=0.0)])
    ]
    assert not difference(*states)


@pytest.mark.parametrize("rule", [GPM(1.0), CoSO("in", eps=1.0), CoSO("out", eps=1.0)])
def test_where_every_direction_is_held_no_weight_moves(rule):
    learner, stream = network("vectors", double=False)
    rule = copy.deepcopy(rule)
    for name in dense_layers(learner):
        d = learner.get_parameter(name)
        d = d.shape[1] if rule.side == "in" else d.shape[0]
        rule.bases[name] = torch.linalg.qr(torch.randn(d, d, generator=chance()))[0]
    step = Step({"batch": stream[1].train}, learner, None, 1, (2, 3), (0, 1, 2, 3), learner=learner)
    delta = {n: torch.ones_like(p) for n, p in learner.named_parameters()}
    for edits in (rule.gradient(dict(delta), step), rule.update(dict(delta), step)):
        assert all(float(t.abs().max()) == 0 for n, t in edits.items() if not n.startswith("head"))
        assert edits["head.weight"][:2].abs().max() == 0 and bool(
            (edits["head.weight"][2:] == 1).all()
        )


def test_owm_with_a_huge_alpha_is_fine_tuning():
    methods = [Method(CrossEntropy(), a) for a in ([], [OWM(1e12, head="free", hold_others=False)])]
    one, other = (dict(plain(m).learner.state_dict()) for m in methods)
    assert not difference(one, other, within=1e-5)
    held = dict(plain(Method(CrossEntropy(), [OWM(1e-6)])).learner.state_dict())
    assert difference(one, held, within=1e-5)


@pytest.mark.parametrize("side", ["in", "out"])
def test_coso_with_full_ranks_is_plain_sgd(side):
    """THEORY 14.3 (b): the first task, where M is empty."""
    bench = Bench()
    step = bench.step(first=True)
    CrossEntropy("seen")(step).backward()
    g = {n: p.grad for n, p in bench.learner.named_parameters() if p.grad is not None}
    assert_close(CoSO(side, r1=1000, r2=1000).gradient(dict(g), step), g, atol=1e-6, rtol=1e-4)
    low = CoSO(side, r1=1).gradient(dict(g), step)
    name = next(n for n in g if n.startswith("backbone") and g[n].ndim == 4 and g[n].shape[1] > 1)
    assert int(torch.linalg.matrix_rank(low[name].flatten(1), rtol=1e-4)) == 1
    assert torch.equal(low["head.weight"], g["head.weight"])


def test_coso_renews_its_frame_every_k_steps():
    rule, bench, frames = CoSO(every=3), Bench(), []
    for scale in range(1, 6):
        step = bench.step()
        (scale * CrossEntropy("seen")(step) + step["batch"].out.features[0, scale % 3]).backward()
        g = {n: p.grad.clone() for n, p in bench.learner.named_parameters() if p.grad is not None}
        rule.gradient(g, step)
        frames.append(next(iter(rule.frames.values())).clone())
    same = [torch.equal(a, b) for a, b in pairwise(frames)]
    assert same == [True, True, False, True]


# in a run


def method_of(rule, **options):
    return Method(CrossEntropy("new"), [rule], hold_norms="all", **options)


@pytest.mark.parametrize("make_rule", [lambda: GPM(0.9), lambda: CoSO(eps=0.9), lambda: OWM()])
def test_the_rules_obey_the_laws(make_rule):
    check_rule(make_rule(), run=False)


def test_what_is_logged_of_what_is_free(caplog):
    with caplog.at_level(logging.INFO, "holdfast.anchor.subspace"):
        run = plain(method_of(GPM(0.9)))
    rule = run.continual.method.rules[0]
    free = rule.free_directions()
    assert all(0 <= left < whole for left, whole in free.values()) and len(free) == 3
    assert "free directions after task 1: backbone." in caplog.text
    assert not any(name.startswith(("head", "projector")) for name in free)
    with caplog.at_level(logging.WARNING, "holdfast.anchor.subspace"):
        rule.bases = {"a": torch.eye(2), "b": torch.eye(3)}
        rule.log_free(4)
    assert "no direction of any layer is free after task 5" in caplog.text


def test_ranks_never_fall_and_the_share_that_is_free_is_recorded():
    rule, shares, ranks = GPM(0.8, growth=0.05, inputs=3), [], []
    core = Continual(method_of(rule), (12,), QUICK.updated(epochs=1))
    for task in small_stream(vectors):
        shares += [epoch.records.get("free") for epoch in core.learn(task)]
        M = core.method.rules[0].bases
        ranks.append({name: basis.shape[1] for name, basis in M.items()})
        for basis in M.values():
            assert_close(basis.T @ basis, torch.eye(basis.shape[1]), atol=1e-6, rtol=0)
    assert shares[0] is None and 1 > shares[1] > shares[2] > 0
    assert all(later[n] >= ranks[0][n] for later in ranks for n in ranks[0])


def test_classes_that_come_again_learn_in_the_head():
    """Rows of classes that only came before stay, those of the task's classes do not."""
    learner, stream = network("vectors", double=False)
    rule = GPM(0.9)
    rule.moved.update(n for n, _ in learner.named_parameters())
    rule.consolidate(learner, stream[0])
    step = Step({"batch": stream[1].train}, learner, None, 1, (1, 2), (0, 1, 2), learner=learner)
    edits = rule.update({n: torch.ones_like(p) for n, p in learner.named_parameters()}, step)
    assert edits["head.bias"].tolist() == [0, 1, 1, 1]


def test_owm_during_a_task_shrinks_what_the_task_itself_needs():
    """A fall of alpha makes P smaller towards the end of a task; norms and modes are left alone."""
    runs = [plain(method_of(OWM(1.0, during="task", fall=fall)), batch=4) for fall in (1.0, 1e-3)]
    rules = [run.continual.method.rules[0] for run in runs]
    traces = [sum(float(P.trace()) for P in rule.projectors.values()) for rule in rules]
    assert traces[1] <= traces[0] < sum(len(P) for P in rules[0].projectors.values())
    end = plain(method_of(OWM(1.0)), batch=4)
    assert difference(dict(end.learner.state_dict()), dict(runs[0].learner.state_dict()))


def test_owm_during_a_task_needs_one_process():
    bench = Bench()
    with together(Ranks(0, 2)), pytest.raises(ConfigError, match="use one device"):
        OWM(during="task").gradient({}, bench.step())


def test_a_network_without_any_known_layer_is_refused():
    learner, stream = network()
    rule = GPM()
    rule.moved.add("head.weight")
    with pytest.raises(ConfigError, match="gpm projects linear layers and plain convolutions"):
        rule.consolidate(learner, stream[0])


@pytest.mark.parametrize(
    "build, words",
    [
        (lambda: GPM(eps=-1.0), "shares from 0 on"),
        (lambda: GPM(inputs=0), "one input"),
        (lambda: CoSO(r1=0), "at least 1"),
        (lambda: CoSO(side="out", head="projected"), "grows in its outputs"),
        (lambda: CoSO(eps=-0.1), "share from 0"),
        (lambda: OWM(alpha=0.0), "above 0"),
        (lambda: OWM(batch=0), "at least 1 row"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(build, words):
    with pytest.raises(ConfigError, match=words):
        build()


@pytest.mark.parametrize("recipe", ["gpm", "coso", "owm"])
def test_the_recipes_hold_the_norms_and_the_new_classes_compete(recipe):
    method = make(recipe, head="projected", classes="seen", decide="head")
    assert method.hold_norms == "all" and method.rules[0].head == "projected"
    assert method.terms[0].classes == "seen" and method.readout.name == "head"
    assert make(recipe).terms[0].classes == "new" and make(recipe).rules[0].head == "held"


@pytest.mark.parametrize(
    "text", ["gpm:head=open", "coso:side=left", "owm:during=never", "owm:classes=all"]
)
def test_a_word_that_is_none_of_the_options_is_refused(text):
    with pytest.raises(ConfigError, match=r"one of|unknown|did you mean"):
        make(text)
