"""Grassmann: the head's classes are planes, and training turns them without stretching them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.anchor.rule import Named, Rule
from holdfast.core.errors import ConfigError
from holdfast.core.step import Step
from holdfast.learner.heads import GrassmannHead

HEAD = "head.weight"
EVERY = 5  # steps after which rounding is taken out of the frames


class GrassmannStep(Rule):
    """Moves each class's frame along the geodesic that the optimiser's move points to.

    D is the optimiser's move of B (k rows), T = D - D B^T B its part out of the plane, T = V s U^T; then

        B <- V cos(s) V^T B + V sin(s) U^T,

    orthonormal again. A move within the plane changes nothing. Every 5 steps a QR takes rounding out.
    Weight decay on the head is without effect, for it points along B.

    Source: GCR, by its public code (Riemannian SGD with tangent, geodesic and QR); docs/theory.md,
        section 18
    """

    asks = ("logits",)

    def __init__(self):
        super().__init__()
        self.steps = 0

    def update(self, delta: Named, step: Step) -> Named:
        """The head's move along the geodesic; other moves as they are.

        Raises:
            ConfigError: for a head whose classes are no planes.
        """
        learner = step.learner
        if learner is None or not isinstance(learner.head, GrassmannHead):
            raise ConfigError(
                "GrassmannStep moves the planes of head=grassmann, and this head has none."
            )
        if HEAD not in delta:
            return delta
        head, move = learner.head, delta[HEAD]
        shape = (-1, head.directions, head.features)
        before = (head.weight.detach() - move).view(shape)  # the optimiser has moved it already
        after = along_geodesic(before, move.view(shape))
        self.steps += 1
        if self.steps % EVERY == 0:
            after = orthonormal(after)
        return {**delta, HEAD: (after - before).view_as(move)}

    def get_extra_state(self) -> int:
        """How many steps were taken."""
        return self.steps

    def set_extra_state(self, state: int) -> None:
        """Take over their number."""
        self.steps = state


def along_geodesic(
    frames: Float[Tensor, "c k f"], move: Float[Tensor, "c k f"]
) -> Float[Tensor, "c k f"]:
    """Frames with orthonormal rows after a move along the geodesic of its part out of their planes.

    Args:
        frames: B of each class.
        move: D of each; the length of the geodesic is that of its part T.
    """
    tangent = move - move @ frames.mT @ frames
    v, s, u = torch.linalg.svd(tangent, full_matrices=False)
    turned = (v * s.cos()[:, None]) @ (v.mT @ frames) + (v * s.sin()[:, None]) @ u
    still = s.amax(1) <= 1e-12  # SVD of zeros: leave to the bit
    return torch.where(still[:, None, None], frames, turned)


def orthonormal(frames: Float[Tensor, "c k f"]) -> Float[Tensor, "c k f"]:
    """The same planes by orthonormal rows, as near to the frames as QR leaves them."""
    q, r = torch.linalg.qr(frames.mT)
    sign = r.diagonal(dim1=-2, dim2=-1).sign()
    return (q * torch.where(sign == 0, 1.0, sign)[:, None]).mT
