"""Networks trained from one start, merged by adding what each has moved: task arithmetic and TIES."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.core.errors import ConfigError
from holdfast.loss.checks import require_option

Merge = Literal["arithmetic", "ties"]
Weights = Mapping[str, Tensor]
RUNNING = ("running_mean", "running_var")  # of batch norm: averaged, not added


def trimmed(move: Float[Tensor, " p"], keep: float) -> Float[Tensor, " p"]:
    """(P,) a move whose smallest numbers are 0: ceil(keep P) of them stay, by their size.

    Args:
        move: tau of one task.
        keep: share that stays, in (0, 1].

    >>> trimmed(torch.tensor([3.0, -1.0, 2.0, 0.5]), 0.5).tolist()
    [3.0, 0.0, 2.0, 0.0]
    """
    count = max(1, -int(-keep * len(move) // 1))
    if count >= len(move):
        return move.clone()
    output = torch.zeros_like(move)
    places = move.abs().topk(count).indices
    output[places] = move[places]
    return output


def merged_move(
    moves: Float[Tensor, "t p"], how: Merge = "arithmetic", keep: float = 0.2
) -> Float[Tensor, " p"]:
    """(P,) one move for those of all tasks.

    ``arithmetic``: sum_t tau_t. ``ties``: each tau_t is `trimmed`; a weight's sign is that of the sum (of
    all weights' majority, where the sum is 0); the mean over the tasks whose number is not 0 and has that
    sign.

    Args:
        moves: tau_t = w_t - w_0 of T tasks.
        how: ``arithmetic`` or ``ties``.
        keep: share of each task's numbers that ``ties`` keeps.

    Source: Ilharco et al., *Editing models with task arithmetic*, ICLR 2023; Yadav et al., *TIES-merging*,
        NeurIPS 2023 (code read)
    """
    if how == "arithmetic":
        return moves.sum(0)
    moves = torch.stack([trimmed(move, keep) for move in moves])
    sign = moves.sum(0).sign()
    usual = 1.0 if float(sign.sum()) >= 0 else -1.0
    sign = torch.where(sign == 0, torch.full_like(sign, usual), sign)
    agree = (moves.sign() == sign) & (moves != 0)
    return (moves * agree).sum(0) / agree.sum(0).clamp_min(1)


def merge_weights(
    start: Weights,
    ends: Sequence[Weights],
    how: Merge = "arithmetic",
    scale: float = 0.3,
    keep: float = 0.2,
    counts: Sequence[float] | None = None,
) -> dict[str, Tensor]:
    """One network of several that were trained from one start: w_0 + scale * `merged_move`.

    Running statistics of batch norm are no sum: they are averaged over the networks, by the counts. Tensors
    that are no floats are those of the start. Nothing is changed in place.

    Args:
        start: w_0, as a ``state_dict``.
        ends: w_t of each task, with the names and shapes of the start.
        how: ``arithmetic`` or ``ties``.
        scale: of the merged move: near 0.3 for arithmetic, near 1 for ties.
        keep: as for `merged_move`.
        counts: rows that each network was trained on; None counts them alike.

    Raises:
        ConfigError: for an unknown way, a share outside (0, 1], no network, or one of other weights.

    >>> w0, w1 = {"a": torch.zeros(2)}, {"a": torch.tensor([1.0, 2.0])}
    >>> merge_weights(w0, [w1], scale=1.0)["a"].tolist()
    [1.0, 2.0]
    """
    check_merge(how, keep)
    if not ends:
        raise ConfigError("there is no network to merge: give at least one.")
    for number, end in enumerate(ends, 1):
        shapes = {n: tuple(t.shape) for n, t in end.items()}
        if shapes != {n: tuple(t.shape) for n, t in start.items()}:
            raise ConfigError(
                f"network {number} has other weights than the start: merge copies of one network."
            )
    shares = torch.tensor([1.0] * len(ends) if counts is None else list(counts))
    shares = (shares / shares.sum()).tolist()
    output = {name: tensor.clone() for name, tensor in start.items()}
    for name in start:
        if name.rpartition(".")[2] in RUNNING:
            parts = [share * end[name] for share, end in zip(shares, ends)]
            output[name] = torch.stack(parts).sum(0)
    names = [
        n for n, t in start.items() if t.is_floating_point() and n.rpartition(".")[2] not in RUNNING
    ]
    if not names:
        return output
    moves = torch.stack([torch.cat([(end[n] - start[n]).flatten() for n in names]) for end in ends])
    move = scale * merged_move(moves, how, keep)
    sizes = [start[n].numel() for n in names]
    for name, part in zip(names, move.split(sizes)):
        output[name] = start[name] + part.view_as(start[name])
    return output


def check_merge(how: str, keep: float) -> None:
    """Refuse an unknown way to merge, or a share outside (0, 1] (ConfigError)."""
    require_option("merge", how, get_args(Merge))
    if not 0 < keep <= 1:
        raise ConfigError(f"the share of a move that is kept is in (0, 1], not {keep}.")
