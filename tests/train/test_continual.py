"""The open-ended core: tasks one at a time, the number of classes never known."""

import copy
import pickle
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from every_recipe import QUICKER
from holdfast.core.errors import ConfigError
from holdfast.core.settings import Machine, Network, Training
from holdfast.learner import Frame, simplex_etf
from holdfast.loss import Term
from holdfast.recipes import RECIPES, make
from holdfast.recipes.method import Method
from holdfast.train.continual import Continual
from holdfast.train.events import STOP
from holdfast.train.runner import Run, run
from holdfast.train.setup import Setup

QUICK = Training(epochs=2, batch=16, lr=0.01)


SETUP = Setup(QUICK, Network(width=16), Machine("cpu"))


def fresh(recipe="fnc2", shape=(5,), classes=0, **changes):
    method = make(recipe) if isinstance(recipe, str) else recipe
    return Continual(method, shape, SETUP.updated(**changes), classes)


def teach(model, x, labels):
    return model.learn(model.arrive(x, labels))


def cloud(count, at=0.0, seed=0, width=5):
    return at + torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.filterwarnings("ignore:lr . weight . max:UserWarning")  # stiff, on so few rows
@pytest.mark.parametrize("recipe", RECIPES)
def test_new_old_and_mixed_classes_may_come_in_any_numbers(recipe):
    contrast = recipe not in ("lwf", "lwf_wa", "ida")
    model = fresh(QUICKER.get(recipe, recipe), **({} if contrast else {"readout": "gaussian"}))
    teach(model, cloud(12, 3), ["b", "a"] * 6)
    teach(model, cloud(1), ["z"])
    teach(model, cloud(13, -3), ["a"] * 9 + ["q", "z", "c", "c"])
    assert model.labels == ["a", "b", "z", "c", "q"]
    assert [note.classes for note in model.progress.notes] == [
        ["a", "b"],
        ["z"],
        ["a", "z", "c", "q"],
    ]
    assert model.seen == (0, 1, 2, 3, 4) and model.progress.task == 3
    scores = model.scores(cloud(7))
    assert scores.shape == (7, 5) and bool(scores.isfinite().all())


@pytest.mark.parametrize("recipe", ["fnc2", "derpp", "ewc"])
def test_it_is_the_bench_loop(recipe, tiny_stream):
    """The same tasks, one at a time, give the bits of a run (whose growing head is no other)."""
    method = make(recipe, classes="seen") if recipe == "derpp" else make(recipe)
    setup = SETUP.updated(width=4)
    work = Run(method, tiny_stream, setup)
    assert len(list(work.events())) == 9
    model = Continual(method, tiny_stream.shape, setup)
    for task in tiny_stream:
        names = [tiny_stream.names[c] for c in task.train.y.tolist()]
        arrived = model.arrive(task.train.x, names)
        assert arrived.classes == task.classes
        model.learn(replace(arrived, train=replace(arrived.train, key=task.train.key)))
    for name, value in work.learner.state_dict().items():
        assert torch.equal(value, model.learner.state_dict()[name]), name
    x = tiny_stream[0].test.x
    assert torch.equal(model.scores(x), work.continual.readouts[model.readout].scores(model.out(x)))


def test_a_whole_head_grows_where_nobody_knows_the_classes():
    model = fresh("derpp", readout="head")
    teach(model, cloud(8), ["a", "b"] * 4)
    assert len(model.learner.head.bias) == 2
    teach(model, cloud(8, 2), ["c", "d"] * 4)
    assert len(model.learner.head.bias) == 4 and model.scores(cloud(3)).shape == (3, 4)
    assert len(fresh("derpp", classes=7).learner.head.bias) == 7


@pytest.mark.parametrize("recipe", ["lwf", "lwf_wa", "ida"])
def test_a_class_alone_is_refused_where_it_would_teach_nothing(recipe):
    model = fresh(recipe)
    teach(model, cloud(8), ["a", "b"] * 4)
    with pytest.raises(ConfigError, match=f"{recipe} contrasts .* task of 'c' alone"):
        model.arrive(cloud(20), ["c"] * 20)
    assert model.labels == ["a", "b"]
    teach(model, cloud(4), ["c", "d"] * 2)
    assert model.labels == ["a", "b", "c", "d"]


@pytest.mark.parametrize("recipe", ["supcon", "co2l", "fnc2"])
def test_contrast_learns_a_class_alone_also_as_the_first(recipe):
    model = fresh(recipe)
    teach(model, cloud(20, 0, 1), ["a"] * 20)
    teach(model, cloud(20, 6, 2), ["b"] * 20)
    predicted = model.scores(torch.cat([cloud(20, 0, 3), cloud(20, 6, 4)])).argmax(1)
    assert float((predicted == torch.arange(40) // 20).float().mean()) > 0.9


def test_more_classes_than_equidistant_prototypes_go_on_with_a_warning():
    model = fresh(make("fnc2", dim=4))
    teach(model, cloud(10), list("abcdeabcde"))
    with pytest.warns(UserWarning, match="5 equidistant prototypes and there are now 7 .* dim=6"):
        teach(model, cloud(4), ["f", "g"] * 2)
    assert model.scores(cloud(2)).shape == (2, 7)


def test_an_extended_frame_keeps_its_vectors_and_extends_by_simplices():
    frame = Frame(6)
    with pytest.warns(UserWarning, match="only nearly equidistant"):
        frame.extend(10)
    assert torch.equal(frame.vectors[:7], simplex_etf(7, 6)) and len(frame) == 14
    gram = frame.vectors[7:] @ frame.vectors[7:].T
    assert_close(gram, torch.eye(7) * 7 / 6 - 1 / 6, atol=1e-5, rtol=0)
    again = Frame(6)
    with pytest.warns(UserWarning, match="only nearly"):
        again.extend(14)
    assert torch.equal(again.vectors, frame.vectors)
    assert not torch.equal(frame.vectors[7:], frame.vectors[:7])


def test_blocks_of_an_extended_frame_lie_at_random_to_each_other():
    frame = Frame(64)
    with pytest.warns(UserWarning, match="only nearly"):
        frame.extend(130)
    across = frame.vectors[:65] @ frame.vectors[65:].T
    assert abs(float(across.mean())) < 1e-6  # both sum to zero
    assert float(across.std()) == pytest.approx(64**-0.5, rel=0.05)


def test_a_copy_and_a_pickle_go_on_alike():
    model = fresh()
    teach(model, cloud(12), ["a", "b"] * 6)
    others = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    for each in (model, *others):
        teach(each, cloud(8, 2), ["c"] * 8)
    for other in others:
        assert torch.equal(other.scores(cloud(4)), model.scores(cloud(4)))


@pytest.mark.parametrize(
    "x, labels, message",
    [
        (cloud(3, width=4), ["a"] * 3, r"inputs have shape \(4,\), but .* \(5,\)"),
        (cloud(3), ["a"] * 2, "not 3 with 2 labels"),
        (cloud(0), [], "at least one input"),
    ],
)
def test_what_is_no_task_is_refused_and_leaves_the_model_alone(x, labels, message):
    model = fresh()
    teach(model, cloud(4), ["a", "b"] * 2)
    with pytest.raises(ConfigError, match=message):
        model.arrive(x, labels)
    done = model.progress
    assert (model.labels, done.task, done.arrived) == (["a", "b"], 1, 4)


def test_scores_before_the_first_task_are_refused():
    with pytest.raises(ConfigError, match="nothing was learned yet"):
        fresh().scores(cloud(1))


def test_nothing_of_the_data_is_kept():
    model = fresh()
    teach(model, cloud(1, 5), ["a"])  # its mean would be the sample itself
    assert model.holdings.images == 0
    assert not torch.equal(model.learner.mean, cloud(1, 5)[0])
    assert model.holdings.floats > 0


# learning, when it is called


def test_learning_happens_when_it_is_called_and_says_what_each_epoch_was_like():
    model, seen = fresh(), []
    log = model.learn(model.arrive(cloud(12), ["a", "b"] * 6), watch=seen.append)
    assert model.labels == ["a", "b"] and model.progress.task == 1
    assert log == seen and [epoch.epoch for epoch in log] == [0, 1]


def test_an_iterator_learns_an_epoch_when_it_is_asked_for_one():
    model, other = fresh(), fresh()
    epochs = model.epochs(model.arrive(cloud(12), ["a", "b"] * 6))
    assert model.progress.epochs == 0
    next(epochs)
    assert (model.progress.epochs, model.progress.task) == (1, 0)
    assert len(list(epochs)) == 1 and model.progress.task == 1
    teach(other, cloud(12), ["a", "b"] * 6)
    assert torch.equal(model.scores(cloud(4)), other.scores(cloud(4)))


def test_a_watcher_stops_and_the_same_task_goes_on_where_it_stopped():
    model, other = fresh(), fresh()
    task = model.arrive(cloud(12), ["a", "b"] * 6)
    assert len(model.learn(task, watch=lambda epoch: STOP)) == 1
    assert model.labels == [] and model.progress.epochs == 1
    assert len(model.learn(task)) == 1
    teach(other, cloud(12), ["a", "b"] * 6)
    assert torch.equal(model.scores(cloud(4)), other.scores(cloud(4)))


def test_a_watcher_stops_a_run_and_the_result_says_so(tiny_stream):
    seen = []

    def watch(event):
        seen.append(event)
        return STOP if len(seen) == 4 else None

    result = run(make("finetune"), tiny_stream, SETUP.updated(width=4), watch=watch)
    assert len(seen) == 4
    assert result.status == "stopped: by its watcher" and len(result.tasks) == 1


def test_a_watcher_that_stops_after_the_end_leaves_a_complete_run(tiny_stream):
    stop_last = lambda event: (
        STOP if getattr(event, "epoch", None) is None and event.task == 2 else 0
    )
    assert run(make("finetune"), tiny_stream, QUICK, watch=stop_last).status == "complete"


def test_what_arrives_and_is_not_learned_leaves_no_class_behind():
    model = fresh("finetune")
    teach(model, cloud(8), ["a", "b"] * 4)
    model.arrive(cloud(8, 2), ["never", "taught"] * 4)
    assert model.labels == ["a", "b"] and model.seen == (0, 1)
    teach(model, cloud(8, 4), ["c", "d"] * 4)
    assert model.labels == ["a", "b", "c", "d"]
    assert model.scores(cloud(3)).shape == (3, 4) and len(model.learner.head.bias) == 4


def test_a_task_out_of_its_turn_is_refused():
    model = fresh("finetune")
    first, again = (model.arrive(cloud(8), ["a", "b"] * 4) for _ in range(2))
    model.learn(first)
    with pytest.raises(ConfigError, match=r"this is task 1, but 1 were learned"):
        model.learn(again)
    assert model.progress.task == 1


def test_other_data_than_a_task_was_begun_with_are_refused():
    model = fresh("finetune")
    model.learn(model.arrive(cloud(8), ["a", "b"] * 4), watch=lambda epoch: STOP)
    with pytest.raises(ConfigError, match="task 1 was begun with other data"):
        model.learn(model.arrive(cloud(6), ["a", "b"] * 3))


@pytest.mark.parametrize("recipe", ["lwf", "lwf_wa", "ida"])
def test_a_stream_with_a_class_alone_is_refused_by_a_run_before_it_learns(recipe, tiny_stream):
    tasks = (tiny_stream[0], replace(tiny_stream[1], classes=(2,)))
    stream, events = replace(tiny_stream, tasks=tasks), []
    with pytest.raises(ConfigError, match=f"{recipe} contrasts"):
        run(make(recipe), stream, QUICK, watch=events.append)
    assert events == []


class Still(Term):
    """A term whose value depends on no weight."""

    label = "still"

    def value(self, part, step):
        return part.rows.x.mean()


def test_a_loss_that_reaches_no_weight_is_an_error(tiny_stream):
    with pytest.raises(ConfigError, match="the loss of method reached no weight in task 1"):
        run(Method(Still()), tiny_stream, QUICK)
