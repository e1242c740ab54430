"""Relation anchors: rows must stand to each other as the past network saw them (THEORY 4 and 5)."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.errors import ConfigError
from holdfast.learner.prototype import Frame
from holdfast.loss.term import Term
from holdfast.step import Part, Step


def relation_distillation(
    z: Float[Tensor, "n d"],
    z_past: Float[Tensor, "n d"],
    now: float,
    past: float,
    keys: Float[Tensor, "k d"] | None = None,
) -> Float[Tensor, ""]:
    """Cross-entropy of the past's relations with the present's: IRD, or S-PRD when keys are given.

    - mean_i sum_a s*_ia log s_ia,  s_i = softmax_a(z_i . k_a / now),  s*_i = softmax_a(z*_i . k*_a / past),
    where k_a are the other rows themselves (a != i), or the fixed keys (THEORY 4).

    Args:
        z: (N, d) unit rows of the learner.
        z_past: (N, d) unit rows of the past network on the same inputs; no gradient flows into it.
        now: temperature of the learner's relations, > 0.
        past: temperature of the past's relations, > 0.
        keys: (K, d) prototypes. Default: the rows of the batch.

    With ``now != past`` the gradient at z = z_past is not zero (THEORY 7, statement 5).
    Source: Cha et al., *Co2L* (2021), for IRD; Dang et al. (2025) for S-PRD.

    >>> z = torch.eye(3)
    >>> round(relation_distillation(z, z, now=0.5, past=0.5).item(), 4)  # log 2: two equal others
    0.6931
    """
    if not (now > 0 and past > 0):
        raise ConfigError(f"temperatures must be positive, not now={now}, past={past}.")
    if keys is None and len(z) < 2:
        return z.sum() * 0.0
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
        others = ~torch.eye(len(z), dtype=torch.bool, device=z.device)
        return (z @ z.T / temperature)[others].view(len(z), len(z) - 1)


class RelationDistillation(Term):
    """IRD over the rows of the batch; with a frame as keys, S-PRD over prototypes (THEORY 4).

    Args:
        now: temperature of the learner.
        past: temperature of the past network.
        keys: a frame, for S-PRD.
        support: which prototypes take part: those of all ``seen`` classes, or of ``old`` ones only.
        on: the part it is asked of.
    """

    needs_past = True

    def __init__(
        self,
        now: float = 0.2,
        past: float = 0.01,
        keys: Frame | None = None,
        support: Literal["seen", "old"] = "seen",
        on: str = "batch",
    ):
        super().__init__()
        self.now, self.past, self.keys, self.support, self.on = now, past, keys, support, on
        self.label = "ird" if keys is None else "s_prd"

    def value(self, part: Part, step: Step) -> Tensor:
        """The distillation of the part's embeddings."""
        keys = None
        if self.keys is not None:
            classes = step.seen if self.support == "seen" else step.old_classes
            keys = self.keys.vectors[list(classes)]
        return relation_distillation(
            part.out.embedding, part.past.embedding, self.now, self.past, keys
        )
