"""The law of many devices: what two processes learn with half a batch each, one learns with the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from holdfast.core.ranks import current, together
from holdfast.core.settings import Machine
from holdfast.recipes.adding import with_parts
from holdfast.recipes.catalogue import make
from holdfast.recipes.method import Method
from holdfast.testing.compare import difference, expect
from holdfast.testing.streams import small_stream, textures
from holdfast.testing.watched import CLOCK, QUICK, place_of
from holdfast.train.devices import on_devices
from holdfast.train.runner import Run
from holdfast.train.setup import Setup

WITHIN = 1e-10
TASKS = 2  # that are learned: in the second there is a past


@dataclass(frozen=True)
class OnDevices:
    """A recipe that two processes learn.

    Args:
        recipe: its text, such as ``lwf:T=4``, or a method.
        kind: of data: `textures` or `vectors`.
        setup: how it is run.
        sync_norm: batch norm by all rows, without which networks that have one differ.
        parts: added to the recipe, such as ``elr:weight=1``.
    """

    recipe: str | Method
    kind: Callable[[int, int], Any] = textures
    setup: Setup = QUICK
    sync_norm: bool = True
    parts: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of the recipe, with its parts."""
        name = self.recipe if isinstance(self.recipe, str) else self.recipe.name
        return "+".join((name, *self.parts))

    def events(self, devices: int) -> Iterator[tuple[str, Any]]:
        """After each event, all that the run is made of and what its epochs recorded."""
        machine = Machine("cpu", devices=devices, sync_norm=self.sync_norm)
        stream = small_stream(self.kind, 13, 6)
        method = make(self.recipe) if isinstance(self.recipe, str) else self.recipe
        method = with_parts(method, self.parts)
        run = Run(method, stream, replace(self.setup, machine=machine))
        run.learner.double()
        for event in run.events():
            records = getattr(event, "records", {})
            yield place_of(event), {"records": records, "state": run.state()}
            if place_of(event) == f"the end of task {TASKS}":
                return


def differences_on_devices(
    cases: Sequence[str | OnDevices], within: float = WITHIN
) -> dict[str, str]:
    """Where two processes learn something else than one, by recipe; the arguments are `check_devices`'."""
    every = [OnDevices(case) if isinstance(case, str) else case for case in cases]
    gaps: list[tuple[str, str]] = []
    on_devices(Machine("cpu", devices=2), _compared, every, within, heard=gaps.append)
    return dict(gaps)


def check_devices(cases: Sequence[str | OnDevices], within: float = WITHIN) -> None:
    """Two processes learn what one does: losses, weights, statistics and figures, after every event.

    In float64, on a CPU. Batches have an odd number of rows, so that shares are uneven. The weights
    after an update are those of one process only if the gradients were.

    Args:
        cases: recipes, by their texts or with how they are run; all share the two processes.
        within: by how much numbers may differ, see `difference`.

    Raises:
        AssertionError: naming the recipe, the event and what differs.
    """
    gaps = differences_on_devices(cases, within)
    expect(not gaps, "; ".join(f"{recipe}: {gap}" for recipe, gap in gaps.items()))


def _compared(say: Any, cases: Sequence[OnDevices], within: float) -> None:
    """On one of the two processes: say what differs; each compares every other case."""
    torch.set_num_threads(1)
    ranks = current()
    assert ranks is not None
    for number, case in enumerate(cases):
        both = dict(case.events(ranks.size))
        if number % ranks.size != ranks.rank:
            continue
        with together(None):
            alone = dict(case.events(1))
        for event, state in alone.items():
            place = difference(state, both[event], CLOCK, within=within)
            if place:
                say((case.name, f"two processes have another {place} after {event}"))
                break
