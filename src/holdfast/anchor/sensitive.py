"""DomainSensitive: an importance of weights on whose gradient domains disagree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.anchor.domain_rows import check_domains, column_count, domains_of
from holdfast.anchor.rule import Named, Rule
from holdfast.core.errors import ConfigError
from holdfast.core.numerics import at_least_float32
from holdfast.core.ranks import current
from holdfast.core.step import Step
from holdfast.curvature.importance import Importance
from holdfast.curvature.layout import Layout
from holdfast.curvature.matrix import Diagonal
from holdfast.curvature.persample import weights_of
from holdfast.loss.sam import asked_with, trainable
from holdfast.loss.term import Objective

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task

LEAST = 1e-30  # of a mean squared gradient
MOMENTUM = 0.9  # of a domain's mean gradient


def sensitivity(gradients: Float[Tensor, "e p"]) -> Float[Tensor, " p"]:
    """C = Var_e(g_e) / mean_e(g_e^2) in [0, 1]: 0 where domains agree, 1 where their mean vanishes.

    Args:
        gradients: (E, P), one a domain; fewer than two make zeros.

    Source: after Han et al., arXiv 2601.19394; [U] formula and constants are ours, not verified against the
        source
    """
    if len(gradients) < 2:
        return gradients.new_zeros(gradients.shape[1])
    spread = (gradients - gradients.mean(0)).square().mean(0)
    return spread / gradients.square().mean(0).clamp_min(LEAST)


class _DomainLosses(Objective):
    """(E,) mean cross-entropy over the head's classes of each domain's rows in a batch; 0 without rows."""

    def __init__(self, domains: int):
        super().__init__()
        self.domains = domains
        self.count = torch.zeros(0)

    def forward(self, step: Step) -> Tensor:
        """The losses; how many rows each domain has is kept."""
        part = step["batch"]
        domain = domains_of(part.rows)
        member = domain[:, None] == torch.arange(self.domains, device=domain.device)
        loss = torch.nn.functional.cross_entropy(
            at_least_float32(part.out.logits), part.rows.y, reduction="none"
        )
        self.count = member.sum(0)
        return (member * loss[:, None]).sum(0) / self.count.clamp_min(1)


class DomainGradients(Rule):
    """Follows each domain's mean gradient while a task begins: g_e <- 0.9 g_e + 0.1 grad L_e.

    Every few steps the batch is asked once more, with a backward pass a domain. At a minimum the mean
    gradient vanishes and every weight would look sensitive: so it looks at the first part of a task
    only, and `DomainSensitive` takes what it saw there. A row's domain is its column ``domain``, else
    its task; where tasks are the domains, the gradients of past ones stay: as many numbers as weights,
    for each.

    Args:
        every: steps from one look to the next.
        warm: the share of a task's epochs in which it looks; the first epoch at least.

    Raises:
        ConfigError: for numbers outside their range; and when a task begins whose domains share no class.
    """

    asks = ("logits",)

    def __init__(self, every: int = 5, warm: float = 0.5):
        super().__init__()
        if every < 1 or not 0 < warm <= 1:
            raise ConfigError(
                f"domain gradients need every >= 1 and warm in (0, 1], not {every} and {warm}."
            )
        self.every, self.warm = every, warm
        self.seen: dict[int, Named] = {}
        self.known: tuple[int, ...] = ()
        self.columns = self.steps = 0

    def begin(self, learner: Learner, task: Task) -> None:
        """Look at the task's domains."""
        check_domains(task, self.known)
        self.columns, self.steps = column_count(task.train), 0

    def observe(self, gradient: Named, move: Named, step: Step) -> None:
        """Take every few steps' gradients in."""
        due = self.steps % self.every == 0
        self.steps += 1
        if due and step.epoch < max(1.0, self.warm * step.epochs):
            self._look(step)

    def _look(self, step: Step) -> None:
        column = "domain" in step["batch"].rows.extra
        losses = _DomainLosses(self.columns if column else step.task + 1)
        weights = trainable(step)
        with torch.enable_grad():
            value = asked_with(step, {}, losses, step.anew())
            for e in range(losses.domains):
                pulls = torch.autograd.grad(
                    value[e], list(weights.values()), retain_graph=True, allow_unused=True
                )
                slopes = {n: g for n, g in zip(weights, pulls) if g is not None}
                ranks = current()
                if ranks is not None:
                    ranks.mean(slopes.values())
                self._take(e, slopes, losses.count[e] > 0)

    def _take(self, domain: int, slopes: Named, there: Tensor) -> None:
        """The moving average of a domain that has rows; the first of all is taken whole."""
        before = self.seen.setdefault(domain, {})
        for name, slope in slopes.items():
            old = before.get(name)
            old = None if old is None else _grown(old, slope)
            if old is None:
                before[name] = torch.where(there, slope, torch.zeros_like(slope))
                continue
            fresh = torch.where((old == 0).all(), slope, old.lerp(slope, 1 - MOMENTUM))
            before[name] = torch.where(there, fresh, old)

    def consolidate(self, learner: Learner, task: Task, past: Learner | None = None) -> None:
        """Start anew where a task has all domains; else the task's domain stays as it is."""
        self.known = tuple(sorted({*self.known, *task.classes}))
        if self.columns:
            self.seen = {}

    def get_extra_state(self) -> dict[str, Any]:
        """What was seen."""
        return {
            "seen": self.seen, "known": self.known, "columns": self.columns, "steps": self.steps,
        }  # fmt: skip

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take it over."""
        self.seen = {int(e): dict(named) for e, named in state["seen"].items()}
        self.known, self.columns = tuple(state["known"]), state["columns"]
        self.steps = state["steps"]


class DomainSensitive(Importance):
    """H = 2 c, c the `sensitivity` of each weight: an anchor that holds what domains disagree on.

    This is the opposite of EWC's importance, which holds what matters: never give both to one method
    without a look at their ratios in the log. In the first domain of all nothing is held.

    Args:
        gradients: the rule that sees the steps; give it to the method too.

    Source: after Han et al., arXiv 2601.19394; [U] formula and constants are ours, not verified against the
        source
    """

    reads = ("logits",)

    def __init__(self, gradients: DomainGradients):
        super().__init__()
        self.gradients = gradients

    def measure(self, learner: Learner, task: Task, layout: Layout) -> Diagonal:
        """From what the rule saw."""
        weights = weights_of(learner)
        flat = [
            layout.flat(
                {n: _grown(named[n], w) if n in named else w * 0 for n, w in weights.items()}
            )
            for named in self.gradients.seen.values()
        ]
        flat = [g for g in flat if bool((g != 0).any())]
        c = sensitivity(torch.stack(flat)) if flat else layout.flat(weights) * 0
        return Diagonal(layout, 2 * c)


def _grown(old: Tensor, like: Tensor) -> Tensor:
    """With zeros for the rows of a head that came later."""
    missing = len(like) - len(old) if old.ndim else 0
    return old if missing <= 0 else torch.cat([old, old.new_zeros(missing, *old.shape[1:])])
