"""Select: the rule that held-out rows ask for, among those that one set of statistics serves."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from holdfast.core.errors import ConfigError, unknown
from holdfast.readout.decision import Decision, Linear
from holdfast.readout.far import Outside, Strangeness, strange
from holdfast.readout.held_out import Fold, HeldOut
from holdfast.readout.lift import LIFTS, LiftName, lifted
from holdfast.readout.readout import Space, register
from holdfast.readout.ridge import solve_ridge
from holdfast.readout.rule import COMPARED, FEATURES, RULES, USUAL, Asked
from holdfast.readout.streaming import Streaming
from holdfast.statistics.class_statistics import Statistics
from holdfast.statistics.drift import DriftName
from holdfast.statistics.scatter import SharedScatter

HANDFUL = 3  # rows a class below which means decide
ENOUGH = 20  # rows held out from which on they choose
AMONG = 128  # classes at most that rules are compared on
REGRESSION = 0.3  # strength of the regression by whose best answer strangeness is measured


@register("select")
class Select(Streaming):
    """The rule of `COMPARED` by which most held-out rows are right, class by class; the first for equals.

    Another rule than the one in use is taken only where it is better by more than one standard
    error. With fewer than three rows a class, or too few to hold out, means decide. What is stored:
    K (3 + f) + f^2 + 202 numbers, whichever rule decides. An input is strange by the best score of a
    balanced ridge regression of the classes, whichever rule decides, and where it lies `Outside`.

    Args:
        on: ``features``, ``hidden`` or ``embedding``.
        rule: the name of a rule, to choose none.
        drift: how the stored statistics follow the network.
        scatter: ``shared`` keeps f^2 numbers for all classes; ``factor`` min(n, f) f for each class of n
            rows, by which one can be removed or split off without its images.
        lift: ``random`` or ``klda`` decides among `lifted` features: M = 4 f of them, so that M^2 numbers
            are kept and a rule costs 64 times as much. On two data sets it gained nothing.

    Attributes:
        chosen: the rule in use.
        accuracies: of each rule on the rows held out, when they last chose.
        reason: why the rule in use was chosen, for reports.

    Raises:
        ConfigError: for an unknown rule.
    """

    label = "select"
    by_class = True

    def __init__(
        self,
        on: Space = "features",
        rule: str = "",
        drift: DriftName = "none",
        scatter: Literal["shared", "factor"] = "shared",
        lift: LiftName = "none",
    ):
        super().__init__(on, drift, scatter)
        if lift not in LIFTS:
            raise unknown("lift", lift, LIFTS)
        self.scatter: str = scatter
        self.lift: LiftName = lift
        if rule and rule not in RULES:
            raise unknown("rule", rule, RULES)
        self.rule, self.chosen = rule, rule
        self.accuracies: dict[str, float] = {}
        self.reason = ""
        self._ruler: tuple[Linear, Outside] | None = None

    @property
    def choices(self) -> tuple[str, ...]:  # type: ignore[override]
        """The rule, unless it was set."""
        return () if self.rule else ("rule",)

    def choose(self, heldout: HeldOut) -> None:
        """Choose by the rows held out."""
        if self.rule:
            return
        if heldout.count < ENOUGH:
            self.chosen = self.chosen or self._by_rows(heldout)
            self.reason = f"{self.chosen}: {heldout.count} rows held out are too few to choose by"
            return
        right = _right(heldout)
        labels = torch.cat([fold.y for fold in heldout.folds])
        shares = {name: _by_class(values, labels) for name, values in right.items()}
        self.accuracies = {name: float(share.mean()) for name, share in shares.items()}
        usual = self.chosen if self.chosen in COMPARED else USUAL
        best = max(COMPARED, key=lambda name: self.accuracies[name])
        gain = right[best] - right[usual]
        error = float(gain.std(correction=0)) / len(gain) ** 0.5
        better = self.accuracies[best] - self.accuracies[usual]
        rule = best if better > error else usual
        if rule != self.chosen:  # its scores have another scale
            self.confidence = replace(self.confidence, forgotten=True)
        self.chosen = rule
        share = 100 * self.accuracies[rule]
        self.reason = (
            f"{rule}: right on {share:.1f} % of {heldout.count} rows held out, scene by scene"
        )

    def _by_rows(self, heldout: HeldOut) -> str:
        """What decides before rows could choose."""
        rows = len(heldout.y) / max(int(heldout.y.unique().numel()), 1)
        return FEATURES if rows < HANDFUL else USUAL

    def representation(self, width: int) -> nn.Module:
        """The lift."""
        return lifted(self.lift, width)

    def measurable(self, statistics: Statistics) -> Statistics:
        """With one scatter for all: every rule asks for no more."""
        if not statistics.scatter.by_class:
            return statistics
        return replace(statistics, scatter=SharedScatter(statistics.scatter.pooled()))

    def solve(self, statistics: Statistics) -> Decision:
        """By the rule in use."""
        return RULES[self.chosen or USUAL].solve(statistics)

    def strangeness(
        self, statistics: Statistics, decision: Decision, x: Float[Tensor, "n m"]
    ) -> Float[Tensor, " n"]:
        """(N,) minus the best class's score in a balanced ridge regression, and `Outside`."""
        regression, outside = self.ruler if statistics is self.statistics else _ruler(statistics)
        return strange(outside(x), regression(x)[:, statistics.met])

    @property
    def ruler(self) -> tuple[Linear, Outside]:
        """By what strangeness is measured, of all that is known: made once a decision."""
        if self._ruler is None:
            self._ruler = _ruler(self.known)
        return self._ruler

    def strange_network(self) -> nn.Module:
        """The same as a network."""
        return Strangeness(self.ruler[0].network(), self.known)

    def forget_decision(self) -> None:
        """And what strangeness is measured by."""
        super().forget_decision()
        self._ruler = None

    def get_extra_state(self) -> dict[str, Tensor]:
        """Everything that was learned, as tensors by name."""
        state = super().get_extra_state()
        place = list(RULES).index(self.chosen) if self.chosen else -1
        return state | {"rule": torch.tensor(place)} if state else state

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take over what was learned.

        Raises:
            ConfigError: for a rule that there is not.
        """
        super().set_extra_state(state)
        if not state:
            return
        place = int(state["rule"])
        if not -1 <= place < len(RULES):
            raise ConfigError(f"there is no rule {place}: {len(RULES)} are known.")
        self.chosen = list(RULES)[place] if place >= 0 else ""


def _ruler(statistics: Statistics) -> tuple[Linear, Outside]:
    """A balanced ridge regression, and the ball that holds what was learned."""
    return solve_ridge(statistics, REGRESSION, balance=True), Outside(statistics)


def _right(heldout: HeldOut) -> dict[str, Float[Tensor, " n"]]:
    """For each rule (N,) 1 for the rows held out that it gets right, else 0."""
    parts: dict[str, list[Tensor]] = {name: [] for name in COMPARED}
    for fold in heldout.folds:
        classes = compared(fold)
        asked, rest = Asked(fold.rest, classes), fold.rest.met
        met = rest if classes is None else rest[classes]
        for name in COMPARED:
            best = RULES[name].of(asked)(fold.x).masked_fill(~met, -torch.inf).argmax(1)
            parts[name].append(((best if classes is None else classes[best]) == fold.y).double())
    return {name: torch.cat(part) for name, part in parts.items()}


def compared(fold: Fold, most: int = AMONG) -> Int[Tensor, " c"] | None:
    """The classes that rules are compared on; None is every class.

    Of many classes: those of the rows held out, and those whose means lie nearest to such a row, for
    it is these that are mistaken for each other. So the cost is flat in the classes known.

    Args:
        fold: rows held out.
        most: classes at most, more only where the rows are of more.
    """
    met = fold.rest.met
    if int(met.sum()) <= most:
        return None
    near = torch.cdist(fold.x, fold.rest.mean).amin(0).masked_fill(~met, torch.inf)
    near[fold.y] = -1.0
    return near.argsort(stable=True)[: max(most, int(fold.y.unique().numel()))].sort().values


def _by_class(right: Float[Tensor, " n"], y: Tensor) -> Float[Tensor, " k"]:
    """(K,) share of right rows of each class that has any."""
    count = torch.bincount(y)
    share = right.new_zeros(len(count)).index_add(0, y, right) / count.clamp_min(1)
    return share[count > 0]
