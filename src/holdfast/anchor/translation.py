"""TranslatedRehearsal: rows of a new class, moved to where an old class was, stand for that class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from holdfast.core.constants import class_index
from holdfast.core.errors import ConfigError
from holdfast.core.numerics import at_least_float32, in_float64
from holdfast.core.output import outputs
from holdfast.core.step import Part, Step
from holdfast.loss.term import Term
from holdfast.statistics.gaussian_source import GaussianSource
from holdfast.statistics.tracker import check_rows

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task


def nearest_new(old: Float[Tensor, "o f"], new: Float[Tensor, "m f"]) -> Int[Tensor, " o"]:
    """(O,) for each old class the new one whose mean points the most alike, by cosine."""
    return (functional.normalize(old) @ functional.normalize(new).T).argmax(1)


def translated(
    x: Float[Tensor, "n f"],
    y: Int[Tensor, " n"],
    chosen: Int[Tensor, " n"],
    means: Float[Tensor, "k f"],
) -> Float[Tensor, "n f"]:
    """(N, f) x_i + m_{chosen_i} - m_{y_i}.

    Args:
        x: (N, f) features.
        y: (N,) their classes.
        chosen: (N,) the classes they shall stand for.
        means: (K, f) of all classes.

    Source: Petit et al., *FeTrIL*, WACV 2023
    """
    return x + means[chosen] - means[y]


class TranslatedRehearsal(Term):
    """Cross-entropy of the head over all classes seen, on features of the batch moved to old classes.

    Each old class has a nearest new one; a row of a new class stands for one of the old classes that
    it is nearest to, drawn anew in every step, and is moved by the difference of their means. Rows that are
    nearest to no old class stand out. The value is a mean times old classes / new classes, so that beside
    the mean cross-entropy of the batch every class counts alike. Stored is a mean a class.

    The backbone stays as it is from the second task on, batch statistics too: nothing would follow it.

    Args:
        seed: of the draws.

    Source: Petit et al., *FeTrIL*, WACV 2023
    """

    reads: tuple[str, ...] = ("logits", "features")
    asks: tuple[str, ...] = ("logits", "features")
    label = "translated"

    def __init__(self, seed: int = 0):
        super().__init__()
        self.source = GaussianSource("none", structure="none")
        self.seed = seed
        self.means: Tensor | None = None  # (K, f) of all classes, while a task is learned
        self.fits: Tensor | None = None  # (K, K) whether rows of a class may stand for another

    def value(self, part: Part, step: Step) -> Tensor:
        """The mean over the rows that stand for an old class, by old classes over new ones."""
        if step.learner is None:
            raise ConfigError("a rehearsal needs Step(..., learner=...): it was made without.")
        if self.means is None or self.fits is None:
            return step.zero
        weight, y = step.learner.head.weight, part.rows.y
        chance = torch.rand(len(part), len(self.fits), device=y.device)
        fits = self.fits[y]
        chosen = (chance * fits).argmax(1)
        rows = translated(part.out.features.detach().to(weight), y, chosen, self.means.to(weight))
        logits = at_least_float32(step.learner.head(rows))
        seen = class_index(tuple(sorted(step.seen)), y.device)
        target = torch.searchsorted(seen, chosen)
        losses = functional.cross_entropy(logits[:, seen], target, reduction="none")
        stands = fits.any(1) * fits.sum(1)  # a row that serves two classes counts for both
        share = len(step.known) / max(1, len(step.classes))
        return share * (losses * stands).sum() / stands.sum().clamp_min(1)

    @torch.no_grad()
    def begin(self, learner: Learner, task: Task) -> None:
        """Take the new classes' means, and hold the backbone from the second task on."""
        if not task.index or self.source.tracker.statistics is None:
            return
        self.holds_backbone = True
        x = outputs(learner, task.train).features
        known = self.source.known
        new = known.add(in_float64(x), task.train.y.to(known.mean.device), len(learner.head.bias))
        old = [k for k in known.met.nonzero()[:, 0].tolist() if k not in task.classes]
        self.means = new.mean.to(learner.head.weight)
        self.fits = _fitting(new.mean, old, sorted(task.classes)).to(learner.head.weight.device)

    @torch.no_grad()
    def consolidate(self, learner: Learner, task: Task, past: Learner | None = None) -> None:
        """Add the task's rows to the means."""
        x = outputs(learner, task.train).features
        check_rows(x, task.train.y, task, "a rehearsal")
        self.source.update(x, task.train.y, max(task.classes) + 1)
        self.means = self.fits = None
        self.holds_backbone = False

    def get_extra_state(self) -> dict[str, Any]:
        """What a task that is being learned has prepared."""
        return {"means": self.means, "fits": self.fits, "holds_backbone": self.holds_backbone}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take it over."""
        self.means, self.fits = state["means"], state["fits"]
        self.holds_backbone = bool(state["holds_backbone"])


def _fitting(mean: Tensor, old: list[int], new: list[int]) -> Bool[Tensor, "k k"]:
    """(K, K) at (n, c): whether the new class n is the nearest to the old class c."""
    fits = torch.zeros(len(mean), len(mean), dtype=torch.bool)
    if old:
        places = nearest_new(mean[old], mean[new]).tolist()
        fits[[new[place] for place in places], old] = True
    return fits
