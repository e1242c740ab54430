"""Curvatures of the summed loss at w0, in the weights a likelihood depends on (THEORY 6)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from holdfast.chance import generator_of
from holdfast.curvature.kronecker import kronecker
from holdfast.curvature.layers import squares
from holdfast.curvature.layout import Layout, layout_of
from holdfast.curvature.likelihood import HeadSoftmax, Likelihood
from holdfast.curvature.matrix import Diagonal, Full, LowRank, Matrix
from holdfast.curvature.persample import evaluating, persample, predict, weights_of
from holdfast.curvature.products import hessian_times, largest, loss_slope, outer_times
from holdfast.errors import ConfigError, unknown

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner, Output
    from holdfast.stream.task import Task

KINDS = ("fisher", "sampled_fisher", "empirical_fisher", "ggn", "hessian")
Structure = Literal["diagonal", "kfac", "low_rank", "full"]
STRUCTURES = get_args(Structure)


class Importance(nn.Module, ABC):
    """How much each weight mattered to a task: the H of 1/2 (w-w0)^T H (w-w0).

    Attributes:
        parts: of the learner that it covers.
        summed: whether H is a sum over the task's images, to be set against a mean loss over others.
        needs_head: whether it asks what the head says.
        structure: what of H is kept.
    """

    structure: str = "diagonal"
    parts: tuple[str, ...] = ("backbone", "head")
    summed: bool = False
    needs_head: bool = False

    def layout(self, learner: nn.Module, norm: bool = True) -> Layout:
        """The weights it covers."""
        return layout_of(learner, self.parts, norm)

    @abstractmethod
    def of(self, learner: Learner, task: Task, layout: Layout) -> Matrix:
        """H at the learner's present weights."""

    def slope(self, learner: Learner, task: Task, layout: Layout) -> Tensor | None:
        """(P,) gradient of the loss whose curvature H is; None if it is of none."""
        return None


class Unit(Importance):
    """H = I: every covered weight matters alike."""

    def of(self, learner: Learner, task: Task, layout: Layout) -> Diagonal:
        """Ones."""
        return Diagonal(layout, torch.ones_like(layout.flat(weights_of(learner))))


class Curvature(Importance):
    """Curvature of sum_i -log p(y_i | x_i) at w0, with J_i the Jacobian of the logits at x_i.

    All but the Hessian are sum_i sum_r (J_i^T v_r)(J_i^T v_r)^T, one gradient a sample and root:

    - ``fisher``: the model's own labels, exactly: sum_c p_c (e_c - p)(e_c - p)^T = diag(p) - pp^T,
      taken apart into the K - 1 vectors of `softmax_roots`;
    - ``ggn``: J^T (diag(p) - pp^T) J, for a softmax the same as the Fisher;
    - ``sampled_fisher``: v = (e_c - p) / sqrt(draws), c drawn from p;
    - ``empirical_fisher``: v = e_y - p with the observed label;
    - ``hessian``: the second derivative itself, by Hessian-vector products.

    Inputs are the task's training images as they rest, without views; batch norm is in eval mode,
    so samples are independent and the size of the chunks does not matter.

    Args:
        kind: one of these.
        structure: what is kept of it: the ``diagonal``; a Kronecker product a layer (``kfac``);
            the largest eigenvalues (``low_rank``); or all, for small networks (``full``).
        likelihood: p; the head's softmax by default.
        draws: labels drawn for each image (``sampled_fisher``).
        clip: a Hessian's negative curvature becomes 0; without it, it is refused.
        limit: GiB a full matrix may take.
        rank: how many eigenvalues (``low_rank``).
        seed: of the drawn labels.

    Raises:
        ConfigError: for an unknown kind or structure; when used: a full matrix over the limit, or
            negative curvature.

    Source: Kirkpatrick et al. (2017); Kunstner, Hennig, Balles, *Limitations of the empirical Fisher
    approximation* (2019); THEORY 6.
    """

    summed = True

    def __init__(
        self,
        kind: str = "fisher",
        structure: Structure = "diagonal",
        likelihood: Likelihood | None = None,
        draws: int = 1,
        clip: bool = False,
        limit: float = 2.0,
        seed: int = 0,
        rank: int = 10,
    ):
        super().__init__()
        if kind not in KINDS:
            raise unknown("curvature", kind, KINDS)
        if structure not in STRUCTURES:
            raise unknown("structure", structure, STRUCTURES)
        if kind == "hessian" and structure == "kfac":
            raise ConfigError(
                "Kronecker factors are made from gradients, which a Hessian has none of: use kind='ggn'."
            )
        if rank < 1:
            raise ConfigError(f"a low-rank curvature needs a rank of at least 1, not {rank}.")
        if draws < 1:
            raise ConfigError(f"a sampled Fisher needs at least 1 draw an image, not {draws}.")
        self.kind, self.structure, self.rank = kind, structure, rank
        self.draws, self.clip = draws, clip
        self.likelihood, self.limit, self.seed = likelihood or HeadSoftmax(), limit, seed
        self.parts, self.needs_head = self.likelihood.parts, self.likelihood.needs_head

    def of(self, learner: Learner, task: Task, layout: Layout) -> Matrix:
        """H summed over the task's training rows."""
        with evaluating(learner):
            if self.structure == "low_rank":
                return self._low_rank(learner, task, layout)
            if self.structure == "full" or self.kind == "hessian":
                self._check_size(learner, layout)
            if self.kind == "hessian":
                values = positive(self._hessian(learner, task, layout), self.clip)
                return (Full if self.structure == "full" else Diagonal)(layout, values)
            roots = self.roots(learner, task)
            read = lambda out: self.likelihood.logits(out, task)
            if self.structure == "kfac":
                return kronecker(learner, layout, read, task.train.x, roots)
            if self.structure == "diagonal":
                found = squares(learner, layout, read, task.train.x, roots)
                if found is not None:
                    return Diagonal(layout, found)
            return self._by_sample(learner, task, layout, roots)

    def _by_sample(self, learner: Learner, task: Task, layout: Layout, roots: Tensor) -> Matrix:
        """A gradient for every image and root."""
        x, total = task.train.x, self._zeros(learner, layout)
        image = torch.arange(len(roots), device=roots.device).repeat_interleave(roots.shape[1])
        told = (x, image, roots.flatten(0, 1))
        for gradients in persample(learner, layout, self._score(task), *told):
            if self.structure == "diagonal":
                total += layout.flat({name: g.square().sum(0) for name, g in gradients.items()})
            else:
                rows = torch.cat([g.flatten(1) for g in gradients.values()], 1)
                total.addmm_(rows.T, rows)
        return (Full if self.structure == "full" else Diagonal)(layout, total)

    def roots(self, learner: Learner, task: Task) -> Float[Tensor, "n r k"]:
        """The vectors v_r of every image, in the space of its logits."""
        logits = predict(learner, task.train.x, lambda out: self.likelihood.logits(out, task))
        p = torch.softmax(logits, 1)
        if self.kind in ("fisher", "ggn"):
            return softmax_roots(p)
        step = torch.eye(p.shape[1]).to(p) - p[:, None]  # row c: e_c - p
        if self.kind == "empirical_fisher":
            c = self.likelihood.places(task.train.y, task)[:, None]
        else:
            chance = generator_of(p.device, self.seed, "curvature", task.index)
            c = torch.multinomial(p, self.draws, replacement=True, generator=chance)
        return step.gather(1, c[:, :, None].expand(-1, -1, p.shape[1])) / c.shape[1] ** 0.5

    def _score(self, task: Task) -> Callable[[Output, Tensor], Tensor]:
        return lambda out, v: (self.likelihood.logits(out, task)[0] * v).sum()

    def _zeros(self, learner: Learner, layout: Layout) -> Tensor:
        shape = (layout.size,) if self.structure == "diagonal" else (layout.size,) * 2
        return next(learner.parameters()).new_zeros(shape)

    def _hessian(self, learner: Learner, task: Task, layout: Layout) -> Tensor:
        """One Hessian-vector product a weight."""
        total = self._zeros(learner, layout)
        for place, basis in enumerate(torch.eye(layout.size).to(total)):
            product = self.times(learner, task, layout, basis)
            total[place] = product[place] if self.structure == "diagonal" else product
        return total

    def times(
        self, learner: Learner, task: Task, layout: Layout, vector: Float[Tensor, " p"]
    ) -> Float[Tensor, " p"]:
        """The whole matrix times a vector, never made.

        The learner is taken in the mode it is in: in training mode batch norm ties samples together.
        """
        return self._product(learner, task, layout)(vector)

    def slope(self, learner: Learner, task: Task, layout: Layout) -> Float[Tensor, " p"]:
        """sum_i of the gradient of -log p(y_i | x_i): 0 where the task's training ended well."""
        with evaluating(learner):
            return loss_slope(learner, task, layout, self.likelihood)

    def _product(self, learner: Learner, task: Task, layout: Layout) -> Callable[[Tensor], Tensor]:
        """V to H v; the roots are found once."""
        if self.kind == "hessian":
            return lambda v: hessian_times(learner, task, layout, self.likelihood, v)
        roots = self.roots(learner, task)
        return lambda v: outer_times(learner, task, layout, self.likelihood, roots, v)

    def _low_rank(self, learner: Learner, task: Task, layout: Layout) -> LowRank:
        times = self._product(learner, task, layout)
        like = next(learner.parameters())
        values, vectors = largest(times, layout.size, self.rank, like)
        return LowRank(layout, vectors * positive(values, self.clip).clamp_min(0).sqrt())

    def _check_size(self, learner: Learner, layout: Layout) -> None:
        """Refuse what would not fit, with what it would take."""
        need = layout.size**2 * next(learner.parameters()).element_size() / 2**30
        if need > self.limit:
            instead = "empirical_fisher or fisher" if self.kind == "hessian" else "diagonal"
            raise ConfigError(
                f"the {self.structure} {self.kind} of {layout.size:,} weights would take {need:,.1f} GiB, "
                f"over the limit of {self.limit:g}: use {instead} in its place."
            )


def softmax_roots(p: Float[Tensor, "n k"]) -> Float[Tensor, "n r k"]:
    """(N, K - 1, K) vectors v_j with sum_j v_j v_j^T = diag(p) - p p^T, by breaking the stick.

    v_j is sqrt(p_j s_{j+1} / s_j) at j and -p_i sqrt(p_j / (s_j s_{j+1})) at every i > j, with
    s_j = sum_{i >= j} p_i: one backward pass fewer than one a class. For K = 1 it is one vector, 0.

    Source: Tanabe and Sagae, *An exact Cholesky decomposition of the multinomial distribution* (1992).
    """
    if p.shape[1] == 1:
        return torch.zeros_like(p)[:, None]  # one class is certain: one root, 0
    tail = p.flip(1).cumsum(1).flip(1)
    here, after = tail[:, :-1, None], tail[:, 1:, None]
    own, least = p[:, :-1, None], torch.finfo(p.dtype).tiny
    below = -p[:, None, :] * (own / (here * after).clamp_min(least)).sqrt()
    at = (own * after / here.clamp_min(least)).sqrt()
    place = torch.arange(p.shape[1], device=p.device)
    ahead = place[None, :] > place[:-1, None]
    return torch.where(ahead, below, torch.where(place[None, :] == place[:-1, None], at, 0.0))


def positive(matrix: Tensor, clip: bool) -> Tensor:
    """A symmetric (P, P) matrix or (P,) diagonal without negative curvature.

    Args:
        matrix: what should be positive semi-definite; rounding is forgiven.
        clip: negative curvature becomes 0.

    Raises:
        ConfigError: naming the most negative eigenvalue, unless it is clipped.
    """
    diagonal = matrix.ndim == 1
    values, vectors = (matrix, None) if diagonal else torch.linalg.eigh((matrix + matrix.T) / 2)
    least, most = float(values.min()), float(values.abs().max())
    if least >= -100 * torch.finfo(matrix.dtype).eps * most and not clip:
        return matrix
    if not clip:
        what = "entry of the Hessian's diagonal" if diagonal else "eigenvalue of the Hessian"
        raise ConfigError(
            f"the most negative {what} is {least:.3g} (the largest {float(values.max()):.3g}), so it can "
            "be no penalty: use clip=True, or ggn, which is never negative."
        )
    values = values.clamp_min(0)
    return values if vectors is None else (vectors * values) @ vectors.T
