"""Orthogonal: the gradient of the task or of the anchors, without its part along the other."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from holdfast.anchor.rule import Named, Rule
from holdfast.core.errors import ConfigError
from holdfast.core.step import Step
from holdfast.loss.checks import require_option

Keep = Literal["task", "anchor", "neither"]
When = Literal["always", "conflict"]
LEAST = 1e-10  # a smaller square of a length is none


def inner(a: Named, b: Named) -> Tensor:
    """<a, b> of two gradients as vectors, a scalar."""
    terms = [(g * b[name]).sum() for name, g in a.items()]
    return torch.stack(terms).sum() if terms else torch.zeros(())


def along(a: Named, b: Named, when: When) -> Tensor:
    """The factor c of off(a, b) = a - c b: <a, b> / max(<b, b>, 1e-10); 0 without a conflict.

    Args:
        a: gradients by name.
        b: gradients of the same names.
        when: ``always``, or ``conflict``: only where <a, b> is negative.
    """
    both = inner(a, b)
    c = both / inner(b, b).clamp_min(LEAST)
    return c if when == "always" else torch.where(both < 0, c, torch.zeros_like(c))


def off(a: Named, b: Named, when: When = "always") -> Named:
    """A without its part along b, over all weights as one vector (`along`).

    Args:
        a: gradients by name.
        b: gradients of the same names.
        when: as for `along`.

    >>> off({"w": torch.tensor([3.0, 4.0])}, {"w": torch.tensor([0.0, 2.0])})["w"].tolist()
    [3.0, 0.0]
    """
    c = along(a, b, when)
    return {name: g - c * b[name] for name, g in a.items()}


class Orthogonal(Rule):
    """One of the gradients of task and anchors is left, the other acts only across it.

    ``keep="anchor"``: off(g_task, g_anchor) + add g_anchor: the task may not undo the anchors. With
    ``add=0``, when="conflict" and a memory's loss for the anchor this is A-GEM.
    ``keep="task"``: g_task + add off(g_anchor, g_task): the anchors cannot stop the task. It is plasticity
    that this protects, and the two never balance; when="always" is the form of O-DICE.
    ``keep="neither"``: off(g_task, g_anchor) + add off(g_anchor, g_task), each against the other as it was:
    with when="conflict" the form of PCGrad for two losses.

    off(a, b) = a - <a, b> / max(<b, b>, 1e-10) b, over all weights as one vector. Records the
    ``cosine`` of the two gradients. One global direction among millions is rarely in conflict, and
    Adam changes the step again after it.

    Args:
        keep: ``anchor``, ``task`` or ``neither``.
        when: ``conflict``: only where the two point against each other; or ``always``.
        add: factor on the anchors' gradient.

    Raises:
        ConfigError: for another word, or a negative factor.

    Source: Chaudhry et al., *Efficient lifelong learning with A-GEM*, ICLR 2019, read in mammoth's
        models/agem.py; Yu et al., *Gradient surgery* (PCGrad), NeurIPS 2020, read in
        WeiChengTseng/Pytorch-PCGrad; Mao et al., *ODICE*, ICLR 2024, read in the authors' code
    """

    needs_split = True

    def __init__(self, keep: Keep = "anchor", when: When = "conflict", add: float = 1.0):
        super().__init__()
        require_option("gradient that is kept", keep, get_args(Keep))
        require_option("occasion", when, get_args(When))
        if not add >= 0:
            raise ConfigError(f"the factor add must be at least 0, not {add}.")
        self.keep, self.add = keep, add
        self.when: When = when

    def split(self, task: Named, anchors: Named, step: Step) -> tuple[Named, Named]:
        """The two, of which one or both have lost what lies along the other."""
        a, b = task, anchors
        if self.keep != "task":
            a = off(task, anchors, self.when)
        if self.keep != "anchor":
            b = off(anchors, task, self.when)
        lengths = (inner(task, task) * inner(anchors, anchors)).sqrt()
        if step.has_past:
            step.record("cosine", inner(task, anchors) / lengths.clamp_min(LEAST))
        return a, {name: self.add * g for name, g in b.items()}
