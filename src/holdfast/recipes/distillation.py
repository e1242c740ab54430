"""The new network must say what the past one said, on the new inputs alone."""

from __future__ import annotations

from holdfast.anchor import IndirectAlignment, LogitDistillation, WeightAligning, taught
from holdfast.anchor.teacher import Teacher
from holdfast.loss import CrossEntropy
from holdfast.recipes.catalogue import register
from holdfast.recipes.method import Method
from holdfast.recipes.search import Softness, Weight


@register("lwf")
def lwf(
    weight: Weight = 1.0,
    T: Softness = 2.0,
    divergence: str = "forward_kl",
    teacher: Teacher = "past",
) -> Method:
    """LwF: the past network's answers to the new inputs are kept, and no old image.

    Args:
        weight: of the distillation.
        T: temperature of both networks' answers.
        divergence: forward_kl, reverse_kl, jensen_shannon, balanced_kl, jeffreys, hellinger or alpha,
            each scaled so that one weight means one strength.
        teacher: whose answers are kept: the past network's, those of a random network, or the past's
            shuffled over the batch; the last two are controls.

    Source: Li, Hoiem, Learning without forgetting, ECCV 2016
    """
    anchor = taught(LogitDistillation(divergence, T), teacher)
    return Method(CrossEntropy("new"), [weight * anchor])


@register("lwf_wa")
def lwf_wa(weight: Weight = 1.0, T: Softness = 2.0, divergence: str = "forward_kl") -> Method:
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


@register("ida")
def ida(weight: Weight = 1.0, T: Softness = 10.0) -> Method:
    """IDA: the new inputs keep their places among the stored means of the old classes.

    Args:
        weight: of the alignment.
        T: temperature, in squared units of the features.

    Source: Liu et al., Incremental (few-shot) meta-learning via indirect discriminant alignment, 2020
    """
    return Method(CrossEntropy("new"), [weight * IndirectAlignment(T)])
