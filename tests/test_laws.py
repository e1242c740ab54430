"""Laws that every part obeys; a part added to a registry is held to them by itself."""

from dataclasses import replace
from functools import cache

import pytest
import torch

from holdfast.anchor import (
    Curvature,
    CycleDistillation,
    FeatureDistillation,
    FeatureFisher,
    FrameSoftmax,
    IndirectAlignment,
    LogitDistillation,
    MatchLogits,
    MemoryAware,
    PathIntegral,
    ProjectedDistillation,
    Proximal,
    Quadratic,
    RelationDistillation,
    Rule,
    SynapticIntelligence,
    TranslatedRehearsal,
    Unit,
    WeightAligning,
)
from holdfast.anchor.rehearsal import PseudoRehearsal
from holdfast.core.errors import ConfigError, DivergedError, ProtocolError
from holdfast.learner import BACKBONES, Frame
from holdfast.loss import (
    AntiCollapse,
    CodingRate,
    ConditionalInformation,
    CrossEntropy,
    EarlyLearning,
    EvenSpectrum,
    FocalCollapse,
    Mixup,
    NestedDropout,
    OrthogonalConvolutions,
    Rotations,
    SelfTaught,
    SupCon,
    Term,
    Uniformity,
)
from holdfast.memory import ClassBalanced, Everything, NoMemory, Protocol, Reservoir
from holdfast.readout import READOUTS, Head, SharedGaussian
from holdfast.recipes import RECIPES, make
from holdfast.recipes.method import Method
from holdfast.stream.mixing import Mixing
from holdfast.testing import (
    RECIPE_LAWS,
    check_backbone,
    check_memory,
    check_readout,
    check_recipe,
    check_rule,
    check_source,
    check_term,
)
from holdfast.testing.compare import difference, weights
from holdfast.testing.recipes import Subject
from holdfast.testing.watched import QUICK, learned, readings_finite
from holdfast.train.events import Epoch, TaskDone
from holdfast.train.runner import Run, run

TRAINING = QUICK.training
STATEFUL = (
    "resume_is_uninterrupted",
    "forward_budget",
    "past_network_unchanged",
    "figures_are_sound",
)
SAMPLE = (
    "er:forward=split", "derpp:classes=seen", "lwf_strict:rehearse=3:decide=head", "ewc:step=proximal",
    "online_ewc:decay=0.5", "si:step=proximal", "fnc2:alpha=constant:0.5", "kfac_laplace:decay=0.5",
    "fnc2:prototypes=running:follow=yes", "fnc2:teacher=random", "efc:hold_norms=all",
)  # fmt: skip
LONG_TAIL = (
    "finetune:classes=new", "finetune:classes=all", "er:forward=split:weight=0.5", "der:classes=seen",
    "lwf_strict:rehearse=3", "lwf_strict:decide=fecam", "lwf_strict:decide=pseudo-head",
    "lwf_strict:decide=mean:drift=learned", "lwf_strict:decide=gaussian:drift=low_rank",
    "lwf:divergence=hellinger", "lwf:divergence=balanced_kl", "lwf_wa:T=4", "ida:weight=10",
    "ewc:fisher=empirical_fisher", "ewc:fisher=sampled_fisher", "ewc:classes=new", "ewc:norm=no",
    "online_ewc:step=proximal", "online_ewc:decay=0.5:fisher=sampled_fisher",
    "kfac_laplace:fisher=sampled_fisher", "kfac_laplace:classes=new:norm=no",
    "si:step=proximal:xi=0.5", "si:classes=new", "mas:step=proximal", "l2:step=proximal",
    "fnc2:alpha=cosine", "fnc2:alpha=step:0.5", "fnc2:alpha=delayed:1,2", "fnc2:denominator=open",
    "fnc2:support=old", "fnc2:dim=8:classes=6", "fnc2:old_prototypes=no:gamma=0", "fnc2_prior:decay=0.5",
    "fnc2_prior:distill=0", "fnc2_strict:uniform=0.5", "fnc2_strict:decide=prototype",
    "co2l:average=rows", "fnc2:prototypes=mean:follow=yes",
    "fnc2_strict:prototypes=running:decide=prototype",
    "fnc2:pull=no:gamma=2", "fnc2:pairs=no", "fnc2:misplaced=yes:pull_gamma=0", "lwf:teacher=shuffled",
    "lwf:teacher=random", "fnc2:teacher=shuffled", "adagauss:kind=linear",
    "gatf:rotations=0:decide=gaussian", "efc:rehearse=0:decide=head",
)  # fmt: skip
HOLDING = [name for name in RECIPES if any(term.needs_past for term in make(name).terms)]
FRAME = Frame(16)
PATH = SynapticIntelligence()


def slow(values):
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


def named(part):
    return type(part).__name__


@cache
def subject(recipe):
    """One watched run of a recipe, for all its laws."""
    return Subject(recipe)


def changed(**overrides):
    """The quick setup with some settings changed."""
    return QUICK.updated(**overrides)


# every part of a registry


@pytest.mark.parametrize("law", RECIPE_LAWS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_obeys_every_law(recipe, law):
    check_recipe(subject(recipe), [law])


@pytest.mark.parametrize("recipe", [*SAMPLE, *slow(LONG_TAIL)])
def test_every_option_with_a_state_can_be_resumed(recipe):
    check_recipe(recipe, STATEFUL)


ADAPTED = ("norm", "last:1", "lora:2", "all")


@cache
def adapted(way):
    """One watched run of a method that trains in the first task alone."""
    import adaptable  # noqa: F401 - registers the backbone

    return Subject(f"frozen:adapt={way}", changed(backbone="adaptable"))


@pytest.mark.parametrize("law", RECIPE_LAWS)
def test_a_method_that_adapts_obeys_every_law(law):
    check_recipe(adapted("norm"), [law])


@pytest.mark.parametrize("way", ADAPTED[1:])
def test_every_way_to_adapt_can_be_resumed(way):
    if way.startswith("lora"):
        pytest.importorskip("peft")
    check_recipe(adapted(way), (*STATEFUL, "another_seed_other_weights"))


def adam(parameters, training):
    return torch.optim.Adam(parameters, training.lr)


@pytest.mark.parametrize(
    "recipe, change",
    [
        ("fnc2", {"past_mode": "batch"}),
        ("lwf_wa", {"protocol": Protocol("auxiliary", 8)}),
        pytest.param(
            "co2l", {"past_mode": "batch", "precision": "bf16-mixed"}, marks=pytest.mark.slow
        ),
        pytest.param("er", {"protocol": Protocol("buffer", 5)}, marks=pytest.mark.slow),
        pytest.param("ewc", {"first_epochs": 3, "warmup": 2.0}, marks=pytest.mark.slow),
    ],
)
def test_a_run_under_any_setup_can_be_resumed(recipe, change):
    check_recipe(Subject(recipe, changed(**change)), STATEFUL)


def test_an_optimiser_with_a_state_of_its_own_can_be_resumed():
    check_recipe(
        replace(make("lwf"), optimizer=adam), ["resume_is_uninterrupted", "a_method_is_a_value"]
    )


@pytest.mark.parametrize(
    "term",
    [
        CrossEntropy(), CrossEntropy("new"), CrossEntropy(on="memory"), SupCon(0.5, dim=16),
        FocalCollapse(FRAME), Uniformity(), LogitDistillation(), LogitDistillation("hellinger", 4.0),
        IndirectAlignment(), MatchLogits(), FeatureDistillation(),
        FeatureDistillation("cosine", "embedding"), RelationDistillation(0.2, 0.01),
        RelationDistillation(0.2, 0.1, keys=FRAME), PseudoRehearsal(),
        Quadratic(Curvature("fisher")), Quadratic(Curvature("fisher", "kfac"), norm=False),
        Quadratic(Curvature("fisher", "low_rank"), per_task=True), Quadratic(MemoryAware()),
        Quadratic(Unit()), FeatureFisher(), PseudoRehearsal(new=True), TranslatedRehearsal(),
        ProjectedDistillation("linear"), CycleDistillation(), AntiCollapse(), CodingRate(dim=16),
        Rotations(), SelfTaught(), EarlyLearning(), EvenSpectrum(), NestedDropout(0.5, "new"),
        OrthogonalConvolutions(), Mixup("new", 0.1), ConditionalInformation(0.5),
        LogitDistillation(on="mixed", mixing=Mixing(0.5, 0.25)),
    ],
    ids=named,
)  # fmt: skip
def test_every_term_obeys_its_laws(term):
    check_term(term)


def test_a_prior_under_the_softmax_of_a_frame_obeys_the_laws_of_a_term():
    check_term(Quadratic(Curvature("fisher", "kfac", FrameSoftmax(FRAME, 0.5))), run=False)
    check_term(FeatureFisher(likelihood=FrameSoftmax(FRAME, 0.5)), run=False)


@pytest.mark.parametrize(
    "rule, anchors",
    [
        (WeightAligning(), None),
        (PATH, [PATH, Quadratic(PathIntegral(PATH))]),
        (Proximal(Curvature("fisher")), None),
        (Proximal(Unit(), per_task=True), None),
    ],
    ids=lambda part: named(part) if isinstance(part, Rule) else "",
)
def test_every_rule_obeys_its_laws(rule, anchors):
    check_rule(rule, anchors)


@pytest.mark.parametrize(
    "memory",
    [
        NoMemory(), Everything(), ClassBalanced(11), ClassBalanced(11, "draw", "herding"),
        ClassBalanced(11, "mix"), ClassBalanced(11, "readout"), Reservoir(11), Reservoir(11, "mix"),
        Reservoir(11, "draw", ("logits", "features"), 2),
    ],
    ids=lambda memory: f"{named(memory)}-{memory.use}",
)  # fmt: skip
def test_every_memory_obeys_its_laws(memory):
    check_memory(memory)


FURTHER = ("gaussian:embedding", "mean:metric=euclidean:drift=ridge", "class-gaussian:drift=none")


@pytest.mark.parametrize("readout", [*READOUTS, *slow(FURTHER)])
def test_every_readout_obeys_its_laws(readout):
    check_readout(readout)


SHAPES = {"mlp": (12,), "features": (12,), "resnet18": (3, 16, 16)}


# an ONNX file obeys them in tests/learner/test_backbones.py, where there is one
@pytest.mark.parametrize("backbone", [name for name in BACKBONES if name != "onnx"])
def test_every_backbone_obeys_its_laws(backbone):
    check_backbone(backbone, SHAPES.get(backbone, (1, 8, 8)), width=4)


def test_the_digits_obey_the_laws_of_a_source():
    check_source("digits")


# what may be stored


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

    def consolidate(self, learner, task, past=None):
        self.kept = torch.cat([torch.rand(3, 64), task.train.x[:2].flatten(1) / 255])

    def value(self, part, step):
        return step.zero


class RogueRule(Rule):
    def consolidate(self, learner, task, past=None):
        self.kept = lambda: task.train.x


class RogueReadout(Head):
    def fit(self, context):
        super().fit(context)
        self.kept = context.task.train.x.clone()


@pytest.mark.parametrize("name", [name for name in RECIPES if not make(name).freezes])
def test_a_term_that_keeps_images_stops_the_run(name, tiny_stream):
    method = make(name)
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
        learned(Method(CrossEntropy(), anchors), tiny_stream, changed(protocol=protocol))


def test_a_readout_that_keeps_images_stops_a_strict_run(tiny_stream):
    with pytest.raises(ProtocolError, match=r"^head\.kept keeps samples.*protocol strict"):
        learned(make("finetune"), tiny_stream, changed(readout=RogueReadout()))


# once each


@pytest.fixture(scope="module")
def bounds(tiny_stream):
    return [
        learned(make(name), tiny_stream, changed(epochs=8)).result for name in ("finetune", "joint")
    ]


def test_fine_tuning_forgets_and_learning_jointly_does_not(bounds):
    finetune, joint = bounds
    assert finetune.class_il.matrix.diagonal().mean() > 0.9  # each task was learned
    assert finetune.class_il.forgetting > 0.8 and finetune.class_il.final < 0.5
    assert joint.class_il.forgetting < 0.1 and joint.class_il.final > 0.9


def test_shuffled_training_labels_give_chance(tiny_stream, bounds):
    """Labels are shuffled within each task, so that chance is a half where the task is given."""
    results = []
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        tasks = []
        for task in tiny_stream:
            order = torch.randperm(len(task.train), generator=generator)
            tasks.append(replace(task, train=replace(task.train, y=task.train.y[order])))
        stream = replace(tiny_stream, tasks=tuple(tasks))
        results.append(learned(make("joint"), stream, changed(epochs=4)).result)
    mean = sum(result.task_il.final for result in results) / len(results)
    assert 0.25 < mean < 0.75
    assert bounds[1].task_il.final > 0.9


@pytest.mark.parametrize("name", ["finetune", "lwf", "ida", "er", "derpp", "fnc2"])
def test_mixed_precision_stays_finite(name, tiny_stream):
    work = learned(make(name), tiny_stream, changed(precision="bf16-mixed"))
    assert readings_finite(work)
    assert {p.dtype for p in work.learner.parameters()} == {torch.float32}


@pytest.mark.parametrize("name", HOLDING)
def test_a_past_in_batch_mode_does_not_change_either(name, tiny_stream):
    batch = Subject(name, changed(past_mode="batch"))
    check_recipe(batch, ["past_network_unchanged", "figures_are_sound"])
    other = weights(batch.watched.run.learner)
    assert difference(other, weights(subject(name).watched.run.learner))


def test_a_readout_follows_drift_alike_whatever_batch_norm_the_terms_see(tiny_stream):
    """Nothing in this method looks at the past network but the readout."""
    results = [
        learned(make("supcon"), tiny_stream, changed(past_mode=mode)).result
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
        def fit(self, context):
            super().fit(context)
            if context.past is not None:
                pairs.append((self.before, context.past(x).features))
            self.before = context.learner.eval()(x).features.detach()
            context.learner.train()

    learned(make("co2l"), tiny_stream, changed(past_mode=mode, readout=Compare()))
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
        run(method, tiny_stream, QUICK, watch=events.append)
    done = [event for event in events if isinstance(event, TaskDone)]
    assert len(done) == 1 and isinstance(events[0], Epoch)
    assert bool(done[0].result.class_il.matrix[0, 0].isfinite())
    assert all(bool(p.isfinite().all()) for p in done[0].learner.parameters())


@pytest.mark.parametrize("name", ["finetune", "supcon", "fnc2"])
@pytest.mark.parametrize("batch", [16, 10_000])
def test_an_absurd_learning_rate_is_said_to_diverge(name, batch, tiny_stream):
    with pytest.raises(DivergedError, match="lower --lr"):
        learned(make(name), tiny_stream, changed(epochs=1, batch=batch, lr=1e30))


@pytest.mark.parametrize("parameters", [{"dim": 4}, {"classes": 5}])
def test_a_frame_too_small_is_refused_before_training(parameters, tiny_stream):
    events = []
    with pytest.raises(ConfigError, match="5 prototypes but the stream has 6 classes"):
        run(make("fnc2", **parameters), tiny_stream, QUICK, watch=events.append)
    assert events == []


def test_a_frame_just_large_enough_is_enough(tiny_stream):
    for parameters in ({"dim": 5}, {"dim": 5, "classes": 6}):
        method = make("fnc2", **parameters)
        assert (
            learned(method, tiny_stream, changed(readout="prototype")).result.status == "complete"
        )


def test_a_readout_of_ones_own_can_be_used_again(tiny_stream):
    readout = SharedGaussian()
    first, second = (
        learned(make("supcon"), tiny_stream, changed(readout=readout)) for _ in range(2)
    )
    counts = [work.continual.readouts["gaussian"].known.count.tolist() for work in (first, second)]
    assert counts == [[24.0] * 6] * 2
    assert readout.statistics is None


def test_parts_are_consolidated_once_a_task_in_order(tiny_stream):
    calls = []

    class NotedTerm(CrossEntropy):
        def consolidate(self, learner, task, past=None):
            calls.append(("term", task.index))

    class NotedRule(Rule):
        def consolidate(self, learner, task, past=None):
            calls.append(("rule", task.index))

    class NotedReadout(Head):
        def fit(self, context):
            calls.append(("readout", context.task.index))
            super().fit(context)

    learned(Method(NotedTerm(), [NotedRule()]), tiny_stream, changed(readout=NotedReadout()))
    assert calls == [(part, t) for t in range(3) for part in ("term", "rule", "readout")]


def test_a_head_made_for_all_classes_scores_those_seen(tiny_stream):
    work = Run(make("finetune", classes="all"), tiny_stream, QUICK)
    for event in work.events():
        if isinstance(event, TaskDone):
            out = work.learner.eval()(torch.rand(3, 1, 8, 8))
            assert out.logits.shape == (3, 6)
            assert work.continual.readouts["head"].scores(out).shape == (3, 2 * event.task + 2)


def test_a_watcher_may_leave_the_learner_in_any_mode(tiny_stream):
    work = Run(make("finetune"), tiny_stream, QUICK)
    for event in work.events():
        if isinstance(event, TaskDone):
            event.learner.eval()
    other = learned(make("finetune"), tiny_stream)
    assert not difference(weights(work.learner), weights(other.learner))


def test_the_first_task_decides_how_inputs_are_normalised(tiny_stream):
    work = learned(make("finetune"), tiny_stream)
    x = tiny_stream[0].train.x.double() / 255
    torch.testing.assert_close(work.learner.mean.double(), x.mean((0, 2, 3)))
    torch.testing.assert_close(work.learner.std.double(), x.std((0, 2, 3), correction=0))


def test_events_tell_the_whole_story(tiny_stream):
    events = []
    result = run(make("fnc2"), tiny_stream, changed(first_epochs=3), watch=events.append)
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
