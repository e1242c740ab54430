"""HeadAlignment: domains agree on the head's gradient and curvature, both in closed form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from holdfast.anchor.domain_rows import check_domains, column_count, domains_of
from holdfast.core.constants import class_index
from holdfast.core.errors import ConfigError
from holdfast.core.numerics import at_least_float32
from holdfast.core.output import outputs
from holdfast.core.rows import Rows
from holdfast.core.step import Part, Step
from holdfast.loss.checks import require_option
from holdfast.loss.classify import Competing
from holdfast.loss.term import Term

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task

Form = Literal["diagonal", "product"]
Moments = tuple[
    Tensor, Tensor, Tensor
]  # g (E, K, f+1), v of the same shape, and rows a domain (E,)


def head_moments(
    logits: Float[Tensor, "n k"],
    features: Float[Tensor, "n f"],
    y: Int[Tensor, " n"],
    member: Float[Tensor, "n e"],
    form: Form = "diagonal",
) -> Moments:
    """Of each domain: the gradient of its mean cross-entropy by a linear head, and its curvature.

    With P = softmax(logits), h~ = (h, 1), means over a domain's rows:
    g_e = mean (P_i - Y_i) h~_i^T,  diag(H_e)_kj = mean P_ik (1 - P_ik) h~_ij^2,
    (H_e g_e)_k = mean P_ik (S_ik - sum_m P_im S_im) h~_i with S_i = g_e h~_i. No second backward is needed.

    Args:
        logits: (N, K); minus infinity where a class does not compete.
        features: (N, f) h, without the column of the bias.
        y: (N,) classes.
        member: (N, E) 1 where a row is of a domain; a domain without rows has zeros.
        form: ``diagonal`` of the Hessian, or its ``product`` with the gradient.

    Returns:
        (E, K, f+1) gradients, (E, K, f+1) curvatures, and (E,) how many rows each domain has.
    """
    p = at_least_float32(logits).softmax(1)
    h = functional.pad(features.to(p), (0, 1), value=1.0)
    count = member.sum(0)
    share = member.to(p) / count.clamp_min(1)
    away = p - functional.one_hot(y, p.shape[1])
    g = torch.einsum("ne,nk,nf->ekf", share, away, h)
    if form == "diagonal":
        return g, torch.einsum("ne,nk,nf->ekf", share, p * (1 - p), h.square()), count
    return g, _products(share, p, h, g), count


def _products(share: Tensor, p: Tensor, h: Tensor, g: Float[Tensor, "e k f"]) -> Tensor:
    """(E, K, f+1) H_e times the e-th of some matrices."""
    s = torch.einsum("nf,ekf->nek", h, g)
    s = p[:, None] * (s - (p[:, None] * s).sum(2, keepdim=True))
    return torch.einsum("ne,nek,nf->ekf", share, s, h)


def mean_product(
    logits: Float[Tensor, "n k"],
    features: Float[Tensor, "n f"],
    member: Float[Tensor, "n e"],
    g: Float[Tensor, "k f1"],
) -> Float[Tensor, "k f1"]:
    """H g for one matrix g, H the mean of the Hessians of the domains that have rows (`head_moments`)."""
    p = at_least_float32(logits).softmax(1)
    h = functional.pad(features.to(p), (0, 1), value=1.0)
    count = member.sum(0)
    share = member.to(p) / count.clamp_min(1)
    every = _products(share, p, h, g.expand(len(count), *g.shape))
    return every.sum(0) / (count > 0).sum().clamp_min(1)


class HeadAlignment(Term):
    """1/E sum_e [a ||v_e - v||^2 + b ||g_e - g||^2]: domains ask the same of the head (`head_moments`).

    g_e is the gradient of domain e's mean cross-entropy by head and bias, v_e the diagonal of its Hessian,
    or H_e g_e; g the mean of the g_e, v that of the diagonals, or H g. No gradient flows through g and v.
    A row's domain is its column ``domain``, else its task. In a step of one domain this is 0.

    ``stored`` keeps g_e and v_e of every task that ended (2 K (f + 1) numbers), where tasks are the
    domains, and draws the domains of a step to the mean of those that it lacks. They age as the features
    drift, and where a domain was learned well g_e is near 0 and so is H_e g_e: the diagonal says more.

    Args:
        gradient: b, at least 0.
        hessian: a, at least 0.
        form: of the second part: ``diagonal``, or ``product`` with the gradient (HGP).
        stored: whether past domains are kept as statistics.
        classes: which logits compete, as for `CrossEntropy`.
        on: the part it is asked of.

    Raises:
        ConfigError: for a negative weight or an unknown form; and when a task begins whose domains share no
            class, where new classes would be taken for a new domain.

    Source: Hemati et al., Understanding Hessian alignment for domain generalization, ICCV 2023; [V] weights
        and both forms as in its code, which needs a second backward or 300 probes where this has sums
    """

    label = "head_alignment"
    reads = ("features", "logits")
    asks = ("logits",)

    def __init__(
        self,
        gradient: float = 5e-3,
        hessian: float = 1e-3,
        form: Form = "diagonal",
        stored: bool = True,
        classes: Competing = "seen",
        on: str = "batch",
    ):
        super().__init__()
        if not (gradient >= 0 and hessian >= 0):
            raise ConfigError(
                f"the weights of an alignment must be at least 0, not {gradient} and {hessian}."
            )
        require_option("form of the curvature", form, get_args(Form))
        require_option("set of classes", classes, get_args(Competing))
        self.gradient, self.hessian = gradient, hessian
        self.form: Form = form
        self.stored, self.classes, self.on = stored, classes, on
        self.past: dict[int, tuple[Tensor, Tensor]] = {}
        self.known: tuple[int, ...] = ()
        self.columns = 0

    def begin(self, learner: Learner, task: Task) -> None:
        """Look at the task's domains."""
        check_domains(task, self.known)
        self.columns = column_count(task.train)

    def value(self, part: Part, step: Step) -> Tensor:
        """Among the step's domains, and between them and the stored ones."""
        logits, features, y, kept = self._competing(part, step)
        member = self._member(part.rows, step.task) * kept[:, None]
        g, v, count = head_moments(logits, features, y, member, self.form)
        there = (count > 0).to(g)
        mean = _mean(g, there).detach()
        if self.form == "diagonal":
            middle = _mean(v, there).detach()
        else:
            middle = mean_product(logits, features, member, mean).detach()
        value = self._apart(g, v, mean, middle, there)
        if self.past and not self.columns:
            value = value + self._from_stored(g, v, there)
        return value

    def _apart(self, g: Tensor, v: Tensor, mean: Tensor, middle: Tensor, there: Tensor) -> Tensor:
        """The mean over the domains that are there of the two squared distances."""
        pairs = ((self.gradient, g - mean), (self.hessian, v - middle))
        total = sum(w * (there * d.square().sum((1, 2))).sum() for w, d in pairs if w)
        return g.new_zeros(()) + total / there.sum().clamp_min(1) * (there.sum() > 1)

    def _from_stored(self, g: Tensor, v: Tensor, there: Float[Tensor, " e"]) -> Tensor:
        """The same distances to the mean of the stored domains that the step lacks."""
        ids = class_index(self.past, g.device)
        lacked = 1 - there[ids]
        rows = min(len(pair[0]) for pair in self.past.values())
        means = [
            _mean(torch.stack([pair[i][:rows].to(g) for pair in self.past.values()]), lacked)
            for i in (0, 1)
        ]
        pairs = ((self.gradient, g[:, :rows] - means[0]), (self.hessian, v[:, :rows] - means[1]))
        total = sum(w * (there * d.square().sum((1, 2))).sum() for w, d in pairs if w)
        return total / there.sum().clamp_min(1) * (lacked.sum() > 0)

    def _competing(
        self, part: Part, step: Step
    ) -> tuple[Tensor, Tensor, Tensor, Bool[Tensor, " n"]]:
        """Logits, features, classes, and which rows are of a class that competes."""
        out, y = part.out, part.rows.y
        return _masked(out.logits, out.features, y, self._classes(step.classes, step.seen))

    def _classes(self, new: tuple[int, ...], seen: tuple[int, ...]) -> tuple[int, ...] | None:
        """Those that compete; None for all."""
        return {"new": new, "seen": seen, "all": None}[self.classes]

    def _member(self, rows: Rows, task: int) -> Float[Tensor, "n e"]:
        """(N, E) 1 where a row is of a domain."""
        domain = domains_of(rows)
        count = self.columns if "domain" in rows.extra else task + 1
        return (domain[:, None] == torch.arange(count, device=domain.device)).float()

    @torch.no_grad()
    def consolidate(self, learner: Learner, task: Task, past: Learner | None = None) -> None:
        """Keep the statistics of the task as a domain."""
        self.known = tuple(sorted({*self.known, *task.classes}))
        if not self.stored or self.columns or not len(task.train):
            return
        out = outputs(learner, task.train)
        compete = self._classes(task.classes, self.known)
        logits, features, y, kept = _masked(out.logits, out.features, task.train.y, compete)
        g, v, _ = head_moments(logits, features, y, kept[:, None].float(), self.form)
        self.past[task.index] = (g[0], v[0])

    def get_extra_state(self) -> dict[str, Any]:
        """The statistics of past domains."""
        return {"past": dict(self.past), "known": self.known, "columns": self.columns}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take them over."""
        self.past = {int(k): tuple(pair) for k, pair in state["past"].items()}
        self.known, self.columns = tuple(state["known"]), state["columns"]


def _mean(x: Float[Tensor, "e k f"], weight: Float[Tensor, " e"]) -> Float[Tensor, "k f"]:
    return (weight[:, None, None] * x).sum(0) / weight.sum().clamp_min(1)


def _masked(
    logits: Tensor, features: Tensor, y: Tensor, compete: tuple[int, ...] | None
) -> tuple[Tensor, Tensor, Tensor, Bool[Tensor, " n"]]:
    """Minus infinity for classes that do not compete, and which rows are of one that does."""
    if compete is None:
        return logits, features, y, torch.ones_like(y, dtype=torch.bool)
    open_ = torch.zeros(logits.shape[1], dtype=torch.bool, device=y.device)
    open_ = open_.index_fill(0, class_index(compete, y.device), True)
    return logits.masked_fill(~open_, -torch.inf), features, y, open_[y]
