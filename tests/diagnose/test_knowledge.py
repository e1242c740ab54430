"""What is known and what moved, on features that were moved in a known way: there figures must part."""

import pytest
import torch

from holdfast.core.output import Output
from holdfast.core.rows import Rows
from holdfast.diagnose.knowledge import knows, moved, probe
from holdfast.diagnose.moment import PAST, Moment, Says
from holdfast.diagnose.representation import between, collapse, dimensions
from holdfast.diagnose.spoken import kept, sentences
from holdfast.diagnose.watched import Watched
from holdfast.learner import Learner
from holdfast.metrics import rotated

EACH, F, TASKS = 30, 6, 3
LEARNER = Learner((1,), "mlp", 4, dim=0)  # no figure of these tests asks it


def features(seed=0):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(2 * TASKS).repeat_interleave(EACH)
    centre = 3 * torch.randn(2 * TASKS, F, generator=generator)
    return centre[y] + torch.randn(len(y), F, generator=generator), y


def moment(now, past, y, task=TASKS - 1, class_il=0.6):
    rows = Rows(torch.zeros(len(y), 1), y, y // 2, torch.arange(len(y)))
    watched = Watched(rows, EACH, "", torch.arange(len(y)) % 2)
    said = Output(now, torch.nn.functional.normalize(now, dim=1), now)
    matrix = torch.full((task + 1, task + 1), class_il)
    seen = {j: Says(x.float(), x.float()) for j, x in past.items()}
    sizes = torch.full((task + 1,), 100.0)
    return Moment(task, watched, said, seen, None, LEARNER, matrix, matrix, sizes)


def test_a_network_that_stands_still_forgets_nothing():
    x, y = features()
    some = moment(x, {0: x, 1: x}, y)
    values, drift = knows(some), moved(some)
    assert values["representation_forgetting"] == 0
    assert values["readout_forgetting"] == pytest.approx(values["probe_old"] - 0.6)
    assert drift["mean_drift"] == 0 and drift["retrieval"] == 1
    assert drift["cka"] == pytest.approx(1) and drift["map_residual"] < 1e-9


def test_rotated_features_are_known_as_well_and_only_some_figures_see_it():
    x, y = features()
    turned = rotated(x).float()
    some = moment(turned, {0: x, 1: x}, y)
    values, drift = knows(some), moved(some)
    assert values["probe_old"] == pytest.approx(values["probe_then"], abs=0.02)
    assert drift["cka"] == pytest.approx(1, abs=1e-5)
    assert drift["procrustes"] == pytest.approx(1, abs=1e-5)
    assert drift["map_residual"] < 1e-4 and drift["mean_drift"] > 1
    assert drift["retrieval"] < 0.3


def test_what_is_gone_from_the_features_is_not_the_readouts_fault():
    x, y = features()
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(9))
    values = knows(moment(noise, {0: x, 1: x}, y, class_il=0.2))
    assert values["representation_forgetting"] > 0.4
    some = moment(noise, {0: x, 1: x}, y, class_il=0.2)
    words = sentences(some, values | {"moved_over_radius": 0.1}, kept(some)[1])
    assert any("mend the representation first" in word for word in words)


def test_a_probe_is_right_on_rows_that_it_did_not_learn():
    x, y = features()
    assert probe(x, y, torch.arange(len(y)) % 2).double().mean() > 0.9
    shuffled = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(0))]
    assert probe(x, shuffled, torch.arange(len(y)) % 2).double().mean() < 0.4


def test_what_is_missing_says_why():
    x, y = features()
    first, without = moment(x, {}, y, task=0), moment(x, {}, y)
    assert moved(first)["cka"].reason == "it is the first task"
    assert moved(without)["cka"].reason == "the networks after the earlier tasks are not kept"
    assert (
        knows(without)["probe_then"].reason == "the networks after the earlier tasks are not kept"
    )
    assert knows(without)["probe_old"] > 0.9
    assert between(first)["invasion"].reason == "it is the first task"
    assert collapse(without)["nc3"].reason == "the method is not known"
    assert dimensions(without)["participation"] > 1


def test_many_earlier_networks_are_compared_in_part():
    x, y = features()
    some = moment(x, dict.fromkeys(range(TASKS - 1), x), y)
    assert some.compared == [0, 1]
    many = Moment(
        40, some.watched, some.now, dict.fromkeys(range(40), Says(x, x)), None, some.learner,
        some.class_il, some.task_il, some.sizes,
    )  # fmt: skip
    assert len(many.compared) == PAST and many.compared[0] == 0 and many.compared[-1] == 39


def test_new_classes_on_top_of_old_ones_are_called_an_invasion():
    x, y = features()
    mixed = x.clone()
    mixed[y == 4] = x[y == 0] + 0.1
    mixed[y == 5] = x[y == 1] - 0.1
    said = lambda now: sentences(
        moment(now, {}, y), knows(moment(now, {}, y)) | {"moved_over_radius": 0.1},
        kept(moment(now, {}, y))[1],
    )  # fmt: skip
    assert any(word.startswith("signature 1") for word in said(mixed))
    assert any(word.startswith("no invasion") for word in said(5 * x))
