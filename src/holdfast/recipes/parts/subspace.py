"""Parts that edit the step: subspaces, gradients off one another, gates."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.anchor.clip import Clip, Over
from holdfast.anchor.coso import CoSO
from holdfast.anchor.gate import Gate
from holdfast.anchor.gpm import GPM
from holdfast.anchor.orthogonal import Keep, Orthogonal, When
from holdfast.anchor.owm import OWM, During
from holdfast.anchor.perpgrad import PerpGrad
from holdfast.anchor.random_subspace import RandomSubspace
from holdfast.anchor.rule import Rule
from holdfast.anchor.subspace import HeadKind, Side
from holdfast.loss.stablemax import StableMax
from holdfast.recipes.adding import part
from holdfast.recipes.holding import within
from holdfast.recipes.method import Method
from holdfast.recipes.swap import in_place_of_cross_entropy

Change = Callable[[Method], Method]


@part("gpm")
def gpm_part(
    eps: float = 0.97,
    growth: float = 0.003,
    inputs: int = 125,
    strict_count: bool = False,
    head: HeadKind = "held",
) -> Change:
    """No weight moves in the directions of old inputs of its layer; norms stay.

    Args:
        eps: share of the inputs' energy that is protected after the first task.
        growth: added to it with each further task.
        inputs: rows of a task that are looked at.
        strict_count: one direction fewer, as the published code counts.
        head: held keeps old classes' rows; projected treats it as a layer; free leaves it.

    Source: Saha, Garg, Roy, ICLR 2021 (`holdfast.anchor.gpm.GPM`)
    """
    rule = GPM(eps, growth, inputs, strict_count, head)
    return lambda method: within(method, rule)


@part("coso")
def coso_part(
    side: Side = "in",
    r1: int = 15,
    r2: int = 100,
    every: int = 10,
    eps: float = 0.98,
    strict_count: bool = False,
    head: HeadKind = "held",
) -> Change:
    """Steps in the leading directions of the gradients, away from those of old tasks; norms stay.

    Args:
        side: in protects inputs' outputs; out is published: M^T W stays, and old outputs move.
        r1: directions in which a step moves.
        r2: rank of the sketch of a task's gradients.
        every: steps between two decompositions.
        eps: share of the sketch's energy that is kept of a task.
        strict_count: one direction fewer, as the published code counts.
        head: held keeps old classes' rows; projected treats it as a layer; free leaves it.

    Source: Cheng et al., NeurIPS 2025 (`holdfast.anchor.coso.CoSO`)
    """
    rule = CoSO(side, r1, r2, every, eps, strict_count, head)
    return lambda method: within(method, rule)


@part("owm")
def owm_part(
    alpha: float = 1e-3,
    during: During = "end",
    fall: float = 1.0,
    rows: int = 64,
    head: HeadKind = "held",
) -> Change:
    """Moves shrink in the directions of a layer's mean inputs of old batches; norms stay.

    Args:
        alpha: softness of the projector: small protects more.
        during: end takes a task in when it has ended; task in every step too, from a further pass.
        fall: factor on alpha over a task, for during=task.
        rows: of a task that make one mean input.
        head: held keeps old classes' rows; projected treats it as a layer; free leaves it.

    Source: Zeng et al., Nature Machine Intelligence 2019 (`holdfast.anchor.owm.OWM`)
    """
    rule = OWM(alpha, during, fall, rows, head)
    return lambda method: within(method, rule)


@part("orthogonal")
def orthogonal(keep: Keep = "anchor", when: When = "conflict", add: float = 1.0) -> Rule:
    """The gradient of the task, or of the anchors, loses its part along the other.

    Args:
        keep: anchor, as A-GEM with add=0; task, as O-DICE with when=always; neither, as PCGrad.
        when: conflict: where the two point against each other; or always.
        add: factor on the anchors' gradient.

    Source: A-GEM (ICLR 2019), PCGrad (NeurIPS 2020), O-DICE (ICLR 2024) (`holdfast.anchor.Orthogonal`)
    """
    return Orthogonal(keep, when, add)


@part("gate")
def gate(l: float = 1.0, add: float = 1.0) -> Rule:  # noqa: E741 - its name in the paper
    """The task's gradient passes, weight by weight, where the anchors agree with its sign.

    Args:
        l: how far the gate closes: 1 drops, 0 does nothing.
        add: factor on the anchors' gradient; 0 is published.

    Source: the gradient dropout of R-AMT (`holdfast.anchor.gate.Gate`)
    """
    return Gate(l, add)


@part("perpgrad")
def perpgrad() -> Rule:
    """Each matrix gets its gradient without the part along itself.

    Source: Prieto et al., ICLR 2025 (`holdfast.anchor.perpgrad.PerpGrad`)
    """
    return PerpGrad()


@part("clip")
def clip(length: float = 1.0, over: Over = "all") -> Rule:
    """No step sees a gradient longer than a length.

    Args:
        length: of all weights together.
        over: all that are trained, or the learner's alone, without those that terms bring.

    Source: Pascanu et al., ICML 2013 (`holdfast.anchor.clip.Clip`)
    """
    return Clip(length, over)


@part("random_subspace")
def random_subspace(d: float = 0.1, seed: int = 0) -> Rule:
    """The weights of a task move in random directions alone.

    Args:
        d: how many; below 1 a share of the weights that move.
        seed: of them.

    Source: Li et al., ICLR 2018 (`holdfast.anchor.random_subspace.RandomSubspace`)
    """
    return RandomSubspace(d, seed)


@part("stablemax")
def stablemax() -> Change:
    """Every cross-entropy of the method with StableMax for its softmax.

    Source: Prieto et al., ICLR 2025 (`holdfast.loss.stablemax.StableMax`)
    """
    make = lambda ce: StableMax(ce.classes, ce.on)
    return in_place_of_cross_entropy("stablemax", make, everywhere=True)
