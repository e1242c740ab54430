"""FeatureFisher: features are held by how much the softmax of all classes depends on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.core.errors import ConfigError, DataError
from holdfast.core.numerics import at_least_float32, in_float64
from holdfast.core.output import outputs
from holdfast.core.step import Part, Step
from holdfast.curvature.likelihood import FrameSoftmax, HeadSoftmax
from holdfast.loss.checks import require_pair
from holdfast.loss.term import Term

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task


def feature_matrix(
    logits: Float[Tensor, "n k"], weight: Float[Tensor, "k f"]
) -> Float[Tensor, "f f"]:
    """(f, f) E = mean_i W^T (diag p_i - p_i p_i^T) W, p_i the softmax of row i's logits.

    The Fisher information of the features under a softmax that is linear in them with rows W:
    KL(p* || p) = 1/2 d E d^T + O(d^3) for a small move d of one row's features.

    Args:
        logits: (N, K) of the rows.
        weight: (K, f) by which the features make them.

    Source: Magistri et al., *Elastic feature consolidation* (EFC), ICLR 2024

    >>> feature_matrix(torch.zeros(1, 2), torch.tensor([[2.0, 0.0], [-2.0, 0.0]])).tolist()
    [[4.0, 0.0], [0.0, 0.0]]
    """
    p = logits.softmax(1)
    spread = p.mean(0).diag() - p.T @ p / len(p)
    return weight.T @ spread @ weight


def fisher_distillation(
    now: Float[Tensor, "n f"],
    past: Float[Tensor, "n f"],
    matrix: Float[Tensor, "f f"] | None,
    strength: float = 10.0,
    eta: float = 0.1,
) -> Float[Tensor, ""]:
    """mean_i d_i (strength E + eta I) d_i^T, d = h - h*.

    Args:
        now: (N, f) features of the learner.
        past: (N, f) those of the past network; no gradient flows into them.
        matrix: (f, f) E; None is 0.
        strength: of E.
        eta: of the same in every direction.

    Raises:
        DataError: for tensors of two shapes, or a matrix of another width.

    Source: EFC, ICLR 2024

    >>> h = torch.tensor([[1.0, 2.0]])
    >>> fisher_distillation(h, 0 * h, torch.tensor([[1.0, 0.0], [0.0, 0.0]]), 3.0, 0.5)
    tensor(5.5000)
    """
    require_pair("features", now, past)
    apart = at_least_float32(now) - at_least_float32(past.detach())
    if not len(apart):
        return apart.sum()
    value = eta * apart.square().sum(1).mean()
    if matrix is None:
        return value
    if matrix.shape != (now.shape[1],) * 2:
        raise DataError(
            f"features of width {now.shape[1]} need a matrix of that width, not {tuple(matrix.shape)}."
        )
    return value + strength * ((apart @ matrix.to(apart)) * apart).sum(1).mean()


class FeatureFisher(Term):
    """`fisher_distillation` of the current inputs, E by the softmax over all classes (`feature_matrix`).

    E is that of the rows of the last task, when it ended; older classes enter by their rows of the head.
    Of a head it weighs moves of the features, of a frame of prototypes those of the embedding. Stored are
    f^2 numbers. A confident network has a small E: eta alone then holds.

    Args:
        strength: of E.
        eta: of the same in every direction, in the features' own units.
        likelihood: `HeadSoftmax` or `FrameSoftmax`; None takes the head, over all classes met.
        on: the part it is asked of.

    Raises:
        ConfigError: for a negative strength, or another likelihood.

    Source: Magistri et al., *Elastic feature consolidation*, ICLR 2024
    """

    needs_past = True
    label = "feature_fisher"

    def __init__(
        self,
        strength: float = 10.0,
        eta: float = 0.1,
        likelihood: HeadSoftmax | FrameSoftmax | None = None,
        on: str = "batch",
    ):
        super().__init__()
        if not (strength >= 0 and eta >= 0):
            raise ConfigError(
                f"features are held by at least 0, not strength={strength} and eta={eta}."
            )
        likelihood = HeadSoftmax() if likelihood is None else likelihood
        if not isinstance(likelihood, (HeadSoftmax, FrameSoftmax)):
            raise ConfigError(
                "FeatureFisher needs logits that are linear in what it holds: HeadSoftmax or "
                f"FrameSoftmax, not {type(likelihood).__name__}."
            )
        self.strength, self.eta, self.on = strength, eta, on
        self.likelihood = likelihood
        self.reads, self.asks = ("features",), ("logits",)
        if isinstance(likelihood, FrameSoftmax):
            self.reads, self.asks, self.dim = ("embedding",), (), likelihood.frame.dim
        self.matrix: Tensor | None = None

    def value(self, part: Part, step: Step) -> Tensor:
        """The mean over the part's rows."""
        now, past = getattr(part.out, self.reads[0]), getattr(part.past, self.reads[0])
        return fisher_distillation(now, past, self.matrix, self.strength, self.eta)

    @torch.no_grad()
    def consolidate(self, learner: Learner, task: Task, past: Learner | None = None) -> None:
        """Take E of the task's rows, by the network as the next task's past."""
        out = outputs(learner, task.train)
        logits = in_float64(self.likelihood.logits(out, task))
        matrix = feature_matrix(logits, self._rows(learner, task, logits))
        self.matrix = matrix.to(learner.head.weight)

    def _rows(self, learner: Learner, task: Task, like: Tensor) -> Float[Tensor, "k f"]:
        """W: what makes the logits of features or embeddings."""
        if isinstance(self.likelihood, FrameSoftmax):
            known = like.shape[1]
            return self.likelihood.frame.vectors[:known].to(like) / self.likelihood.tau
        weight = learner.head.weight.to(like)
        return weight if self.likelihood.classes == "seen" else weight[list(task.classes)]

    def get_extra_state(self) -> dict[str, Any]:
        """E."""
        return {"matrix": self.matrix}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take over E."""
        self.matrix = state["matrix"]
