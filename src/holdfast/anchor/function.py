"""Function anchors: the new network must say of an input what the past one said.

The formulas are in docs/theory.md, section 7.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.anchor.divergence import Divergence, forward_kl, make_divergence
from holdfast.core.constants import class_index
from holdfast.core.errors import ConfigError
from holdfast.core.numerics import at_least_float32, class_sums
from holdfast.core.output import outputs
from holdfast.core.rows import Rows, row_weights
from holdfast.core.step import Part, Step
from holdfast.loss.checks import require_option, require_pair, require_positive
from holdfast.loss.classify import weighted_mean
from holdfast.loss.term import Term

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task

Support = Literal["old", "all_padded"]
EXTRA_ROWS = "given"  # the part of a step that holds rows given to a term


def distillation(
    past: Float[Tensor, "n k"],
    now: Float[Tensor, "n k"],
    T: float = 2.0,
    by: Divergence = forward_kl,
    normalise: bool = True,
) -> Float[Tensor, ""]:
    """T^2 mean_i Div(softmax(past_i / T) || softmax(now_i / T)).

    The factor T^2 keeps the strength near equality free of T, up to the softened Fisher matrix:
    1/2 d^T F_T d for a move d of the logits (docs/theory.md, section 7).

    Args:
        past: (N, K) logits of the past network; -inf is a class it gives nothing.
        now: (N, K) logits of the learner.
        T: temperature, > 0.
        by: the divergence.
        normalise: divide by the divergence's f''(1).

    Raises:
        ConfigError: if T is not positive.
        DataError: for tensors of two shapes.

    Source: Hinton, Vinyals, Dean, *Distilling the knowledge in a neural network*, 2015

    >>> distillation(torch.zeros(1, 2), torch.tensor([[0.75, 0.25]]).log(), T=1.0)  # 1/2 log 4/3
    tensor(0.1438)
    """
    require_positive(T)
    require_pair("logits", now, past)
    if not len(now):
        return now.sum() * 0.0
    return T**2 * by(past / T, now / T, normalise).mean()


class LogitDistillation(Term):
    """T^2 E Div(p*(.|x; T) || p(.|x; T)), the expectation being over a part's rows.

    With ``support="old"`` value and gradient are 0 while the learner is its past; with
    ``all_padded`` the gradient is not, because a growing softmax has already moved away from a past
    that is padded by zeros.

    Args:
        divergence: by name (forward_kl, reverse_kl, jensen_shannon, balanced_kl, hellinger), or a
            function such as `f_divergence` makes.
        T: temperature, > 0.
        on: the part it is asked of: ``batch`` for the current inputs, ``memory`` for a drawn memory.
        support: ``old``: both distributions are renormalised over the classes that came before;
            ``all_padded``: the learner's runs over all classes seen, the past's is 0 on the new.
        normalise: divide by the divergence's f''(1), so that one weight means one strength.
        rows: given inputs to ask instead (they need no label); each step draws as many as its batch
            has. They count as stored images, and need ``Protocol("buffer", k)`` with k no smaller.

    Raises:
        ConfigError: for T <= 0, an unknown divergence, an unknown support, or a divergence that a padded
            past makes infinite.

    Source: Li, Hoiem, *Learning without forgetting*, 2016; Yun, 2020, eq. 4
    """

    needs_past = True
    reads = asks = ("logits",)
    label = "distil"

    def __init__(
        self,
        divergence: str | Divergence = "forward_kl",
        T: float = 2.0,
        on: str = "batch",
        support: Support = "old",
        normalise: bool = True,
        rows: Rows | None = None,
    ):
        super().__init__()
        require_option("support", support, get_args(Support))
        self.divergence = named(divergence)
        self.T, self.support, self.normalise = require_positive(T), support, normalise
        self.on = on if rows is None else EXTRA_ROWS
        if rows is not None:  # negative keys: never taken for samples of the stream
            self.extra_rows = replace(
                rows, key=-1 - torch.arange(len(rows), device=rows.key.device)
            )
        if support == "all_padded":
            padded, plain = torch.tensor([[0.0, -torch.inf]]), torch.zeros(1, 2)
            if not bool(self.divergence(padded, plain, False).isfinite()):
                raise ConfigError(
                    "a past padded by zeros makes this divergence infinite: "
                    'use forward_kl or jensen_shannon, or support="old".'
                )

    def value(self, part: Part, step: Step) -> Tensor:
        """The mean over the part's rows."""
        past, now = at_least_float32(part.past.logits), at_least_float32(part.out.logits)
        known = class_index(step.known, now.device)
        if self.support == "old":
            past, now = past[:, known], now[:, known]
        else:
            seen = class_index(step.seen, now.device)
            padded = past.new_full((len(past), max(step.seen) + 1), -torch.inf)
            padded[:, known] = past[:, known]
            past, now = padded[:, seen], now[:, seen]
        return distillation(past, now, self.T, self.divergence, self.normalise)


class MatchLogits(Term):
    """mean (z_k - z*_k)^2 over a memory's rows and the logits that existed when each was noted.

    The mean runs over all such entries, so that its strength does not grow with the classes.

    Args:
        on: a part drawn from a memory that notes ``logits``.

    Raises:
        ConfigError: when the part has no such column.

    Source: Buzzega et al., *Dark experience for general continual learning*, NeurIPS 2020, eq. 6
    """

    reads = asks = ("logits",)
    label, weighs = "match", True

    def __init__(self, on: str = "memory"):
        super().__init__()
        self.on = on

    def value(self, part: Part, step: Step) -> Tensor:
        """The mean square over what was noted; a column not a number was not there then."""
        noted = part.rows.extra.get("logits")
        if noted is None:
            raise ConfigError(
                f"MatchLogits found no logits noted beside the rows of '{self.on}': "
                'use a memory that notes them, Reservoir(columns=("logits",)).'
            )
        there = noted.isfinite()
        gap = at_least_float32(part.out.logits)[:, : noted.shape[1]] - noted
        weight = row_weights(part.rows)
        square = gap.masked_fill(~there, 0.0) ** 2
        return weighted_mean(square, there if weight is None else weight[:, None] * there)


def class_log_odds(
    x: Float[Tensor, "n f"], means: Float[Tensor, "k f"], T: float
) -> Float[Tensor, "n k"]:
    """Each class's log p(k|x) up to a constant of the row: -||x - c_k||^2 / T + ||x||^2 / T."""
    return (2 * x @ means.T - (means**2).sum(1)) / T


class IndirectAlignment(Term):
    """KL(p* || p) on the current inputs, with p(k|x) ~ exp(-||h(x) - c_k||^2 / T).

    c_k is the mean feature of class k in the network that learned it: a vector a class, no image.
    The same means serve the past and the new network, so value and gradient are 0 while they are
    equal. A class that comes again merges, weighted by its counts; means of older tasks are not
    moved as the network drifts. No factor T^2: near equality the strength falls as 1 / T^2.

    Args:
        T: temperature, in squared units of the features, > 0.
        on: the part it is asked of.

    Raises:
        ConfigError: for T <= 0.

    Source: Liu et al., *Incremental meta-learning via indirect discriminant alignment*, 2020
    """

    needs_past = True
    reads = ("features",)
    label = "ida"

    def __init__(self, T: float = 1.0, on: str = "batch"):
        super().__init__()
        self.T, self.on = require_positive(T), on
        self.statistics: dict[str, Tensor] = {}
        self._means: Tensor | None = None  # of the statistics, while a task is learned

    @property
    def means(self) -> Float[Tensor, "k f"]:
        """(K, f) of the classes that came before, in order."""
        if self._means is None:
            count, sums = self.statistics["count"], self.statistics["sum"]
            met = (count > 0).nonzero()[:, 0]
            self._means = sums[met] / count[met, None]
        return self._means

    def value(self, part: Part, step: Step) -> Tensor:
        """The mean over the part's rows."""
        past, now = at_least_float32(part.past.features), at_least_float32(part.out.features)
        means = self.means.to(now)
        return forward_kl(
            class_log_odds(past, means, self.T), class_log_odds(now, means, self.T)
        ).mean()

    def consolidate(self, learner: Learner, task: Task, past: Learner | None = None) -> None:
        """Add the task's features to their classes' sums and counts."""
        x, y = outputs(learner, task.train).features, task.train.y
        known = self.statistics
        classes = max(int(y.max()) + 1, len(known["count"]) if known else 0)
        self._means, self.statistics = (
            None,
            {
                "count": class_sums(known.get("count"), torch.ones_like(x[:, 0]), y, classes),
                "sum": class_sums(known.get("sum"), x, y, classes),
            },
        )

    def get_extra_state(self) -> dict[str, Tensor]:
        """Counts and sums of the classes."""
        return self.statistics

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take over counts and sums."""
        self._means, self.statistics = None, state


def named(by: str | Divergence) -> Divergence:
    """The divergence itself, or the one of that name (ConfigError)."""
    return make_divergence(by) if isinstance(by, str) else by
