"""Mixup: mixed rows have two classes each; decoupled, each class also wins where its rival is left out."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from holdfast.core.errors import ConfigError
from holdfast.core.rows import row_weights
from holdfast.core.step import Part, Step
from holdfast.loss.checks import require_labels, require_option
from holdfast.loss.classify import Competing, competing, weighted_mean
from holdfast.loss.term import Term
from holdfast.stream.mixing import PARTNER, SHARE, Mixing

Balance = Literal["lambda", "none"]


def without_rival(
    logits: Float[Tensor, "n k"], y: Int[Tensor, " n"], rival: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """(N,) D(a; b) = -log(e^{z_a} / (e^{z_a} + sum_{c not in {a, b}} e^{z_c})): b is out of the softmax.

    0 where both are one class.

    Args:
        logits: (N, K).
        y: (N,) classes a.
        rival: (N,) classes b.

    Raises:
        DataError: for labels of another number than rows.

    >>> without_rival(torch.zeros(1, 3), torch.tensor([0]), torch.tensor([2]))  # log 2
    tensor([0.6931])
    """
    require_labels(logits, y, rival)
    apart = y != rival
    out = functional.one_hot(rival, logits.shape[1]).bool() & apart[:, None]
    loss = functional.cross_entropy(logits.masked_fill(out, -torch.inf), y, reduction="none")
    return loss.masked_fill(~apart, 0.0)


def mixup_loss(
    logits: Float[Tensor, "n k"],
    y: Int[Tensor, " n"],
    partner: Int[Tensor, " n"],
    share: Float[Tensor, " n"],
    eta: float = 0.0,
    balance: Balance = "lambda",
) -> Float[Tensor, " n"]:
    """(N,) -l log p_a - (1-l) log p_b + eta (l D(a; b) + (1-l) D(b; a)), D as of `without_rival`.

    With balance none both D weigh eta. With eta 0 it is plain mixup.

    Args:
        logits: (N, K).
        y: (N,) classes a.
        partner: (N,) classes b.
        share: (N,) l, the share of a in each row.
        eta: weight of the decoupled part.
        balance: ``lambda`` or ``none``.

    Raises:
        DataError: for labels of another number than rows.

    Source: Liu et al., *Harnessing hard mixed samples with decoupled regularizer*, NeurIPS 2023
    """
    require_labels(logits, y, partner)
    share = share.to(logits)
    loss = share * functional.cross_entropy(logits, y, reduction="none")
    loss = loss + (1 - share) * functional.cross_entropy(logits, partner, reduction="none")
    if not eta:
        return loss
    one = share if balance == "lambda" else torch.ones_like(share)
    two = 1 - share if balance == "lambda" else one
    apart = one * without_rival(logits, y, partner) + two * without_rival(logits, partner, y)
    return loss + eta * apart


class Mixup(Term):
    """`mixup_loss` of the part ``mixed``, in place of `CrossEntropy`.

    The engine mixes the views of a batch: one l ~ Beta(alpha, alpha) a batch, rows of the task among
    themselves, because a mixture of an old row and a new one lets the new class's gradient into the
    old class. Rows that are not mixed, and pairs of one class, take plain cross-entropy.

    Args:
        classes: which logits compete, as for `CrossEntropy`.
        eta: weight of the decoupled part; 0 is plain mixup, the source has 0.1.
        balance: of the decoupled part: ``lambda`` weighs each D by its class's share, ``none`` both alike.
        mixing: how rows are mixed; None takes another term's way, or the usual one.

    Raises:
        ConfigError: for a negative eta, another balance or another set of classes.

    Source: Zhang et al., ICLR 2018; Liu et al., NeurIPS 2023 (arXiv 2203.10761), read in the authors' code.
        That code finds the classes by the value of l, and so loses the decoupled part at l = 1/2; this
        one does not
    """

    label = "mixup"
    on = "mixed"
    reads = ("logits",)
    weighs = True

    def __init__(
        self,
        classes: Competing = "seen",
        eta: float = 0.0,
        balance: Balance = "lambda",
        mixing: Mixing | None = None,
    ):
        super().__init__()
        require_option("set of classes", classes, get_args(Competing))
        require_option("balance", balance, get_args(Balance))
        if not 0 <= eta < math.inf:
            raise ConfigError(f"the weight of decoupled mixup must be at least 0, not eta={eta}.")
        self.classes: Competing = classes
        self.balance: Balance = balance
        self.eta, self.mixing = eta, mixing
        self.whole_head, self.needs_rivals = classes == "all", classes == "new"

    def value(self, part: Part, step: Step) -> Tensor:
        """Mean over the rows whose class competes; 0 if there is none.

        Where one of the two classes does not compete, the other stands for both.
        """
        extra, rows = part.rows.extra, part.rows
        logits, y = competing(part.out.logits, rows.y, self.classes, step)
        _, partner = competing(part.out.logits, extra[PARTNER], self.classes, step)
        there = (y >= 0) | (partner >= 0)
        y, partner = (
            torch.where(a < 0, b, a).clamp_min(0) for a, b in ((y, partner), (partner, y))
        )
        loss = mixup_loss(logits, y, partner, extra[SHARE], self.eta, self.balance)
        weight = row_weights(rows)
        if weight is not None:
            return weighted_mean(loss.masked_fill(~there, 0.0), weight * there)
        return loss.masked_fill(~there, 0.0).sum() / there.sum().clamp_min(1)
