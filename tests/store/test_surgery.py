"""Classes of a learner removed, joined and brought together: as if it had learned so from the start."""

import itertools

import pytest
import torch
from torch.testing import assert_close

from holdfast.core.errors import ConfigError, DataError
from holdfast.core.settings import Training
from holdfast.readout.again import decide_by
from holdfast.recipes import make
from holdfast.store.alike import differences, require_alike
from holdfast.store.removal import certificate, remove_class
from holdfast.store.surgery import join_learner, keep_classes, rename_class
from holdfast.train.blueprint import Blueprint
from holdfast.train.continual import Continual
from holdfast.train.setup import Setup

NAMES = ("ant", "bee", "cat", "dog", "elk")
BY_CLASS = (
    "class-gaussian:structure=factor:drift=none",
    "class-gaussian:structure=full:drift=none",
    "class-gaussian:structure=diagonal:drift=none",
    "mean",
)
SHARED = ("stale-gaussian", "ridge:strength=0.01:drift=none")
ALL = (*BY_CLASS, *SHARED)
TIGHT = {"rtol": 1e-10, "atol": 1e-10}


def cloud(name, each=9, seed=0, wide=5):
    generator = torch.Generator().manual_seed(100 * NAMES.index(name) + seed)
    mix = torch.randn(wide, wide, generator=generator, dtype=torch.float64)
    x = torch.randn(each, wide, generator=generator, dtype=torch.float64) @ mix
    return x + 4 * torch.randn(wide, generator=generator, dtype=torch.float64)


def vectors(names, **how):
    clouds = [cloud(name, **how) for name in names]
    return torch.cat(clouds), [n for n, x in zip(names, clouds) for _ in range(len(x))]


def learner(*tasks, readout="stale-gaussian", recipe="frozen", **how):
    """One that learned tasks of classes, a string of names each."""
    core = Continual(make(recipe, decide=readout), (5,), Setup(Training(epochs=1)))
    for task in tasks:
        core.learn(core.arrive(*vectors(task.split(), **how)))
    return core


def scores(core):
    """In float64, by name, on rows of every class."""
    x = vectors(NAMES, seed=7)[0]
    readout = core.readouts[core.readout]
    found = readout.decision(readout.read(core.out(x)))
    return {str(name): found[:, k] for k, name in enumerate(core.labels)}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert_close(found[name], values, **TIGHT)


@pytest.mark.parametrize("readout", ALL)
@pytest.mark.parametrize("name", ["ant", "cat", "elk"])
def test_a_removed_class_was_never_learned(readout, name):
    core = learner("ant bee", "cat dog", "elk", readout=readout)
    x = cloud(name) if readout in SHARED else None
    removal = remove_class(core, name, x)
    tasks = [[n for n in task if n != name] for task in (NAMES[:2], NAMES[2:4], NAMES[4:])]
    expected = learner(*(" ".join(task) for task in tasks if task), readout=readout)
    assert_same(scores(core), scores(expected))
    assert core.labels == expected.labels and core.seen == expected.seen
    assert (removal.name, removal.images, removal.exact) == (name, 9, "model")


@pytest.mark.parametrize("readout", ALL)
def test_what_is_removed_can_be_learned_again_and_learning_goes_on(readout):
    core = learner("ant bee", "cat dog", readout=readout)
    remove_class(core, "bee", cloud("bee") if readout in SHARED else None)
    core.learn(core.arrive(*vectors(["bee", "elk"])))
    assert core.labels == ["ant", "cat", "dog", "bee", "elk"]
    assert_same(scores(core), scores(learner("ant cat dog bee elk", readout=readout)))


@pytest.mark.parametrize("readout", ALL)
def test_the_order_of_removals_does_not_matter(readout):
    expected = scores(learner("cat elk", readout=readout))
    for order in itertools.permutations(["ant", "bee", "dog"]):
        core = learner("ant bee", "cat dog", "elk", readout=readout)
        for name in order:
            remove_class(core, name, cloud(name) if readout in SHARED else None)
        assert_same(scores(core), expected)


def test_removing_an_old_class_learned_in_two_portions_removes_both():
    core = learner("ant bee", "cat", readout=BY_CLASS[0])
    core.learn(core.arrive(*vectors(["ant", "dog"], seed=3)))
    assert remove_class(core, "ant").images == 18
    expected = learner("bee", "cat", readout=BY_CLASS[0])
    expected.learn(expected.arrive(*vectors(["dog"], seed=3)))
    assert_same(scores(core), scores(expected))


@pytest.mark.parametrize("readout", ALL)
def test_two_merged_are_one_that_learned_both_in_any_order(readout):
    expected = scores(learner("ant bee cat dog elk", readout=readout))
    for a, b in (("ant bee", "cat dog elk"), ("elk cat", "dog ant bee")):
        core = learner(a, readout=readout)
        assert join_learner(core, learner(b, readout=readout)) == []
        assert_same(scores(core), expected)
        core.learn(core.arrive(cloud("ant", seed=5), ["ant"] * 9))  # it goes on
        assert core.progress.task == 3


@pytest.mark.parametrize("readout", ALL)
def test_classes_of_one_name_become_one(readout):
    core, other = learner("ant bee", readout=readout), learner("cat bee", readout=readout, seed=4)
    assert join_learner(core, other) == ["bee"]
    expected = learner("ant bee", readout=readout)
    expected.learn(expected.arrive(*vectors(["bee", "cat"], seed=4)))
    assert_same(scores(core), scores(expected))


@pytest.mark.parametrize("readout", BY_CLASS)
def test_split_and_merged_is_the_original(readout):
    whole = learner("ant bee", "cat dog", "elk", readout=readout)
    parts = [learner("ant bee", "cat dog", "elk", readout=readout) for _ in range(2)]
    keep_classes(parts[0], ["elk", "bee"])
    keep_classes(parts[1], ["ant", "cat", "dog"])
    assert parts[0].labels == ["bee", "elk"]
    assert_same(scores(parts[0]), scores(learner("bee elk", readout=readout)))
    join_learner(parts[0], parts[1])
    assert_same(scores(parts[0]), scores(whole))


@pytest.mark.parametrize("readout", ALL)
def test_a_name_changes_no_answer_and_two_joined_are_one_class(readout):
    core = learner("ant bee", "cat", readout=readout)
    before = scores(core)
    rename_class(core, "bee", "wasp")
    assert core.labels == ["ant", "wasp", "cat"]
    assert_same(scores(core), {n.replace("bee", "wasp"): s for n, s in before.items()})
    rename_class(core, "wasp", "ant", join=True)
    expected = Continual(make("frozen", decide=readout), (5,), Setup(Training(epochs=1)))
    x, _ = vectors(["ant", "bee", "cat"])
    expected.learn(expected.arrive(x, ["ant"] * 18 + ["cat"] * 9))
    assert_same(scores(core), scores(expected))
    assert [note.classes for note in core.progress.notes] == [["ant"], ["cat"]]


def test_what_was_chosen_with_the_class_is_chosen_anew():
    core = learner("ant bee cat", readout="ridge:drift=none")
    removal = remove_class(core, "bee", cloud("bee"))
    assert set(removal.chosen[core.readout]) == {"decision", "temperature", "threshold"}
    again = learner("ant cat", readout="ridge:drift=none")
    readout = again.readouts[again.readout]
    readout.chosen = 1e-6  # whatever stood there before, what is left decides
    decide_by(readout, readout.known)
    assert core.readouts[core.readout].chosen == readout.chosen


@pytest.mark.parametrize("readout", [BY_CLASS[0], "stale-gaussian"])
def test_what_is_unknown_stays_that_of_images(readout):
    """The threshold is carried over: draws alone would put it far too near."""
    core = learner("ant bee cat dog", readout=readout, each=40)
    reader = core.readouts[core.readout]
    before, temperature = reader.confidence.reach.clone(), reader.temperature
    decide_by(reader, reader.known)
    assert_close(reader.confidence.reach, before, **TIGHT)  # nothing changed, nothing moves
    assert_close(reader.temperature, temperature, **TIGHT)
    remove_class(core, "bee", cloud("bee", each=40))
    x = vectors(["ant", "cat", "dog"], seed=0, each=40)[0]
    assert float(reader.unknown(core.out(x), 0.05).double().mean()) < 0.2


def test_a_certificate_says_how_far_it_goes():
    core = learner("ant bee", "cat", readout=BY_CLASS[0])
    paper = certificate(remove_class(core, "bee"), [1, 2])
    assert paper["class"] == "bee" and paper["images"] == 9 and paper["exact"] == "model"
    assert paper["readouts"] == {core.readout: "factor"} and paper["trained_on_it"] == []
    assert paper["versions_that_hold_it"] == [1, 2]


# what is refused


def test_a_network_that_was_trained_remembers():
    core = Continual(make("lwf"), (5,), Setup(Training(epochs=1), readout="stale-gaussian"))
    core.learn(core.arrive(*vectors(["ant", "bee"])))
    before = core.state()["learner"]
    for act in (
        lambda: remove_class(core, "ant"),
        lambda: keep_classes(core, ["ant"]),
        lambda: rename_class(core, "ant", "bee", join=True),
        lambda: join_learner(core, core),
    ):
        with pytest.raises(ConfigError, match="lwf trains the network in every task"):
            act()
    rename_class(core, "ant", "wasp")  # a name needs nothing
    assert core.labels == ["wasp", "bee"]
    assert all(torch.equal(before[n], t) for n, t in core.state()["learner"].items())


def test_weights_adapted_to_a_class_are_named():
    core = learner("ant bee", "cat", readout=BY_CLASS[0])
    core.progress.notes[0].epochs = 3  # as if the first task had trained
    with pytest.raises(ConfigError, match="the adapted weights of the backbone trained on its"):
        remove_class(core, "bee")
    assert remove_class(core, "cat").exact == "model"  # it came after
    removal = remove_class(core, "bee", readout_only=True)
    assert removal.exact == "readout" and removal.trained == ["the adapted weights of the backbone"]


def test_what_cannot_be_done_is_said():
    core = learner("ant bee", "cat")
    with pytest.raises(ConfigError, match="unknown class 'cta': did you mean 'cat'"):
        remove_class(core, "cta")
    with pytest.raises(ConfigError, match="without the 9 images it was learned from"):
        remove_class(core, "cat")
    with pytest.raises(DataError, match="8 were brought"):
        remove_class(core, "cat", cloud("cat")[1:])
    with pytest.raises(DataError, match="another mean"):
        remove_class(core, "cat", cloud("bee"))
    with pytest.raises(ConfigError, match="a choice of them has none"):
        keep_classes(core, ["cat"])
    with pytest.raises(ConfigError, match="'bee' is a class already: add --join"):
        rename_class(core, "ant", "bee")
    with pytest.raises(ConfigError, match="'owl' is no class of this model: leave --join out"):
        rename_class(core, "ant", "owl", join=True)
    with pytest.raises(ConfigError, match="is no other name"):
        rename_class(core, "ant", "ant")
    with pytest.raises(ConfigError, match=r"x1b\[2J' is no name"):
        rename_class(core, "ant", "\x1b[2J")
    alone = learner("ant")
    with pytest.raises(ConfigError, match="is the only class"):
        remove_class(alone, "ant", cloud("ant"))


def test_models_that_see_otherwise_are_not_merged():
    def asked(readout=BY_CLASS[0], shape=(5,), network=None, **more):
        blueprint = Blueprint(
            "frozen", shape, {"decide": readout}, Setup(Training(epochs=1)), **more
        )
        return blueprint.build("cpu"), blueprint

    require_alike(asked(), asked(), ("a", "b"))
    for other, what in (
        (asked(shape=(6,)), "the input"),
        (asked("mean"), "the readout"),
        (asked("class-gaussian:structure=factor:drift=none:gamma1=0.5"), "the readout"),
    ):
        assert next(differences(asked(), other))[0] == what
        with pytest.raises(ConfigError, match=f"a and b cannot be merged: {what} of the one is"):
            require_alike(asked(), other, ("a", "b"))
    altered = asked()
    altered[0].learner.mean += 1
    assert next(differences(asked(), altered)) == (
        "the weight mean",
        "one",
        "another of the same shape",
    )
