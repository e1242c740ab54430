"""Relation anchors: rows must stand to each other as the past network saw them.

The formulas are in docs/theory.md, sections 4 and 5.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.anchor.relation_tiles import relations_by_tiles
from holdfast.core.constants import class_index
from holdfast.core.numerics import at_least_float32
from holdfast.core.step import Part, Step
from holdfast.learner.prototype import Frame
from holdfast.loss.checks import require_matrix, require_option, require_pair, require_positive
from holdfast.loss.term import Term
from holdfast.loss.tiles import LARGE

Support = Literal["seen", "old"]


def relation_distillation(
    z: Float[Tensor, "n d"],
    z_past: Float[Tensor, "n d"],
    now: float,
    past: float,
    keys: Float[Tensor, "k d"] | None = None,
) -> Float[Tensor, ""]:
    """Cross-entropy of the past's relations with the present's: IRD, or S-PRD when keys are given.

    - mean_i sum_a s*_ia log s_ia,  s_i = softmax_a(z_i . k_a / now),  s*_i = softmax_a(z*_i . k*_a / past),
    where k_a are the other rows themselves (a != i), or the fixed keys (docs/theory.md, section 4).

    Args:
        z: (N, d) unit rows of the learner.
        z_past: (N, d) unit rows of the past network on the same inputs; no gradient flows into it.
        now: temperature of the learner's relations, > 0.
        past: temperature of the past's relations, > 0.
        keys: (K, d) prototypes. Default: the rows of the batch.

    With ``now != past`` the gradient at z = z_past is not zero (docs/theory.md, section 7, statement 5).

    Raises:
        ConfigError: for a temperature that is not positive.
        DataError: for tensors of another shape.

    Source: Cha et al., *Co2L* (2021), for IRD; Dang et al. (2025) for S-PRD.

    >>> z = torch.eye(3)
    >>> round(relation_distillation(z, z, now=0.5, past=0.5).item(), 4)  # log 2: two equal others
    0.6931
    """
    require_positive(now, "now")
    require_positive(past, "past")
    require_pair("rows", z, z_past)
    if keys is not None:
        require_matrix("keys", keys)
    if len(z) < (2 if keys is None else 1):
        return z.sum() * 0.0
    pairs = len(z) * len(z if keys is None else keys)
    if pairs >= LARGE**2 and not (keys is not None and keys.requires_grad):
        now_rows, past_rows = at_least_float32(z), at_least_float32(z_past.detach()).to(z.device)
        fixed = None if keys is None else keys.to(now_rows)
        return relations_by_tiles(now_rows, past_rows.to(now_rows), now, past, fixed)
    log_s = torch.log_softmax(_relations(z, keys, now), 1)
    with torch.no_grad():
        s_past = torch.softmax(_relations(z_past, keys, past), 1)
    return -(s_past * log_s).sum(1).mean()


def _relations(z: Tensor, keys: Tensor | None, temperature: float) -> Tensor:
    """z_i . k_a / temperature in at least float32: (N, K), or (N, N-1) with the own row left out."""
    z = z.to(torch.promote_types(z.dtype, torch.float32))
    with torch.autocast(z.device.type, enabled=False):
        if keys is not None:
            return z @ keys.to(z).T / temperature
        return off_diagonal(z @ z.T / temperature)


def off_diagonal(square: Float[Tensor, "n n"]) -> Float[Tensor, "n m"]:
    """(N, N-1) each row without its own place: views alone, where a mask would make a device wait.

    >>> off_diagonal(torch.arange(9.0).view(3, 3)).tolist()
    [[1.0, 2.0], [3.0, 5.0], [6.0, 7.0]]
    """
    n = len(square)
    return square.flatten()[1:].view(n - 1, n + 1)[:, :-1].reshape(n, n - 1)


class RelationDistillation(Term):
    """IRD over the rows of the batch; with a frame as keys, S-PRD over prototypes.

    Args:
        now: temperature of the learner.
        past: temperature of the past network.
        keys: a frame, for S-PRD.
        support: which prototypes take part: those of all ``seen`` classes, or of ``old`` ones only.
        on: the part it is asked of.

    Raises:
        ConfigError: for a temperature that is not positive, or another support.
    """

    needs_past = True
    reads = ("embedding",)

    def __init__(
        self,
        now: float = 0.2,
        past: float = 0.01,
        keys: Frame | None = None,
        support: Support = "seen",
        on: str = "batch",
    ):
        super().__init__()
        require_option("support", support, get_args(Support))
        self.now, self.past = require_positive(now, "now"), require_positive(past, "past")
        self.keys, self.support, self.on = keys, support, on
        self.dim = None if keys is None else keys.dim
        self.label = "ird" if keys is None else "s_prd"

    def value(self, part: Part, step: Step) -> Tensor:
        """The distillation of the part's embeddings."""
        keys = None
        if self.keys is not None:
            classes = step.seen if self.support == "seen" else step.old_classes
            vectors = self.keys.vectors
            keys = vectors[class_index(classes, vectors.device)]
        return relation_distillation(
            part.out.embedding, part.past.embedding, self.now, self.past, keys
        )
