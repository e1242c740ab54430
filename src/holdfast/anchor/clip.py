"""Clip: no step sees a gradient longer than a length."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch

from holdfast.anchor.rule import Named, Rule
from holdfast.core.errors import ConfigError, unknown
from holdfast.core.step import Step

Over = Literal["all", "learner"]


class Clip(Rule):
    """g <- g min(1, length / ||g||), the norm over all weights together.

    It keeps training from running away where nothing else does, as with batch statistics that are held
    (`holdfast.recipes.Method`, ``hold_norms``). Records ``gradient``, the length before.

    Args:
        length: the longest gradient.
        over: all weights that are trained, or those of the learner alone: weights that terms bring
            themselves, as maps between networks, then neither count nor are clipped.

    Raises:
        ConfigError: for a length that is not above 0, or other weights.

    Source: Pascanu, Mikolov, Bengio, *On the difficulty of training recurrent neural networks*, ICML 2013
    """

    def __init__(self, length: float = 1.0, over: Over = "all"):
        super().__init__()
        if over not in get_args(Over):
            raise unknown("weights to clip", str(over), get_args(Over))
        if not (length > 0 and math.isfinite(length)):
            raise ConfigError(f"a gradient is clipped at a length above 0, not {length}.")
        self.length, self.over = length, over
        self.with_terms = over == "all"

    def gradient(self, gradient: Named, step: Step) -> Named:
        """The gradient, no longer than the length."""
        if not gradient:
            return gradient
        norms = torch.stack([g.detach().norm() for g in gradient.values()])
        norm = norms.norm()
        step.record("gradient", norm)
        scale = self.length / norm.clamp_min(self.length)
        return {name: g * scale for name, g in gradient.items()}
