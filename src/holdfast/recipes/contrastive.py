"""Representations by contrast, held fast by distillation of relations."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from holdfast.anchor import Curvature, FrameSoftmax, Quadratic, RelationDistillation, taught
from holdfast.anchor.teacher import Teacher
from holdfast.loss import FocalCollapse, Pulls, SupCon, make_schedule
from holdfast.recipes.catalogue import register
from holdfast.recipes.method import Method
from holdfast.recipes.search import Contrast, Focus, Prior, Weight
from holdfast.statistics.prototype_bank import Prototypes, build_frame


@register("supcon")
def supcon(
    tau: Contrast = 0.1,
    scale: float = 1.0,
    dim: int = 128,
    average: Literal["anchors", "rows"] = "anchors",
) -> Method:
    """Supervised contrast on the new data alone: what a contrastive loss forgets by itself.

    Args:
        tau: temperature of the contrast.
        scale: factor on the loss; tau / 0.07 is the published one.
        dim: width of the embedding.
        average: of the contrast: over anchor rows, or over all rows as in Co2L's public code.

    Source: Khosla et al., Supervised contrastive learning, NeurIPS 2020
    """
    return Method(SupCon(tau, scale, average, dim))


@register("co2l")
def co2l(
    tau: Contrast = 0.1,
    scale: float = 1.0,
    distill: Weight = 1.0,
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
        loss=SupCon(tau, scale, average, dim),
        anchors=[distill * RelationDistillation(now, past)],
    )


@register("fnc2")
def fnc2(
    tau: Contrast = 0.1,
    scale: float = 1.0,
    gamma: Focus = 1.0,
    distill: Weight = 1.0,
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
    pairs: bool = True,
    pull: bool = True,
    pull_gamma: float | None = None,
    misplaced: bool = False,
    prototypes: Prototypes = "fixed",
    prototype_momentum: float = 0.99,
    follow: bool = False,
    teacher: Teacher = "past",
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
        pairs: whether rows of one class pull each other; without, the prototype alone pulls.
        pull: whether a row's own prototype pulls it.
        pull_gamma: focal exponent of the prototype's pull; none takes gamma.
        misplaced: whether old classes repel from vertices that stand for no class: a control.
        prototypes: fixed; running, means of the rows seen; or mean, a task's class means at its end.
        prototype_momentum: of running prototypes: how much stays of a prototype at each step.
        follow: whether old prototypes that move follow the network's drift when a task ends.
        teacher: of the distillation: the past network, or as controls a random network, or the past's
            outputs shuffled over the batch.

    Source: Dang, Nguyen, Vu, Vrain, Memory-efficient continual learning with neural collapse
        contrastive, WACV 2025; moving prototypes and the controls are this library's
    """
    frame = build_frame(prototypes, dim, classes, frame_seed, prototype_momentum, follow)
    share = make_schedule(alpha)
    soft = RelationDistillation(now, past)
    hard = RelationDistillation(prototype_now, prototype_past, keys=frame, support=support)
    pulls = Pulls(pairs, pull, pull_gamma)
    loss = FocalCollapse(
        frame, tau, gamma, old_prototypes, denominator, scale, average, pulls, misplaced
    )
    return Method(loss, anchors=[distill * taught(share * soft + (1 - share) * hard, teacher)])


@register("fnc2_prior")
def fnc2_prior(
    weight: Prior = 1.0,
    decay: float = 1.0,
    tau: Contrast = 0.1,
    scale: float = 1.0,
    gamma: Focus = 1.0,
    distill: Weight = 1.0,
    alpha: str = "linear",
    norm: bool = True,
    dim: int = 128,
    classes: int = 0,
) -> Method:
    """FNC2 + HSD, whose weights are held too: a Kronecker-factored prior on backbone and projector.

    A contrastive loss has no Fisher; the prior's likelihood is the softmax over z.q_k / tau.

    Args:
        weight: of the prior; 1 counts all old data once.
        decay: factor on the older tasks' curvature each time a task ends, from 0 to 1.
        tau: temperature of the contrast, and of the prior's likelihood.
        scale: factor on the contrast; tau / 0.07 is the published one.
        gamma: focal exponent; 0 switches the focus off.
        distill: weight of the distillation; 0 leaves the prior alone to hold fast.
        alpha: share of IRD against S-PRD over a task, as for fnc2.
        norm: whether scale and shift of batch norm are held too, by a diagonal.
        dim: width of the embedding.
        classes: how many the stream will have, if known; 0 takes the frame of dim + 1 vertices.

    Source: FNC2 (WACV 2025) with Ritter et al. (NeurIPS 2018); the composition is this library's
    """
    method = fnc2(tau, scale, gamma, distill, alpha, dim=dim, classes=classes)
    assert method.frame is not None
    curvature = Curvature("fisher", "kfac", FrameSoftmax(method.frame, tau))
    prior = Quadratic(curvature, weight, decay, norm=norm)
    return replace(method, anchors=[*method.anchors, prior])
