"""Forgetting: rows taken out of a readout's statistics, and what had been chosen while they were there."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor

from holdfast.core.errors import ConfigError
from holdfast.readout.confidence import Confidence
from holdfast.statistics.class_statistics import Statistics
from holdfast.statistics.tracker import Tracker

KEPT = "as it was chosen with them"


def rest_of(
    tracker: Tracker, name: str, x: Float[Tensor, "n f"], y: Int[Tensor, " n"], slack: float
) -> Statistics:
    """The statistics of a readout without some rows (`Statistics.remove`).

    Exact for rows by the network that gave those that were added. Where a drift map has moved the
    statistics since, rows of earlier tasks would have to be moved by the same maps, which nobody keeps.

    Args:
        tracker: of the readout.
        name: of the readout, for messages.
        x: rows as the readout represents them.
        y: the class of each.
        slack: as of `Statistics.remove`.

    Raises:
        ConfigError: before the first task, after a drift map, or for a ``low_rank`` scatter.
        DataError: for rows that were not learned.
    """
    if tracker.statistics is None:
        raise ConfigError(f"the readout {name} has learned no task yet.")
    moves = sum(residual is not None for residual in tracker.residuals)
    if moves:
        raise ConfigError(
            f"the readout {name} moved its statistics by {moves} drift map{'s' * (moves > 1)} since "
            "its first task, and rows as the present network gives them are not what they are of: use "
            "drift=none on a frozen network, or move the rows by the same maps and call Statistics.remove."
        )
    return tracker.statistics.remove(x, y.to(x.device), slack)


def kept_choices(choices: Sequence[str], confidence: Confidence) -> dict[str, str]:
    """What had been chosen while rows were there, all of it as it was.

    Args:
        choices: by name, beside the confidence.
        confidence: temperature and threshold, where rows could be held out to measure them.
    """
    names = [*choices, *(["temperature"] if confidence.rows else [])]
    names += ["threshold"] if len(confidence.reach) else []
    return dict.fromkeys(names, KEPT)
