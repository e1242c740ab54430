"""A run that is resumed is the one that was begun: anything else is refused by its name."""

import inspect
from dataclasses import fields, replace
from functools import partial
from typing import get_args

import pytest
import torch

from holdfast.core.errors import ConfigError
from holdfast.core.settings import Machine, Network, Training
from holdfast.learner import Frame
from holdfast.loss import CrossEntropy
from holdfast.memory import Protocol
from holdfast.readout import SharedGaussian
from holdfast.recipes import RECIPES, make
from holdfast.recipes.method import Method, sgd
from holdfast.stream import Augment
from holdfast.train.continual import Continual
from holdfast.train.identity import described, refuse_other
from holdfast.train.setup import FIELDS, Setup

SETUP = Setup(Training(epochs=1, batch=16, lr=0.05), Network(width=4), Machine("cpu"))
SHAPE = (1, 8, 8)

# another value of each setting, and the name under which a change is refused
SETTINGS = {
    "epochs": (3, "training.epochs"),
    "first_epochs": (2, "training.first_epochs"),
    "batch": (17, "training.batch"),
    "lr": (0.1, "training.lr"),
    "momentum": (0.5, "training.momentum"),
    "weight_decay": (0.5, "training.weight_decay"),
    "warmup": (0.5, "training.warmup"),
    "lr_schedule": ("supcon", "training.lr_schedule"),
    "backbone": ("convnet", "model.backbone"),
    "width": (5, "model.width"),
    "past_mode": ("batch", "model.past_mode"),
    "normalise": ("cifar10", "model.normalise"),
    "precision": ("bf16-mixed", "precision"),
    "protocol": (Protocol("auxiliary", 5), "protocol"),
    "readout": ("mean", "readouts"),
    "also": (("mean",), "readouts"),
    "augment": (Augment(flip=True), "augment.flip"),
    "seed": (1, "seed"),
}
EXCUSED = {
    "device": "the same run may go on elsewhere",
    "devices": "and on another number of them: tests/train/test_devices.py",
    "sync_norm": "of several devices alone",
    "tune_layers": "of pretrained networks",
}

# another value of each parameter of each recipe; what it does not name is changed by `another`
SPECIAL = {
    "alpha": {str: "cosine", float: 0.7},
    "divergence": {str: "reverse_kl"},
    "decide": {str: "mean"},
    "classes": {int: 9},
    "adapt": {str: "norm"},
    "decay": {float: 0.5},
    "pull_gamma": {type(None): 2.0},
    "prototype_momentum": {float: 0.5},
    "hold_norms": {str: "all"},
    "kind": {str: "linear"},
}
# what a parameter needs to have an effect
BASE = {
    ("er", "weight"): {"forward": "split"},
    ("masks", "threshold"): {"start": 1.0},
    **{
        (recipe, name): {"prototypes": "running"}
        for recipe in ("fnc2", "fnc2_strict")
        for name in ("prototype_momentum", "follow")
    },
}


def refusal(method, before, after):
    """Why a state of one setup is refused by another."""
    there = Continual(method, SHAPE, before).identity
    here = Continual(method, SHAPE, after).identity
    with pytest.raises(ConfigError, match="this run was begun with") as raised:
        refuse_other(here, there)
    return str(raised.value)


def test_every_setting_is_tried_or_excused():
    groups = {"training", "network", "machine"}
    every = FIELDS.keys() | {f.name for f in fields(Setup)} - groups
    assert every == SETTINGS.keys() | EXCUSED.keys()


@pytest.mark.parametrize("name", SETTINGS)
def test_a_resume_with_another_setting_is_refused_by_its_name(name):
    value, words = SETTINGS[name]
    assert words in refusal(make("co2l"), SETUP, SETUP.updated(**{name: value}, first_epochs=1)
                            if name == "epochs" else SETUP.updated(**{name: value}))  # fmt: skip


def test_the_same_settings_are_not_refused():
    identities = [Continual(make("co2l"), SHAPE, SETUP).identity for _ in range(2)]
    assert refuse_other(*identities) is None
    elsewhere = Continual(make("co2l"), SHAPE, SETUP.updated(device="auto")).identity
    assert refuse_other(identities[0], elsewhere) is None


def another(parameter):
    """A value that differs from a parameter's default."""
    default = parameter.default
    special = SPECIAL.get(parameter.name, {}).get(type(default))
    if special is not None:
        return special
    if isinstance(default, bool):
        return not default
    if isinstance(default, int):
        return default + 1
    if isinstance(default, float):
        return default * 2 + 0.125
    return next(value for value in get_args(parameter.annotation) if value != default)


def parameters_of(recipe):
    return inspect.signature(RECIPES[recipe], eval_str=True).parameters


PARAMETERS = [(recipe, name) for recipe in RECIPES for name in parameters_of(recipe)]


@pytest.mark.parametrize("recipe, name", PARAMETERS)
def test_every_parameter_of_every_recipe_reaches_the_method(recipe, name):
    parameter = parameters_of(recipe)[name]
    base = BASE.get((recipe, name), {})
    methods = [make(recipe, **base), make(recipe, **base, **{name: another(parameter)})]
    before, after = map(described, methods)
    decides = [method.readout and method.readout.name for method in methods]
    assert before != after or decides[0] != decides[1]


@pytest.mark.parametrize("recipe", ["fnc2_strict", "online_ewc"])
def test_a_resume_with_another_parameter_is_refused(recipe):
    for name, parameter in parameters_of(recipe).items():
        base = BASE.get((recipe, name), {})
        identities = [
            Continual(make(recipe, **base, **values), SHAPE, SETUP).identity
            for values in ({name: another(parameter)}, {})
        ]
        with pytest.raises(ConfigError, match="this run was begun with"):
            refuse_other(*identities)


def scaled(factor):
    """An optimiser that closes over a number."""

    def optimizer(parameters, training):
        return torch.optim.SGD(parameters, factor * training.lr)

    return optimizer


def keyed(parameters, training, nesterov=False):
    return torch.optim.SGD(parameters, training.lr, 0.9, nesterov=nesterov)


@pytest.mark.parametrize(
    "before, after",
    [
        (sgd, scaled(1.0)),
        (scaled(1.0), scaled(2.0)),
        (partial(keyed, nesterov=True), keyed),
        (partial(keyed, nesterov=True), partial(keyed, nesterov=False)),
        (lambda p, t: torch.optim.SGD(p, t.lr), lambda p, t: torch.optim.SGD(p, 2 * t.lr)),
    ],
    ids=["other", "closure", "partial", "keyword", "lambda"],
)
def test_a_resume_with_another_optimiser_is_refused(before, after):
    identities = [
        Continual(Method(CrossEntropy(), optimizer=each), SHAPE, SETUP).identity
        for each in (after, before)
    ]
    with pytest.raises(ConfigError, match=r"this run was begun with optimizer\.optimizer"):
        refuse_other(*identities)
    assert refuse_other(identities[0], identities[0]) is None


def test_the_same_closure_made_again_is_the_same_optimiser():
    first, second = (
        Continual(Method(CrossEntropy(), optimizer=scaled(2.0)), SHAPE, SETUP).identity
        for _ in range(2)
    )
    assert refuse_other(first, second) is None


@pytest.mark.parametrize(
    "before, after",
    [
        (SharedGaussian(), SharedGaussian("embedding")),
        (SharedGaussian(drift="ridge"), SharedGaussian(drift="none")),
        ("gaussian:drift=low_rank", "gaussian"),
        ("class-gaussian", "class-gaussian:gamma1=0.5"),
    ],
)
def test_a_resume_with_another_readout_is_refused(before, after):
    setups = (replace(SETUP, readout=each) for each in (before, after))
    assert "readout" in refusal(make("co2l"), *setups)


def test_a_frame_of_another_seed_is_another_method():
    frames = [Frame(8, seed=seed) for seed in (0, 1)]
    assert not torch.equal(frames[0].vectors, frames[1].vectors)
    assert described(make("fnc2", frame_seed=0)) != described(make("fnc2", frame_seed=1))
