"""Ghost batch norm."""

import pytest
import torch
from torch import nn

from checker import unchecked
from holdfast.anchor import GhostNorm
from holdfast.core.errors import ConfigError
from holdfast.learner.ghost import ghost_norm, ghosted, ghosts
from holdfast.recipes import make
from holdfast.recipes.adding import with_parts
from holdfast.testing import check_rule, small_stream
from holdfast.testing.streams import CLASSES
from holdfast.testing.watched import QUICK
from holdfast.train.continual import Continual
from reference_isolation import batch_norm


def norm(channels=3):
    module = nn.BatchNorm2d(channels)
    with torch.no_grad():
        module.weight.copy_(torch.linspace(0.5, 1.5, channels))
        module.bias.copy_(torch.linspace(-1, 1, channels))
    return module


def rows(count=10, channels=3, side=2):
    return torch.randn(count, channels, side, side, generator=torch.Generator().manual_seed(0))


def test_every_ghost_is_its_twin_and_running_statistics_take_a_step_each():
    module, x = norm(), rows()
    part = torch.tensor([0, 1, 1, 0, 0, 1, 0, 1, 1, 1])
    groups = ghosts(10, 3, part)
    assert [g.tolist() for g in groups] == [[0, 3, 4, 6], [1, 2, 5], [7, 8, 9]]
    out = ghost_norm(module, groups, x)
    mean = torch.zeros(3)
    for group in groups:
        flat = x[group].permute(0, 2, 3, 1).reshape(-1, 3)
        expected = batch_norm(
            flat.tolist(), module.eps, module.weight.tolist(), module.bias.tolist()
        )
        got = out[group].permute(0, 2, 3, 1).reshape(-1, 3)
        torch.testing.assert_close(got, torch.tensor(expected), atol=1e-5, rtol=1e-5)
        mean = 0.9 * mean + 0.1 * flat.mean(0)
    torch.testing.assert_close(module.running_mean, mean)
    assert int(module.num_batches_tracked) == 3


@pytest.mark.parametrize("running", [0, 1])
def test_running_statistics_may_be_those_of_one_part(running):
    x, part = rows(), torch.tensor([0, 1] * 5)
    every, some, alone = norm(), norm(), norm()
    with ghosted(every, 0, part), ghosted(some, 0, part, running):
        torch.testing.assert_close(every(x), some(x))
    alone(x[part == running])
    torch.testing.assert_close(some.running_mean, alone.running_mean)
    torch.testing.assert_close(some.running_var, alone.running_var)
    assert not torch.equal(some.running_mean, every.running_mean)


def test_one_ghost_is_batch_norm_bit_for_bit_and_so_is_evaluation():
    x, one, plain = rows(), norm(), norm()
    with ghosted(one, 0):
        assert torch.equal(one(x), plain(x))
    assert torch.equal(one.running_var, plain.running_var)
    with ghosted(one.eval(), 2):
        assert torch.equal(one(x), plain.eval()(x))
    assert "forward" not in vars(one)


def test_the_order_of_rows_within_a_ghost_is_nothing():
    x, order = rows(8), torch.tensor([2, 0, 3, 1, 7, 6, 5, 4])
    a, b = norm(), norm()
    with ghosted(a, 4), ghosted(b, 4):
        torch.testing.assert_close(a(x)[order], b(x[order]))


def test_a_ghost_of_one_value_is_refused():
    with pytest.raises(ConfigError, match="1 x 1 pixels"):
        ghost_norm(norm(), ghosts(4, 0, torch.tensor([0, 1, 1, 1])), rows(4, side=1))


@pytest.mark.parametrize(
    "settings", [{"size": 1}, {"size": -2}, {"by": "class"}, {"running": "new", "by": "batch"}]
)
def test_bad_settings_are_refused(settings):
    with pytest.raises(ConfigError):
        unchecked(GhostNorm.__init__)(GhostNorm(), **settings)


def test_a_run_normalises_old_and_new_rows_apart():
    method = with_parts(make("joint"), ["ghost_norm:size=0"])
    stream = small_stream()
    core = Continual(method, stream.shape, QUICK, CLASSES)
    calls = []
    from holdfast.learner import ghost

    inner = ghost.ghost_norm

    def watched(module, groups, x, counted):
        calls.append([len(group) for group in groups])
        return inner(module, groups, x, counted)

    ghost.ghost_norm = watched
    try:
        for task in stream.tasks[:2]:
            core.learn(task)
    finally:
        ghost.ghost_norm = inner
    assert {len(groups) for groups in calls} == {1, 2}
    assert all(sum(groups) <= QUICK.training.batch for groups in calls)


def test_it_obeys_the_laws_of_a_rule():
    check_rule(GhostNorm(4))
