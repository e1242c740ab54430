"""Contrastive losses on unit embeddings: SupCon and FNC2 (docs/theory.md, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from holdfast.core.constants import class_index
from holdfast.core.numerics import at_least_float32
from holdfast.loss.checks import (
    require_below,
    require_gamma,
    require_labels,
    require_matrix,
    require_option,
    require_positive,
)
from holdfast.loss.contrast_pulls import BOTH, Pulls
from holdfast.loss.contrast_tiles import Contrast, contrast_by_tiles
from holdfast.loss.tiles import LARGE

Average = Literal["anchors", "rows"]
Denominator = Literal["closed", "open"]
TAU_BASE = 0.07  # the temperature at which SupCon's scale tau / tau_base is 1


class FocalRows(NamedTuple):
    """FNC2 row by row: the loss L_i, its mean focal weight, that of its prototype's pull, and whether
    anything pulls it.
    """

    loss: Float[Tensor, " n"]
    weight: Float[Tensor, " n"]
    pull: Float[Tensor, " n"]
    pulled: Bool[Tensor, " n"]


def sup_con(
    z: Float[Tensor, "n d"],
    y: Int[Tensor, " n"],
    tau: float,
    anchors: Bool[Tensor, " n"] | None = None,
    scale: float = 1.0,
    average: Average = "anchors",
) -> Float[Tensor, ""]:
    """SupCon: L_i = -1/|P(i)| sum_{j in P(i)} log softmax_{a != i}(z_i.z_a / tau)_j, times scale.

    Args:
        z: (N, d) unit rows, all views of all images.
        y: (N,) class of each row.
        tau: temperature, > 0.
        anchors: (N,) rows that are pulled and pushed; the others are contrasts only
            (asymmetric SupCon, docs/theory.md, section 5). Default: all.
        scale: factor on the loss; tau / 0.07 is the published one.
        average: over the anchors that have a positive, or over all N rows.

    Returns:
        0 where no anchor has a positive, as for a single row.

    Raises:
        ConfigError: for a temperature that is not positive, or an unknown average.
        DataError: for rows, labels or anchors of another shape.

    Source: Khosla et al., *Supervised contrastive learning* (2020).

    >>> z = torch.eye(2).repeat(2, 1)  # two images, two identical views each
    >>> round(sup_con(z, torch.tensor([0, 1, 0, 1]), tau=1.0).item(), 4)  # log(1 + 2/e)
    0.5514
    """
    require_option("average", average, get_args(Average))
    require_labels(z, y, anchors)
    if not len(z):
        return z.sum() * 0.0
    if len(z) >= LARGE:
        contrast = Contrast(y, rows_that_count(anchors, y), require_positive(tau, "tau"))
        total, _, kept = contrast_by_tiles(at_least_float32(z), contrast)
        return scale * total / _divisor(kept, average)
    similar, others = _similarities(z, tau)
    log_p = similar - _log_sum(similar.masked_fill(~others, -torch.inf))[0]
    positive = (y[:, None] == y) & others
    count = positive.sum(1)
    loss = -(log_p * positive).sum(1) / count.clamp_min(1)
    return scale * _mean(loss, rows_that_count(anchors, y) & (count > 0), average)


def focal_collapse(
    z: Float[Tensor, "n d"],
    y: Int[Tensor, " n"],
    prototypes: Float[Tensor, "k d"],
    tau: float,
    gamma: float,
    old: Sequence[int] | Int[Tensor, " o"] = (),
    anchors: Bool[Tensor, " n"] | None = None,
    denominator: Denominator = "closed",
    scale: float = 1.0,
    average: Average = "anchors",
    pulls: Pulls = BOTH,
) -> Float[Tensor, ""]:
    """FNC2: focal SupCon with the own prototype as one more positive and old prototypes as negatives.

    L_i = -1/(|P(i)|+1) [ sum_j (1-c_ij)^gamma log c_ij + (1-r_i)^gamma log r_i ].

    Args:
        z: (N, d) unit rows, all views of all images.
        y: (N,) index of each row's class into the prototypes.
        prototypes: (K, d) unit rows.
        tau: temperature, > 0.
        gamma: focal exponent, >= 0; 0 switches the focus off.
        old: indices of the old classes, whose prototypes repel: pseudo-replay with nothing stored.
        anchors: (N,) rows of the current task; the others are contrasts only. Default: all.
        denominator: ``closed`` counts the own prototype in D_i, so r_i < 1; ``open`` as printed.
        scale: factor on the loss; tau / 0.07 is the published one.
        average: over the anchors, or over all N rows.
        pulls: which of the two pulls act, and the exponent of the prototype's.

    Returns:
        a row that has nothing to be contrasted with (``open``, one row, no old class) counts 0.

    Raises:
        ConfigError: for a temperature or an exponent outside its range, or an unknown option.
        DataError: for tensors of another shape, or labels that have no prototype.

    Source: Dang et al., *Memory-efficient continual learning with neural collapse contrastive* (2025).
    """
    require_option("average", average, get_args(Average))
    require_option("denominator", denominator, get_args(Denominator))
    require_gamma(gamma)
    require_labels(z, y, anchors)
    require_matrix("prototypes", prototypes)
    require_below("labels", y, len(prototypes), "prototypes")
    require_below(
        "old classes", torch.as_tensor(old, dtype=torch.long), len(prototypes), "prototypes"
    )
    if not len(z):
        return z.sum() * 0.0
    kept = rows_that_count(anchors, y)
    focus = (tau, gamma, old, kept, denominator, average, pulls)
    return scale * focal_means(z, y, prototypes, *focus)[0]


def focal_means(
    z: Float[Tensor, "n d"],
    y: Int[Tensor, " n"],
    prototypes: Float[Tensor, "k d"],
    tau: float,
    gamma: float,
    old: Sequence[int] | Int[Tensor, " o"],
    anchors: Bool[Tensor, " n"],
    denominator: Denominator,
    average: Average,
    pulls: Pulls = BOTH,
) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
    """FNC2's loss, and the anchors' mean focal weights by name: of many rows by tiles (`contrast_tiles`).

    ``focal_weight`` is over both pulls; where these are not as usual, ``pull_weight`` is the
    prototype's. Arguments are those of `focal_collapse`, which checks them.
    """
    if len(z) < LARGE or prototypes.requires_grad or pulls != BOTH:
        rows = focal_rows(z, y, prototypes, tau, gamma, old, denominator, pulls)
        kept = anchors & rows.pulled
        weights = {"focal_weight": _mean(rows.weight, kept, "anchors")}
        if pulls != BOTH and pulls.prototype:
            weights["pull_weight"] = _mean(rows.pull, kept, "anchors")
        return _mean(rows.loss, kept, average), weights
    rows = at_least_float32(z)
    vectors, index = prototypes.to(rows), _index(old, z.device)
    closed = denominator == "closed"
    require_positive(tau, "tau")
    contrast = Contrast(y, anchors, tau, gamma, vectors[y], vectors[index], closed)
    total, weight, kept = contrast_by_tiles(rows, contrast)
    return total / _divisor(kept, average), {"focal_weight": _mean(weight, kept, "anchors")}


def focal_rows(
    z: Float[Tensor, "n d"],
    y: Int[Tensor, " n"],
    prototypes: Float[Tensor, "k d"],
    tau: float,
    gamma: float,
    old: Sequence[int] | Int[Tensor, " o"] = (),
    denominator: Denominator = "closed",
    pulls: Pulls = BOTH,
) -> FocalRows:
    """FNC2 row by row; arguments are those of `focal_collapse`, which checks them."""
    prototypes = prototypes.to(z.device, torch.promote_types(z.dtype, torch.float32))
    similar, others = _similarities(z, tau)
    to_prototype = (z.to(prototypes.dtype) * prototypes[y]).sum(1, keepdim=True) / tau
    repel = z.to(prototypes.dtype) @ prototypes[_index(old, z.device)].T / tau
    contrasts = [similar.masked_fill(~others, -torch.inf), repel]
    if denominator == "closed" and pulls.prototype:
        contrasts.append(to_prototype)
    log_d, nothing = _log_sum(torch.cat(contrasts, 1))

    positive = (y[:, None] == y) & others & pulls.pairs
    soft, hard = similar - log_d, (to_prototype - log_d).masked_fill(nothing, 0.0)
    soft_weight = _focus(soft, gamma) * positive
    hard_weight = _focus(hard, gamma if pulls.gamma is None else pulls.gamma)[:, 0]
    share = float(pulls.prototype)
    count = positive.sum(1) + share
    some = count.clamp_min(1)
    loss = -((soft_weight * soft).sum(1) + share * hard_weight * hard[:, 0]) / some
    weight = (soft_weight.sum(1) + share * hard_weight) / some
    return FocalRows(loss, weight.detach(), hard_weight.detach(), count > 0)


def _similarities(z: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """(N, N) z_i.z_a / tau in at least float32, and which pairs are of two different rows."""
    require_positive(tau, "tau")
    z = z.to(torch.promote_types(z.dtype, torch.float32))
    with torch.autocast(z.device.type, enabled=False):
        return z @ z.T / tau, ~torch.eye(len(z), dtype=torch.bool, device=z.device)


def _log_sum(contrasts: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 1) log sum_a exp of each row, and whether it is of nothing (all -inf): then finite."""
    nothing = contrasts.isneginf().all(1, keepdim=True)
    return contrasts.masked_fill(nothing, 0.0).logsumexp(1, keepdim=True), nothing


def _focus(log_p: Tensor, gamma: float) -> Tensor:
    """(1 - p)^gamma in [0, 1] from log p; 0 where p >= 1, with a finite gradient everywhere."""
    rest = -torch.expm1(log_p)
    inside = rest > 1e-30
    return torch.where(inside, torch.where(inside, rest, 1.0) ** gamma, 0.0**gamma)


def _index(old: Sequence[int] | Tensor, device: torch.device) -> Tensor:
    return old if isinstance(old, Tensor) else class_index(old, device)


def rows_that_count(anchors: Tensor | None, y: Tensor) -> Bool[Tensor, " n"]:
    """The anchors; all rows where none were named."""
    return torch.ones_like(y, dtype=torch.bool) if anchors is None else anchors


def _mean(loss: Tensor, kept: Tensor, average: Average) -> Tensor:
    """Mean of the kept rows (0 when there is none), over their number or over all rows."""
    return (loss * kept).sum() / _divisor(kept, average)


def _divisor(kept: Tensor, average: Average) -> Tensor | int:
    return kept.sum().clamp_min(1) if average == "anchors" else max(len(kept), 1)
