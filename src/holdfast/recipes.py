"""Every method as one short function: the page to read first.

A recipe composes a `Method` from a loss, anchors, a memory and a readout. Its parameters, their
defaults and their meaning are the command line's: ``holdfast run fnc2 --help``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from holdfast.anchor import (
    IndirectAlignment,
    LogitDistillation,
    MatchLogits,
    RelationDistillation,
    WeightAligning,
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


def lwf(weight: float = 1.0, T: float = 2.0, divergence: str = "forward_kl") -> Method:
    """LwF: the past network's answers to the new inputs are kept, and no old image.

    Args:
        weight: of the distillation.
        T: temperature of both networks' answers.
        divergence: forward_kl, reverse_kl, jensen_shannon, balanced_kl or hellinger, each scaled so
            that one weight means one strength.

    Source: Li, Hoiem, Learning without forgetting, ECCV 2016
    """
    return Method(CrossEntropy("new"), [weight * LogitDistillation(divergence, T)])


def lwf_wa(weight: float = 1.0, T: float = 2.0, divergence: str = "forward_kl") -> Method:
    """LwF, whose new rows of the head are scaled to the old ones when a task ends.

    Args:
        weight: of the distillation.
        T: temperature of both networks' answers.
        divergence: as for lwf.

    Source: Zhao et al., Maintaining discrimination and fairness in class incremental learning, CVPR
        2020; without its stored images, and so without old classes in the softmax of the new ones
    """
    anchors = [weight * LogitDistillation(divergence, T), WeightAligning()]
    return Method(CrossEntropy("new"), anchors)


def ida(weight: float = 1.0, T: float = 10.0) -> Method:
    """IDA: the new inputs keep their places among the stored means of the old classes.

    Args:
        weight: of the alignment.
        T: temperature, in squared units of the features.

    Source: Liu et al., Incremental (few-shot) meta-learning via indirect discriminant alignment, 2020
    """
    return Method(CrossEntropy("new"), [weight * IndirectAlignment(T)])


def der(alpha: float = 0.3, classes: Literal["all", "seen"] = "all") -> Method:
    """DER: stored images must get the logits that were noted beside them.

    Args:
        alpha: weight of the stored logits.
        classes: logits that compete and are noted: of ``all`` classes of the stream, from a head made
            whole before the first task, as published; or of those ``seen``, from a growing head,
            where nothing keeps a stored image from taking a later class's logit.

    Source: Buzzega et al., Dark experience for general continual learning, NeurIPS 2020
    """
    memory = Reservoir(200, "draw", columns=("logits",))
    return Method(
        CrossEntropy(classes), [alpha * MatchLogits()], memory, protocol=Protocol("buffer", 200)
    )


def derpp(alpha: float = 0.1, beta: float = 0.5, classes: Literal["all", "seen"] = "all") -> Method:
    """DER++: stored images must get their noted logits, and a second draw of them its labels.

    Args:
        alpha: weight of the stored logits.
        beta: weight of the stored labels.
        classes: logits that compete and are noted: of ``all`` classes of the stream, from a head made
            whole before the first task, as published; or of those ``seen``, from a growing head,
            where nothing keeps a stored image from taking a later class's logit.

    Source: Buzzega et al., Dark experience for general continual learning, NeurIPS 2020
    """
    memory = Reservoir(200, "draw", columns=("logits",), draws=2)
    anchors = [alpha * MatchLogits(), beta * CrossEntropy(classes, on="memory_2")]
    return Method(CrossEntropy(classes), anchors, memory, protocol=Protocol("buffer", 200))


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
    for recipe in (
        finetune,
        joint,
        lwf,
        lwf_wa,
        ida,
        er,
        der,
        derpp,
        supcon,
        co2l,
        fnc2,
    )
}


def make(name: str, **parameters: object) -> Method:
    """The method of a recipe by name, which it carries into reports.

    Raises:
        ConfigError: for an unknown recipe, with the nearest name.
    """
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return replace(RECIPES[name](**parameters), name=name)
