"""Published methods that train in every task and keep no image: EFC, AdaGauss, GATF, DPCR."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.anchor import (
    Clip,
    CycleDistillation,
    FeatureFisher,
    LogitDistillation,
    ProjectedDistillation,
    PseudoRehearsal,
    Rule,
)
from holdfast.anchor.clip import Over
from holdfast.learner.adapt import Norms
from holdfast.learner.feature_map import MapKind
from holdfast.loss import AntiCollapse, CrossEntropy, Rotations
from holdfast.loss.term import Objective
from holdfast.readout import build_readout
from holdfast.recipes.catalogue import register
from holdfast.recipes.method import Method
from holdfast.recipes.search import Softness, Weight

# correlations with 3 mean(diag) I, as AdaGauss and GATF decide
CORRELATIONS = "class-gaussian:gamma1=3:normalise=yes:determinant=no"


@register("efc")
def efc(
    strength: Weight = 10.0,
    eta: float = 0.1,
    rehearse: float = 1.0,
    hold_norms: Norms = "statistics",
    clip: float = 1.0,
    decide: str = "pseudo-head",
) -> Method:
    """EFC: features are held by how much the softmax of all classes depends on them.

    Differences from the published code: old classes follow the network by a ridge map, not by a mean of
    moves weighted by the matrix; the head rehearses on draws of one shared covariance together with a share
    of the batch, and no gradient of that reaches the backbone. It decides as EFC++ does, by a head that is
    refitted on draws when a task ends; decide=head is the head of EFC.

    Args:
        strength: of the feature matrix, the published lambda.
        eta: of the same in every direction, in the features' own units.
        rehearse: weight of the head's rehearsal on draws; 0 leaves it out, as EFC++ does.
        hold_norms: what of the norms stays after the first task: none, statistics or all.
        clip: the longest gradient: while batch statistics stand still, SGD runs away without; 0 for none.
        decide: the readout, as for --readout.

    Source: Magistri et al., *Elastic feature consolidation for cold start exemplar-free incremental
        learning*, ICLR 2024
    """
    anchors: list[Objective] = [FeatureFisher(strength, eta)]
    if rehearse:
        anchors.append(rehearse * PseudoRehearsal(new=True))
    return Method(
        CrossEntropy("new"),
        _clipped(anchors, clip),
        readout=build_readout(decide),
        hold_norms=hold_norms,
    )


@register("adagauss")
def adagauss(
    distill: Weight = 10.0,
    anti: float = 1.0,
    beta: float = 1.0,
    rotations: float = 1.0,
    clip: float = 1.0,
    clip_over: Over = "all",
    kind: MapKind = "mlp",
    times: int = 4,
    decide: str = CORRELATIONS,
) -> Method:
    """AdaGauss: a trained map finds the past features again, and the features fill their dimensions.

    Differences from the published code: no bottleneck of 64 features (set the backbone's width), so that a
    batch of fewer rows than features asks a random block of them; the distillation is in units of the past
    features' spread; classes follow by the readout's drift map, not by draws through a trained MLP; turned
    images have a head of their own beside the classes' cross-entropy; hidden units are 4 times the
    features, not 32 times.

    Args:
        distill: weight of the distillation.
        anti: weight of the anti-collapse.
        beta: deviation up to which the anti-collapse asks, in the features' own units.
        rotations: weight of the turned images as classes of the first task.
        clip: the longest gradient; 0 for none.
        clip_over: all weights together, or the learner's alone, without maps and the turned images' head.
        kind: of the map: linear or mlp.
        times: its hidden units, as a multiple of the features.
        decide: the readout, as for --readout.

    Source: Rypesc, Cygert, Trzcinski, Twardowski, *Task-recency bias strikes back: adapting covariances in
        exemplar-free class incremental learning*, NeurIPS 2024
    """
    anchors = _clipped([distill * ProjectedDistillation(kind, times)], clip, clip_over)
    return Method(_first(anti, beta, rotations), anchors, readout=build_readout(decide))


@register("gatf")
def gatf(
    distill: Weight = 5.0,
    cycle: float = 0.4,
    pairs: float = 0.01,
    anti: float = 1.0,
    beta: float = 1.0,
    rotations: float = 1.0,
    clip: float = 1.0,
    clip_over: Over = "all",
    kind: MapKind = "mlp",
    times: int = 4,
    decide: str = CORRELATIONS,
) -> Method:
    """GATF: AdaGauss with a second map from past to present features, each trained to undo the other.

    Differences from the published code: those of ``adagauss``; the second map starts at the identity
    instead of a ridge map that is fitted anew every 10 epochs, and classes follow by the readout's drift
    map, which is that ridge, not by draws through the trained map.

    Args:
        distill: weight of the distillation and of the second map.
        cycle: weight of the two ways around, beside the two ways.
        pairs: weight of the cosines of pairs, beside the two ways.
        anti: weight of the anti-collapse.
        beta: deviation up to which the anti-collapse asks, in the features' own units.
        rotations: weight of the turned images as classes of the first task.
        clip: the longest gradient; 0 for none.
        clip_over: all weights together, or the learner's alone, without maps and the turned images' head.
        kind: of the maps: linear or mlp.
        times: their hidden units, as a multiple of the features.
        decide: the readout, as for --readout.

    Source: GATF, ECCV 2026
    """
    anchors = _clipped([distill * CycleDistillation(cycle, pairs, kind, times)], clip, clip_over)
    return Method(_first(anti, beta, rotations), anchors, readout=build_readout(decide))


@register("dpcr")
def dpcr(weight: Weight = 10.0, T: Softness = 2.0, decide: str = "ridge:unit=yes") -> Method:
    """DPCR: LwF, read by a ridge regression of unit columns whose statistics follow the drift.

    Differences from the published code: one pooled matrix is moved, by a map about the means whose strength
    is chosen on held-out rows, instead of a matrix a class by an uncentred one; the projection to row
    spaces is left out, which there is the identity up to rounding; the strength of the regression is
    chosen, not 200.

    Args:
        weight: of the distillation.
        T: temperature of both networks' answers.
        decide: the readout, as for --readout.

    Source: He et al., *Semantic shift estimation via dual-projection and classifier reconstruction for
        exemplar-free class-incremental learning*, ICML 2025
    """
    anchors = [weight * LogitDistillation("forward_kl", T)]
    return Method(CrossEntropy("new"), anchors, readout=build_readout(decide))


def _first(anti: float, beta: float, rotations: float) -> Objective:
    """The new classes, with what keeps the features from collapsing."""
    loss: Objective = CrossEntropy("new") + anti * AntiCollapse(beta)
    return loss + rotations * Rotations() if rotations else loss


def _clipped(
    anchors: Sequence[Objective], clip: float, over: Over = "all"
) -> list[Objective | Rule]:
    """The anchors, and the longest gradient if there is one."""
    return [*anchors, Clip(clip, over)] if clip else [*anchors]
