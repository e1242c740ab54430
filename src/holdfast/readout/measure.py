"""Measure: how far a readout can be believed, by rows of a task that were held out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from holdfast.metrics.calibration import fit_temperature
from holdfast.readout.confidence import Confidence
from holdfast.readout.held_out import Fold, HeldOut, one_wrong

if TYPE_CHECKING:
    from holdfast.readout.streaming import Streaming

Judged = tuple[Float[Tensor, "n k"], Int[Tensor, " n"], Float[Tensor, " n"]]


def confidence_by(readout: Streaming, heldout: HeldOut, at: tuple[int, int]) -> Confidence:
    """Temperature, and what is strange, by rows held out; as before where there is none.

    Args:
        readout: by the task's statistics already.
        heldout: the task's rows.
        at: rows and classes known.
    """
    met, before = readout.known.met.nonzero()[:, 0], readout.confidence
    if heldout.folds:
        parts = [_judged(readout, fold, met) for fold in heldout.folds]
        scores, labels, raw = (torch.cat(part) for part in zip(*parts, strict=True))
        temperature = fit_temperature(*one_wrong(scores, labels))
        confidence, strange = before, raw
        if readout.by_class and len(met) > 1:
            of, taken = met[labels], met[scores.argmax(1)]
            strange = strange - confidence.shifts(strange, of, taken, heldout.place)
            confidence = confidence.gapped(raw, of, len(readout.known.count))
        return confidence.after(temperature, strange, at).missing(scores, labels)
    if before.rows:
        return before
    spread = readout.decision(heldout.x)[:, met].std(1, correction=0).mean()
    return replace(before, temperature=float(spread) or 1.0)  # nothing says how far: not far


def _judged(readout: Streaming, fold: Fold, met: Tensor) -> Judged:
    """Scores, columns and strangeness of rows held out."""
    decision = readout.solve(fold.rest)
    strange, scores = readout.strangeness(fold.rest, decision, fold.x), fold.scores(decision)
    if readout.by_class:
        taken, place = scores.argmax(1).unique(return_inverse=True)
        strange = strange - readout.centres(fold.rest, decision, taken)[place]
    return scores[:, met], torch.searchsorted(met, fold.y), strange
