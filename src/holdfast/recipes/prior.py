"""The weights are held where the old tasks left them, each by how much it mattered."""

from __future__ import annotations

from typing import Literal

from holdfast.anchor import (
    Curvature,
    HeadSoftmax,
    MemoryAware,
    PathIntegral,
    Proximal,
    Quadratic,
    SynapticIntelligence,
    Unit,
)
from holdfast.loss import CrossEntropy
from holdfast.recipes.catalogue import register
from holdfast.recipes.method import Method
from holdfast.recipes.search import Prior

Anchoring = Literal["penalty", "proximal"]
ANCHORS: dict[Anchoring, type[Quadratic] | type[Proximal]] = {
    "penalty": Quadratic,
    "proximal": Proximal,
}


@register("ewc")
def ewc(
    weight: Prior = 1.0,
    fisher: Literal["fisher", "sampled_fisher", "empirical_fisher"] = "fisher",
    classes: Literal["new", "seen"] = "seen",
    norm: bool = True,
    step: Anchoring = "penalty",
) -> Method:
    """Elastic weight consolidation: one quadratic a task around its weights, by their Fisher information.

    Args:
        weight: 1 counts each old task's data once; at least 0.
        fisher: labels of the Fisher: the model's own in exact sum, sampled from it, or observed.
        classes: which logits compete, in the loss and in the Fisher.
        norm: whether scale and shift of batch norm are held too.
        step: penalty adds the quadratic to the loss; proximal applies it exactly after each update,
            which cannot diverge.

    Source: Kirkpatrick et al., Overcoming catastrophic forgetting in neural networks, PNAS 2017
    """
    curvature = Curvature(fisher, likelihood=HeadSoftmax(classes))
    return Method(
        CrossEntropy(classes), [ANCHORS[step](curvature, weight, per_task=True, norm=norm)]
    )


@register("online_ewc")
def online_ewc(
    weight: Prior = 1.0,
    decay: float = 1.0,
    fisher: Literal["fisher", "sampled_fisher", "empirical_fisher"] = "fisher",
    classes: Literal["new", "seen"] = "seen",
    norm: bool = True,
    step: Anchoring = "penalty",
) -> Method:
    """Online EWC: one quadratic around the newest weights, by the decayed sum of all Fishers.

    Args:
        weight: 1 counts all old data once; at least 0.
        decay: factor on the older tasks' Fisher each time a task ends, from 0 to 1.
        fisher: labels of the Fisher: the model's own in exact sum, sampled from it, or observed.
        classes: which logits compete, in the loss and in the Fisher.
        norm: whether scale and shift of batch norm are held too.
        step: penalty adds the quadratic to the loss; proximal applies it exactly after each update,
            which cannot diverge.

    Source: Schwarz et al., Progress and compress, ICML 2018
    """
    curvature = Curvature(fisher, likelihood=HeadSoftmax(classes))
    return Method(CrossEntropy(classes), [ANCHORS[step](curvature, weight, decay, norm=norm)])


@register("kfac_laplace")
def kfac_laplace(
    weight: Prior = 1.0,
    decay: float = 1.0,
    fisher: Literal["fisher", "sampled_fisher", "empirical_fisher"] = "fisher",
    classes: Literal["new", "seen"] = "seen",
    norm: bool = True,
) -> Method:
    """Online Laplace by Kronecker factors: the quadratic knows how the weights of a layer depend.

    Args:
        weight: 1 counts all old data once; at least 0.
        decay: factor on the older tasks' curvature each time a task ends, from 0 to 1.
        fisher: labels of the Fisher: the model's own in exact sum, sampled from it, or observed.
        classes: which logits compete, in the loss and in the Fisher.
        norm: whether scale and shift of batch norm are held too, by a diagonal.

    Source: Ritter, Botev, Barber, Online structured Laplace approximations, NeurIPS 2018; the sum of
        the tasks' factors is kept exactly, a pair a task
    """
    curvature = Curvature(fisher, "kfac", HeadSoftmax(classes))
    return Method(CrossEntropy(classes), [Quadratic(curvature, weight, decay, norm=norm)])


@register("si")
def si(
    weight: Prior = 1.0,
    xi: float = 0.1,
    classes: Literal["new", "seen"] = "seen",
    norm: bool = True,
    step: Anchoring = "penalty",
    path: Literal["objective", "loss"] = "objective",
) -> Method:
    """Synaptic intelligence: weights are held by what their moves did for the loss.

    Args:
        weight: the published c; at least 0.
        xi: damping of the division by the squared move.
        classes: which logits compete.
        norm: whether scale and shift of batch norm are held too.
        step: penalty adds the quadratic to the loss; proximal applies it exactly after each update,
            which cannot diverge.
        path: whose gradient the importance is an integral of: the whole objective's, penalty included, or
            the loss's alone, as in the authors' code. With step=proximal there is no difference.

    Source: Zenke, Poole, Ganguli, Continual learning through synaptic intelligence, ICML 2017
    """
    moves = SynapticIntelligence()
    anchor = ANCHORS[step](PathIntegral(moves, xi), weight, norm=norm)
    if path == "loss" and isinstance(anchor, Quadratic):
        moves.without(anchor)
    return Method(
        CrossEntropy(classes), [anchor, moves]
    )  # in this order: the path ends after it is read


@register("mas")
def mas(
    weight: Prior = 1.0,
    classes: Literal["new", "seen"] = "seen",
    norm: bool = True,
    step: Anchoring = "penalty",
) -> Method:
    """Memory aware synapses: weights are held by how much they move the output.

    Args:
        weight: the published lambda; at least 0.
        classes: which logits compete.
        norm: whether scale and shift of batch norm are held too.
        step: penalty adds the quadratic to the loss; proximal applies it exactly after each update,
            which cannot diverge.

    Source: Aljundi et al., Memory aware synapses, ECCV 2018
    """
    return Method(CrossEntropy(classes), [ANCHORS[step](MemoryAware(), weight, norm=norm)])


@register("l2")
def l2(
    weight: Prior = 0.1,
    classes: Literal["new", "seen"] = "seen",
    norm: bool = True,
    step: Anchoring = "penalty",
) -> Method:
    """All weights held alike around those of the last task: what the importances must beat.

    Args:
        weight: of half the squared distance; at least 0.
        classes: which logits compete.
        norm: whether scale and shift of batch norm are held too.
        step: penalty adds the quadratic to the loss; proximal applies it exactly after each update,
            which cannot diverge.

    Source: the baseline of Kirkpatrick et al., PNAS 2017
    """
    return Method(CrossEntropy(classes), [ANCHORS[step](Unit(), weight, decay=0.0, norm=norm)])
