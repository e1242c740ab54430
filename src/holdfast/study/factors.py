"""Factors crossed into arms, and the effects that such a design can tell apart."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from holdfast.core.errors import ConfigError
from holdfast.study.design import Effect

Place = tuple[int, ...]  # the level of each factor


@dataclass(frozen=True)
class Factor:
    """What is varied.

    Attributes:
        name: of it.
        levels: the parameters of each level by its name.
    """

    name: str
    levels: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Crossing:
    """Levels of several factors in every combination, or in the half of even parity.

        >>> some = Crossing([Factor("a", {"off": {}, "on": {}}), Factor("b", {"off": {}, "on": {}})])
        >>> [some.name(place) for place in some.places]
        ['off, off', 'off, on', 'on, off', 'on, on']

    Attributes:
        factors: in order.
        half: whether only places whose numbers of levels add to an even number are kept. In the half
            a main effect cannot be told from the interaction of the others, and no interaction is
            estimated.
        prefix: before the name of each arm.
    """

    factors: Sequence[Factor]
    half: bool = False
    prefix: str = ""

    @property
    def places(self) -> list[Place]:
        """All combinations, as numbers of levels."""
        every = itertools.product(*(range(len(factor.levels)) for factor in self.factors))
        return [place for place in every if not self.half or sum(place) % 2 == 0]

    def name(self, place: Place) -> str:
        """The name of a combination."""
        levels = [list(f.levels)[k] for f, k in zip(self.factors, place, strict=True)]
        return self.prefix + ", ".join(levels)

    def parameters(self, place: Place) -> dict[str, Any]:
        """The parameters of a combination."""
        levels = [list(f.levels.values())[k] for f, k in zip(self.factors, place, strict=True)]
        return {name: value for level in levels for name, value in level.items()}

    def _place_of(self, factor: str, level: str) -> tuple[int, int]:
        for i, f in enumerate(self.factors):
            if f.name == factor and level in f.levels:
                return i, list(f.levels).index(level)
        raise ConfigError(f"there is no level {level} of a factor {factor}.")

    def main(self, factor: str, high: str, low: str, name: str = "", asked: bool = True) -> Effect:
        """The main effect high - low, by least squares on main effects alone.

        In a full crossing this is the mean over all levels of the other factors.
        """
        i, a = self._place_of(factor, high)
        _, b = self._place_of(factor, low)
        columns = [
            (f, k) for f, of in enumerate(self.factors) for k in range(1, len(of.levels))
        ]  # fmt: skip
        design = np.array([[1.0] + [p[f] == k for f, k in columns] for p in self.places], float)
        wanted = [0.0] + [float(c == (i, a)) - float(c == (i, b)) for c in columns]
        weights = np.linalg.pinv(design).T @ np.array(wanted)
        return self._effect(name or f"{factor}: {high} − {low}", weights, asked)

    def interaction(
        self,
        first: tuple[str, str, str],
        second: tuple[str, str, str],
        name: str = "",
        asked: bool = True,
    ) -> Effect:
        """How much the effect of one factor depends on another: a difference of differences.

        Args:
            first: factor, high level, low level.
            second: likewise.
            name: in words.
            asked: whether it is tested.

        Raises:
            ConfigError: in a half of the design, which cannot tell it from a main effect.
        """
        if self.half:
            raise ConfigError("half of a crossing tells no interaction from a main effect.")
        signs = []
        for factor, high, low in (first, second):
            i, a = self._place_of(factor, high)
            b = self._place_of(factor, low)[1]
            signs.append([float(p[i] == a) - float(p[i] == b) for p in self.places])
        product = np.prod(signs, axis=0)
        weights = product * 4 / np.abs(product).sum()
        words = name or f"{first[0]} x {second[0]}"
        return self._effect(words, weights, asked)

    def _effect(self, name: str, weights: np.ndarray, asked: bool) -> Effect:
        named = {self.name(p): float(w) for p, w in zip(self.places, weights) if abs(w) > 1e-12}
        return Effect(name, named, asked)
