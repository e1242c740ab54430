"""Confidence: what held-out rows say of how far a readout's answers can be believed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from holdfast.core.errors import ConfigError
from holdfast.statistics.deviations import padded

PERCENTILES = 101
ENOUGH = 20  # held-out rows of a class from which on it has a threshold of its own
SHRINK = 10  # rows that the threshold of all counts for beside them


def nothing() -> Tensor:
    """Before anything was measured."""
    return torch.zeros(0, dtype=torch.float64)


@dataclass(frozen=True)
class Confidence:
    """A temperature, and how strange held-out rows looked.

    Attributes:
        temperature: of the softmax of the scores.
        reach: (101,) percentiles of the strangeness of held-out rows; () before any was measured.
        rows: held-out rows that were measured, an old one counting for less.
        at: (rows, classes) known when it was last measured.
        forgotten: whether the temperature is of other scores, so that the next one is not averaged.
        missed: (101,) percentiles of 1 - p of the true class of held-out rows; () before any.
        behind: held-out rows behind ``missed``.
        nominal: whether rows that were drawn had a say, so that sets promise the model's share alone.
        gap: (K,) how much stranger than all a class's held-out rows looked, in the median; or ().
        measured: (K,) held-out rows of each class behind ``gap``; or ().
        centred: whether strangeness was counted from that of the class's mean; not in older files.
    """

    temperature: float = 1.0
    reach: Float[Tensor, " q"] = field(default_factory=nothing)
    rows: float = 0.0
    at: tuple[int, int] = (0, 0)
    forgotten: bool = False
    missed: Float[Tensor, " m"] = field(default_factory=nothing)
    behind: float = 0.0
    nominal: bool = False
    gap: Float[Tensor, " k"] = field(default_factory=nothing)
    measured: Float[Tensor, " j"] = field(default_factory=nothing)
    centred: bool = True

    def after(
        self, temperature: float, strange: Float[Tensor, " n"], at: tuple[int, int]
    ) -> Confidence:
        """With the held-out rows of another task.

        Logarithms of temperatures, and percentiles, are averaged, those of all earlier tasks together
        counting for no more rows than those of this one.
        """
        n = float(len(strange))
        share = self.share(n)
        reach = averaged(self.reach if self.centred else nothing(), strange, share)
        if at[1] < 2:  # one class has no other that its rows could be far from
            reach = nothing()
        before = temperature if self.forgotten else self.temperature
        both = math.exp(share * math.log(before) + (1 - share) * math.log(temperature))
        rows = min(self.rows, n) + n
        return replace(
            self,
            temperature=both,
            reach=reach,
            rows=rows,
            at=at,
            forgotten=False,
            nominal=False,
            centred=True,
        )

    def share(self, n: float) -> float:
        """What earlier tasks count for beside n rows: never more than these."""
        return min(self.rows, n) / (min(self.rows, n) + n)

    def missing(self, scores: Float[Tensor, "n k"], y: Int[Tensor, " n"]) -> Confidence:
        """With how far the true class of held-out rows was from certain, by the temperature in use.

        Earlier tasks, which had fewer classes to be mistaken for, count only beside fewer than 20 rows.

        Args:
            scores: (N, K) of the rows.
            y: their columns.
        """
        p = torch.softmax(scores.double() / self.temperature, 1)
        n = float(len(y))
        past = 0.0 if n >= ENOUGH else min(self.behind, n)
        missed = averaged(self.missed, 1 - p.gather(1, y[:, None])[:, 0], past / (past + n))
        return replace(self, missed=missed, behind=past + n)

    def gapped(
        self, strange: Float[Tensor, " n"], y: Int[Tensor, " n"], classes: int
    ) -> Confidence:
        """With how strange a class's held-out rows look beside all of the task, in the median.

        Args:
            strange: (N,) of the rows.
            y: their classes.
            classes: K known.
        """
        gap, measured = (padded(t.to(strange), classes).clone() for t in (self.gap, self.measured))
        middle = strange.median()
        for k in y.unique().tolist():
            rows = strange[y == k]
            n = len(rows)
            total = measured[k] + n
            gap[k] += (rows.median() - middle - gap[k]) * n / total
            measured[k] = total
        return replace(self, gap=gap, measured=measured)

    def shifts(
        self,
        strange: Float[Tensor, " n"],
        y: Int[Tensor, " n"],
        taken: Int[Tensor, " n"],
        fold: Int[Tensor, " n"],
    ) -> Float[Tensor, " n"]:
        """(N,) `shift` of each row by the other folds: its own would make it look less strange.

        Args:
            strange: (N,) of rows held out.
            y: their classes.
            taken: the classes that they are taken for.
            fold: in which they were held out.
        """
        classes = int(max(y.max(), taken.max(), len(self.gap) - 1)) + 1
        measured = self.gapped(strange, y, classes).measured
        shift = torch.zeros_like(strange)
        for j in fold.unique().tolist():
            others = self
            if bool((fold != j).any()):
                others = self.gapped(strange[fold != j], y[fold != j], classes)
            full = replace(others, measured=measured, gap=padded(others.gap.to(strange), classes))
            shift[fold == j] = full.shift(classes)[taken[fold == j]]
        return shift

    def shift(self, classes: int) -> Float[Tensor, " k"]:
        """(K,) of each class, by which an input that is taken for it looks stranger than others do.

        n / (n + 10) of what n held-out rows say; 0 for fewer than 20.
        """
        gap, n = padded(self.gap, classes), padded(self.measured, classes)
        return torch.where(n >= ENOUGH, gap * n / (n + SHRINK), 0.0)

    def missable(self, cover: float) -> float:
        """The q for which sets of all classes with 1 - p <= q hold the true one so often.

        The percentile at (1 + 1/n) cover of the n rows held out; infinite where they are too few.
        docs/theory.md, section 9.

        Raises:
            ConfigError: for a share that is not between 0 and 1, or where no row could be held out.
        """
        if not 0 < cover < 1:
            raise ConfigError(f"the share of sets lies between 0 and 1, not at {cover}.")
        if not len(self.missed):
            raise ConfigError(
                "no image could be held out to measure how large sets must be: learn two of a class."
            )
        rank = cover * (1 + 1 / self.behind)
        return math.inf if rank > 1 else percentile(self.missed, 100 * rank)

    def stale(self, rows: int, classes: int) -> bool:
        """Whether it must be measured again: always up to 50 classes, else once a quarter has come."""
        before, known = self.at
        return classes <= 50 or rows >= 1.25 * before or classes >= 1.25 * known

    def threshold(self, rate: float = 0.05) -> float:
        """The strangeness that a share ``rate`` of the held-out rows exceeded.

        An empirical quantile; no distribution is assumed. The rate holds for rows like those: new
        scenes of the classes of the last tasks.

        Raises:
            ConfigError: for a rate that is not between 0 and 1, or where no row could be held out.
        """
        if not 0 < rate < 1:
            raise ConfigError(f"a false-alarm rate lies between 0 and 1, not at {rate}.")
        if not len(self.reach):
            raise ConfigError(
                "no image could be held out to measure what is unknown: learn two of a class."
            )
        return percentile(self.reach, 100 * (1 - rate))

    def state(self) -> dict[str, Tensor]:
        """As tensors by name."""
        numbers = [self.temperature, self.rows, *map(float, self.at), self.behind, self.nominal]
        numbers.append(self.centred)
        return {
            "temperature": torch.tensor(numbers[0], dtype=torch.float64),
            "reach": self.reach,
            "confidence": torch.tensor(numbers[1:], dtype=torch.float64),
            "missed": self.missed,
            "gap": self.gap,
            "measured": self.measured,
        }

    @classmethod
    def load(cls, state: dict[str, Tensor]) -> Confidence:
        """From `state`; one of the first format had a temperature alone, or a reach beside it."""
        reach = state.get("reach", nothing())
        numbers = state.get("confidence")
        rows, at = (
            (1.0, (0, 0))
            if numbers is None
            else (float(numbers[0]), (int(numbers[1]), int(numbers[2])))
        )
        more = [] if numbers is None else numbers[3:].tolist()
        behind, nominal = (more[0], bool(more[1])) if more else (0.0, False)
        centred = len(more) > 2 and bool(more[2])
        parts = (state.get(name, nothing()) for name in ("missed", "gap", "measured"))
        missed, gap, measured = parts
        temperature = float(state["temperature"])
        fixed = (rows, at, False, missed, behind, nominal, gap, measured, centred)
        return cls(temperature, reach, *fixed)


def averaged(
    known: Float[Tensor, " o"], values: Float[Tensor, " n"], share: float
) -> Float[Tensor, " q"]:
    """(101,) percentiles of values, averaged with known ones that count for a share."""
    values = values.double()
    fresh = torch.quantile(values, torch.linspace(0, 1, PERCENTILES).to(values))
    return share * known.to(fresh) + (1 - share) * fresh if len(known) else fresh


def percentile(of: Float[Tensor, " q"], place: float) -> float:
    """Between two of 101 percentiles, linearly."""
    low = min(int(place), 99)
    return float(of[low] + (place - low) * (of[low + 1] - of[low]))
