"""A task of inputs and labels as they arrive, when nobody knows which classes will come."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Shaped
from torch import Tensor

from holdfast.errors import ConfigError
from holdfast.stream.rows import Rows
from holdfast.stream.task import Task

Label = str | int


def arrival(
    x: Shaped[Tensor, "n ..."],
    labels: Sequence[Label],
    known: Sequence[Label] = (),
    index: int = 0,
    key: int = 0,
) -> tuple[Task, list[Label]]:
    """A task without test rows, and the labels known with it, in the order of their arrival.

    Args:
        x: (N, C, H, W) uint8 pixels or (N, D) float features.
        labels: one an input; those not known yet are new classes, in sorted order.
        known: labels of the classes so far; class k is ``known[k]``.
        index: of the task.
        key: of its first row; no row before it may have one as large.

    Raises:
        ConfigError: for no input, or another number of labels than of inputs.

    >>> task, known = arrival(torch.rand(3, 2), ["owl", "cat", "owl"], ["dog", "owl"])
    >>> task.train.y.tolist(), task.classes, known
    ([1, 2, 1], (1, 2), ['dog', 'owl', 'cat'])
    """
    if not len(x) or len(x) != len(labels):
        raise ConfigError(
            f"a task is at least one input with a label each, not {len(x)} with {len(labels)} labels."
        )
    fresh = sorted(set(labels) - set(known), key=lambda label: (isinstance(label, str), label))
    all_labels = [*known, *fresh]
    place = {label: k for k, label in enumerate(all_labels)}
    y = torch.tensor([place[label] for label in labels])
    rows = Rows(x, y, torch.full_like(y, index), torch.arange(key, key + len(y)))
    return Task(index, tuple(y.unique().tolist()), rows, rows[slice(0, 0)]), all_labels
