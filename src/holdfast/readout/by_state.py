"""ByState: a network with a state a task is asked under each, and the state that fits an input decides."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from holdfast.core.errors import ConfigError
from holdfast.core.numerics import at_least_float32, in_float64
from holdfast.core.output import Output
from holdfast.learner.states import StatesOutput
from holdfast.loss.checks import require_option
from holdfast.readout.contexts import FitContext
from holdfast.readout.readout import Readout, build_readout, register
from holdfast.statistics.class_statistics import Statistics

Criterion = Literal["entropy", "energy", "residual"]
LEAST = 1e-6  # of an entropy or a residual


def certainty(scores: Float[Tensor, "n k"], criterion: Criterion) -> Float[Tensor, " n"]:
    """(N,) how much the scores of one state speak for it: -log(H / log K), or log sum_k exp s_k.

    H is the entropy of softmax(s). A state of one class is never certain: its H / log K is 1.

    Args:
        scores: s of the K classes of a state, as logits.
        criterion: ``entropy`` or ``energy``.

    >>> certainty(torch.tensor([[0.0, 0.0], [9.0, 0.0]]), "entropy").round()
    tensor([-0., 6.])
    """
    if criterion == "energy":
        return scores.logsumexp(1)
    if scores.shape[1] == 1:
        return torch.zeros_like(scores[:, 0])
    log_p = in_float64(scores).log_softmax(1)
    entropy = -(log_p.exp() * log_p).sum(1) / math.log(scores.shape[1])
    return -entropy.clamp_min(LEAST).log().to(scores)


class Residual:
    """How far rows are from the main directions of a state's own: ||(I - U U^T)(x - m)||^2 / its mean.

    U are the leading eigenvectors of the covariance, up to a share of its trace; the mean is that over the
    rows that the statistics are of, the trace that U leaves.

    Args:
        statistics: of the state's rows, as one class.
        share: of the variance that U covers, in (0, 1).

    Source: Lendering et al., *SubspaceAD* (code read), there of an image's patches
    """

    def __init__(self, statistics: Statistics, share: float):
        self.mean = statistics.mean[0]
        values, vectors = torch.linalg.eigh(statistics.scatter.pooled() / statistics.freedom)
        values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)
        total = values.cumsum(0)
        count = int(torch.searchsorted(total, share * total[-1])) + 1
        self.vectors = vectors[:, :count]
        self.tail = float(values[count:].sum())

    def __call__(self, x: Float[Tensor, "n f"]) -> Float[Tensor, " n"]:
        """(N,) of rows."""
        away = x.double() - self.mean
        rest = away.square().sum(1) - (away @ self.vectors).square().sum(1)
        return rest.clamp_min(0) / max(self.tail, LEAST)


@register("by-state")
class ByState(Readout):
    """Of the states of a network the one decides that is most certain, among the classes of its task.

    s_k = g a_t + log p_t(k) - max_j log p_t(j) for the classes k of state t, p_t the inner readout's
    probabilities among them under the state, and a_t how much speaks for it: minus the log of p_t's
    entropy, p_t's energy, or minus the log of the features' `Residual`. The largest is therefore the answer
    of the state with the largest a_t, and among the classes of one task that task's own state answers:
    Task-IL asks under the true state, and is never below Class-IL. A class of several states has its
    largest score. A network without states is one state.

    It costs a forward pass a state. Stored is an inner readout a state; ``residual`` adds the mean and
    scatter of its features, f (f + 1) numbers.

    Entropy is known to choose badly: a state of other classes is often the more certain on inputs that
    are foreign to it.

    Args:
        readout: the inner one, fitted under each state on the rows of its tasks.
        criterion: ``entropy``, ``energy`` or ``residual``.
        sharpness: g of p(t) ~ exp(g a_t); it moves probabilities, no decision.
        share: of the variance that the main directions of ``residual`` cover.

    Raises:
        ConfigError: for another criterion, a sharpness that is not positive, a share outside (0, 1), or an
            inner readout that asks states, images or the past network.

    Source: minimum entropy as in Wortsman et al., *Supermasks in superposition*, 2020 (from memory)
    """

    label = "by-state"
    needs_states = True

    def __init__(
        self,
        readout: str = "head",
        criterion: Criterion = "entropy",
        sharpness: float = 1.0,
        share: float = 0.99,
    ):
        super().__init__()
        require_option("criterion of states", criterion, get_args(Criterion))
        if not sharpness > 0 or not 0 < share < 1:
            raise ConfigError(
                f"by-state needs a sharpness above 0 and a share in (0, 1), not {sharpness} and {share}."
            )
        inner = build_readout(readout)
        if inner.needs_states or inner.uses_images or inner.needs_past:
            raise ConfigError(
                f"by-state cannot ask {readout} under each state: use head, mean, or gaussian:drift=none."
            )
        self.criterion: Criterion = criterion
        self.readout, self.sharpness, self.share = readout, sharpness, share
        self.needs_head, self.reads = inner.needs_head, inner.reads
        self.inner = nn.ModuleList()
        self.classes: list[list[int]] = []  # of each state
        self.seen = 0
        self._statistics: list[Statistics] = []
        self._residuals: list[Residual] = []

    def fit(self, context: FitContext) -> None:
        """Take in a task under the state that the network is in, its last one."""
        states = getattr(context.learner, "states", None)
        last = 0 if states is None or not len(states) else len(states) - 1
        if last >= len(self.inner):
            self.inner.append(build_readout(self.readout))
            self.classes.append([])
        inner = self.inner[last]
        assert isinstance(inner, Readout)
        inner.fit(context)
        self.classes[last] = sorted({*self.classes[last], *context.task.classes})
        self.seen = context.classes
        if self.criterion == "residual":
            x = context.out.features
            if last >= len(self._statistics):
                self._statistics.append(Statistics.empty(x.shape[1], "shared", like=x))
            one = torch.zeros(len(x), dtype=torch.long, device=x.device)
            self._take([*self._statistics[:last], self._statistics[last].add(x, one)])

    def scores(self, out: Output) -> Float[Tensor, "n k"]:
        """(N, K); -inf for a class of no state.

        Raises:
            ConfigError: for an output without states, where there are several.
        """
        answers = out.by_state if isinstance(out, StatesOutput) else (out,)
        if len(answers) < len(self.inner):
            raise ConfigError(
                f"by-state reads what a network says under each of {len(self.inner)} states, and this "
                "output has one: ask Continual.out, or ask_states."
            )
        total = at_least_float32(out.features).new_full((len(out.features), self.seen), -torch.inf)
        for index, (inner, classes) in enumerate(zip(self.inner, self.classes)):
            assert isinstance(inner, Readout)
            raw = inner.scores(answers[index])[:, classes] / inner.temperature
            best = raw.amax(1, keepdim=True)
            value = (
                self.sharpness * self._certainty(index, answers[index], raw)[:, None] + raw - best
            )
            total[:, classes] = torch.maximum(total[:, classes], value.to(total))
        return total

    def _certainty(self, index: int, out: Output, raw: Tensor) -> Float[Tensor, " n"]:
        if self.criterion != "residual":
            return certainty(raw, self.criterion)
        return -self._residuals[index](out.features).clamp_min(LEAST).log()

    def select(self, out: Output) -> Tensor:
        """Refused (ConfigError): a decision under several states is no single network's."""
        raise ConfigError(
            f"the readout {self.name} asks the network once under each task's state, and cannot be "
            "exported as one network: learn the model with --readout gaussian."
        )

    def _take(self, statistics: list[Statistics]) -> None:
        self._statistics = statistics
        self._residuals = [Residual(one, self.share) for one in statistics]

    def get_extra_state(self) -> dict[str, Any]:
        """The classes of each state, and its statistics."""
        statistics = [one.state() for one in self._statistics]
        return {"classes": self.classes, "seen": self.seen, "statistics": statistics}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take them over, and make room for the inner readouts."""
        self.classes = [list(map(int, one)) for one in state["classes"]]
        self.seen = int(state["seen"])
        self.inner = nn.ModuleList(build_readout(self.readout) for _ in self.classes)
        loaded = []
        for one in state["statistics"]:
            like = Statistics.empty(one["mean"].shape[1], "shared", like=one["mean"])
            loaded.append(Statistics.load(one, like))
        self._take(loaded)
