"""Published methods whose network learns in the first task and stands still after it: FeTrIL, ACIL."""

from __future__ import annotations

from holdfast.anchor import TranslatedRehearsal
from holdfast.loss import CrossEntropy
from holdfast.readout import build_readout
from holdfast.recipes.catalogue import register
from holdfast.recipes.method import Method


@register("fetril")
def fetril(rehearse: float = 1.0, decide: str = "head") -> Method:
    """FeTrIL: features of new classes, moved to where old ones were, stand for the old classes.

    Differences from the published code: the head of a network goes on learning by gradient, where a
    linear support vector machine is fitted anew to all classes; rows are moved batch by batch, of views.

    Args:
        rehearse: weight of the moved features; 1 lets every class count alike.
        decide: the readout, as for --readout.

    Source: Petit et al., *FeTrIL: feature translation for exemplar-free class-incremental learning*, WACV
        2023
    """
    anchors = [rehearse * TranslatedRehearsal()]
    return Method(CrossEntropy("seen"), anchors, readout=build_readout(decide))


@register("acil")
def acil(lift: int = 1024, decide: str = "") -> Method:
    """ACIL: after a first task of training, a ridge regression of random features learns the rest exactly.

    Differences from the published code: an intercept, and features divided by the root of their number
    before the lift; the regression is solved from accumulated sums, which is the same as its recursion; its
    strength is chosen on held-out rows of each task, not fixed.

    Args:
        lift: random features that are read; published from 5000 on.
        decide: the readout, as for --readout; empty for this ridge.

    Source: Zhuang et al., *ACIL: analytic class-incremental learning with absolute memorization and
        privacy protection*, NeurIPS 2022
    """
    readout = decide or f"random-ridge:width={lift}:drift=none"
    return Method(CrossEntropy("seen"), readout=build_readout(readout), once=True)
