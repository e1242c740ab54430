"""Curvatures of the summed loss at w0, in the weights a likelihood depends on."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.core.errors import ConfigError, unknown
from holdfast.core.ranks import added
from holdfast.core.registry import Registry
from holdfast.core.rng import make_generator
from holdfast.curvature.diagonal import squared_gradients
from holdfast.curvature.eigenvalues import largest_eigenvalues
from holdfast.curvature.fisher import EXACT_CLASSES, OutputFactors
from holdfast.curvature.ggn import ggn_times
from holdfast.curvature.hessian import dense_hessian, hessian_times, loss_gradient, positive
from holdfast.curvature.importance import Importance, Unit
from holdfast.curvature.kfac import kronecker_factors
from holdfast.curvature.layout import Layout
from holdfast.curvature.likelihood import HeadSoftmax, Likelihood
from holdfast.curvature.matrix import Diagonal, Full, LowRank, Matrix
from holdfast.curvature.persample import evaluating, persample, predict

if TYPE_CHECKING:
    from holdfast.core.output import Output
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task

KINDS = ("fisher", "sampled_fisher", "empirical_fisher", "ggn", "hessian")
Structure = Literal["diagonal", "kfac", "low_rank", "full"]
STRUCTURES = get_args(Structure)
CURVATURES: Registry[Callable[..., Importance]] = Registry("curvature")


class Curvature(Importance):
    """Curvature of sum_i -log p(y_i | x_i) at w0, with J_i the Jacobian of the logits at x_i.

    All but the Hessian are sum_i sum_r (J_i^T v_r)(J_i^T v_r)^T, one gradient a sample and factor:

    - ``fisher``: the model's own labels, exactly: sum_c p_c (e_c - p)(e_c - p)^T = diag(p) - pp^T,
      taken apart into the K - 1 vectors of `softmax_factors`;
    - ``ggn``: J^T (diag(p) - pp^T) J, for a softmax the same as the Fisher;
    - ``sampled_fisher``: v = (e_c - p) / sqrt(draws), c drawn from p;
    - ``empirical_fisher``: v = e_y - p with the observed label;
    - ``hessian``: the second derivative itself, by Hessian-vector products.

    Inputs are the task's training images as they rest, without views; batch norm is in eval mode,
    so samples are independent and the size of the chunks does not matter. Above `EXACT_CLASSES`
    classes ``fisher`` and ``ggn`` are sampled, with a warning, unless ``exact=True``; a low rank never
    is, for a product with a vector needs no factor.

    Args:
        kind: one of these.
        structure: what is kept of it: the ``diagonal``; a Kronecker product a layer (``kfac``);
            the largest eigenvalues (``low_rank``); or all, for small networks (``full``).
        likelihood: p; the head's softmax by default.
        draws: labels drawn for each image (``sampled_fisher``).
        clip: a Hessian's negative curvature becomes 0; without it, it is refused.
        limit: GiB a full matrix may take.
        seed: of the drawn labels.
        rank: how many eigenvalues (``low_rank``).
        exact: keep ``fisher`` and ``ggn`` exact for any number of classes.

    Raises:
        ConfigError: for an unknown kind or structure; when used: a full matrix over the limit, or
            negative curvature.

    Source: Kirkpatrick et al. (2017); Kunstner, Hennig, Balles, *Limitations of the empirical Fisher
    approximation* (2019); docs/theory.md, section 6.
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
        exact: bool = False,
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
        if not limit > 0:
            raise ConfigError(f"the limit of a full matrix must be positive, not {limit} GiB.")
        self.kind, self.structure, self.rank = kind, structure, rank
        self.draws, self.clip, self.exact = draws, clip, exact
        self.likelihood, self.limit, self.seed = likelihood or HeadSoftmax(), limit, seed
        self.parts, self.reads = self.likelihood.parts, self.likelihood.reads

    def measure(self, learner: Learner, task: Task, layout: Layout) -> Matrix:
        """H summed over the task's training rows."""
        with evaluating(learner):
            if self.structure == "low_rank":
                return self._low_rank(learner, task, layout)
            if self.structure == "full" or self.kind == "hessian":
                self._check_size(learner, layout)
            if self.kind == "hessian":
                diagonal = self.structure == "diagonal"
                values = dense_hessian(learner, task, layout, self.likelihood, diagonal)
                return (Diagonal if diagonal else Full)(layout, positive(values, self.clip))
            factors = self.output_factors(learner, task)
            read = lambda out: self.likelihood.logits(out, task)
            if self.structure == "kfac":
                return kronecker_factors(learner, layout, read, task.train.x, factors)
            if self.structure == "diagonal":
                values = squared_gradients(learner, layout, read, task.train.x, factors)
                if values is not None:
                    return Diagonal(layout, values)
            return self._by_sample(learner, task, layout, factors)

    def _by_sample(
        self, learner: Learner, task: Task, layout: Layout, factors: OutputFactors
    ) -> Matrix:
        """A gradient for every image and factor."""
        diagonal = self.structure == "diagonal"
        shape = (layout.size,) if diagonal else (layout.size,) * 2
        x = task.train.x

        def score(out: Output, v: Tensor) -> Tensor:
            return (self.likelihood.logits(out, task)[0] * v).sum()

        def work(some: slice) -> Tensor:
            total = next(learner.parameters()).new_zeros(shape)
            for start in range(some.start, some.stop, factors.images):
                v = factors.at(slice(start, min(start + factors.images, some.stop)))
                image = start + torch.arange(len(v), device=v.device).repeat_interleave(v.shape[1])
                for gradients in persample(learner, layout, score, x, image, v.flatten(0, 1)):
                    if diagonal:
                        total += layout.flat({n: g.square().sum(0) for n, g in gradients.items()})
                    else:
                        rows = torch.cat([g.flatten(1) for g in gradients.values()], 1)
                        total.addmm_(rows.T, rows)
            return total

        return (Diagonal if diagonal else Full)(layout, added(len(x), work))

    def output_factors(self, learner: Learner, task: Task) -> OutputFactors:
        """The vectors v_r of every image, in the space of its logits.

        Warns where a Fisher of many classes is sampled in place of the exact one.
        """
        logits = predict(learner, task.train.x, lambda out: self.likelihood.logits(out, task))
        p = torch.softmax(logits, 1)
        sampled = self.kind == "sampled_fisher"
        if self.kind in ("fisher", "ggn"):
            few = p.shape[1] <= EXACT_CLASSES or self.structure == "low_rank"
            if few or self.exact:
                return OutputFactors(p)
            sampled = True
            warnings.warn(
                f"the exact {self.kind} of {p.shape[1]} classes would take {p.shape[1] - 1} backward "
                f"passes an image, so {self.draws} of its labels {'is' if self.draws == 1 else 'are'} "
                "sampled: use exact=True to have it all the same.",
                stacklevel=2,
            )
        if not sampled:
            return OutputFactors(p, self.likelihood.places(task.train.y, task)[:, None])
        chance = make_generator(p.device, self.seed, "curvature", task.index)
        labels = torch.multinomial(p, self.draws, replacement=True, generator=chance)
        return OutputFactors(p, labels)

    def times(
        self, learner: Learner, task: Task, layout: Layout, vector: Float[Tensor, " p"]
    ) -> Float[Tensor, " p"]:
        """The whole matrix times a vector, never made.

        The learner is taken in the mode it is in: in training mode batch norm ties samples together.
        """
        return self._product(learner, task, layout)(vector)

    def gradient(self, learner: Learner, task: Task, layout: Layout) -> Float[Tensor, " p"]:
        """sum_i of the gradient of -log p(y_i | x_i): 0 where the task's training ended well."""
        with evaluating(learner):
            return loss_gradient(learner, task, layout, self.likelihood)

    def _product(self, learner: Learner, task: Task, layout: Layout) -> Callable[[Tensor], Tensor]:
        """V to H v; the output factors are made once."""
        if self.kind == "hessian":
            return lambda v: hessian_times(learner, task, layout, self.likelihood, v)
        factors = self.output_factors(learner, task)
        return lambda v: ggn_times(learner, task, layout, self.likelihood, factors, v)

    def _low_rank(self, learner: Learner, task: Task, layout: Layout) -> LowRank:
        times = self._product(learner, task, layout)
        like = next(learner.parameters())
        values, vectors = largest_eigenvalues(times, layout.size, self.rank, like)
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


for _name in KINDS:
    CURVATURES.add(_name, partial(Curvature, _name))
CURVATURES.add("unit", Unit)
