"""The law of many devices: what two processes learn with half a batch each, one learns with the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from holdfast.core.ranks import current, together
from holdfast.core.settings import Machine
from holdfast.recipes.catalogue import make
from holdfast.recipes.method import Method
from holdfast.stream.task import Stream
from holdfast.testing.compare import difference, expect
from holdfast.testing.streams import small_stream, textures
from holdfast.testing.watched import CLOCK, QUICK, place_of
from holdfast.train.devices import on_devices
from holdfast.train.runner import Run
from holdfast.train.setup import Setup

WITHIN = 1e-10
TASKS = 2  # that are learned: in the second there is a past
Kind = Callable[[int, int], Any]


def check_devices(
    recipes: Sequence[str],
    kind: Kind = textures,
    setup: Setup = QUICK,
    sync_norm: bool = True,
    within: float = WITHIN,
) -> None:
    """Two processes learn what one does: losses, weights, statistics and figures, after every event.

    In float64, on a CPU. Batches have an odd number of rows, so that shares are uneven. The weights
    after an update are those of one process only if the gradients were.

    Args:
        recipes: their texts, such as ``lwf:T=4``; all share the two processes.
        kind: of data: `textures` or `vectors`.
        setup: how they are run.
        sync_norm: batch norm by all rows, without which networks that have one differ.
        within: by how much numbers may differ, see `difference`.

    Raises:
        AssertionError: naming the recipe, the event and what differs.
    """
    machine = Machine("cpu", devices=2, sync_norm=sync_norm)
    gaps: list[str] = []
    parts = (tuple(recipes), kind, setup, machine, within)
    on_devices(machine, _compared, *parts, told=gaps.append)
    expect(not gaps, "; ".join(gaps))


def _compared(
    say: Any, recipes: Sequence[str], kind: Kind, setup: Setup, machine: Machine, within: float
) -> None:
    """On one of the two processes: say what differs; each compares every other recipe."""
    torch.set_num_threads(1)
    ranks = current()
    assert ranks is not None
    for number, text in enumerate(recipes):
        stream = small_stream(kind, 13, 6)
        both = dict(_events(make(text), stream, replace(setup, machine=machine)))
        if number % ranks.size != ranks.rank:
            continue
        with together(None):
            alone_on = replace(machine, devices=1)
            alone = dict(_events(make(text), stream, replace(setup, machine=alone_on)))
        for event, state in alone.items():
            place = difference(state, both[event], CLOCK, within=within)
            if place:
                say(f"{text}: two processes have another {place} after {event}")
                break


def _events(method: Method, stream: Stream, setup: Setup) -> Iterator[tuple[str, Any]]:
    """After each event, all that the run is made of and what its epochs recorded."""
    run = Run(method, stream, setup)
    run.learner.double()
    for event in run.events():
        records = getattr(event, "records", {})
        yield place_of(event), {"records": records, "state": run.state()}
        if place_of(event) == f"the end of task {TASKS}":
            return
