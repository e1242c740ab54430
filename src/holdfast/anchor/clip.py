"""Clip: no step sees a gradient longer than a length."""

from __future__ import annotations

import math

import torch

from holdfast.anchor.rule import Named, Rule
from holdfast.core.errors import ConfigError
from holdfast.core.step import Step


class Clip(Rule):
    """g <- g min(1, length / ||g||), the norm over all of the learner's weights together.

    It keeps training from running away where nothing else does, as with batch statistics that are held
    (`holdfast.recipes.Method`, ``hold_norms``). Records ``gradient``, the length before.

    Args:
        length: the longest gradient; weights of terms, as maps between networks, do not count.

    Raises:
        ConfigError: for a length that is not above 0.

    Source: Pascanu, Mikolov, Bengio, *On the difficulty of training recurrent neural networks*, ICML 2013
    """

    def __init__(self, length: float = 1.0):
        super().__init__()
        if not (length > 0 and math.isfinite(length)):
            raise ConfigError(f"a gradient is clipped at a length above 0, not {length}.")
        self.length = length

    def gradient(self, gradient: Named, step: Step) -> Named:
        """The gradient, no longer than the length."""
        if not gradient:
            return gradient
        norms = torch.stack([g.detach().norm() for g in gradient.values()])
        norm = norms.norm()
        step.record("gradient", norm)
        scale = self.length / norm.clamp_min(self.length)
        return {name: g * scale for name, g in gradient.items()}
