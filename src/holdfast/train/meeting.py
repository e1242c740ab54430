"""How several processes meet to learn together, and which of them prints."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import torch
from torch import distributed as dist

from holdfast.core.errors import ConfigError
from holdfast.core.ranks import Ranks, current, together
from holdfast.core.settings import Machine

PATIENCE = timedelta(minutes=30)  # of one process with the slowest other


def outside() -> int:
    """How many processes a launcher such as torchrun has started; 0 for none."""
    return int(os.environ.get("WORLD_SIZE", 0)) if "RANK" in os.environ else 0


@contextmanager
def ranked(machine: Machine) -> Iterator[Ranks | None]:
    """Inside, this process is one of those that a launcher such as torchrun started; None for none.

    Raises:
        ConfigError: where they are not as many as the machine has devices.
    """
    size = outside()
    if size < 2 or current() is not None:
        yield current()
        return
    if size != machine.devices:
        raise ConfigError(
            f"the launcher started {size} processes and --devices is {machine.devices}: give --devices "
            f"{size}."
        )
    rank, here = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", os.environ["RANK"]))
    with meeting_of(rank, size, here, machine, "env://") as ranks:
        yield ranks


@contextmanager
def meeting_of(rank: int, size: int, here: int, machine: Machine, meeting: str) -> Iterator[Ranks]:
    """Inside, this process learns with the others."""
    cuda = machine.device in ("auto", "cuda") and torch.cuda.is_available()
    device = torch.device("cuda", here) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    elif meeting.startswith("file:"):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    backend = "nccl" if cuda else "gloo"
    with ExitStack() as stack:
        dist.init_process_group(
            backend, init_method=meeting, rank=rank, world_size=size, timeout=PATIENCE
        )
        stack.callback(dist.destroy_process_group)
        ranks = Ranks(rank, size, device)
        stack.enter_context(together(ranks))
        yield ranks


def silence() -> None:
    """Nothing that this process prints is seen: the first one prints, and errors travel otherwise."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for place in (1, 2):
        os.dup2(nowhere, place)
    os.close(nowhere)
