"""One matrix of accuracies; everything else is derived from it (docs/theory.md, section 11)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Accuracy:
    """R[i, j] in [0, 1]: accuracy on task j's test set after learning task i; NaN where j > i.

    Args:
        matrix: (T, T), lower triangle filled.
        sizes: (T,) test-set sizes, which weigh the averages when tasks are uneven.

    A figure that is not defined (forgetting after one task) is None, never 0; while tasks are
    missing, the final figures are NaN.

    >>> a = Accuracy(torch.tensor([[1.0, torch.nan], [0.5, 0.9]]), torch.tensor([10, 10]))
    >>> [round(v, 3) for v in (a.final, a.average, a.forgetting, a.backward_transfer)]
    [0.7, 0.85, 0.5, -0.5]
    """

    matrix: Float[Tensor, "t t"]
    sizes: Int[Tensor, " t"]

    def after(self, task: int) -> float:
        """Accuracy over everything seen when ``task`` ended."""
        seen = self.sizes[: task + 1].double()
        return float((self.matrix[task, : task + 1].double() * seen).sum() / seen.sum())

    @property
    def final(self) -> float:
        """Accuracy over all tasks after the last: the mean of R[T-1, j]."""
        return self.after(len(self.sizes) - 1)

    @property
    def average(self) -> float:
        """Average incremental accuracy: the mean over i of the accuracy over what was seen."""
        return sum(self.after(task) for task in range(len(self.sizes))) / len(self.sizes)

    @property
    def forgetting(self) -> float | None:
        """mean_{j<T-1} (max_{i<T-1} R[i,j] - R[T-1,j])."""
        last = len(self.sizes) - 1
        if last < 1:
            return None
        best = self.matrix[:last, :last].nan_to_num(nan=-torch.inf).amax(0)
        return float((best - self.matrix[last, :last]).double().mean())

    @property
    def backward_transfer(self) -> float | None:
        """mean_{j<T-1} (R[T-1,j] - R[j,j])."""
        last = len(self.sizes) - 1
        if last < 1:
            return None
        return float((self.matrix[last, :last] - self.matrix.diagonal()[:last]).double().mean())

    def to_dict(self) -> dict[str, object]:
        """The matrix and its figures, None where undefined."""
        rows = [[None if v != v else round(v, 6) for v in row] for row in self.matrix.tolist()]
        names = ("final", "average", "forgetting", "backward_transfer")
        figures = {name: _round(getattr(self, name)) for name in names}
        return {"matrix": rows, "sizes": self.sizes.tolist(), **figures}


def _round(value: float | None) -> float | None:
    return None if value is None or value != value else round(value, 6)


def accuracies(
    scores: Float[Tensor, "n k"], y: Int[Tensor, " n"], classes: tuple[int, ...]
) -> tuple[float, float]:
    """Class-IL and Task-IL accuracy of the same scores on one task's test set.

    Class-IL: argmax over all K classes seen. Task-IL: argmax within the task's ``classes``.

    >>> s = torch.tensor([[0.0, 1.0, 2.0]])
    >>> accuracies(s, torch.tensor([1]), (0, 1))
    (0.0, 1.0)
    """
    class_il = (scores.argmax(1) == y).double().mean()
    masked = torch.full_like(scores, -torch.inf)
    masked[:, list(classes)] = scores[:, list(classes)]
    task_il = (masked.argmax(1) == y).double().mean()
    return float(class_il), float(task_il)


def right_task(scores: Float[Tensor, "n k"], classes: tuple[int, ...]) -> float:
    """The share of one task's rows that are given any class of that task (docs/theory.md, section 14).

    Class-IL accuracy = right task x right class within the rows whose task is right.

    >>> right_task(torch.tensor([[0.0, 1.0, 2.0], [3.0, 1.0, 2.0]]), (0, 1))
    0.5
    """
    inside = torch.zeros(scores.shape[1], dtype=torch.bool, device=scores.device)
    inside[list(classes)] = True
    return float(inside[scores.argmax(1)].double().mean())


def by_class(truth: Sequence[str], right: Iterable[bool]) -> dict[str, tuple[int, int]]:
    """For each class among the labels, in order of names: how many are right, of how many.

    Args:
        truth: the class of each input.
        right: whether each was right.

    >>> by_class(["owl", "cat", "owl"], [True, False, False])
    {'cat': (0, 1), 'owl': (1, 2)}
    """
    total = Counter(truth)
    hits = Counter(label for label, ok in zip(truth, right, strict=True) if ok)
    return {name: (hits[name], total[name]) for name in sorted(total)}
