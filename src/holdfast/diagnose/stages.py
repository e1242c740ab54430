"""Figures of the stages of a network: where it collapses, and where training and test rows part least."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from holdfast import metrics
from holdfast.diagnose.catalogue import STAGES
from holdfast.diagnose.moment import Moment, Values, all_missing, look_at
from holdfast.diagnose.watched import some_of
from holdfast.metrics import Missing
from holdfast.stream.task import Stream

ROWS, LINES = 500, 32  # rows of a set, directions on which a funnel is drawn
FUNNEL = ("stage_gap_first", "stage_gap_last", "funnel", "funnel_sure")


def stage_figures(moment: Moment, stream: Stream, seed: int) -> Values:
    """All figures of the stages (docs/theory.md, section 15.9).

    Args:
        moment: the end of a task.
        stream: its training rows are compared with its watched ones.
        seed: of the rows, the directions and the draws.
    """
    if moment.now.stages is None:
        return all_missing(STAGES, "this backbone has no stages")
    return _collapse(moment, moment.now.stages) | _funnel(moment, stream, seed)


def _collapse(moment: Moment, stages: tuple[Tensor, ...]) -> Values:
    """`metrics.collapse_gap` of the first stage, and the slope of log NC1 over the stages."""
    seen, y = moment.seen, moment.y[moment.seen]
    values = [metrics.nc1_quotient(stage[seen], y) for stage in stages]
    lacking = next((value for value in values if value != value), None)
    slope = Missing("there is one stage")
    if lacking is not None:
        slope = lacking
    elif min(values) <= 0:
        slope = Missing("the classes of a stage are collapsed to points")
    elif len(values) > 1:
        depth = torch.arange(len(values), dtype=torch.float64)
        logs = torch.tensor([math.log(value) for value in values], dtype=torch.float64)
        away = depth - depth.mean()
        slope = float(away @ logs / away.square().sum())
    gap = metrics.collapse_gap(stages[0][seen], moment.now.features[seen], y)
    return {"collapse_gap_first": gap, "collapse_slope": slope}


def _funnel(moment: Moment, stream: Stream, seed: int) -> Values:
    """Training rows of this task against its watched ones."""
    assert moment.now.stages is not None
    device = next(moment.learner.parameters()).device
    rows = some_of(stream[moment.task].train, seed, ROWS)
    trained, mine = look_at(moment.learner, rows, device), moment.tasks == moment.task
    assert trained.stages is not None
    watched = [stage[mine][:ROWS] for stage in moment.now.stages]
    if not len(watched[0]) or any(
        float(stage.std(0, correction=0).max()) == 0 for stage in watched
    ):
        return all_missing(FUNNEL, "the watched rows of this task are too few, or all alike")
    funnel = metrics.narrowest(trained.stages, watched, directions=LINES, seed=seed)
    return {
        "stage_gap_first": funnel.distances[0],
        "stage_gap_last": funnel.distances[-1],
        "funnel": float(funnel.stage),
        "funnel_sure": funnel.sure,
    }
