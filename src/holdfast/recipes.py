"""Every method as one short function: the page to read first.

A recipe composes a `Method` from a loss, anchors, a memory and a readout. Its parameters, their
defaults and their meaning are the command line's: ``holdfast run fnc2 --help``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from holdfast.anchor import (
    Curvature,
    HeadSoftmax,
    MemoryAware,
    PathIntegral,
    Quadratic,
    RelationDistillation,
    SynapticIntelligence,
    Unit,
)
from holdfast.errors import unknown
from holdfast.learner import Frame
from holdfast.loss import CrossEntropy, FocalCollapse, SupCon, schedule
from holdfast.memory import Everything, Protocol, Reservoir
from holdfast.method import Method


def finetune(classes: Literal["new", "seen", "all"] = "seen") -> Method:
    """Cross-entropy on the new data alone: the lower bound that forgets.

    Args:
        classes: which logits compete in the softmax.

    Source: the usual baseline of the field
    """
    return Method(loss=CrossEntropy(classes))


def joint() -> Method:
    """Cross-entropy on everything seen so far: the upper bound, which stores all images.

    Source: the usual bound of the field
    """
    return Method(loss=CrossEntropy("seen"), memory=Everything(), protocol=Protocol("joint"))


def er(weight: float = 1.0, forward: Literal["joint", "split"] = "joint") -> Method:
    """Experience replay: every batch rehearses as many stored images again.

    Args:
        weight: of the stored images' loss, where they are drawn apart.
        forward: ``joint``: new and stored rows share a forward pass and so a batch norm;
            ``split``: each has its own.

    Source: Chaudhry et al., On tiny episodic memories in continual learning, 2019
    """
    if forward == "joint":
        return Method(
            CrossEntropy(), memory=Reservoir(200, "mix"), protocol=Protocol("buffer", 200)
        )
    loss = CrossEntropy() + weight * CrossEntropy(on="memory")
    return Method(loss, memory=Reservoir(200, "draw"), protocol=Protocol("buffer", 200))


def ewc(
    weight: float = 1.0,
    fisher: Literal["fisher", "sampled_fisher", "empirical_fisher"] = "fisher",
    classes: Literal["new", "seen"] = "seen",
    norm: bool = True,
) -> Method:
    """Elastic weight consolidation: one quadratic a task around its weights, by their Fisher information.

    Args:
        weight: 1 counts each old task's data once; at least 0.
        fisher: labels of the Fisher: the model's own in exact sum, sampled from it, or observed.
        classes: which logits compete, in the loss and in the Fisher.
        norm: whether scale and shift of batch norm are held too.

    Source: Kirkpatrick et al., Overcoming catastrophic forgetting in neural networks, PNAS 2017
    """
    curvature = Curvature(fisher, likelihood=HeadSoftmax(classes))
    return Method(CrossEntropy(classes), [Quadratic(curvature, weight, per_task=True, norm=norm)])


def online_ewc(
    weight: float = 1.0,
    decay: float = 1.0,
    fisher: Literal["fisher", "sampled_fisher", "empirical_fisher"] = "fisher",
    classes: Literal["new", "seen"] = "seen",
    norm: bool = True,
) -> Method:
    """Online EWC: one quadratic around the newest weights, by the decayed sum of all Fishers.

    Args:
        weight: 1 counts all old data once; at least 0.
        decay: factor on the older tasks' Fisher each time a task ends, from 0 to 1.
        fisher: labels of the Fisher: the model's own in exact sum, sampled from it, or observed.
        classes: which logits compete, in the loss and in the Fisher.
        norm: whether scale and shift of batch norm are held too.

    Source: Schwarz et al., Progress and compress, ICML 2018
    """
    curvature = Curvature(fisher, likelihood=HeadSoftmax(classes))
    return Method(CrossEntropy(classes), [Quadratic(curvature, weight, decay, norm=norm)])


def si(
    weight: float = 1.0,
    xi: float = 0.1,
    classes: Literal["new", "seen"] = "seen",
    norm: bool = True,
) -> Method:
    """Synaptic intelligence: weights are held by what their moves did for the loss.

    Args:
        weight: the published c; at least 0.
        xi: damping of the division by the squared move.
        classes: which logits compete.
        norm: whether scale and shift of batch norm are held too.

    Source: Zenke, Poole, Ganguli, Continual learning through synaptic intelligence, ICML 2017
    """
    path = SynapticIntelligence()
    return Method(
        CrossEntropy(classes), [Quadratic(PathIntegral(path, xi), weight, norm=norm), path]
    )


def mas(weight: float = 1.0, classes: Literal["new", "seen"] = "seen", norm: bool = True) -> Method:
    """Memory aware synapses: weights are held by how much they move the output.

    Args:
        weight: the published lambda; at least 0.
        classes: which logits compete.
        norm: whether scale and shift of batch norm are held too.

    Source: Aljundi et al., Memory aware synapses, ECCV 2018
    """
    return Method(CrossEntropy(classes), [Quadratic(MemoryAware(), weight, norm=norm)])


def l2(weight: float = 0.1, classes: Literal["new", "seen"] = "seen", norm: bool = True) -> Method:
    """All weights held alike around those of the last task: what the importances must beat.

    Args:
        weight: of half the squared distance; at least 0.
        classes: which logits compete.
        norm: whether scale and shift of batch norm are held too.

    Source: the baseline of Kirkpatrick et al., PNAS 2017
    """
    return Method(CrossEntropy(classes), [Quadratic(Unit(), weight, decay=0.0, norm=norm)])


def supcon(tau: float = 0.1, scale: float = 1.0, dim: int = 128) -> Method:
    """Supervised contrast on the new data alone: what a contrastive loss forgets by itself.

    Args:
        tau: temperature of the contrast.
        scale: factor on the loss; tau / 0.07 is the published one.
        dim: width of the embedding.

    Source: Khosla et al., Supervised contrastive learning, NeurIPS 2020
    """
    return Method(SupCon(tau, scale), views=2, trains_head=False, dim=dim)


def co2l(
    tau: float = 0.1,
    scale: float = 1.0,
    distill: float = 1.0,
    now: float = 0.2,
    past: float = 0.01,
    dim: int = 128,
    average: Literal["anchors", "rows"] = "anchors",
) -> Method:
    """Co2L: asymmetric supervised contrast, held fast by instance-relation distillation.

    Args:
        tau: temperature of the contrast.
        scale: factor on the contrast; tau / 0.07 is the published one.
        distill: weight of the distillation.
        now: temperature of the learner's relations.
        past: temperature of the past network's relations.
        dim: width of the embedding.
        average: of the contrast: over anchor rows, or over all rows as in the public code.

    Source: Cha, Lee, Shin, Co2L: contrastive continual learning, ICCV 2021
    """
    return Method(
        loss=SupCon(tau, scale, average),
        anchors=[distill * RelationDistillation(now, past)],
        views=2,
        trains_head=False,
        dim=dim,
    )


def fnc2(
    tau: float = 0.1,
    scale: float = 1.0,
    gamma: float = 1.0,
    distill: float = 1.0,
    alpha: str = "linear",
    now: float = 0.2,
    past: float = 0.01,
    prototype_now: float = 0.2,
    prototype_past: float = 0.1,
    old_prototypes: bool = True,
    denominator: Literal["closed", "open"] = "closed",
    average: Literal["anchors", "rows"] = "anchors",
    support: Literal["seen", "old"] = "seen",
    dim: int = 128,
    classes: int = 0,
    frame_seed: int = 0,
) -> Method:
    """FNC2 + HSD: focal neural-collapse contrast, held fast by hardness-softness distillation.

    Args:
        tau: temperature of the contrast.
        scale: factor on the contrast; tau / 0.07 is the published one.
        gamma: focal exponent; 0 switches the focus off.
        distill: weight of the distillation.
        alpha: share of IRD against S-PRD over a task: linear, delayed:30,80, cosine, step:0.5 or
            constant:0.5.
        now: temperature of the learner's relations (IRD).
        past: temperature of the past network's relations (IRD).
        prototype_now: the same against prototypes (S-PRD).
        prototype_past: the same against prototypes (S-PRD).
        old_prototypes: whether the prototypes of old classes repel: the pseudo-replay.
        denominator: ``closed`` counts the own prototype among the contrasts, ``open`` as printed.
        average: of the contrast: over anchor rows, or over all rows.
        support: prototypes of S-PRD: of all classes seen, or of old ones only.
        dim: width of the embedding.
        classes: how many the stream will have, if known; 0 takes the frame of dim + 1 vertices.
        frame_seed: rotation of the frame.

    Source: Dang, Nguyen, Vu, Vrain, Memory-efficient continual learning with neural collapse
        contrastive, WACV 2025
    """
    frame = Frame(dim, classes, frame_seed)
    share = schedule(alpha)
    soft = RelationDistillation(now, past)
    hard = RelationDistillation(prototype_now, prototype_past, keys=frame, support=support)
    return Method(
        loss=FocalCollapse(frame, tau, gamma, old_prototypes, denominator, scale, average),
        anchors=[distill * (share * soft + (1 - share) * hard)],
        views=2,
        trains_head=False,
        dim=dim,
    )


RECIPES: dict[str, Callable[..., Method]] = {
    recipe.__name__: recipe
    for recipe in (finetune, joint, er, ewc, online_ewc, si, mas, l2, supcon, co2l, fnc2)
}


def make(name: str, **parameters: object) -> Method:
    """The method of a recipe by name, which it carries into reports.

    Raises:
        ConfigError: for an unknown recipe, with the nearest name.
    """
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return replace(RECIPES[name](**parameters), name=name)
