"""The kinds of scatter by name."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from holdfast.core.errors import ConfigError, unknown
from holdfast.statistics.deviations import Scatter
from holdfast.statistics.roots import FactorScatter, LowRankScatter
from holdfast.statistics.scatter import DiagonalScatter, FullScatter, NoScatter, SharedScatter
from holdfast.statistics.tail import TailLowRankScatter, TailScatter

ScatterKind = Literal["none", "shared", "full", "diagonal", "low_rank", "factor"]


def empty_scatter(kind: str, width: int, rank: int, like: Tensor) -> Scatter:
    """The scatter of no class, for rows of a width.

    Args:
        kind: ``none``, ``shared``, ``full``, ``tail`` (full, of the second half of the columns),
            ``tail_low_rank``, ``diagonal``, ``low_rank`` or ``factor``.
        width: f.
        rank: r of a ``low_rank`` scatter.
        like: a tensor of the type and device to use.

    Raises:
        ConfigError: for an unknown kind, or a rank below 1 where one is needed.
    """
    if kind in ("low_rank", "tail_low_rank") and rank < 1:
        raise ConfigError(f"structure=low_rank needs a rank of at least 1, not {rank}.")
    kinds = {
        "none": lambda: NoScatter(),
        "shared": lambda: SharedScatter(like.new_zeros(width, width)),
        "full": lambda: FullScatter(like.new_zeros(0, width, width)),
        "tail": lambda: TailScatter(like.new_zeros(0, width // 2, width // 2)),
        "diagonal": lambda: DiagonalScatter(like.new_zeros(0, width)),
        "low_rank": lambda: LowRankScatter(like.new_zeros(0, rank, width), like.new_zeros(0)),
        "tail_low_rank": lambda: TailLowRankScatter(
            like.new_zeros(0, rank, width // 2), like.new_zeros(0)
        ),
        "factor": lambda: FactorScatter(
            like.new_zeros(0, width), like.new_zeros(0, dtype=torch.long)
        ),
    }
    if kind not in kinds:
        raise unknown("structure", kind, kinds)
    return kinds[kind]()
