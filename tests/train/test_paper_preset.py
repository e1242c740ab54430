"""The presets ``paper`` do what the authors' public code does: rates, constants, and the loss of a step."""

import pytest
import torch

import reference
from holdfast.core.errors import ConfigError
from holdfast.core.output import Output
from holdfast.core.rows import Rows
from holdfast.core.settings import NORMALISATIONS, Network, Training
from holdfast.core.step import Step
from holdfast.learner import Learner
from holdfast.recipes import make
from holdfast.recipes.presets import PAPER
from holdfast.train.schedule import LR_SCHEDULES
from holdfast.train.setup import Setup

LABELS = [2, 3, 2, 3, 0, 2]  # the fifth row is of an old class
RECORDED = {  # of `step_of` in epoch 41 of 100, and in the first
    ("fnc2", "cifar10"): (11.917759, 11.958752),
    ("co2l", "cifar10"): (11.052876, 11.052876),
    ("fnc2", "tiny-imagenet"): (8.213788, 8.274401),
}


@pytest.mark.parametrize(("epochs", "batches", "warmup"), [(100, 3, 10), (50, 1, 10), (500, 2, 10)])
def test_the_rate_is_that_of_the_public_code(epochs, batches, warmup):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    schedule = LR_SCHEDULES["supcon"](optimizer, epochs, batches, warmup)
    rates = []
    for _ in range(epochs * batches):
        rates.append(optimizer.param_groups[0]["lr"])
        schedule.step()
    assert rates == pytest.approx(reference.epoch_cosine(0.5, epochs, batches, warmup))
    schedule.resume(7)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(rates[7 * batches])


def test_presets_take_the_rate_the_mode_and_the_constants_of_the_public_code():
    for name, preset in PAPER.items():
        setup = Setup.of(make("fnc2", preset), preset)
        assert setup.training.lr_schedule == "supcon" and setup.network.past_mode == "batch"
        assert setup.network.normalise == name


def test_inputs_are_normalised_by_constants():
    learner = Learner((3, 8, 8), "auto", 4, dim=8)
    learner.normalise_by(torch.rand(5, 3, 8, 8), "cifar10")
    mean, std = NORMALISATIONS["cifar10"]
    assert learner.mean.tolist() == pytest.approx(mean) and learner.std.tolist() == pytest.approx(
        std
    )
    with pytest.raises(ConfigError, match="--normalise data"):
        Learner((1, 8, 8), "auto", 4, dim=8).normalise_by(torch.rand(5, 1, 8, 8), "cifar10")


@pytest.mark.parametrize(("kind", "name"), [(Training, "lr_schedule"), (Network, "normalise")])
def test_other_names_are_refused(kind, name):
    with pytest.raises(ConfigError, match="Known:"):
        kind(**{name: "nothing"})


def test_settings_that_came_later_are_written_only_where_they_are_used():
    plain = Setup().to_dict()
    assert "lr_schedule" not in plain["training"] and "normalise" not in plain["network"]
    paper = Setup.of(make("co2l"), PAPER["cifar100"]).to_dict()
    assert paper["training"]["lr_schedule"] == "supcon"
    assert paper["network"]["normalise"] == "cifar100"


def step_of(dim, epoch):
    """A step of the second task, in an epoch counted from 0, with what both networks say."""
    now, before = (reference.unit_rows(len(LABELS), dim, seed) for seed in (1, 2))
    task = torch.tensor([int(label > 1) for label in LABELS])
    rows = Rows(torch.zeros(len(LABELS), 1), torch.tensor(LABELS), task, torch.arange(len(LABELS)))
    both = [Output(z, z, torch.zeros(len(LABELS), 0)) for z in (now, before)]
    step = Step(
        {"batch": rows}, lambda x: both[0], lambda x: both[1], 1, (2, 3), (0, 1, 2, 3), epoch, 100
    )
    return step, now.tolist(), before.tolist()


def in_their_words(name, stream, z, past, epoch, frame):
    """The loss as the public code has it, term by term; its epochs count from 1."""
    tiny, new = stream == "tiny-imagenet", [label > 1 for label in LABELS]
    now, then = (0.1, 0.1) if tiny else (0.2, 0.01)
    soft = reference.relation_distillation(z, past, now, then)
    if name == "co2l":
        return reference.sup_con(z, LABELS, 0.5, new, 0.5 / 0.07, "rows") + soft
    gamma, (e0, e1) = (4.0, (20, 40)) if tiny else (1.0, (30, 80))
    loss = reference.focal_collapse(
        z, LABELS, frame, 0.5, gamma, (0, 1), new, "open", 0.5 / 0.07, "rows"
    )
    hard = reference.relation_distillation(z, past, 0.2, 0.1, frame[:4])
    share = 1 - max(min(epoch, e1) - e0, 0) / 100
    return loss + share * soft + (1 - share) * hard


@pytest.mark.parametrize(("name", "stream"), RECORDED)
def test_the_loss_of_a_step_is_that_of_the_public_code(name, stream):
    method = make(name, PAPER[stream])
    frame = [] if method.frame is None else method.frame.vectors.double().tolist()
    for epoch, recorded in zip((40, 0), RECORDED[name, stream], strict=True):
        step, z, past = step_of(method.dim, epoch)
        loss = sum(float(part(step)) for part in method.objectives)
        assert loss == pytest.approx(
            in_their_words(name, stream, z, past, epoch + 1, frame), abs=1e-5
        )
        assert loss == pytest.approx(recorded, abs=1e-4)
