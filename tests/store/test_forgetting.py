"""Images of a class forgotten by a learner: as if it had learned without them from the start."""

import pytest
import torch
from torch.testing import assert_close

from holdfast.core.errors import ConfigError, DataError
from holdfast.core.settings import Training
from holdfast.recipes import make
from holdfast.store.forgetting import certificate, content_hash, forget_images, refuse_forgotten
from holdfast.store.manifest import Manifest
from holdfast.train.continual import Continual
from holdfast.train.setup import Setup

NAMES = ("ant", "bee", "cat")
READOUTS = (
    "class-gaussian:structure=factor:drift=none",
    "class-gaussian:structure=full:drift=none",
    "stale-gaussian",
    "ridge:strength=0.01:drift=none",
    "mean",
)
TIGHT = {"rtol": 1e-8, "atol": 1e-8}


def vectors(each=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = [name for name in NAMES for _ in range(each)]
    x = torch.randn(len(labels), 5, generator=generator, dtype=torch.float64)
    middle = 3 * torch.randn(3, 5, generator=generator, dtype=torch.float64)
    return x + middle.repeat_interleave(each, 0), labels


def learner(x, labels, readout=READOUTS[0]):
    """One that learned two classes, and then the third."""
    core = Continual(make("frozen", decide=readout), (5,), Setup(Training(epochs=1)))
    for names in (NAMES[:2], NAMES[2:]):
        rows = [i for i, label in enumerate(labels) if label in names]
        core.learn(core.arrive(x[rows], [labels[i] for i in rows]))
    return core


def scores(core):
    readout = core.readouts[core.readout]
    return readout.decision(readout.read(core.out(vectors(seed=4)[0])))


GONE = [0, 5, 9, 10, 17]  # of every class


@pytest.mark.parametrize("readout", READOUTS)
def test_images_that_were_forgotten_were_never_learned(readout):
    x, labels = vectors()
    core = learner(x, labels, readout)
    what = forget_images(core, x[GONE], [labels[i] for i in GONE])
    stay = [i for i in range(len(labels)) if i not in GONE]
    assert_close(
        scores(core), scores(learner(x[stay], [labels[i] for i in stay], readout)), **TIGHT
    )
    assert what.images == {"ant": 2, "bee": 2, "cat": 1}
    assert what.left == {"ant": 6, "bee": 6, "cat": 7}
    assert what.exact == "model" and what.trained == []
    core.learn(core.arrive(x[GONE], [labels[i] for i in GONE]))  # and it goes on
    assert_close(scores(core), scores(learner(x, labels, readout)), **TIGHT)


def test_what_was_chosen_with_them_stays_or_is_chosen_anew():
    x, labels = vectors(each=20)
    kept, anew = (learner(x, labels, "ridge:drift=none") for _ in range(2))
    for core in (kept, anew):
        core.readouts[core.readout].chosen = 1e-6
    name = kept.readout
    chosen = forget_images(kept, x[:3], labels[:3]).chosen[name]
    assert set(chosen) == {"strength", "temperature", "threshold"}
    assert kept.readouts[name].chosen == 1e-6
    chosen = forget_images(anew, x[:3], labels[:3], choose_anew=True).chosen[name]
    assert chosen["decision"] == "by draws, where it is not fixed"
    assert anew.readouts[name].chosen != 1e-6
    for core in (kept, anew):
        for field, value in core.readouts[name].known.state().items():
            assert_close(value, kept.readouts[name].known.state()[field])
    kernel = learner(x, labels, "klda:width=20")
    chosen = forget_images(kernel, x[:3], labels[:3], choose_anew=True).chosen[kernel.readout]
    assert chosen["kernel"] == "as it was chosen with them"


def test_weights_that_were_adapted_to_the_class_are_named():
    x, labels = vectors()
    core = learner(x, labels)
    core.progress.notes[0].epochs = 3  # as if the first task had trained
    with pytest.raises(ConfigError, match="the adapted weights of the backbone trained on their"):
        forget_images(core, x[:1], labels[:1])
    assert forget_images(core, x[-1:], labels[-1:]).exact == "model"  # it came after
    what = forget_images(core, x[:1], labels[:1], readout_only=True)
    assert what.exact == "readout" and certificate(what, [1])["exact"] == "readout"


def test_a_list_of_hashes_tells_images_and_models_apart():
    x, _ = vectors()
    one = content_hash(x[0], "a")
    assert one == content_hash(x[0].clone(), "a") and len(one) == 64
    assert (
        len({one, content_hash(x[0], "b"), content_hash(x[1], "a"), content_hash(x[0, :4], "a")})
        == 4
    )


def manifest(version, **update):
    return Manifest("id", version, version - 1, "", {}, [], {}, {}, update, {}, {})


def test_images_are_not_forgotten_twice_unless_they_were_learned_again():
    forgot = manifest(3, forgotten={"hashes": ["a", "b", "b"]})
    renamed, learned = manifest(4, renamed={"x": "y"}), manifest(4, fingerprint="f")
    with pytest.raises(DataError, match="2 of these images were forgotten already by version 3"):
        refuse_forgotten([renamed, forgot], ["b", "c", "a"])
    assert refuse_forgotten([renamed, forgot], ["c"]) is None
    assert refuse_forgotten([learned, forgot], ["a"]) is None


# what is refused


def test_what_cannot_be_forgotten_is_said():
    x, labels = vectors()
    core = learner(x, labels)
    before = scores(core)
    for rows, why in (
        (
            range(7),
            "'ant' was learned from 8 images, and 1 would be left: a class keeps at least 2",
        ),
        (
            range(8),
            "and 0 would be left: a class keeps at least 2. To forget all of it use holdfast",
        ),
    ):
        with pytest.raises(ConfigError, match=why):
            forget_images(core, x[list(rows)], [labels[i] for i in rows])
    with pytest.raises(DataError, match="from 8 images, and 9 were brought"):
        forget_images(core, x[:9], ["ant"] * 9)
    with pytest.raises(DataError, match="spread further than what is stored of their class"):
        forget_images(core, x[-1:], ["ant"])
    with pytest.raises(DataError, match="there is no image to forget"):
        forget_images(core, x[:0], [])
    with pytest.raises(ConfigError, match="unknown class 'cta': did you mean 'cat'"):
        forget_images(core, x[:1], ["cta"])
    assert torch.equal(scores(core), before)
    trained = Continual(make("lwf"), (5,), Setup(Training(epochs=1), readout="stale-gaussian"))
    trained.learn(trained.arrive(x, labels))
    with pytest.raises(
        ConfigError, match="2 images cannot be forgotten: the recipe lwf trains the"
    ):
        forget_images(trained, x[:2], labels[:2])
    low = learner(x, labels, "class-gaussian:structure=low_rank:rank=2:drift=none")
    with pytest.raises(ConfigError, match="rows cannot be taken out of a class"):
        forget_images(low, x[:1], labels[:1])
