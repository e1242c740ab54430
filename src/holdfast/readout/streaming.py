"""Streaming readouts: what is stored are statistics of classes, which follow the network as it drifts."""

from __future__ import annotations

import copy
from abc import abstractmethod

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from holdfast.core.errors import ConfigError
from holdfast.core.numerics import in_float64
from holdfast.core.output import Output
from holdfast.core.rows import row_weights
from holdfast.metrics.conformal import conformal_sets
from holdfast.readout.confidence import Confidence
from holdfast.readout.contexts import FitContext
from holdfast.readout.decision import Decision, Masked, MinusLargest
from holdfast.readout.forgetting import kept_choices, rest_of
from holdfast.readout.held_out import FOLDS, HeldOut
from holdfast.readout.measure import confidence_by
from holdfast.readout.readout import Space
from holdfast.readout.unsure import Unsure
from holdfast.statistics.class_statistics import Statistics
from holdfast.statistics.deviations import AGAIN
from holdfast.statistics.drift import DriftName
from holdfast.statistics.kinds import ScatterKind
from holdfast.statistics.tracker import Tracker, check_rows
from holdfast.statistics.weighed import add_weighed

MANY = 200  # classes beyond which two folds are held out in place of four


class Streaming(Unsure):
    """A readout that is a function of `Statistics`; a subclass says of which, and how they decide.

    Args:
        on: what is read: ``features``, ``hidden`` (of the projector) or ``embedding``.
        drift: how the stored statistics follow the network, see `fit_drift`; ``none`` leaves them.
        structure: the kind of scatter.
        rank: of a ``low_rank`` scatter.

    Attributes:
        statistics: None before the first task.
        residuals: of the drift map of every task after the first.
        forecasts: of each of them.
        confidence: temperature and what is unknown, measured on held-out rows whenever a task ends.

    Raises:
        ConfigError: for an unknown space, drift or structure.
    """

    weighs = True
    by_class = False  # whether a class has an unknown threshold of its own
    choices: tuple[str, ...] = ()  # what is chosen by rows
    lasting: tuple[str, ...] = ()  # what the first rows chose for good

    def __init__(
        self,
        on: Space = "features",
        drift: DriftName = "none",
        structure: ScatterKind = "none",
        rank: int = 0,
    ):
        self.confidence = Confidence()
        super().__init__(on)
        self.tracker = Tracker(drift, structure, rank)
        self.drift, self.structure, self.rank = drift, structure, rank
        self.needs_past = self.tracker.follows
        self.residuals, self.forecasts = self.tracker.residuals, self.tracker.forecasts
        self._decision: Decision | None = None
        self._shift: Tensor | None = None

    def representation(self, width: int) -> nn.Module:
        """A fixed function of rows of a width, of which the statistics are."""
        return nn.Identity()

    @abstractmethod
    def solve(self, statistics: Statistics) -> Decision:
        """The decision by statistics."""

    def choose(self, heldout: HeldOut) -> None:
        """Choose what is to be chosen, by the task's rows held out."""

    def strangeness(
        self, statistics: Statistics, decision: Decision, x: Float[Tensor, "n m"]
    ) -> Float[Tensor, " n"]:
        """(N,) how far represented rows are from all that is known; larger is stranger."""
        return -decision(x)[:, statistics.met].amax(1)

    @property
    def statistics(self) -> Statistics | None:
        """What is stored."""
        return self.tracker.statistics

    @property
    def known(self) -> Statistics:
        """The statistics (ConfigError before the first task)."""
        if self.statistics is None:
            raise ConfigError(f"the readout {self.name} has learned no task yet.")
        return self.statistics

    @property
    def decision(self) -> Decision:
        """How classes are decided: solved once a fit, or when it is first asked after loading."""
        if self._decision is None:
            self._decision = self.solve(self.known)
        return self._decision

    @property
    def calibrated(self) -> bool:
        """Whether rows could be held out to fit the temperature, among classes to tell apart."""
        known = self.statistics is not None and int(self.statistics.met.sum()) > 1
        return known and self.confidence.rows > 0

    def read(self, out: Output) -> Float[Tensor, "n m"]:
        """The represented rows of an output, in float64."""
        rows = in_float64(self.select(out))
        return self.representation(rows.shape[1])(rows)

    def fit(self, context: FitContext) -> None:
        """Move what is stored to the present network, add the task's rows, solve, and calibrate.

        Raises:
            DataError: for a class of the task that has no row.
            DivergedError: for features that are not finite.
        """
        x = self.read(context.out)
        y = context.task.train.y.to(x.device)
        check_rows(x, y, context.task, f"the readout {self.name}", self.on)
        past = context.past_out if self.needs_past and self.statistics is not None else None
        before = self.tracker.moved(x, None if past is None else self.read(past), y)
        most = self.measured if context.classes <= MANY else min(self.measured, 2)
        weight = row_weights(context.task.train)
        after, before = add_weighed(before, x, y, context.classes, weight), self.measurable(before)
        heldout = HeldOut(before, x, y, context.classes, most, weight)
        rows, classes = int(after.count.sum()), int(after.met.sum())
        stale = self.confidence.stale(rows, classes)
        if stale:
            self.choose(heldout)
        self.tracker.statistics = after
        self.forget_decision()
        if stale:
            self.confidence = confidence_by(self, heldout, (rows, classes))

    def forget(self, out: Output, y: Int[Tensor, " n"], slack: float = AGAIN) -> dict[str, str]:
        """Take rows out of the statistics; see `Readout.forget`. What was chosen with them stays."""
        rest = rest_of(self.tracker, self.name, self.read(out), y, slack)
        self.tracker.statistics = rest
        self.forget_decision()
        return kept_choices((*self.choices, *self.lasting), self.confidence)

    def measurable(self, statistics: Statistics) -> Statistics:
        """Statistics to which rows are added when they are held out in turn."""
        return statistics

    @property
    def measured(self) -> int:
        """Folds of a task that are held out: one where a scatter a class makes each of them dear."""
        return 1 if self.structure in ("full", "low_rank") else FOLDS

    def centres(
        self, statistics: Statistics, decision: Decision, classes: Int[Tensor, " c"]
    ) -> Float[Tensor, " c"]:
        """(C,) how strange the means of some classes look: where strangeness is counted from.

        They are known under every decision, so that what rows of earlier tasks said stays true when later
        classes change the decision.
        """
        return self.strangeness(statistics, decision, statistics.mean[classes])

    @property
    def shift(self) -> Float[Tensor, " k"]:
        """(K,) what is taken off the strangeness of an input by the class it is taken for."""
        if self._shift is None:
            every = torch.arange(len(self.known.count), device=self.known.mean.device)
            self._shift = self.confidence.shift(len(every)).to(self.known.mean)
            if self.by_class and self.confidence.centred:
                self._shift = self._shift + self.centres(self.known, self.decision, every)
        return self._shift

    def strange(self, out: Output) -> Float[Tensor, " n"]:
        """(N,) how far inputs are from all that is known: `strangeness`, less their class's `shift`."""
        x = self.read(out)
        strange = self.strangeness(self.known, self.decision, x)
        scores = self.decision(x).masked_fill(~self.known.met, -torch.inf)
        return strange - self.shift[scores.argmax(1)] if self.by_class else strange

    def sets(self, p: Float[Tensor, "n k"], cover: float = 0.9) -> Bool[Tensor, "n k"]:
        """The classes of each input that hold the true one so often: split conformal sets.

        They are those with 1 - p <= q, and the likeliest; see `Confidence.nominal`.

        Args:
            p: (N, K) probabilities of this readout.
            cover: share of inputs whose set is to hold their class.

        Raises:
            ConfigError: for a share that is not between 0 and 1, or where no row could be held out.
        """
        sets = conformal_sets(p, self.confidence.missable(cover)) & self.known.met.to(p.device)
        return sets.scatter(1, p.argmax(1, keepdim=True), True) if len(p) else sets

    def scores(self, out: Output) -> Float[Tensor, "n k"]:
        """By the statistics; a class that never came is never chosen."""
        scores = self.decision(self.read(out)).masked_fill(~self.known.met, -torch.inf)
        return scores.float().to(out.features.device)

    def network(self, width: int) -> nn.Module:
        """The representation, and the decision."""
        met = self.known.met
        masked = [] if bool(met.all()) else [Masked(met)]
        representation = copy.deepcopy(self.representation(width)).float()
        return nn.Sequential(representation, self.decision.network(), *masked)

    def strange_network(self) -> nn.Module | None:
        """(N, m) rows to (N,) `strangeness`, in single precision; None if an export makes it."""
        return MinusLargest(self.decision.network(), self.known.met)

    def forget_decision(self) -> None:
        """What is stored has changed: solve again when asked."""
        self._decision = self._shift = None

    def get_extra_state(self) -> dict[str, Tensor]:
        """Everything that was learned, as tensors by name."""
        state = self.tracker.state()
        return state | self.confidence.state() if state else state

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take over what was learned."""
        self.tracker.load(state)
        self.forget_decision()
        if state:
            self.confidence = Confidence.load(state)
