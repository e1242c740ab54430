"""Weights that change over the epochs of a task, such as the alpha of HSD (docs/theory.md, section 4)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from holdfast.core.registry import Registry

SCHEDULES: Registry[Callable[..., Schedule]] = Registry("schedule")


class Schedule(ABC):
    """A weight as a function of the epoch e = 0..E-1; ``1 - schedule`` is its complement."""

    label = "alpha"

    @abstractmethod
    def at(self, epoch: int, epochs: int) -> float:
        """The weight during epoch e of E."""

    def __rsub__(self, one: float) -> Schedule:
        return _Complement(one, self)


@dataclass(frozen=True)
class _Complement(Schedule):
    one: float
    of: Schedule
    label = ""  # its schedule is logged already

    def at(self, epoch: int, epochs: int) -> float:
        return self.one - self.of.at(epoch, epochs)


@SCHEDULES.register("constant")
@dataclass(frozen=True)
class Constant(Schedule):
    """The same weight throughout."""

    value: float = 0.5

    def at(self, epoch: int, epochs: int) -> float:
        """The value."""
        return self.value


@SCHEDULES.register("linear")
@dataclass(frozen=True)
class Linear(Schedule):
    """From ``start`` in the first epoch to ``end`` in the last.

    >>> [Linear().at(e, 5) for e in range(5)]
    [1.0, 0.75, 0.5, 0.25, 0.0]
    """

    start: float = 1.0
    end: float = 0.0

    def at(self, epoch: int, epochs: int) -> float:
        """Start + (end - start) e / (E - 1)."""
        return self.start + (self.end - self.start) * epoch / max(epochs - 1, 1)


@SCHEDULES.register("delayed")
@dataclass(frozen=True)
class Delayed(Schedule):
    """1 until e0, then 1 - (e - e0)/E, constant from e1 on: the form of the authors' later code.

    >>> [Delayed(2, 4).at(e, 8) for e in range(6)]
    [1.0, 1.0, 1.0, 0.875, 0.75, 0.75]
    """

    e0: int = 30
    e1: int = 80

    def at(self, epoch: int, epochs: int) -> float:
        """1 - (min(e, e1) - e0)+ / E, never below 0."""
        return max(0.0, 1.0 - max(min(epoch, self.e1) - self.e0, 0) / epochs)


@SCHEDULES.register("cosine")
@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from 1 in the first epoch to 0 in the last."""

    def at(self, epoch: int, epochs: int) -> float:
        """(1 + cos(pi e / (E - 1))) / 2."""
        return (1 + math.cos(math.pi * epoch / max(epochs - 1, 1))) / 2


@SCHEDULES.register("step")
@dataclass(frozen=True)
class Switch(Schedule):
    """1 in the first ``share`` of the epochs, 0 after it."""

    share: float = 0.5

    def at(self, epoch: int, epochs: int) -> float:
        """1 while e < share E."""
        return float(epoch < self.share * epochs)


def make_schedule(text: str) -> Schedule:
    """A schedule from its written form: ``linear``, ``delayed:30,80``, ``constant:0.5``, ``step:0.3``.

    Raises:
        ConfigError: for an unknown name or arguments it does not take.

    >>> make_schedule("delayed:2,4")
    Delayed(e0=2, e1=4)
    """
    return SCHEDULES.build(text)
