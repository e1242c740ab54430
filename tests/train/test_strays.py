"""A step makes nothing beside its device, and nothing in float64: counted on the CPU, for every recipe."""

import pytest
import torch

from every_recipe import STEPPING
from holdfast.testing.strays import counting_strays
from holdfast.train import records
from second_task import counted_in_second_task

OPTIONS = (
    "er:forward=split", "derpp:classes=seen", "lwf_strict:rehearse=3:decide=head", "si:step=proximal",
    "fnc2_strict:uniform=0.5", "fnc2:support=old", "lwf:divergence=jensen_shannon",
)  # fmt: skip


@pytest.mark.parametrize("recipe", [*STEPPING, *OPTIONS])
def test_more_steps_make_no_more_strays(recipe, monkeypatch):
    monkeypatch.setattr(records, "reading_interval", lambda device: 1000)
    few, many = (counted_in_second_task(recipe, batch, counting_strays) for batch in (10, 5))
    assert {where: n - few[where] for where, n in many.items() if n > few[where]} == {}


STRAY = {
    "zeros": lambda x: torch.zeros(2),
    "drawn": lambda x: torch.rand(2, generator=torch.Generator()),
    "a list": lambda x: torch.tensor([1, 2]),
    "doubled": lambda x: x.double(),
    "promoted": lambda x: x.to(torch.float64),
    "made in float64": lambda x: torch.zeros(2, dtype=torch.float64, device=x.device),
}
PLACED = {
    "beside": lambda x: torch.zeros(2, device=x.device),
    "like": lambda x: torch.zeros_like(x) + x.new_ones(3),
    "in place": lambda x: torch.as_tensor(x),
    "arithmetic": lambda x: 2 * x + 1,
}


@pytest.mark.parametrize("ask", STRAY.values(), ids=STRAY)
def test_strays_are_counted(ask):
    x = torch.rand(3)
    with counting_strays() as strays:
        ask(x)
    assert sum(strays.values()) == 1


@pytest.mark.parametrize("ask", PLACED.values(), ids=PLACED)
def test_what_is_in_its_place_is_not_counted(ask):
    x = torch.rand(3)
    with counting_strays() as strays:
        ask(x)
    assert strays == {}
