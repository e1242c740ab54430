"""Nothing is kept of an old class but its statistics, and they are believed."""

from __future__ import annotations

from dataclasses import replace

from holdfast.anchor import FeatureDistillation, LogitDistillation, PseudoRehearsal
from holdfast.anchor.gpm import GPM
from holdfast.loss import CrossEntropy, Rotations, Uniformity
from holdfast.loss.term import Objective
from holdfast.readout import build_readout
from holdfast.recipes.catalogue import register
from holdfast.recipes.contrastive import fnc2
from holdfast.recipes.holding import within
from holdfast.recipes.method import Method
from holdfast.recipes.search import Contrast, Focus, Softness, Weight
from holdfast.statistics.prototype_bank import Prototypes

DECIDE = "gaussian:mirrored:prior=0.25"


@register("lwf_strict")
def lwf_strict(
    weight: Weight = 1.0,
    T: Softness = 2.0,
    features: Weight = 1.0,
    rehearse: float = 0.0,
    rotations: float = 1.0,
    gpm: float = 0.97,
    decide: str = DECIDE,
) -> Method:
    """LwF with all else that fnc2_strict has, read by a Gaussian of all stages, which follows the drift.

    Args:
        weight: of the distillation of logits.
        T: temperature of both networks' answers.
        features: weight of the distillation of features.
        rehearse: weight of the head's rehearsal on draws from the stored Gaussians; try it with
            decide=head.
        rotations: weight of the first task's quarter turns as classes of their own; 0 where turned
            inputs are other classes, as digits are.
        gpm: share of the energy of each layer's inputs whose directions no later task moves; 0 for none.
        decide: the readout, as for --readout.

    Source: Li, Hoiem, Learning without forgetting, ECCV 2016; drift compensation as in Gomez-Villa et
        al., Exemplar-free continual representation learning via learnable drift compensation, ECCV 2024;
        GPM, Saha, Garg, Roy, ICLR 2021
    """
    method = Method(CrossEntropy("new"), [weight * LogitDistillation("forward_kl", T)])
    more: list[Objective] = [features * FeatureDistillation()]
    if rehearse:
        more.append(rehearse * PseudoRehearsal())
    return _strict(method, more, rotations, gpm, decide)


@register("fnc2_strict")
def fnc2_strict(
    tau: Contrast = 0.1,
    scale: float = 1.0,
    gamma: Focus = 1.0,
    distill: Weight = 1.0,
    alpha: str = "linear",
    features: Weight = 1.0,
    uniform: float = 0.0,
    rotations: float = 1.0,
    gpm: float = 0.97,
    now: float = 0.2,
    past: float = 0.01,
    dim: int = 128,
    frame_seed: int = 0,
    decide: str = DECIDE,
    prototypes: Prototypes = "fixed",
    prototype_momentum: float = 0.99,
    follow: bool = False,
) -> Method:
    """FNC2 + HSD with distilled features, read by a Gaussian of all stages, which follows the drift.

    Args:
        tau: temperature of the contrast.
        scale: factor on the contrast.
        gamma: focal exponent; 0 switches the focus off.
        distill: weight of the distillation of relations.
        alpha: share of IRD against S-PRD over a task, as for fnc2.
        features: weight of the distillation of features.
        uniform: weight of the uniformity of embeddings.
        rotations: weight of the first task's quarter turns as classes of their own; 0 where turned
            inputs are other classes, as digits are.
        gpm: share of the energy of each layer's inputs whose directions no later task moves; 0 for none.
        now: temperature of the learner's relations (IRD).
        past: temperature of the past network's relations (IRD).
        dim: width of the embedding.
        frame_seed: rotation of the frame.
        decide: the readout, as for --readout.
        prototypes: fixed; running, means of the rows seen; or mean, a task's class means at its end.
        prototype_momentum: of running prototypes: how much stays of a prototype at each step.
        follow: whether old prototypes that move follow the network's drift when a task ends.

    Source: Dang et al., WACV 2025, with feature distillation and the readout of docs/theory.md, section 9;
        GPM, Saha, Garg, Roy, ICLR 2021
    """
    method = fnc2(
        tau, scale, gamma, distill, alpha, now, past, dim=dim, frame_seed=frame_seed,
        prototypes=prototypes, prototype_momentum=prototype_momentum, follow=follow,
    )  # fmt: skip
    more: list[Objective] = [features * FeatureDistillation(), uniform * Uniformity()]
    return _strict(method, more, rotations, gpm, decide)


def _strict(
    method: Method, more: list[Objective], rotations: float, gpm: float, decide: str
) -> Method:
    """What both recipes have: turns of the first task, inputs of old tasks held, the readout."""
    turns = [rotations * Rotations()] if rotations else []
    readout = build_readout(decide, method.frame)
    method = replace(method, anchors=[*method.anchors, *more, *turns], readout=readout)
    return within(method, GPM(gpm)) if gpm else method
