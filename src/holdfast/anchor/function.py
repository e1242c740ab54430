"""Function anchors: the new network must say of an input what the past one said.

The formulas are in docs/theory.md, section 7.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.anchor.divergence import Divergence, forward_kl, make_divergence
from holdfast.core.constants import class_index
from holdfast.core.errors import ConfigError
from holdfast.core.numerics import at_least_float32
from holdfast.core.rows import Rows, row_weights
from holdfast.core.step import Part, Step
from holdfast.loss.checks import require_option, require_pair, require_positive
from holdfast.loss.classify import weighted_mean
from holdfast.loss.term import Term
from holdfast.stream.mixing import Mixing

Support = Literal["old", "all_padded"]
Temperature = float | Literal["std"]
LEAST_DEVIATION = 1e-4  # of a row's logits, by which they are divided
EXTRA_ROWS = "given"  # the part of a step that holds rows given to a term


def distillation(
    past: Float[Tensor, "n k"],
    now: Float[Tensor, "n k"],
    T: Temperature = 2.0,
    by: Divergence = forward_kl,
    normalise: bool = True,
) -> Float[Tensor, ""]:
    """T^2 mean_i Div(softmax(past_i / T) || softmax(now_i / T)).

    The factor T^2 keeps the strength near equality free of T, up to the softened Fisher matrix:
    1/2 d^T F_T d for a move d of the logits (docs/theory.md, section 7).

    Args:
        past: (N, K) logits of the past network; -inf is a class it gives nothing.
        now: (N, K) logits of the learner.
        T: temperature, > 0; or ``std``: every row of either network is divided by its own deviation over
            the classes (`by_deviation`), and there is no factor T^2.
        by: the divergence.
        normalise: divide by the divergence's f''(1).

    Raises:
        ConfigError: if T is not positive; for ``std`` over fewer than 3 classes.
        DataError: for tensors of two shapes.

    Source: Hinton, Vinyals, Dean, *Distilling the knowledge in a neural network*, 2015

    >>> distillation(torch.zeros(1, 2), torch.tensor([[0.75, 0.25]]).log(), T=1.0)  # 1/2 log 4/3
    tensor(0.1438)
    """
    require_temperature(T)
    require_pair("logits", now, past)
    if not len(now):
        return now.sum() * 0.0
    if T == "std":
        return by(by_deviation(past), by_deviation(now), normalise).mean()
    return T**2 * by(past / T, now / T, normalise).mean()


def by_deviation(logits: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """Each row divided by its unbiased deviation over the classes, of at least 1e-4.

    A softmax of it is the same for c z + b, c > 0. Of two classes it would be the sign of their gap.

    Args:
        logits: (N, K), K >= 3.

    Raises:
        ConfigError: for fewer than 3 classes.

    Source: Choi et al., *Understanding the role of mixup in knowledge distillation*, WACV 2023; read in the
        authors' code

    >>> by_deviation(torch.tensor([[2.0, 4.0, 6.0]]))
    tensor([[1., 2., 3.]])
    """
    if logits.shape[1] < 3:
        raise ConfigError(
            f"a temperature of T=std needs 3 classes to compare, and here are {logits.shape[1]}: give "
            "T a number, or begin with a task of 3 classes."
        )
    return logits / logits.std(1, keepdim=True).clamp_min(LEAST_DEVIATION)


def require_temperature(T: float | str) -> Temperature:
    """A temperature itself, if it is a positive number or ``std`` (ConfigError)."""
    if isinstance(T, str):
        require_option("temperature", T, ("std",))
        return "std"
    return require_positive(T)


class LogitDistillation(Term):
    """T^2 E Div(p*(.|x; T) || p(.|x; T)), the expectation being over a part's rows.

    With ``support="old"`` value and gradient are 0 while the learner is its past; with
    ``all_padded`` the gradient is not, because a growing softmax has already moved away from a past
    that is padded by zeros.

    Args:
        divergence: by name (forward_kl, reverse_kl, jensen_shannon, balanced_kl, jeffreys,
            hellinger, alpha), perhaps with settings (``alpha:a=0.3``), or a function such as
            `f_divergence` makes.
        T: temperature, > 0; or ``std``, as for `distillation`.
        on: the part it is asked of: ``batch`` for the current inputs, ``memory`` for a drawn memory,
            ``mixed`` for mixtures of current inputs.
        support: ``old``: both distributions are renormalised over the classes that came before;
            ``all_padded``: the learner's runs over all classes seen, the past's is 0 on the new.
        normalise: divide by the divergence's f''(1), so that one weight means one strength.
        rows: given inputs to ask instead (they need no label); each step draws as many as its batch
            has. They count as stored images, and need ``Protocol("buffer", k)`` with k no smaller.
        mixing: how rows are mixed, on ``mixed``; None takes another term's way, or the usual one.

    Raises:
        ConfigError: for T <= 0, ``std`` with a padded past or under 3 classes, an unknown divergence, an
            unknown support, or a divergence that a padded past makes infinite.

    Source: Li, Hoiem, *Learning without forgetting*, 2016; Yun, 2020, eq. 4
    """

    needs_past = True
    reads = asks = ("logits",)
    label = "distil"

    def __init__(
        self,
        divergence: str | Divergence = "forward_kl",
        T: Temperature = 2.0,
        on: str = "batch",
        support: Support = "old",
        normalise: bool = True,
        rows: Rows | None = None,
        mixing: Mixing | None = None,
    ):
        super().__init__()
        require_option("support", support, get_args(Support))
        self.divergence = named(divergence)
        self.T, self.support, self.normalise = require_temperature(T), support, normalise
        self.on = on if rows is None else EXTRA_ROWS
        if mixing is not None:
            self.mixing = mixing
        if rows is not None:  # negative keys: never taken for samples of the stream
            self.extra_rows = replace(
                rows, key=-1 - torch.arange(len(rows), device=rows.key.device)
            )
        if support == "all_padded":
            if T == "std":
                raise ConfigError('a padded past has no deviation: use support="old" with T="std".')
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


def named(by: str | Divergence) -> Divergence:
    """The divergence itself, or the one of that name (ConfigError)."""
    return make_divergence(by) if isinstance(by, str) else by
