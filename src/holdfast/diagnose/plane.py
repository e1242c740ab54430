"""Watched rows in two dimensions: the principal axes of the last task, for all tasks alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.diagnose.moment import Says
from holdfast.diagnose.watched import Watched

POINTS = 600


def planes(
    watched: Watched,
    networks: Mapping[int, Says],
    names: Sequence[str],
    prototypes: Float[Tensor, "k d"] | None,
) -> dict[int, dict[str, Any]]:
    """By task, the rows seen by then on the two principal axes that the last task's rows have.

    Of the embedding with the prototypes where there are any, else of the features with class means.

    Args:
        watched: the rows.
        networks: what the network after each task says of them.
        names: of the classes.
        prototypes: by class.
    """
    last = max(networks)
    space = lambda task: (
        networks[task].features if prototypes is None else networks[task].embedding
    ).double()
    x = space(last)[watched.seen(last)]
    centre = x.mean(0)
    axes = torch.linalg.svd(x - centre, full_matrices=False)[2][:2]
    if len(axes) < 2:
        axes = torch.cat([axes, axes.new_zeros(2 - len(axes), x.shape[1])])
    shown = _even(watched)
    flat = lambda rows: [[round(v, 4) for v in row] for row in ((rows - centre) @ axes.T).tolist()]
    result = {}
    for task in sorted(networks):
        seen, x, y = watched.seen(task), space(task), watched.rows.y
        classes = y[seen].unique()
        centres = torch.stack([x[seen & (y == c)].mean(0) for c in classes])
        if prototypes is not None:
            centres = prototypes[classes].double()
        inside, deviation = seen & shown, x[seen] - x[seen].mean(0)
        total = deviation.square().sum()
        share = (deviation @ axes.T).square().sum() / total if bool(total > 0) else total
        result[task] = {
            "points": flat(x[inside]),
            "labels": [str(names[c]) for c in y[inside].tolist()],
            "prototypes": flat(centres),
            "prototype_labels": [str(names[c]) for c in classes.tolist()],
            "explained": round(float(share), 4),
        }
    return result


def _even(watched: Watched) -> Tensor:
    """(n,) the rows that are drawn: the same in all tasks, of each task and class about as many."""
    if len(watched) <= POINTS:
        return torch.ones(len(watched), dtype=torch.bool)
    shown = torch.zeros(len(watched), dtype=torch.bool)
    shown[torch.linspace(0, len(watched) - 1, POINTS).long()] = True
    return shown
