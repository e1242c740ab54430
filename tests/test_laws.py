"""Laws that every recipe obeys; a recipe added to RECIPES is held to them by itself."""

from collections import namedtuple
from dataclasses import replace

import pytest
import torch

from holdfast.anchor import RelationDistillation, Rule
from holdfast.continual import Continual
from holdfast.engine import Work, run
from holdfast.errors import ConfigError, DivergedError, ProtocolError
from holdfast.events import Epoch, TaskDone
from holdfast.learner import Learner
from holdfast.loss import CrossEntropy, Term
from holdfast.memory import Protocol
from holdfast.method import Method
from holdfast.readout import Head, SharedGaussian
from holdfast.recipes import RECIPES, make
from holdfast.settings import Machine, Model, Training
from holdfast.store import tree
from holdfast.stream.source import from_arrays
from holdfast.stream.split import class_incremental, domain_incremental

TRAINING = Training(epochs=2, batch=16, lr=0.05)
TINY = {"model": Model(width=4), "machine": Machine("cpu")}
VARIANTS = {
    "er, split": lambda: make("er", forward="split"),
    "derpp, growing": lambda: make("derpp", classes="seen"),
}
METHODS = {name: (lambda name=name: make(name)) for name in RECIPES} | VARIANTS
STRICT = [name for name, method in METHODS.items() if method().protocol.kind == "strict"]
BUFFERED = [name for name, method in METHODS.items() if method().protocol.kind != "joint"]
HOLDING = [name for name, m in METHODS.items() if any(t.needs_past for t in m().terms)]

Count = namedtuple("Count", "step learner past")


def work_of(method, stream, training=TRAINING, **options):
    return Work(method, stream, training, **(TINY | options))


def learned(method, stream, training=TRAINING, **options):
    """A run to its end."""
    work = work_of(method, stream, training, **options)
    for _ in work.learn():
        pass
    return work


def bits(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def same_bits(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def all_finite(work):
    matrices = [m for r in work.result.readings.values() for m in (r.class_il, r.task_il)]
    lower = [m.matrix[i, : i + 1] for m in matrices for i in range(len(m.sizes))]
    values = [*lower, *work.learner.state_dict().values()]
    return all(bool(value.isfinite().all()) for value in values)


class Witness:
    """A run that was watched: every forward pass, the past network, the memory."""

    def __init__(self, method, stream, **options):
        self.counts, self.kept, self.past_moved, passes = [], [], [], []
        forward, update = Learner.forward, Continual._update

        def counting_forward(learner, x):
            frozen = not any(p.requires_grad for p in learner.parameters())
            passes.append("past" if frozen else "learner")
            return forward(learner, x)

        def counting_update(work, step, *rest):
            passes.clear()
            update(work, step, *rest)
            self.counts.append(Count(step, passes.count("learner"), passes.count("past")))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Learner, "forward", counting_forward)
            patch.setattr(Continual, "_update", counting_update)
            chance = torch.get_rng_state()
            self.work = work_of(method, stream, **options)
            past = None
            for event in self.work.learn():
                self.kept.append(len(self.work.memory))
                if isinstance(event, Epoch) and past is not None:
                    self.past_moved.append(not same_bits(past, bits(self.work.past)))
                if isinstance(event, TaskDone) and self.work.past is not None:
                    past = bits(self.work.past)
            self.spared_global_chance = torch.equal(chance, torch.get_rng_state())
        self.result, self.weights = self.work.result, bits(self.work.learner)


@pytest.fixture(scope="module", params=METHODS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def witness(name, tiny_stream):
    also = ("mean", "gaussian", *(["prototype"] if METHODS[name]().frame else []))
    return Witness(METHODS[name](), tiny_stream, also=also)


# same seeds, same bits


def test_same_seed_same_bits_and_a_method_is_a_value(name, witness, tiny_stream):
    method = METHODS[name]()
    for disturbance in (123, 456):
        torch.manual_seed(disturbance)
        again = learned(method, tiny_stream)
        assert same_bits(bits(again.learner), witness.weights)
    assert witness.spared_global_chance


def test_another_seed_gives_other_weights(name, witness, tiny_stream):
    other = learned(METHODS[name](), tiny_stream, seed=1)
    assert not same_bits(bits(other.learner), witness.weights)


def test_further_readouts_do_not_disturb_the_reported_one(name, witness, tiny_stream):
    alone = learned(METHODS[name](), tiny_stream).result
    assert alone.readout == witness.result.readout
    for matrix in ("class_il", "task_il"):
        found, expected = getattr(witness.result, matrix), getattr(alone, matrix)
        torch.testing.assert_close(found.matrix, expected.matrix, equal_nan=True, rtol=0, atol=0)


# a run that stops goes on as if it had not


def figures(work):
    """Every number of a result but those that a clock gave."""
    read = work.result.readings.values()
    matrices = [m.matrix.nan_to_num(-1).tolist() for r in read for m in (r.class_il, r.task_il)]
    return matrices, [(task.images, task.epochs, task.holdings) for task in work.result.tasks]


def resumed(name, stream, path, task, epoch, **options):
    """A run that was stopped after an epoch (or, without one, a task), written, and taken up."""
    first = work_of(METHODS[name](), stream, **options)
    for event in first.learn():
        if event.task == task and getattr(event, "epoch", None) == epoch:
            break
    tree.write(path, first.state())
    second = work_of(METHODS[name](), stream, **options)
    second.restore(tree.read(path))
    for _ in second.learn():
        pass
    return second


@pytest.mark.parametrize("epoch", [0, 1, None])
def test_a_resumed_run_has_the_bits_of_an_uninterrupted_one(
    name, epoch, witness, tiny_stream, tmp_path
):
    also = ("mean", "gaussian", *(["prototype"] if METHODS[name]().frame else []))
    found = resumed(name, tiny_stream, tmp_path / "run.safetensors", 1, epoch, also=also)
    assert same_bits(bits(found.learner), witness.weights)
    assert figures(found) == figures(witness.work)
    assert found.result.status == "complete"
    held = [work.past for work in (found, witness.work) if work.past is not None]
    assert len(held) in (0, 2) and (not held or same_bits(bits(held[0]), bits(held[1])))


# what a step costs, and what it leaves alone


def test_a_step_costs_one_forward_and_one_more_for_each_drawn_part(name, witness):
    assert witness.counts
    for step, learner, _ in witness.counts:
        draws = [step.find(name) for name in ("memory", "memory_2")]
        assert learner == 1 + sum(draw is not None for draw in draws)
    drawn = any(step.find("memory") is not None for step, _, _ in witness.counts)
    assert drawn == (METHODS[name]().memory.use == "draw")


def test_the_past_is_asked_once_from_the_second_task_on_if_a_term_needs_it(name, witness):
    asked = {term.on for term in METHODS[name]().terms if term.needs_past}
    whole = {"batch" if on in ("new", "old") else on for on in asked}
    for step, _, past in witness.counts:
        parts = sum(step.find(on) is not None for on in whole)
        assert past == (parts if step.task else 0)
    assert {step.task for step, _, _ in witness.counts} == {0, 1, 2}


def test_the_past_network_does_not_change_during_a_task(name, witness):
    assert not any(witness.past_moved)
    if name in HOLDING:
        assert len(witness.past_moved) == 2 * TRAINING.epochs


def test_task_il_is_never_below_class_il(witness):
    assert len(witness.result.readings) >= 2
    for reading in witness.result.readings.values():
        for i in range(3):
            gap = reading.task_il.matrix[i] - reading.class_il.matrix[i]
            assert bool((gap[: i + 1] >= 0).all())
            assert bool(gap[i + 1 :].isnan().all())


def test_a_run_is_complete_and_every_number_is_finite(witness):
    assert witness.result.status == "complete"
    assert len(witness.result.tasks) == 3
    assert all_finite(witness.work)


# what may be stored


@pytest.mark.parametrize("name", STRICT)
def test_a_strict_run_stores_no_image(name, tiny_stream):
    result = learned(METHODS[name](), tiny_stream).result
    assert result.protocol == "strict"
    assert [task.holdings.images for task in result.tasks] == [0, 0, 0]


@pytest.mark.parametrize("name", STRICT)
def test_images_for_the_readout_never_reach_the_representation(name, tiny_stream):
    strict = learned(METHODS[name](), tiny_stream)
    auxiliary = learned(METHODS[name](), tiny_stream, protocol=Protocol("auxiliary", 8))
    assert same_bits(bits(strict.learner), bits(auxiliary.learner))
    assert auxiliary.result.readout == "probe"
    assert [task.holdings.images for task in auxiliary.result.tasks] == [8, 8, 8]


@pytest.mark.parametrize("images", [1, 7])
@pytest.mark.parametrize("name", BUFFERED)
def test_a_buffer_never_holds_more_than_it_may(name, images, tiny_stream):
    seen = Witness(METHODS[name](), tiny_stream, protocol=Protocol("buffer", images))
    assert max(seen.kept) <= images
    assert [task.holdings.images for task in seen.result.tasks] == [images] * 3


class Rogue(Term):
    """A term that keeps the views of its part."""

    label = "rogue"

    def value(self, part, step):
        self.kept = part.rows.x
        return step.zero


class RogueTable(Rogue):
    def value(self, part, step):
        self.kept = [{"last": part.rows}]
        return step.zero


class RogueFlat(Rogue):
    """Keeps a few rows of the task flattened, among the numbers of a statistic."""

    def consolidate(self, learner, task):
        self.kept = torch.cat([torch.rand(3, 64), task.train.x[:2].flatten(1) / 255])

    def value(self, part, step):
        return step.zero


class RogueRule(Rule):
    def consolidate(self, learner, task):
        self.kept = lambda: task.train.x


class RogueReadout(Head):
    def fit(self, lesson):
        super().fit(lesson)
        self.kept = lesson.task.train.x.clone()


def test_a_term_that_keeps_images_stops_the_run(name, tiny_stream):
    method = METHODS[name]()
    method = replace(method, anchors=[*method.anchors, Rogue()])
    with pytest.raises(ProtocolError, match=r"Rogue.*kept keeps samples"):
        learned(method, tiny_stream)


@pytest.mark.parametrize(
    "rogue",
    [Rogue(), RogueTable(), RogueFlat(), RogueRule(), 0.5 * Rogue(), CrossEntropy() + Rogue()],
    ids=["views", "table", "flat", "rule", "scaled", "sum"],
)
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("protocol", [Protocol(), Protocol("auxiliary", 8), Protocol("buffer", 8)])
def test_no_rogue_hides_behind_an_honest_part(rogue, last, protocol, tiny_stream):
    honest = [0.5 * RelationDistillation(), CrossEntropy() + CrossEntropy()]
    anchors = [*honest, rogue] if last else [rogue, *honest]
    with pytest.raises(ProtocolError, match=r"Rogue.*kept.* keeps"):
        learned(Method(CrossEntropy(), anchors), tiny_stream, protocol=protocol)


def test_a_readout_that_keeps_images_stops_a_strict_run(tiny_stream):
    with pytest.raises(ProtocolError, match=r"^head\.kept keeps samples.*protocol strict"):
        learned(make("finetune"), tiny_stream, readout=RogueReadout())


# streams of every kind


def test_a_batch_larger_than_a_task(name, tiny_stream):
    work = learned(METHODS[name](), tiny_stream, replace(TRAINING, batch=10_000))
    assert work.result.status == "complete" and all_finite(work)


@pytest.mark.parametrize("batch", [1, 16])
def test_one_image_a_class(name, single_stream, batch):
    work = learned(METHODS[name](), single_stream, replace(TRAINING, batch=batch))
    assert work.result.status == "complete" and all_finite(work)


def test_feature_vectors(name, vector_stream):
    method = METHODS[name]()
    also = ("mean", "gaussian", *(["prototype"] if method.frame else []))
    work = learned(method, vector_stream, also=also)
    assert work.result.status == "complete" and all_finite(work)
    assert float(work.result.readings["gaussian"].class_il.matrix[0, 0]) > 0.7


def test_one_image_at_a_time_in_a_network_that_ends_in_one_pixel(single_stream):
    """Batch norm needs two values a channel: a lone image is seen in two views."""
    model = Model("resnet18", width=2)
    work = learned(make("finetune"), single_stream, replace(TRAINING, batch=1), model=model)
    assert all_finite(work)


@pytest.fixture(scope="module")
def tiny_source(tiny_stream):
    sides = [torch.cat([getattr(getattr(task, side), column) for task in tiny_stream])
             for side in ("train", "test") for column in ("x", "y")]  # fmt: skip
    return from_arrays(*sides)


def test_tasks_of_one_class(name, tiny_source):
    work = learned(METHODS[name](), class_incremental(tiny_source, 6), replace(TRAINING, epochs=1))
    assert all_finite(work)
    assert work.result.task_il.matrix.diagonal().tolist() == [1.0] * 6


def test_classes_that_come_again(name, tiny_source):
    work = learned(METHODS[name](), domain_incremental(tiny_source, 2))
    assert all_finite(work)
    found = work.result
    torch.testing.assert_close(found.class_il.matrix, found.task_il.matrix, equal_nan=True)


# once each


@pytest.fixture(scope="module")
def bounds(tiny_stream):
    training = replace(TRAINING, epochs=8)
    return [learned(make(name), tiny_stream, training).result for name in ("finetune", "joint")]


def test_fine_tuning_forgets_and_learning_jointly_does_not(bounds):
    finetune, joint = bounds
    assert finetune.class_il.matrix.diagonal().mean() > 0.9  # each task was learned
    assert finetune.class_il.forgetting > 0.8 and finetune.class_il.final < 0.5
    assert joint.class_il.forgetting < 0.1 and joint.class_il.final > 0.9


def test_shuffled_training_labels_give_chance(tiny_stream, bounds):
    """Labels are shuffled within each task, so that chance is a half where the task is given."""
    found = []
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        tasks = []
        for task in tiny_stream:
            order = torch.randperm(len(task.train), generator=generator)
            tasks.append(replace(task, train=replace(task.train, y=task.train.y[order])))
        stream = replace(tiny_stream, tasks=tuple(tasks))
        found.append(learned(make("joint"), stream, replace(TRAINING, epochs=4)).result)
    mean = sum(result.task_il.final for result in found) / len(found)
    assert 0.25 < mean < 0.75
    assert bounds[1].task_il.final > 0.9


@pytest.mark.parametrize("name", ["finetune", "lwf", "ida", "er", "derpp", "fnc2"])
def test_mixed_precision_stays_finite(name, tiny_stream):
    work = learned(make(name), tiny_stream, machine=Machine("cpu", "bf16-mixed"))
    assert all_finite(work)
    assert {p.dtype for p in work.learner.parameters()} == {torch.float32}


@pytest.mark.parametrize("name", HOLDING)
def test_a_past_in_batch_mode_does_not_change_either(name, tiny_stream):
    model = Model(width=4, past_mode="batch")
    batch = Witness(make(name), tiny_stream, model=model)
    assert batch.past_moved == [False] * (2 * TRAINING.epochs)
    assert all_finite(batch.work)
    assert not same_bits(batch.weights, Witness(make(name), tiny_stream).weights)


def test_a_readout_follows_drift_alike_whatever_batch_norm_the_terms_see(tiny_stream):
    """Nothing in this method looks at the past network but the readout."""
    results = [
        learned(make("supcon"), tiny_stream, model=Model(width=4, past_mode=mode)).result
        for mode in ("eval", "batch")
    ]
    assert results[0].readout == "gaussian"
    assert results[0].class_il.to_dict() == results[1].class_il.to_dict()
    assert [r.holdings.past_floats for r in results] == [results[0].holdings.past_floats] * 2
    assert results[0].holdings.past_floats > 0


@pytest.mark.parametrize("mode", ["eval", "batch"])
def test_a_readout_is_given_the_network_as_it_was_evaluated(mode, tiny_stream):
    """Not as the terms see it: its features must be those that the statistics were made of."""
    pairs, x = [], torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))

    class Compare(SharedGaussian):
        def fit(self, lesson):
            super().fit(lesson)
            if lesson.past is not None:
                pairs.append((self.said, lesson.past(x).features))
            self.said = lesson.learner.eval()(x).features.detach()
            lesson.learner.train()

    model = Model(width=4, past_mode=mode)
    learned(make("co2l"), tiny_stream, model=model, readout=Compare())
    assert len(pairs) == 2
    for then, now in pairs:
        assert torch.equal(then, now)


class Broken(Term):
    """A term that is not a number in the second task."""

    label = "broken"

    def value(self, part, step):
        return part.out.logits.sum() * (float("nan") if step.task == 1 else 0.0)


def test_a_term_that_stops_being_finite_is_named_and_what_was_learned_stays(tiny_stream):
    events, method = [], Method(CrossEntropy(), [2.0 * Broken()])
    expected = r"^the loss term broken became nan in task 2, epoch 1 of 2: lower --lr"
    with pytest.raises(DivergedError, match=expected):
        run(method, tiny_stream, TRAINING, **TINY, watch=events.append)
    done = [event for event in events if isinstance(event, TaskDone)]
    assert len(done) == 1 and isinstance(events[0], Epoch)
    assert bool(done[0].result.class_il.matrix[0, 0].isfinite())
    assert all(bool(p.isfinite().all()) for p in done[0].learner.parameters())


@pytest.mark.parametrize("name", ["finetune", "supcon", "fnc2"])
@pytest.mark.parametrize("batch", [16, 10_000])
def test_an_absurd_learning_rate_is_said_to_diverge(name, batch, tiny_stream):
    with pytest.raises(DivergedError, match="lower --lr"):
        learned(make(name), tiny_stream, Training(epochs=1, batch=batch, lr=1e30))


@pytest.mark.parametrize("parameters", [{"dim": 4}, {"classes": 5}])
def test_a_frame_too_small_is_refused_before_training(parameters, tiny_stream):
    events = []
    with pytest.raises(ConfigError, match="5 prototypes but the stream has 6 classes"):
        run(make("fnc2", **parameters), tiny_stream, **TINY, watch=events.append)
    assert events == []


def test_a_frame_just_large_enough_is_enough(tiny_stream):
    for parameters in ({"dim": 5}, {"dim": 5, "classes": 6}):
        method = make("fnc2", **parameters)
        assert learned(method, tiny_stream, readout="prototype").result.status == "complete"


def test_a_readout_of_ones_own_can_be_used_again(tiny_stream):
    readout = SharedGaussian()
    first, second = (learned(make("supcon"), tiny_stream, readout=readout) for _ in range(2))
    counts = [work.readouts["gaussian"].known.count.tolist() for work in (first, second)]
    assert counts == [[24.0] * 6] * 2
    assert readout.statistics is None


def test_parts_are_consolidated_once_a_task_in_order(tiny_stream):
    calls = []

    class NotedTerm(CrossEntropy):
        def consolidate(self, learner, task):
            calls.append(("term", task.index))

    class NotedRule(Rule):
        def consolidate(self, learner, task):
            calls.append(("rule", task.index))

    class NotedReadout(Head):
        def fit(self, lesson):
            calls.append(("readout", lesson.task.index))
            super().fit(lesson)

    learned(Method(NotedTerm(), [NotedRule()]), tiny_stream, readout=NotedReadout())
    assert calls == [(part, t) for t in range(3) for part in ("term", "rule", "readout")]


def test_a_head_made_for_all_classes_scores_those_seen(tiny_stream):
    work = work_of(make("finetune", classes="all"), tiny_stream)
    for event in work.learn():
        if isinstance(event, TaskDone):
            out = work.learner.eval()(torch.rand(3, 1, 8, 8))
            assert out.logits.shape == (3, 6)
            assert work.readouts["head"].scores(out).shape == (3, 2 * event.task + 2)


def test_a_watcher_may_leave_the_learner_in_any_mode(tiny_stream):
    work = work_of(make("finetune"), tiny_stream)
    for event in work.learn():
        if isinstance(event, TaskDone):
            event.learner.eval()
    assert same_bits(bits(work.learner), bits(learned(make("finetune"), tiny_stream).learner))


def test_the_first_task_decides_how_inputs_are_normalised(tiny_stream):
    work = learned(make("finetune"), tiny_stream)
    x = tiny_stream[0].train.x.double() / 255
    torch.testing.assert_close(work.learner.mean.double(), x.mean((0, 2, 3)))
    torch.testing.assert_close(work.learner.std.double(), x.std((0, 2, 3), correction=0))


def test_events_tell_the_whole_story(tiny_stream):
    events = []
    training = replace(TRAINING, first_epochs=3)
    result = run(make("fnc2"), tiny_stream, training, **TINY, watch=events.append)
    places = [(e.task, getattr(e, "epoch", "done")) for e in events]
    assert places == [
        (0, 0), (0, 1), (0, 2), (0, "done"), (1, 0), (1, 1), (1, "done"), (2, 0), (2, 1), (2, "done")
    ]  # fmt: skip
    assert result is events[-1].result
    first, later = events[0].records, events[4].records
    assert first.keys() == {"fnc2", "focal_weight", "alpha", "loss"}
    assert later.keys() == first.keys() | {"ird"}  # alpha is 1 in a task's first epoch
    assert later["alpha"] == 1.0 and events[5].records["alpha"] == 0.0
    assert later["loss"] == pytest.approx(later["fnc2"] + later["ird"], rel=1e-4)
