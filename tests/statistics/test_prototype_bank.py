"""Prototypes that move (THEORY 22.5)."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

import reference
import reference_studies
from holdfast.core.errors import ConfigError
from holdfast.core.output import outputs
from holdfast.learner import Frame, Learner
from holdfast.memory.meter import measure
from holdfast.metrics.collapse import nc2
from holdfast.recipes import make
from holdfast.statistics import PrototypeBank, build_frame, fit_drift
from holdfast.testing.streams import small_stream
from holdfast.train.events import TaskDone
from holdfast.train.runner import Run
from holdfast.train.setup import Setup, Training


def bank(kind="running", classes=4, **settings):
    some = PrototypeBank(kind, 6, 0, 1, **settings)
    some.extend(classes)
    return some


def test_a_class_that_was_not_met_has_its_vertex():
    assert_close(bank().vectors, Frame(6, 0, 1).vectors)
    assert len(bank()) == 7 and bank().moves and not Frame(6).moves


@pytest.mark.parametrize("momentum", [0.0, 0.7, 1.0])
def test_a_running_mean_equals_its_twin(momentum):
    some = bank(momentum=momentum)
    q, met = some.vectors[:4].tolist(), [False] * 4
    for seed in range(3):
        z, y = reference.unit_rows(7, 6, seed).float(), torch.tensor([0, 1, 1, 0, 3, 3, 3])
        q = reference_studies.running(q, met, z.tolist(), y.tolist(), momentum)
        met = [True, True, False, True]
        some.observe(z, y)
        assert_close(some.vectors[:4], torch.tensor(q), atol=1e-6, rtol=0)
    assert some.met.tolist() == met


def test_a_first_meeting_is_the_mean_and_a_momentum_of_one_then_stays():
    some, y = bank(momentum=1.0), torch.tensor([1, 1])
    z = reference.unit_rows(2, 6, 0).float()
    some.observe(z, y)
    first = some.vectors[1].clone()
    assert_close(first, functional.normalize(z.mean(0), dim=0))
    some.observe(reference.unit_rows(2, 6, 5).float(), y)
    assert_close(some.vectors[1], first)


def test_it_converges_to_a_constant_and_keeps_length_one():
    """Towards an orthogonal point tan of the angle, times (1 - mu), is what is left: mu^t and no faster."""
    some, y = bank(momentum=0.9), torch.tensor([0])
    some.observe(torch.eye(6)[:1], y)
    distances = []
    for _ in range(120):
        some.observe(torch.eye(6)[1:2], y)
        distances.append(float((some.vectors[0] - torch.eye(6)[1]).norm()))
    assert distances[-1] < 1e-3 < distances[20] < distances[0]
    assert distances[60] / distances[59] == pytest.approx(0.9, abs=0.02)
    assert_close(some.vectors.norm(dim=1), torch.ones(7))


def test_absent_classes_keep_their_bits_and_the_old_tensor_is_not_written_to():
    some = bank()
    some.observe(reference.unit_rows(4, 6, 0).float(), torch.tensor([0, 1, 2, 3]))
    before, kept = some.moved, some.moved.clone()
    some.observe(reference.unit_rows(2, 6, 3).float(), torch.tensor([2, 2]))
    assert torch.equal(before, kept)
    assert torch.equal(some.moved[[0, 1, 3]], kept[[0, 1, 3]])
    assert not torch.equal(some.moved[2], kept[2])


def test_collapse_of_the_bank_shows_in_its_nc2():
    frame = Frame(4)
    assert float(frame.unevenness(5)) == pytest.approx(0, abs=1e-6)
    some = bank()
    some.observe(torch.eye(6)[[0, 0, 0, 0]], torch.arange(4))
    collapsed = float(some.unevenness(4))
    some = bank()
    some.observe(torch.eye(6)[:4], torch.arange(4))
    assert collapsed > 0.99 > float(some.unevenness(4)) > 0.4
    assert float(some.unevenness(4)) == pytest.approx(
        float(nc2(some.vectors[:4], centred=False)), abs=1e-6
    )


def test_what_it_keeps_is_counted_and_comes_back():
    some = bank()
    some.observe(reference.unit_rows(2, 6, 0).float(), torch.tensor([0, 3]))
    held = measure({"frame": some}, None)
    assert held.floats == 4 * 6 + 4 and measure({"frame": Frame(6)}, None).floats == 0
    other = bank()
    other.load_state_dict(some.state_dict())
    assert torch.equal(other.vectors, some.vectors)


def task_and_learners():
    stream = small_stream(each=8, tests=2)
    torch.manual_seed(0)
    past = Learner(stream.shape, "auto", 4, dim=6).eval()
    torch.manual_seed(1)
    return stream[1], Learner(stream.shape, "auto", 4, dim=6).eval(), past


def test_class_means_at_a_tasks_end_are_those_of_the_embeddings():
    task, learner, past = task_and_learners()
    some = bank("mean")
    some.observe(torch.eye(6)[:2], torch.tensor([2, 3]))
    assert not some.met.any()  # as long as a task is learned its classes have their vertices
    some.settle(learner, task, past)
    z, y = outputs(learner, task.train).embedding, task.train.y
    for c in task.classes:
        assert_close(some.vectors[c], functional.normalize(z[y == c].mean(0), dim=0))
    assert some.met.tolist() == [False, False, True, True]


def test_old_prototypes_follow_the_drift_only_if_asked():
    task, learner, past = task_and_learners()
    for follow in (False, True):
        some = bank(follow=follow)
        some.observe(reference.unit_rows(4, 6, 2).float(), torch.arange(4))
        before = some.vectors.clone()
        some.settle(learner, task, past)
        move = fit_drift(
            outputs(past, task.train).embedding, outputs(learner, task.train).embedding
        )
        wanted = functional.normalize(move(before[:2]), dim=1) if follow else before[:2]
        assert_close(some.vectors[:2], wanted)
        assert torch.equal(
            some.vectors[2:4], before[2:4]
        )  # the task's own are as the rows left them
    assert not torch.equal(some.vectors[:2], before[:2])


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"prototypes": "moving"}, "unknown kind of prototypes"),
        ({"prototypes": "running", "momentum": 1.5}, "from 0 to 1, not 1.5"),
        ({"follow": True}, "fixed prototypes do not follow"),
    ],
)
def test_strange_settings_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        build_frame(**settings)
    with pytest.raises(ConfigError, match="unknown kind of moving prototypes"):
        PrototypeBank("fixed")


def test_a_run_moves_the_prototypes_of_the_classes_it_learns():
    """In a run the loss, S-PRD and a readout share one bank, and classes of earlier tasks stay."""
    method = make("fnc2_strict:dim=8:prototypes=running:prototype_momentum=0.5:decide=prototype")
    setup = Setup(training=Training(epochs=1, first_epochs=1, batch=12))
    work = Run(method, small_stream(each=6, tests=2), setup)
    ends = (event for event in work.events() if isinstance(event, TaskDone))
    seen = [work.continual.method.frame.vectors.clone() for _ in ends]
    frame = work.continual.method.frame
    readout = work.continual.readouts["prototype"]
    assert readout.frame is frame and frame.met.all()
    shared = [m for o in work.continual.method.objectives for m in o.modules() if m is frame]
    assert len(shared) >= 2 and isinstance(shared[0], nn.Module)
    assert torch.equal(seen[0][:2], seen[-1][:2]) and not torch.equal(seen[0][2:4], seen[-1][2:4])
    assert torch.equal(seen[1][2:4], seen[-1][2:4])
