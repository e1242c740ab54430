"""Task arithmetic and TIES, as functions of weights and in a run."""

import pytest
import torch

from checker import unchecked
from holdfast.anchor import Merged, merge_weights
from holdfast.anchor.merged import trained
from holdfast.anchor.merging import merged_move
from holdfast.core.errors import ConfigError
from holdfast.recipes import make
from holdfast.testing import check_rule, small_stream
from holdfast.testing.streams import CLASSES
from holdfast.testing.watched import QUICK
from holdfast.train.continual import Continual
from reference_isolation import ties


def moves(tasks=3, numbers=23, seed=0):
    return torch.randn(tasks, numbers, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("keep", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_ties_is_its_twin(keep, seed):
    tau = moves(seed=seed)
    tau[:, 4] = 0
    tau[0, 5], tau[1, 5], tau[2, 5] = 3.0, -3.0, 0.0  # the sum is 0: the majority's sign decides
    expected = torch.tensor(ties(tau.tolist(), keep), dtype=torch.float64)
    torch.testing.assert_close(merged_move(tau, "ties", keep), expected)


def test_one_network_alone_is_itself_at_scale_1():
    w0, w1 = ({"a": torch.randn(3, 2), "b": torch.randn(4)} for _ in range(2))
    for how, keep in (("arithmetic", 0.2), ("ties", 1.0)):
        merged = merge_weights(w0, [w1], how, 1.0, keep)
        for name in w0:
            torch.testing.assert_close(merged[name], w1[name])


def test_equal_moves_are_the_trimmed_move_and_opposite_ones_are_settled_by_their_mass():
    tau = moves(1)
    cut = torch.tensor(ties(tau.tolist(), 0.3), dtype=torch.float64)
    torch.testing.assert_close(merged_move(tau.repeat(3, 1), "ties", 0.3), cut)
    both = torch.cat([tau, -2 * tau])
    torch.testing.assert_close(merged_move(torch.cat([tau, -tau])), torch.zeros_like(tau[0]))
    torch.testing.assert_close(merged_move(both, "ties", 1.0), -2 * tau[0])


def test_where_signs_agree_ties_of_everything_is_the_mean_and_the_order_of_tasks_is_nothing():
    tau = moves().abs()
    torch.testing.assert_close(merged_move(tau, "ties", 1.0), tau.mean(0))
    tau = moves()
    for how in ("arithmetic", "ties"):
        torch.testing.assert_close(merged_move(tau, how), merged_move(tau[[2, 0, 1]], how))


def test_running_statistics_are_averaged_by_the_rows_and_counters_are_the_start_s():
    w0 = {"n.running_mean": torch.zeros(2), "n.num_batches_tracked": torch.tensor(7)}
    ends = [
        {"n.running_mean": torch.tensor(v), "n.num_batches_tracked": torch.tensor(9)}
        for v in ([1.0, 0.0], [4.0, 4.0])
    ]
    merged = merge_weights(w0, ends, scale=0.1, counts=[30, 10])
    assert merged["n.running_mean"].tolist() == [1.75, 1.0]
    assert int(merged["n.num_batches_tracked"]) == 7


@pytest.mark.parametrize(
    "ends, settings, words",
    [
        ([], {}, "no network"),
        ([{"a": torch.zeros(3)}], {}, "other weights"),
        ([{"a": torch.zeros(2)}], {"how": "mean"}, "arithmetic"),
        ([{"a": torch.zeros(2)}], {"keep": 0.0}, "share"),
    ],
)
def test_what_cannot_be_merged_is_refused(ends, settings, words):
    with pytest.raises(ConfigError, match=words):
        unchecked(merge_weights)({"a": torch.zeros(2)}, ends, **settings)


@pytest.mark.parametrize("recipe", ["task_arithmetic:scale=0.4", "ties:scale=0.7:keep=0.5"])
@pytest.mark.parametrize("base", ["first", "start"])
def test_a_run_ends_each_task_in_the_merge_of_all_of_them(recipe, base):
    core = Continual(make(f"{recipe}:base={base}"), small_stream().shape, QUICK, CLASSES)
    (rule,) = core.method.rules
    ends, began, counts = [], [], []
    begin, adjust = rule.begin, rule.adjust

    def noted(learner, task):
        ends.append({n: t.detach().clone() for n, t in trained(learner).items()})
        counts.append(len(task.train))
        adjust(learner, task)

    def starts(learner, task):
        begin(learner, task)
        began.append({n: t.detach().clone() for n, t in trained(learner).items()})

    rule.begin, rule.adjust = starts, noted
    for task in small_stream():
        core.learn(task)
    start = ends[0] if base == "first" else began[0]
    how = "ties" if recipe.startswith("ties") else "arithmetic"
    expected = merge_weights(start, ends, how, rule.scale, rule.keep, counts)
    now = trained(core.learner)
    assert any("running_mean" in name for name in now)
    for name, tensor in expected.items():
        torch.testing.assert_close(now[name].detach(), tensor, atol=1e-6, rtol=1e-5)
    assert all(not any((w != start[n]).any() for n, w in one.items()) for one in began[1:])


def test_current_statistics_are_those_of_the_task_s_rows():
    core = Continual(make("ties:norms=current"), small_stream().shape, QUICK, CLASSES)
    stream = small_stream()
    for task in stream.tasks[:2]:
        core.learn(task)
    learner, rows = core.learner.eval(), stream[1].train
    x = (rows.x.float() / 255 - learner.mean.view(1, -1, 1, 1)) / learner.std.view(1, -1, 1, 1)
    first = learner.backbone.layers[0](x)
    torch.testing.assert_close(learner.backbone.layers[1].running_mean, first.mean((0, 2, 3)))


@pytest.mark.parametrize("rule", [Merged("ties", keep=0.5), Merged("arithmetic", base="start")])
def test_it_obeys_the_laws_of_a_rule(rule):
    check_rule(rule)
