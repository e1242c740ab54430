"""Curvatures of the summed loss at w0, in the weights a likelihood depends on (THEORY 6)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from holdfast.anchor.layout import Layout, layout_of
from holdfast.anchor.likelihood import HeadSoftmax, Likelihood
from holdfast.anchor.persample import evaluating, inputs_of, persample, predict, weights_of
from holdfast.anchor.squares import squares
from holdfast.chance import generator_of
from holdfast.errors import ConfigError, unknown

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner, Output
    from holdfast.stream.task import Task

KINDS = ("fisher", "sampled_fisher", "empirical_fisher", "ggn", "hessian")


class Importance(nn.Module, ABC):
    """How much each weight mattered to a task: the H of 1/2 (w-w0)^T H (w-w0).

    Attributes:
        parts: of the learner that it covers.
        summed: whether H is a sum over the task's images, to be set against a mean loss over others.
        needs_head: whether it asks what the head says.
        structure: whether H is a diagonal or a full matrix.
    """

    structure: Literal["diagonal", "full"] = "diagonal"
    parts: tuple[str, ...] = ("backbone", "head")
    summed: bool = False
    needs_head: bool = False

    def layout(self, learner: nn.Module, norm: bool = True) -> Layout:
        """The weights it covers."""
        return layout_of(learner, self.parts, norm)

    @abstractmethod
    def of(self, learner: Learner, task: Task, layout: Layout) -> Tensor:
        """(P,) a diagonal, or (P, P), at the learner's present weights."""


class Unit(Importance):
    """H = I: every covered weight matters alike."""

    def of(self, learner: Learner, task: Task, layout: Layout) -> Float[Tensor, " p"]:
        """(P,) ones."""
        return torch.ones_like(layout.flat(weights_of(learner)))


class Curvature(Importance):
    """Curvature of sum_i -log p(y_i | x_i) at w0, with J_i the Jacobian of the logits at x_i.

    All but the Hessian are sum_i sum_r (J_i^T v_r)(J_i^T v_r)^T, one gradient a sample and root:

    - ``fisher``: v_c = sqrt(p_c) (e_c - p) for every class c: the model's own labels, exactly;
    - ``ggn``: J^T (diag(p) - pp^T) J, for a softmax the same as the Fisher;
    - ``sampled_fisher``: v = (e_c - p) / sqrt(draws), c drawn from p;
    - ``empirical_fisher``: v = e_y - p with the observed label;
    - ``hessian``: the second derivative itself, by Hessian-vector products.

    Inputs are the task's training images as they rest, without views; batch norm is in eval mode,
    so samples are independent and the size of the chunks does not matter.

    Args:
        kind: one of these.
        structure: ``diagonal``, or ``full`` for small networks.
        likelihood: p; the head's softmax by default.
        draws: labels drawn for each image (``sampled_fisher``).
        clip: a Hessian's negative curvature becomes 0; without it, it is refused.
        limit: GiB a full matrix may take.
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
        structure: Literal["diagonal", "full"] = "diagonal",
        likelihood: Likelihood | None = None,
        draws: int = 1,
        clip: bool = False,
        limit: float = 2.0,
        seed: int = 0,
    ):
        super().__init__()
        if kind not in KINDS:
            raise unknown("curvature", kind, KINDS)
        if structure not in ("diagonal", "full"):
            raise unknown("structure", structure, ("diagonal", "full"))
        if draws < 1:
            raise ConfigError(f"a sampled Fisher needs at least 1 draw an image, not {draws}.")
        self.kind, self.structure, self.draws, self.clip = kind, structure, draws, clip
        self.likelihood, self.limit, self.seed = likelihood or HeadSoftmax(), limit, seed
        self.parts, self.needs_head = self.likelihood.parts, self.likelihood.needs_head

    def of(self, learner: Learner, task: Task, layout: Layout) -> Tensor:
        """(P,) or (P, P), summed over the task's training rows."""
        if self.structure == "full" or self.kind == "hessian":
            self._check_size(learner, layout)
        with evaluating(learner):
            if self.kind == "hessian":
                return positive(self._hessian(learner, task, layout), self.clip)
            roots, x = self.roots(learner, task), task.train.x
            if self.structure == "diagonal":
                read = lambda out: self.likelihood.logits(out, task)
                found = squares(learner, layout, read, x, roots)
                if found is not None:
                    return found
            image = torch.arange(len(roots), device=roots.device).repeat_interleave(roots.shape[1])
            total = self._zeros(learner, layout)
            told = (x, image, roots.flatten(0, 1))
            for gradients in persample(learner, layout, self._score(task), *told):
                if self.structure == "diagonal":
                    each = {name: g.square().sum(0) for name, g in gradients.items()}
                    total += layout.flat(each)
                else:
                    rows = torch.cat([g.flatten(1) for g in gradients.values()], 1)
                    total.addmm_(rows.T, rows)
            return total

    def roots(self, learner: Learner, task: Task) -> Float[Tensor, "n r k"]:
        """The vectors v_r of every image, in the space of its logits."""
        logits = predict(learner, task.train.x, lambda out: self.likelihood.logits(out, task))
        p = torch.softmax(logits, 1)
        step = torch.eye(p.shape[1]).to(p) - p[:, None]  # row c: e_c - p
        if self.kind in ("fisher", "ggn"):
            return p.sqrt()[:, :, None] * step
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

    @torch.enable_grad()
    def times(
        self, learner: Learner, task: Task, layout: Layout, vector: Float[Tensor, " p"]
    ) -> Float[Tensor, " p"]:
        """The Hessian of the summed -log p(y | x) times a vector, by double backward.

        The learner is taken in the mode it is in: in training mode batch norm ties samples together.
        """
        everything = weights_of(learner)
        weights = {name: everything[name].requires_grad_() for name in layout.shapes}
        total, along = torch.zeros_like(vector), layout.split(vector)
        for rows in task.train.batches(512):
            out = functional_call(learner, everything, (inputs_of(learner, rows.x),))
            y = self.likelihood.places(rows.y, task)
            loss = functional.cross_entropy(self.likelihood.logits(out, task), y, reduction="sum")
            slope = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
            moved = torch.stack([(g * along[n]).sum() for n, g in zip(weights, slope)]).sum()
            second = torch.autograd.grad(moved, list(weights.values()), materialize_grads=True)
            total += layout.flat(dict(zip(weights, second, strict=True)))
        return total

    def _check_size(self, learner: Learner, layout: Layout) -> None:
        """Refuse what would not fit, with what it would take."""
        need = layout.size**2 * next(learner.parameters()).element_size() / 2**30
        if need > self.limit:
            instead = "empirical_fisher or fisher" if self.kind == "hessian" else "diagonal"
            raise ConfigError(
                f"the {self.structure} {self.kind} of {layout.size:,} weights would take {need:,.1f} GiB, "
                f"over the limit of {self.limit:g}: use {instead} in its place."
            )


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
