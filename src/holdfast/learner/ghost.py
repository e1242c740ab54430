"""Ghost batch norm: a training batch is normalised group by group, by the statistics of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn import functional

from holdfast.core.errors import ConfigError

NORMS = nn.modules.batchnorm._BatchNorm


def ghosts(rows: int, size: int, part: Int[Tensor, " n"] | None = None) -> list[Int[Tensor, " g"]]:
    """The rows of each ghost, in order: parts apart, each cut into ghosts of a size.

    A rest of fewer than two rows, which has no variance, joins the ghost before it.

    Args:
        rows: N.
        size: of a ghost, at least 2; 0 makes a part one ghost.
        part: (N,) the part of each row; None is one part.

    >>> [g.tolist() for g in ghosts(5, 2)]
    [[0, 1], [2, 3, 4]]
    >>> [g.tolist() for g in ghosts(4, 0, torch.tensor([0, 1, 0, 1]))]
    [[0, 2], [1, 3]]
    """
    every = torch.arange(rows) if part is None else torch.arange(rows, device=part.device)
    groups = [every] if part is None else [every[part == p] for p in part.unique()]
    output: list[Tensor] = []
    for group in groups:
        pieces = list(group.split(size or max(1, len(group))))
        if len(pieces) > 1 and len(pieces[-1]) < 2:
            pieces[-2:] = [torch.cat(pieces[-2:])]
        output += pieces
    return output


def ghost_norm(
    module: nn.Module, groups: Sequence[Tensor], x: Tensor, counted: Sequence[bool] | None = None
) -> Tensor:
    """A batch norm's output in training, each group of rows by its own mean and variance.

    Running statistics take one step of the momentum a group, in their order. One group of all rows is
    the batch norm itself, bit for bit.

    Args:
        module: the batch norm.
        groups: of rows, all of them.
        x: (N, C, ...).
        counted: which groups the running statistics take; None is all.

    Raises:
        ConfigError: for a group with a single value a channel.
    """
    normal = partial(type(module).forward, module)
    counted = [True] * len(groups) if counted is None else counted
    if not module.training or (len(groups) == 1 and counted[0]):
        return normal(x)
    if min(map(len, groups)) * x[0, 0].numel() < 2:
        raise ConfigError(
            "a ghost of one row has no variance at a layer of 1 x 1 pixels: make ghosts larger, or batches "
            "such that no part of them has a single row."
        )
    pieces = [
        normal(x[group]) if counts else _uncounted(module, x[group])
        for group, counts in zip(groups, counted, strict=True)
    ]
    output = torch.cat(pieces)
    return output[torch.cat(list(groups)).argsort()]


def _uncounted(module: nn.Module, x: Tensor) -> Tensor:
    """A batch norm's output by the statistics of x, which it does not note."""
    assert isinstance(module, NORMS)
    return functional.batch_norm(
        x, None, None, module.weight, module.bias, training=True, eps=module.eps
    )


@contextmanager
def ghosted(
    learner: nn.Module,
    size: int,
    part: Int[Tensor, " n"] | None = None,
    running: int | None = None,
) -> Iterator[None]:
    """Inside, every batch norm of a network in training normalises by ghosts.

    Args:
        learner: the network.
        size: of a ghost; 0 makes a part one ghost.
        part: (N,) the part of each row of the batch that passes inside; None is one part.
        running: the part that running statistics take; None is every part.
    """
    norms = [m for m in learner.modules() if isinstance(m, NORMS)]
    cut: dict[int, tuple[list[Tensor], list[bool] | None]] = {}

    def forward(module: nn.Module, x: Tensor) -> Tensor:
        rows = len(x)
        if rows not in cut:
            known = part if part is not None and len(part) == rows else None
            groups = ghosts(rows, size, known)
            some = known is not None and running is not None
            counted = [int(known[g[0]]) == running for g in groups] if some else None  # type: ignore[index]
            cut[rows] = groups, counted
        groups, counted = cut[rows]
        return ghost_norm(module, groups, x, counted)

    for module in norms:
        module.forward = partial(forward, module)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for module in norms:
            del module.forward


def ghosting(
    forward: Callable[[Tensor], object],
    learner: nn.Module,
    size: int,
    part: Int[Tensor, " n"] | None,
    running: int | None = None,
) -> Callable[[Tensor], object]:
    """A forward pass that is made inside `ghosted`; the arguments are its own."""

    def inside(x: Tensor) -> object:
        with ghosted(learner, size, part, running):
            return forward(x)

    return inside
