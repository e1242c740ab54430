"""Setup: every word reaches its group, and a wrong one is one sentence."""

import json
import logging.handlers
import subprocess
import sys
from dataclasses import fields

import pytest

from holdfast.core.errors import ConfigError
from holdfast.core.settings import Machine, Network, Training
from holdfast.memory import Protocol
from holdfast.readout import Head
from holdfast.recipes import PRESETS, RECIPES, find_preset, make
from holdfast.recipes.presets import PAPER
from holdfast.stream import Augment
from holdfast.train.setup import FIELDS, GROUPS, Setup, as_setup

OTHER = {
    "epochs": 7, "first_epochs": 9, "batch": 5, "lr": 0.25, "momentum": 0.5, "weight_decay": 0.125,
    "warmup": 3.0, "backbone": "mlp", "width": 6, "past_mode": "batch", "tune_layers": 2,
    "lr_schedule": "supcon", "normalise": "cifar10",
    "device": "cpu", "precision": "bf16-mixed", "devices": 2, "sync_norm": True,
    "seed": 11, "readout": "mean", "also": ("gaussian",),
    "augment": "none", "protocol": Protocol("buffer", 20),
}  # fmt: skip


def test_every_setting_has_another_value_here():
    plain = {"training", "network", "machine"}
    assert OTHER.keys() == FIELDS.keys() | {f.name for f in fields(Setup)} - plain


@pytest.mark.parametrize("name", OTHER)
def test_each_override_reaches_its_group_and_nothing_else(name):
    setup, usual = Setup.of("lwf", "quick", **{name: OTHER[name]}), Setup.of("lwf", "quick")
    group = FIELDS.get(name)
    holder, before = (getattr(each, group) if group else each for each in (setup, usual))
    assert getattr(holder, name) == OTHER[name] != getattr(before, name)
    other = {f.name for f in fields(holder)} - {name}
    other -= {"first_epochs"} if name == "epochs" else set()
    assert all(getattr(holder, field) == getattr(before, field) for field in other)
    rest = {f.name for f in fields(Setup)} - {group or name}
    assert all(getattr(setup, field) == getattr(usual, field) for field in rest)


def test_epochs_alone_are_for_the_first_task_too():
    preset = find_preset("quick").training
    assert preset.first_epochs not in (0, preset.epochs)
    training = Setup.of("lwf", "quick", epochs=3).training
    assert (training.epochs_of(0), training.epochs_of(1)) == (3, 3)
    training = Setup.of("lwf", "quick", epochs=3, first_epochs=5).training
    assert (training.epochs_of(0), training.epochs_of(1)) == (5, 3)
    training = Setup.of("lwf", "quick", first_epochs=5).training
    assert (training.epochs_of(0), training.epochs_of(1)) == (5, preset.epochs)


@pytest.mark.parametrize(
    "value, change, kept",
    [
        (Training(batch=3), {"lr": 0.5}, "batch"),
        (Network(width=3), {"backbone": "mlp"}, "width"),
        (Machine("cpu"), {"precision": "bf16-mixed"}, "device"),
    ],
)
def test_a_whole_group_may_be_given_and_a_field_of_it_on_top(value, change, kept):
    group = type(value).__name__.lower()
    result = getattr(Setup.of("lwf", **{group: value}, **change), group)
    assert {name: getattr(result, name) for name in change} == change
    assert getattr(result, kept) == getattr(value, kept)
    assert set(GROUPS) == {"training", "network", "machine"}


@pytest.mark.parametrize("name", ["epoch", "lrate", "sead", "read_out"])
def test_an_unknown_name_is_refused_by_the_nearest(name):
    nearest = {"epoch": "epochs", "lrate": "lr", "sead": "seed", "read_out": "readout"}[name]
    with pytest.raises(ConfigError, match=f"unknown setting '{name}': did you mean '{nearest}'"):
        Setup.of("lwf", **{name: 1})


def test_none_leaves_the_presets_value():
    assert Setup.of("lwf", "quick", lr=None, seed=None) == Setup.of("lwf", "quick")


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("preset", ["quick", "desk"])
def test_a_recipe_has_the_training_of_its_preset(recipe, preset):
    chosen = find_preset(preset)
    setup = Setup.of(recipe, preset)
    assert setup.training == chosen.training_of(recipe)
    assert setup.network == chosen.network


@pytest.mark.parametrize(
    "shape, name", [((12,), "quick"), ((1, 8, 8), "quick"), ((3, 17, 16), "desk"), (None, "desk")]
)
def test_the_automatic_preset_goes_by_the_shape(shape, name):
    assert Setup.of("lwf", "auto", shape) == Setup.of("lwf", name)
    assert "auto" in PRESETS


def test_a_preset_as_a_value_and_a_method_of_ones_own():
    paper = PAPER["cifar10"]
    setup = Setup.of(make("co2l"), paper)
    assert setup.training == paper.training and setup.augment == "contrastive"
    assert Setup.of(make("lwf"), paper).augment == "auto"  # a method of one view


WRONG = [
    ({"seed": 1.5}, "seed must be a whole number, not 1.5"),
    ({"seed": True}, "seed must be a whole number, not True"),
    ({"epochs": 2.5}, "epochs cannot be 2.5: it must be a whole number"),
    ({"lr": "fast"}, "lr cannot be 'fast': it must be a number"),
    ({"lr": float("nan")}, "--lr must be"),
    ({"batch": 0}, "--batch must be at least 1"),
    ({"width": "wide"}, "width cannot be 'wide'"),
    ({"past_mode": "train"}, "unknown value of past_mode 'train'"),
    ({"precision": "64"}, "unknown value of precision '64'"),
    ({"backbone": 3}, "backbone"),
    ({"readout": 3}, "readout cannot be 3"),
    ({"augment": 3}, "augment cannot be 3"),
    ({"training": {"lr": 0.1}}, "training cannot be"),
    ({"network": "resnet18"}, "network cannot be 'resnet18'"),
    ({"machine": "cpu"}, "machine cannot be 'cpu'"),
    ({"protocol": "bufer"}, "unknown protocol 'bufer': did you mean 'buffer'"),
    ({"protocol": 3}, "unknown protocol '3'"),
    ({"images": "many"}, "images cannot be 'many'"),
    ({"protocol": "buffer"}, "needs a number of images"),
    ({"also": 3}, "also"),
    ({"also": (3,)}, "also"),
]
DIRECT = [
    ({"protocol": "strict"}, "protocol cannot be 'strict'"),
    ({"also": "mean"}, "also must be a tuple of readouts"),
    ({"readout": None}, "readout cannot be None"),
]
NO_SETUP = ("None", "'lwf'", "{'epochs': 3}", "Network()")
SCRIPT = """
import json, sys
from holdfast import ConfigError, Network, Setup
from holdfast.train.setup import as_setup
for calls in json.loads(sys.argv[1]):
    try:
        eval(calls)
        print("accepted")
    except ConfigError as error:
        print(str(error).replace(chr(10), "<line>"))
"""


def test_a_value_of_another_type_is_one_sentence():
    """In a process of its own, where no type is checked at run time as it is in these tests."""
    cases = [(f"Setup.of('lwf', **{values!r})", words) for values, words in WRONG]
    cases += [(f"Setup(**{values!r})", words) for values, words in DIRECT]
    cases += [(f"as_setup({text})", "a run takes a Setup") for text in NO_SETUP]
    calls = json.dumps([call.replace("nan", "float('nan')") for call, _ in cases])
    command = [sys.executable, "-c", SCRIPT, calls]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == len(cases)
    for line, (call, words) in zip(lines, cases):
        assert words in line and line.endswith(".") and "<line>" not in line, call


def test_images_are_of_the_methods_own_protocol():
    assert Setup.of("er", images=7).protocol == Protocol("buffer", 7)
    assert Setup.of("er", protocol="buffer").protocol == Protocol("buffer", 200)
    assert Setup.of("lwf", protocol="auxiliary", images=7).protocol == Protocol("auxiliary", 7)
    assert Setup.of("er").protocol is None
    assert Setup.of("er").protocol_of(make("er")) == Protocol("buffer", 200)


def test_further_readouts_may_be_a_text():
    setup = Setup.of("lwf", also="mean,gaussian:embedding")
    assert setup.also == ("mean", "gaussian:embedding")


def test_a_training_alone_stands_for_a_setup():
    assert as_setup(Training(epochs=3)) == Setup(Training(epochs=3))
    assert as_setup(Setup(seed=3)).seed == 3


def test_as_plain_data_two_setups_differ_in_any_setting():
    usual = Setup.of("lwf", "quick")
    for name, value in OTHER.items():
        assert Setup.of("lwf", "quick", **{name: value}).to_dict() != usual.to_dict(), name
    assert Setup(readout=Head(), augment=Augment()).to_dict()["readout"] == "head"


def test_mixed_precision_prints_no_word_of_its_own():
    seen = logging.handlers.BufferingHandler(100)
    logger = logging.getLogger("lightning_fabric")
    logger.addHandler(seen)
    try:
        Machine("cpu", "bf16-mixed").fabric()
    finally:
        logger.removeHandler(seen)
    assert not seen.buffer
