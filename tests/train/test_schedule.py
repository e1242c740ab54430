"""The learning rate: a slow twin, groups that keep their ratio, and going on in the middle."""

import pytest
import torch

import reference
from holdfast.core.settings import Machine, Network, Training
from holdfast.recipes import make
from holdfast.recipes.method import Method
from holdfast.train.runner import run
from holdfast.train.schedule import WarmupCosine
from holdfast.train.setup import Setup


def optimizer(*rates):
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates]
    return torch.optim.SGD(groups)


def rates(schedule, updates):
    output = []
    for _ in range(updates):
        output.append([group["lr"] for group in schedule.optimizer.param_groups])
        schedule.optimizer.step()
        schedule.step()
    return output


@pytest.mark.parametrize(
    "epochs, batches, warmup", [(1, 1, 1.0), (3, 4, 1.0), (10, 3, 2.0), (8, 5, 0.0)]
)
def test_every_update_has_the_rate_of_the_slow_twin(epochs, batches, warmup):
    schedule = WarmupCosine(optimizer(0.3), epochs, batches, warmup)
    actual = [row[0] for row in rates(schedule, epochs * batches)]
    assert actual == pytest.approx(reference.warmup_cosine(0.3, epochs, batches, warmup))


def test_groups_keep_their_ratio():
    schedule = WarmupCosine(optimizer(0.3, 0.03), 4, 3)
    for first, second in rates(schedule, 12):
        assert first > 0
        assert second == pytest.approx(first / 10)


def test_it_goes_on_in_the_middle():
    whole = rates(WarmupCosine(optimizer(0.3), 4, 3), 12)
    schedule = WarmupCosine(optimizer(0.3), 4, 3)
    schedule.resume(2)
    assert rates(schedule, 6) == whole[6:]


def two_rates(parameters, training):
    """The head ten times slower than the rest."""
    weights = list(parameters)
    groups = [{"params": weights[:-2]}, {"params": weights[-2:], "lr": training.lr / 10}]
    made.append(torch.optim.SGD(groups, training.lr))
    return made[-1]


made = []


def test_the_groups_of_an_optimiser_of_ones_own_are_not_flattened(tiny_stream):
    ratios = []
    method = make("finetune")
    method = Method(method.loss, optimizer=two_rates)
    setup = Setup(Training(epochs=2, batch=16, lr=0.05), Network(width=4), Machine("cpu"))

    def watch(event):
        first, second = (group["lr"] for group in made[-1].param_groups)
        ratios.append(second / first if first else None)

    run(method, tiny_stream, setup, watch=watch)
    assert len(ratios) == 9
    assert all(ratio == pytest.approx(0.1) for ratio in ratios if ratio is not None)
    assert any(ratio is not None for ratio in ratios)
