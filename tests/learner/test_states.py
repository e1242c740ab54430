"""A network with a state a task."""

import copy

import pytest
import torch

from holdfast.core.output import outputs
from holdfast.learner import Learner
from holdfast.learner.states import (
    StatesOutput,
    TaskStates,
    ask_states,
    changeable,
    packed,
    under,
    unpacked,
)
from holdfast.recipes import make
from holdfast.recipes.adding import with_parts
from holdfast.testing import check_states, small_stream
from holdfast.testing.compare import difference, through_disk, weights


@pytest.mark.parametrize("shape", [(1,), (32,), (5, 7), (4, 3, 3, 3)])
def test_a_mask_is_itself_after_it_was_packed_at_one_bit_a_number(shape):
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.4
    words = packed(mask)
    assert words.dtype == torch.int32
    assert len(words) == -(-mask.numel() // 32)
    assert torch.equal(unpacked(words, shape), mask)


def stateful(masks=2):
    """A small learner with states of random masks."""
    torch.manual_seed(0)
    learner = Learner((1, 8, 8), "auto", 4, 8, 2).eval()
    name = "backbone.layers.0.weight"
    weight = learner.backbone.layers[0].weight
    base = {n: t for n, t in changeable(learner).items() if n != name}
    learner.states = TaskStates({name: weight}, base)
    said, rows = [], small_stream()[0].test
    for _ in range(masks):
        mask = torch.rand(weight.shape) < 0.5
        with torch.no_grad():
            weight.copy_(learner.states.weights()[name] * mask)
            learner.backbone.layers[1].running_mean.add_(0.1)
            learner.head.bias.add_(1.0)
        learner.states.keep(learner, {name: mask})
        said.append(outputs(learner, rows))
        learner.head.grow(len(learner.head.bias) + 2)
    return learner, rows, said


def test_under_a_state_the_network_is_what_it_was_and_afterwards_what_it_is():
    learner, rows, said = stateful()
    before = weights(learner)
    for index, expected in enumerate(said):
        with under(learner, index):
            now = outputs(learner, rows)
        assert torch.equal(now.features, expected.features)
        torch.testing.assert_close(now.logits[:, : 2 + 2 * index], expected.logits)
    assert not difference(before, weights(learner))
    assert not torch.equal(said[0].features, said[1].features)


def test_states_go_through_a_file_into_another_learner_and_out_of_one_that_had_more():
    learner, rows, said = stateful()
    twin = Learner((1, 8, 8), "auto", 4, 8, len(learner.head.bias)).eval()
    plain = copy.deepcopy(dict(twin.state_dict()))
    twin.load_state_dict(through_disk(dict(learner.state_dict()), "a learner"))
    out = ask_states(twin, rows)
    assert isinstance(out, StatesOutput)
    assert [torch.equal(a.features, b.features) for a, b in zip(out.by_state, said)] == [True] * 2
    some = torch.tensor([3, 1])
    assert torch.equal(out.rows(some).by_state[1].features, said[1].features[some])
    twin.load_state_dict(plain)
    assert twin.states is None
    assert not isinstance(ask_states(twin, rows), StatesOutput)


def test_a_tensor_that_no_task_changed_is_stored_once():
    learner, _, _ = stateful(5)
    names = [list(dict(state.named_buffers())) for state in learner.states.each]
    assert all("whole|backbone/layers/1/running_mean" in one for one in names)
    assert not any("projector" in name for one in names for name in one)


@pytest.mark.parametrize(
    "recipe, parts",
    [
        ("sparse:every=2:reuse=no:spread=uniform:density=0.3", ()),
        ("sparse:every=3:grow=momentum", ()),
        ("masks:rate=1", ()),
        ("masks:first=no:rate=1", ()),
        ("lwf_strict", ("sparse:every=2:criterion=energy",)),
        ("fnc2_strict", ("masks:rate=1",)),
    ],
)
def test_what_a_task_has_learned_is_asked_for_again_to_the_bit(recipe, parts):
    check_states(with_parts(make(recipe), parts))
