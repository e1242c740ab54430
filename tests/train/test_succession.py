"""A stream that one architecture began and another continues."""

import pytest
import torch

from conftest import textures
from holdfast.core.errors import ConfigError
from holdfast.core.settings import Machine, Network, Training
from holdfast.recipes import make
from holdfast.testing.compare import difference, through_disk, weights
from holdfast.train.continual import Continual
from holdfast.train.setup import Setup
from holdfast.train.succession import take_over

SETUP = Setup(Training(epochs=6, batch=16, lr=0.05), Network(width=4), Machine("cpu"))
WIDE = Setup(SETUP.training, Network("resnet18", width=4), SETUP.machine)
X, Y = textures(24, 0)
NAMES = ("ant", "bee", "cat", "dog", "eel", "fox")


def images(*classes):
    """Of these classes, with their names."""
    rows = torch.isin(Y, torch.tensor(classes))
    return X[rows], [NAMES[c] for c in Y[rows].tolist()]


def learn(core, *classes):
    core.learn(core.arrive(*images(*classes)))
    return core


def begun(recipe="lwf", setup=SETUP):
    return learn(Continual(make(recipe), (1, 8, 8), setup), 0, 1)


@pytest.fixture(scope="module")
def elder():
    return begun()


def heir_of(elder, recipe="ofa:weight=4", setup=WIDE):
    core = Continual(make(recipe), (1, 8, 8), setup)
    take_over(core, elder, images(2, 3)[0])
    return core


def test_another_architecture_goes_on_and_knows_the_old_classes(elder):
    before = weights(elder.learner)
    heir = heir_of(elder)
    assert torch.equal(heir.learner.mean, elder.learner.mean)
    assert heir.past.backbone.features != heir.learner.backbone.features
    learn(heir, 2, 3)
    assert heir.labels == list(NAMES[:4]) and not difference(before, weights(elder.learner))
    assert type(heir.past.backbone) is type(heir.learner.backbone)  # its own copy from now on
    learn(heir, 4, 5)
    scores = heir.scores(images(0, 1)[0])
    assert scores.shape[1] == 6 and bool(scores.isfinite().all())


def test_what_the_old_classes_are_worth_comes_from_the_elder_alone(elder):
    """Asked to choose among the old classes, the heir agrees with its elder on images of the new ones."""
    x = images(2, 3)[0]
    before = elder.scores(x)[:, :2].argmax(1)
    agree = [
        float(
            (learn(heir_of(elder, text), 2, 3).scores(x)[:, :2].argmax(1) == before).float().mean()
        )
        for text in ("ofa:weight=10", "ofa:weight=0.0001")
    ]
    assert agree[0] > 0.8 and agree[0] >= agree[1]


def test_it_resumes_in_the_task_that_it_took_over(elder):
    whole = heir_of(elder)
    x, y = images(2, 3)
    task, state = whole.arrive(x, y), {}
    for epoch in whole.epochs(task):
        if epoch.epoch == 2:
            state = through_disk(whole.state(), "an heir")
    half = heir_of(elder)
    half.restore(state)
    half.learn(half.arrive(x, y))
    assert not difference(weights(whole.learner), weights(half.learner))
    alone = Continual(make("ofa:weight=4"), (1, 8, 8), WIDE)
    with pytest.raises(ConfigError, match="goes on from another network"):
        alone.restore(state)
    done = Continual(make("ofa:weight=4"), (1, 8, 8), WIDE)
    done.restore(through_disk(whole.state(), "an heir"))  # after its first task it stands alone
    assert done.progress.taken == 1 and not done.progress.untaught
    assert torch.equal(done.scores(x), whole.scores(x))


@pytest.mark.parametrize(
    "recipe, sentence",
    [
        ("fnc2_strict", "nothing is stored of the old classes for the readout"),
        ("finetune", "asks the past network nothing that another one can answer"),
        ("lwf_strict", "goes by what was kept of the earlier tasks|nothing is stored"),
        ("lwf_wa", "WeightAligning of lwf_wa goes by what was kept"),
    ],
)
def test_what_needs_more_than_a_past_network_is_refused(elder, recipe, sentence):
    with pytest.raises(ConfigError, match=sentence):
        heir_of(elder, recipe)


def test_who_cannot_hand_over_or_take_over_is_told_why(elder):
    fresh = lambda shape=(1, 8, 8): Continual(make("ofa"), shape, SETUP)
    x = images(2, 3)[0]
    with pytest.raises(ConfigError, match="has learned no task to its end"):
        take_over(fresh(), fresh(), x)
    with pytest.raises(ConfigError, match="a network that has learned cannot take over"):
        take_over(begun(), elder, x)
    with pytest.raises(ConfigError, match="which trains no head"):
        take_over(fresh(), begun("supcon"), x)
    with pytest.raises(ConfigError, match=r"shape \(1, 9, 9\).*takes \(1, 8, 8\)"):
        take_over(fresh((1, 9, 9)), elder, x)


def test_a_few_images_train_a_network_that_learned_nothing_itself(elder):
    heir = heir_of(elder)
    x, y = images(2, 3)
    few = [0, 1, -2, -1]
    task = heir.arrive(x[few], [y[i] for i in few])
    assert task.few == 0
    learn(heir, 2, 3)
    assert heir.arrive(x[few], [y[i] for i in few]).few > 0
