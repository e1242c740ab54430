"""Again: a readout by other statistics, with what had been chosen by a task's rows chosen anew."""

from __future__ import annotations

from dataclasses import replace

import torch

from holdfast.readout.confidence import Confidence
from holdfast.readout.forgetting import KEPT
from holdfast.readout.held_out import HeldOut
from holdfast.readout.measure import confidence_by
from holdfast.readout.streaming import Streaming
from holdfast.statistics.class_statistics import Statistics
from holdfast.statistics.covariance import Covariance, SharedCovariance, draw_rows

ROWS = 20_000  # drawn at most
CARRIED = "carried over; the next update measures it anew"


def decide_by(readout: Streaming, statistics: Statistics) -> dict[str, str]:
    """Decide by other statistics, such as those without a class.

    What is chosen (a rule, a strength) is chosen anew by draws of the classes, held out in turn. How far
    to believe it cannot be: draws lie closer than new images do, and a threshold measured on them
    calls most known images unknown. So temperature and threshold stay those of held-out images,
    moved by as much as those of draws move from the former classes to these.

    Args:
        readout: that is changed.
        statistics: of its classes from now on.

    Returns:
        What was chosen anew or carried over, and from what.
    """
    former = kept(readout.confidence, readout.known, statistics)
    before = _of_draws(readout)
    readout.tracker.statistics = statistics
    readout.forget_decision()
    draws = _draws(readout)
    if draws is not None:
        readout.choose(draws)
        readout.forget_decision()
    after = _of_draws(readout)
    readout.confidence = former
    if before is not None and after is not None:
        readout.confidence = _carried(former, before, after)
    names = dict.fromkeys(readout.lasting, KEPT) | {"temperature": CARRIED}
    names |= {"threshold": CARRIED} if len(former.reach) else {}
    return names | ({} if draws is None else {"decision": "by draws, where it is not fixed"})


def _carried(former: Confidence, before: Confidence, after: Confidence) -> Confidence:
    """Moved as the confidence of draws moves."""
    reach = former.reach
    if all(len(part) for part in (reach, before.reach, after.reach)) and former.centred:
        reach = (reach + (after.reach - before.reach).to(reach)).cummax(0)[0]
    temperature = former.temperature * after.temperature / before.temperature
    return replace(former, temperature=temperature, reach=reach, at=(0, 0), nominal=True)


def kept(confidence: Confidence, before: Statistics, after: Statistics) -> Confidence:
    """With what was measured of each class under its new number; a class is known by its mean."""
    k = len(confidence.gap)
    gap, rows = (part.new_zeros(len(after.count)) for part in (confidence.gap, confidence.measured))
    for new, mean in enumerate(after.mean if k else ()):
        same = (before.mean[:k] == mean).all(1) & before.met[:k]
        if bool(after.met[new]) and bool(same.any()):
            old = int(same.nonzero()[0, 0])
            gap[new], rows[new] = confidence.gap[old], confidence.measured[old]
    return replace(confidence, gap=gap, measured=rows) if k else confidence


def _of_draws(readout: Streaming) -> Confidence | None:
    """What draws of the classes say of a readout; None where nothing tells how wide they are."""
    draws = _draws(readout)
    if draws is None:
        return None
    readout.confidence = Confidence()
    measured = confidence_by(readout, draws, (0, int(readout.known.met.sum())))
    return measured if measured.rows else None


def _draws(readout: Streaming) -> HeldOut | None:
    """As many draws a class as it has rows on average, and no statistics beside them."""
    known = readout.known
    met, rows = int(known.met.sum()), int(known.count.sum())
    if readout.structure == "none" or met < 2 or rows <= met:
        return None
    spread = getattr(readout, "spread", None)
    spread = spread if isinstance(spread, Covariance) else SharedCovariance()
    x, y = draw_rows(known, spread, max(2, min(rows, ROWS) // met))
    like = Statistics.empty(x.shape[1], readout.structure, readout.rank, torch.zeros_like(x))
    return HeldOut(like, x, y, len(known.count), readout.measured)
