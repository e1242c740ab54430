"""Fixed equidistant prototypes, where neural collapse would put class means: docs/theory.md, section 2."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from holdfast.core.errors import ConfigError
from holdfast.core.rng import derive_seed

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task


def simplex_etf(classes: int, dim: int, seed: int = 0) -> Float[Tensor, "classes dim"]:
    """Unit vectors with q_i . q_j = -1/(K-1) and sum 0: a simplex, randomly rotated into R^dim.

    Args:
        classes: K, the number of vectors, at least 1.
        dim: d, at least K - 1; no smaller space holds K equidistant directions that sum to zero.
        seed: of the rotation; the same seed gives the same frame.

    Raises:
        ConfigError: if dim < classes - 1 or classes < 1.

    Source: Papyan, Han, Donoho, *Prevalence of neural collapse* (2020); docs/theory.md, section 2.

    >>> q = simplex_etf(3, 8)
    >>> (q @ q.T).round(decimals=4).tolist()
    [[1.0, -0.5, -0.5], [-0.5, 1.0, -0.5], [-0.5, -0.5, 1.0]]
    """
    if dim < 1:
        raise ConfigError(f"an embedding has a width of at least 1, not dim={dim}.")
    if classes < 1:
        raise ConfigError(f"a frame needs at least 1 class, not {classes}.")
    if dim < max(classes - 1, 1):
        raise ConfigError(
            f"a frame of {classes} equidistant prototypes needs dim >= {classes - 1}, not {dim}: "
            "raise the projector's dim."
        )
    generator = torch.Generator().manual_seed(seed)
    gaussian = torch.randn(dim, max(classes - 1, 1), dtype=torch.float64, generator=generator)
    basis, triangle = torch.linalg.qr(gaussian)
    basis = basis * triangle.diagonal().sign()  # makes the rotation uniform, and unique
    if classes == 1:
        return basis.T.to(torch.get_default_dtype())
    centred = torch.eye(classes, dtype=torch.float64) - 1 / classes
    plane, _ = torch.linalg.qr(centred[:, :-1])  # orthonormal basis of {v : sum v = 0}
    simplex = centred @ plane * (classes / (classes - 1)) ** 0.5
    return (simplex @ basis.T).to(torch.get_default_dtype())


class Frame(nn.Module):
    """Class k's fixed target direction, for a known or an unknown number of classes.

    Args:
        dim: d, width of the embedding.
        classes: K if it is known; 0 takes the simplex with d + 1 vertices, which is exactly
            equidistant for every K <= d + 1 without knowing K (q_i . q_j = -1/d).
        seed: of the rotation.
    """

    vectors: Tensor
    moves = False  # whether the data move it, so that it counts as stored

    def __init__(self, dim: int = 128, classes: int = 0, seed: int = 0):
        super().__init__()
        if classes < 0:
            raise ConfigError(f"a frame has at least 1 class, or 0 if nobody knows, not {classes}.")
        self.dim, self.classes, self.seed = dim, classes, seed
        self.register_buffer(
            "vectors", simplex_etf(classes or dim + 1, dim, seed), persistent=False
        )

    def __len__(self) -> int:
        return len(self.vectors)

    def require(self, classes: int) -> None:
        """Refuse more classes than there are prototypes (ConfigError)."""
        if classes > len(self):
            raise ConfigError(
                f"the frame has {len(self)} prototypes but the stream has {classes} classes: "
                f"use --dim {classes - 1} or larger (or --classes {classes})."
            )

    def extend(self, classes: int) -> None:
        """Go on past the equidistant ones, where the number of classes turned out to be larger.

        The vectors so far stay. Each further block is a simplex of dim + 1 vertices in a rotation of
        its own (by the seed): within a block q_i . q_j = -1/d exactly, between blocks it is random
        with mean 0 and deviation 1/sqrt(d). Warns, for the frame is only nearly equidistant then.
        """
        if classes <= len(self):
            return
        warnings.warn(
            f"the frame has {len(self)} equidistant prototypes and there are now {classes} classes: "
            "the further ones are only nearly equidistant. For exact ones start with "
            f"dim={classes - 1} or larger.",
            stacklevel=2,
        )
        blocks = [self.vectors]
        while sum(map(len, blocks)) < classes:
            place = derive_seed(self.seed, "block", sum(map(len, blocks)))
            blocks.append(simplex_etf(self.dim + 1, self.dim, place).to(self.vectors))
        self.vectors = torch.cat(blocks)

    def opposite(self, classes: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """Vertices that stand for none of so few classes: those counted from the end.

        In a simplex every vertex is to all others as any other is: a class put there repels as much,
        from a wrong place (the shuffled prototypes of docs/theory.md, section 13).

        Args:
            classes: by number, fewer than half of the vertices.
        """
        return len(self) - 1 - classes

    def unevenness(self, classes: int) -> Float[Tensor, ""]:
        """|| G/||G||_F - (I - 11^T/K)/sqrt(K-1) ||_F of the first K vectors, G = Q Q^T: NC2 about 0.

        0 for a simplex of as many vertices; near 1 and above where vectors turn into one direction.

        Args:
            classes: K, at least 2.
        """
        G = self.vectors[:classes] @ self.vectors[:classes].T
        simplex = (torch.eye(classes).to(G) - 1 / classes) / (classes - 1) ** 0.5
        return (G / G.norm() - simplex).norm()

    def observe(self, z: Float[Tensor, "n d"], y: Int[Tensor, " n"]) -> None:
        """Rows of the current task were seen; a fixed frame learns nothing of them."""

    def settle(self, learner: Learner, task: Task, past: Learner | None = None) -> None:
        """A task has ended; a fixed frame stays."""
