"""Parts that give tasks weights of their own, merge networks, or change how batch norm sees a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from holdfast.anchor import (
    GhostNorm,
    MaskTuning,
    Merged,
    MinorFactors,
    MinorHeld,
    Rule,
    SparseTraining,
)
from holdfast.anchor.density import Spread
from holdfast.anchor.ghost import By, Running
from holdfast.anchor.merged import Base, MergedNorms
from holdfast.anchor.merging import Merge
from holdfast.anchor.sparse import Growth
from holdfast.learner.adapt import Norms
from holdfast.readout.by_state import ByState, Criterion
from holdfast.recipes.adding import part
from holdfast.recipes.method import Method


def with_states(rule: Rule, criterion: Criterion) -> Callable[[Method], Method]:
    """Add a rule under which tasks have states, and decide by them: by the head, or means without one."""

    def added(method: Method) -> Method:
        inner = "head" if method.trains_head else "mean"
        readout = ByState(inner, criterion)
        return replace(method, anchors=[*method.anchors, rule], readout=readout)

    return added


@part("sparse")
def sparse(
    density: float = 0.2,
    spread: Spread = "erk",
    grow: Growth = "gradient",
    every: int = 100,
    reuse: bool = True,
    criterion: Criterion = "entropy",
) -> Callable[[Method], Method]:
    """Each task trains a sparse network of its own (`SparseTraining`), and is asked for by its state.

    Args:
        density: share of the weights that a task has.
        spread: of the density over layers: erk or uniform.
        grow: which weights come in place of dropped ones: random, gradient, momentum or unfired.
        every: steps between two swaps; 0 swaps none.
        reuse: whether a mask may take weights of earlier tasks, as they are.
        criterion: by which the task is found: entropy, energy or residual.

    Source: Yildirim, Yildirim, Vanschoren, CPAL 2024 (`holdfast.anchor.sparse.SparseTraining`)
    """
    return with_states(SparseTraining(density, spread, grow, every, reuse), criterion)


@part("masks")
def masks(
    threshold: float = 5e-3,
    start: float = 1e-2,
    rate: float = 0.01,
    penalty: float = 1e-4,
    first: bool = True,
    criterion: Criterion = "entropy",
) -> Callable[[Method], Method]:
    """From the second task on masks are learned, no weights (`MaskTuning`); asked for by state.

    Args:
        threshold: scores above it are weights that stay.
        start: of every score.
        rate: learning rate of the scores, by Adam.
        penalty: weight of the scores' length.
        first: whether the first task trains the weights; no for a pretrained backbone.
        criterion: by which the task is found: entropy, energy or residual.

    Source: R-AMT (`holdfast.anchor.masked.MaskTuning`)
    """
    return with_states(MaskTuning(threshold, start, rate, penalty, first), criterion)


@part("merge")
def merge(
    how: Merge = "arithmetic",
    scale: float = 0.0,
    keep: float = 0.2,
    base: Base = "first",
    norms: MergedNorms = "average",
) -> Rule:
    """Every task starts at one network and ends in a merge of all of them (`Merged`).

    Args:
        how: arithmetic, or ties.
        scale: factor on the merged moves; 0 takes the usual one.
        keep: share of each move that ties keeps.
        base: the network that every task starts at: that after the first task, or the start.
        norms: statistics of batch norm: average of the tasks, or estimated on the current one.

    Source: Ilharco et al., ICLR 2023; Yadav et al., NeurIPS 2023 (`holdfast.anchor.merged.Merged`)
    """
    return Merged(how, scale, keep, base, norms)


@part("soma")
def soma(
    rank: int = 16,
    variant: Literal["held", "factors"] = "held",
    first: bool = False,
    rate: float = 0.01,
) -> Rule:
    """The backbone moves in its weights' minor singular components (`MinorHeld`, `MinorFactors`).

    Args:
        rank: singular components of each weight that may move, the smallest.
        variant: held keeps every move among them; factors is the published form, which leaves them.
        first: whether the first task is held too, as for a pretrained backbone.
        rate: learning rate of the factors.

    Source: SoMA, CVPR 2025 (`holdfast.anchor.soma`); held is derived here
    """
    return MinorHeld(rank, first) if variant == "held" else MinorFactors(rank, first, rate)


@part("held_norms")
def held_norms(what: Norms = "statistics") -> Callable[[Method], Method]:
    """Norms stay as they are after the first task.

    Args:
        what: statistics, the running ones; all keeps scales and shifts too; none lets go.

    Source: `holdfast.recipes.Method.hold_norms`; EFC holds the statistics
    """
    return lambda method: replace(method, hold_norms=what)


@part("ghost_norm")
def ghost_norm(size: int = 32, by: By = "part", running: Running = "all") -> Rule:
    """Batch norm takes ghosts of a batch, old rows and new ones apart (`GhostNorm`).

    Args:
        size: rows of a ghost; 0 cuts by part alone.
        by: what cuts a batch: part, or batch for its order alone.
        running: the part whose rows move the running statistics, or all.

    Source: Hoffer et al., NeurIPS 2017; cut by part is derived here
    """
    return GhostNorm(size, by, running)
