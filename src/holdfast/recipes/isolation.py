"""Each task has a part of the network to itself, or a network of its own that is merged with the others."""

from __future__ import annotations

from holdfast.anchor import MaskTuning, Merged, SparseTraining
from holdfast.anchor.density import Spread
from holdfast.anchor.merged import Base, MergedNorms
from holdfast.anchor.sparse import Growth
from holdfast.loss import CrossEntropy
from holdfast.readout import build_readout
from holdfast.recipes.catalogue import register
from holdfast.recipes.method import Method
from holdfast.recipes.search import Weight


@register("masks")
def masks(
    threshold: float = 5e-3,
    start: float = 1e-2,
    rate: float = 0.01,
    penalty: float = 1e-4,
    first: bool = True,
    decide: str = "by-state",
) -> Method:
    """Mask tuning: the first task trains the weights, each later one which of them to use.

    Nothing that a task learned is ever lost, if the task is known: Task-IL is exact. Class-IL has to find
    the task, by the state that is most certain. With a pretrained backbone use first=no and --tune-layers.

    Args:
        threshold: above which a score lets its weight through.
        start: of each score.
        rate: of the scores' learning rate to --lr.
        penalty: weight of the scores' length.
        first: whether the first task trains the weights in place of a mask.
        decide: the readout, as for --readout.

    Source: Zheng et al., *Regularized mask tuning* (R-AMT), ICCV 2023; without its gradient gate
    """
    rule = MaskTuning(threshold, start, rate, penalty, first)
    return Method(CrossEntropy("new"), [rule], readout=build_readout(decide))


@register("sparse")
def sparse(
    density: float = 0.2,
    spread: Spread = "erk",
    grow: Growth = "gradient",
    every: int = 100,
    reuse: bool = True,
    decide: str = "by-state",
) -> Method:
    """Dynamic sparse training: a sparse network a task inside one, whose weights no later task changes.

    Nothing that a task learned is ever lost, if the task is known: Task-IL is exact. Class-IL has to find
    the task, by the state that is most certain.

    Args:
        density: share of the weights that a task's network has.
        spread: of them over the layers: erk or uniform.
        grow: where weights grow: random, gradient, momentum or unfired.
        every: steps between two exchanges of weights; 0 for none.
        reuse: whether a task's network may have weights of earlier ones, frozen.
        decide: the readout, as for --readout.

    Source: Yildirim et al., *Continual learning with dynamic sparse training*, CPAL 2024
    """
    rule = SparseTraining(density, spread, grow, every, reuse)
    return Method(CrossEntropy("new"), [rule], readout=build_readout(decide))


@register("task_arithmetic")
def task_arithmetic(
    scale: Weight = 0.3,
    base: Base = "first",
    norms: MergedNorms = "average",
    decide: str = "gaussian",
) -> Method:
    """Task arithmetic: every task starts at one network, which then gets a share of all their moves.

    Args:
        scale: share of the summed moves.
        base: the start: first, the network after the first task; start, for a pretrained one.
        norms: running statistics of batch norm: average, over the tasks; current, of this task's rows.
        decide: the readout, as for --readout.

    Source: Ilharco et al., *Editing models with task arithmetic*, ICLR 2023
    """
    rule = Merged("arithmetic", scale, base=base, norms=norms)
    return Method(CrossEntropy("new"), [rule], readout=build_readout(decide))


@register("ties")
def ties(
    scale: Weight = 1.0,
    keep: float = 0.2,
    base: Base = "first",
    norms: MergedNorms = "average",
    decide: str = "gaussian",
) -> Method:
    """TIES: task_arithmetic of the largest numbers of each move, whose signs are settled by majority.

    It stores a network a task.

    Args:
        scale: of the merged move.
        keep: share of each task's move that stays.
        base: the start: first, the network after the first task; start, for a pretrained one.
        norms: running statistics of batch norm: average, over the tasks; current, of this task's rows.
        decide: the readout, as for --readout.

    Source: Yadav et al., *TIES-merging: resolving interference when merging models*, NeurIPS 2023
    """
    rule = Merged("ties", scale, keep, base, norms)
    return Method(CrossEntropy("new"), [rule], readout=build_readout(decide))
