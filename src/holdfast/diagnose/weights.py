"""Figures of the weights: is the task learned, how sharply, and how far did the last move go."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from holdfast import metrics
from holdfast.core.errors import ConfigError
from holdfast.core.output import outputs
from holdfast.core.rng import make_generator
from holdfast.curvature.eigenvalues import largest_eigenvalues
from holdfast.diagnose.catalogue import WEIGHTS
from holdfast.diagnose.local import Local, State, likelihood_of, with_weights
from holdfast.diagnose.moment import Moment, Values, all_missing
from holdfast.diagnose.watched import some_of
from holdfast.learner.effective import effective_weights
from holdfast.learner.learner import Learner
from holdfast.metrics import Missing
from holdfast.metrics.radius import gradient_gap, quadratic_radius, stationarity_of
from holdfast.metrics.subspace import Overlap
from holdfast.stream.task import Stream, Task

ROWS = 64  # training rows of a task that a loss is taken over
SPANNING = 1024  # training rows whose features span what they can
PROBES = 4  # random vectors for a trace
ENERGY = 0.9  # of an update, that its basis reaches
TOLERANCE = 0.5  # by which the quadratic may err
OF_MOVE = ("moved_over_radius", "linear_term", "anchor_gap")
SHARP = ("sharpness", "sharpness_trace", "sharpness_trace_error", "sharpness_scaled")
OF_UPDATES = ("overlap", "overlap_corrected")


@dataclass(frozen=True)
class Trail:
    """Weights of the networks before, as far as they are known.

    Attributes:
        before: the network before this task; None in the first, or if it was not kept.
        update: by name, what the task before this one added to the weights; None if not known.
    """

    before: State | None = None
    update: State | None = None


def weight_figures(moment: Moment, stream: Stream, trail: Trail, seed: int) -> Values:
    """All figures of the weights (docs/theory.md, section 15.6)."""
    likelihood, task = likelihood_of(moment.method), stream[moment.task]
    if moment.method is not None and not moment.method.trains(moment.task):
        return all_missing(WEIGHTS, "the method trains no network in this task")
    values = all_missing(WEIGHTS, "") | updates(moment, trail)
    values["frozen_share"] = _frozen(moment.learner, task, seed)
    if likelihood is None:
        reason = "the method trains neither a head nor prototypes, so that it has no likelihood"
        reason = reason if moment.method is not None else "the method is not known"
        return values | all_missing(["stationarity", *SHARP, *OF_MOVE], reason)
    try:
        here = Local.of(moment.learner, likelihood, task, some_of(task.train, seed, ROWS))
    except ConfigError as error:
        reason = str(error).partition(",")[0].rstrip(".")
        return values | all_missing(["stationarity", *SHARP, *OF_MOVE], reason)
    values["stationarity"] = stationarity_of(*here.by_row(), len(here.rows))
    values |= sharpness(here, seed, moment.task)
    if not moment.task or trail.before is None:
        return values | all_missing(OF_MOVE, _no_past(moment))
    earlier = stream[moment.task - 1]
    past = with_weights(moment.learner, trail.before)
    there = Local.of(past, likelihood, earlier, some_of(earlier.train, seed, ROWS))
    return values | of_move(there, moment)


def _no_past(moment: Moment) -> str:
    return "the network before this task is not kept" if moment.task else "it is the first task"


def _frozen(learner: Learner, task: Task, seed: int) -> float:
    """Of the layer after the features, by the training rows: all, or more than there are features."""
    device = next(learner.parameters()).device
    rows = some_of(task.train, seed, max(SPANNING, 2 * learner.head.weight.shape[1])).to(device)
    return metrics.frozen_share(outputs(learner, rows, 256).features.cpu())


def sharpness(here: Local, seed: int, task: int) -> Values:
    """lambda_max, tr H and tr(H diag(w^2)) of the mean loss, by products with the Hessian alone."""
    w = here.weights
    chance = make_generator(w.device, seed, "sharpness", task)
    draws, scaled = torch.zeros(PROBES, dtype=torch.float64), 0.0
    for probe in range(PROBES):
        r = torch.randint(0, 2, w.shape, generator=chance, device=w.device).to(w) * 2 - 1
        draws[probe] = float(r @ here.times(r))
        scaled += float((r * w) @ here.times(r * w)) / PROBES
    few = len(w) < 3
    largest = Missing("there are too few weights")
    return {
        "sharpness": largest
        if few
        else float(largest_eigenvalues(here.times, len(w), 1, w)[0][-1]),
        "sharpness_trace": float(draws.mean()),
        "sharpness_trace_error": float(draws.std() / PROBES**0.5),
        "sharpness_scaled": scaled,
    }


def of_move(there: Local, moment: Moment) -> Values:
    """The old task's loss along the move that the new task made."""
    now = there.layout.flat(effective_weights(moment.learner)).detach()
    move = now - there.weights
    length = float(move.norm())
    if not length > 0:
        return all_missing(OF_MOVE, "the weights did not move")
    product, start = there.times(move), there.slope()
    radius = quadratic_radius(
        there.slope_at, product / length, move, TOLERANCE, (1e-3 * length, 1e2 * length)
    )
    quadratic = 0.5 * abs(float(move.double() @ product.double()))
    linear = abs(float(start.double() @ move.double()))
    flat = Missing("the loss has no curvature along the move")
    return {
        "moved_over_radius": radius if radius != radius else length / radius,
        "linear_term": linear / quadratic if quadratic > 0 else flat,
        "anchor_gap": gradient_gap(product, there.distilled_at(move)),
    }


def updates(moment: Moment, trail: Trail) -> Values:
    """The length of this task's update, and its overlap with that of the task before."""
    if trail.before is None:
        return all_missing(["moved", *OF_UPDATES], _no_past(moment))
    now = moment.learner.state_dict()
    change = update_of(trail.before, now)
    size = torch.stack([trail.before[name].double().norm() for name in change]).norm()
    values = {
        "moved": float(torch.stack([d.double().norm() for d in change.values()]).norm() / size)
    }
    if trail.update is None:
        reason = "it takes two updates" if moment.task < 2 else "the update before is not kept"
        return values | all_missing(OF_UPDATES, reason)
    overlaps = [_overlap(change[n], trail.update[n]) for n in change if n in trail.update]
    usable = [o for o in overlaps if o is not None and o.corrected == o.corrected]
    if not usable:
        return values | all_missing(OF_UPDATES, "no layer has an update of low rank")
    mean = lambda name: sum(getattr(o, name) for o in usable) / len(usable)
    return values | {"overlap": mean("value"), "overlap_corrected": mean("corrected")}


def update_of(before: State, now: State) -> State:
    """By name, what was added to each weight that both have; a head is cut to its earlier rows."""
    pairs = {name: (old, now[name]) for name, old in before.items() if name in now}
    return {
        name: new[: len(old)].cpu().float() - old.cpu().float()
        for name, (old, new) in pairs.items()
        if old.is_floating_point() and old.ndim and old.numel() and "running_" not in name
        if name not in ("mean", "std")
    }


def _overlap(first: Tensor, second: Tensor) -> Overlap | None:
    """Of the output spaces of two updates of one weight; None for a vector."""
    rows = min(len(first), len(second))
    if first.ndim < 2 or rows < 2:
        return None
    bases = partial(metrics.left_basis, energy=ENERGY)
    return metrics.overlap(*(bases(w[:rows].flatten(1)) for w in (first, second)))
