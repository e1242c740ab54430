"""Randomness by place: every epoch and every choice has a seed of its own."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive_seed(seed: int, *place: object) -> int:
    """A seed for a place in a run, so that nothing depends on how much chance was used before.

    >>> derive_seed(0, "epoch", 1, 2) == derive_seed(0, "epoch", 1, 2) != derive_seed(0, "epoch", 2, 1)
    True
    """
    return int.from_bytes(hashlib.sha256(repr((seed, *place)).encode()).digest()[:7], "big")


def in_range(seed: int) -> int:
    """A seed as torch takes it: itself, or one derived from it where it has more than 64 bits."""
    return seed if -(2**63) <= seed < 2**64 else derive_seed(seed)


def make_generator(device: torch.device, seed: int, *place: object) -> torch.Generator:
    """A generator on a device, seeded for a place in a run."""
    generator = torch.Generator(device)
    return generator.manual_seed(derive_seed(seed, *place))


@contextmanager
def seeded(device: torch.device, seed: int, *place: object) -> Iterator[None]:
    """Run inside with every global generator seeded for a place, and leave them as they were.

    Covers torch (the CPU's and the device's), numpy and Python's own: what dropout, a custom layer or
    a transform draws is then the same for the same seed, and whether or not a run was resumed.
    """
    start = derive_seed(seed, *place)
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(start)
        np.random.seed(start % 2**32)  # noqa: NPY002
        random.seed(start)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)
