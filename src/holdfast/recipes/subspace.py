"""New tasks move weights only in directions that old tasks left free: GPM, OWM, CoSO.

Each learns a task with the softmax of its own classes, as the published methods do with a head a task;
rows of old classes stay as they are. Norms stay after the first task, or they would move what the
subspaces hold.
"""

from __future__ import annotations

from typing import Literal

from holdfast.anchor.coso import CoSO
from holdfast.anchor.gpm import GPM
from holdfast.anchor.owm import OWM, During
from holdfast.anchor.rule import Rule
from holdfast.anchor.subspace import HeadKind, Side
from holdfast.loss import CrossEntropy
from holdfast.readout import build_readout
from holdfast.recipes.catalogue import register
from holdfast.recipes.holding import within
from holdfast.recipes.method import Method

Competing = Literal["new", "seen"]


@register("gpm")
def gpm(
    eps: float = 0.97,
    growth: float = 0.003,
    inputs: int = 125,
    strict_count: bool = False,
    head: HeadKind = "held",
    classes: Competing = "new",
    decide: str = "gaussian",
) -> Method:
    """GPM: no weight moves in the directions of the inputs that its layer had in old tasks.

    Differences from the published code: one more direction a task, so that the share is reached; the update
    is projected too, so that it holds under momentum and weight decay; the same number of inputs for
    every layer; one head, decided by a Gaussian readout.

    Args:
        eps: share of the inputs' energy that is protected after the first task.
        growth: added to it with each further task.
        inputs: rows of a task that are looked at.
        strict_count: one direction fewer, as the published code counts.
        head: held keeps old classes' rows; projected treats it as a layer; free leaves it.
        classes: which logits compete in the softmax.
        decide: the readout, as for --readout.

    Source: Saha, Garg, Roy, *Gradient projection memory for continual learning*, ICLR 2021
    """
    rule = GPM(eps, growth, inputs, strict_count, head)
    return _method(rule, classes, decide)


@register("coso")
def coso(
    side: Side = "in",
    r1: int = 15,
    r2: int = 100,
    every: int = 10,
    eps: float = 0.98,
    strict_count: bool = False,
    head: HeadKind = "held",
    classes: Competing = "new",
    decide: str = "gaussian",
) -> Method:
    """CoSO: steps in the leading directions of the gradients, away from those of old tasks.

    Differences from the published code: made for one layer of each block of a pretrained transformer,
    here all linear layers and convolutions; SGD, for which the rule is exact; every=10 and not 1; one more
    direction a task; side=in and not out; one head, decided by a Gaussian readout; temperature 1.

    Args:
        side: in protects inputs' outputs; out is published: M^T W stays, and old outputs move.
        r1: directions in which a step moves.
        r2: rank of the sketch of a task's gradients.
        every: steps between two decompositions.
        eps: share of the sketch's energy that is kept of a task.
        strict_count: one direction fewer, as the published code counts.
        head: held keeps old classes' rows; projected treats it as a layer; free leaves it.
        classes: which logits compete in the softmax.
        decide: the readout, as for --readout.

    Source: Cheng et al., *Continuous subspace optimization for continual learning*, NeurIPS 2025
    """
    rule = CoSO(side, r1, r2, every, eps, strict_count, head)
    return _method(rule, classes, decide)


@register("owm")
def owm(
    alpha: float = 1e-3,
    during: During = "end",
    fall: float = 1.0,
    rows: int = 64,
    head: HeadKind = "held",
    classes: Competing = "new",
    decide: str = "gaussian",
) -> Method:
    """OWM: moves shrink in the directions of the mean inputs that a layer had in old batches.

    Differences from the published code: the projector takes in a task when it has ended (during=task is
    nearer), with one alpha for all layers; no learning rate a layer; no clipping of gradients; one head,
    decided by a Gaussian readout.

    Args:
        alpha: softness of the projector: small protects more.
        during: end takes a task in when it has ended; task in every step too, from a further pass.
        fall: factor on alpha over a task, for during=task.
        rows: of a task that make one mean input.
        head: held keeps old classes' rows; projected treats it as a layer; free leaves it.
        classes: which logits compete in the softmax.
        decide: the readout, as for --readout.

    Source: Zeng et al., *Continual learning of context-dependent processing in neural networks*, Nature
        Machine Intelligence 2019
    """
    return _method(OWM(alpha, during, fall, rows, head), classes, decide)


def _method(rule: Rule, classes: Competing, decide: str) -> Method:
    """Cross-entropy within a subspace, with norms that stay."""
    return within(Method(CrossEntropy(classes), readout=build_readout(decide)), rule)
