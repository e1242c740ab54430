"""Nothing is kept of an old class but its statistics, and they are believed."""

from __future__ import annotations

from holdfast.anchor import FeatureDistillation, LogitDistillation, RelationDistillation
from holdfast.learner import Frame
from holdfast.loss import CrossEntropy, FocalCollapse, Uniformity, schedule
from holdfast.method import Method
from holdfast.readout import readout


def lwf_strict(
    weight: float = 1.0,
    T: float = 2.0,
    features: float = 1.0,
    decide: str = "gaussian",
) -> Method:
    """LwF with distilled features, read by a Gaussian that follows the drift: the simple strong baseline.

    Args:
        weight: of the distillation of logits.
        T: temperature of both networks' answers.
        features: weight of the distillation of features.
        decide: the readout, as for --readout.

    Source: Li, Hoiem, Learning without forgetting, ECCV 2016; drift compensation as in Gomez-Villa et
        al., Exemplar-free continual representation learning via learnable drift compensation, ECCV 2024
    """
    anchors = [weight * LogitDistillation("forward_kl", T), features * FeatureDistillation()]
    return Method(CrossEntropy("new"), anchors, readout=readout(decide))


def fnc2_strict(
    tau: float = 0.1,
    scale: float = 1.0,
    gamma: float = 1.0,
    distill: float = 1.0,
    alpha: str = "linear",
    features: float = 1.0,
    uniform: float = 0.0,
    now: float = 0.2,
    past: float = 0.01,
    dim: int = 128,
    frame_seed: int = 0,
    decide: str = "gaussian",
) -> Method:
    """FNC2 + HSD with distilled features, read by a Gaussian that follows the drift.

    Args:
        tau: temperature of the contrast.
        scale: factor on the contrast.
        gamma: focal exponent; 0 switches the focus off.
        distill: weight of the distillation of relations.
        alpha: share of IRD against S-PRD over a task, as for fnc2.
        features: weight of the distillation of features.
        uniform: weight of the uniformity of embeddings.
        now: temperature of the learner's relations (IRD).
        past: temperature of the past network's relations (IRD).
        dim: width of the embedding.
        frame_seed: rotation of the frame.
        decide: the readout, as for --readout.

    Source: Dang et al., WACV 2025, with feature distillation and the readout of THEORY 9
    """
    frame, share = Frame(dim, 0, frame_seed), schedule(alpha)
    relations = share * RelationDistillation(now, past)
    relations = relations + (1 - share) * RelationDistillation(keys=frame, past=0.1)
    return Method(
        loss=FocalCollapse(frame, tau, gamma, scale=scale),
        anchors=[
            distill * relations,
            features * FeatureDistillation(),
            uniform * Uniformity(),
        ],
        readout=readout(decide, frame),
        views=2,
        trains_head=False,
        dim=dim,
    )
