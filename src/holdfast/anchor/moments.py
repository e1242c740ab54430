"""Adam for what a rule trains itself: numbers that are no weights of the network."""

from __future__ import annotations

from typing import Any

import torch

from holdfast.anchor.rule import Named

BETAS, TINY = (0.9, 0.999), 1e-8


class Adam:
    """x -= lr (m^ / (sqrt(v^) + 1e-8) + decay x), m^ and v^ the bias-corrected moments of the gradient.

    Source: Kingma, Ba, 2015; the decoupled decay: Loshchilov, Hutter, 2019
    """

    def __init__(self):
        self.steps = 0
        self.first: Named = {}
        self.second: Named = {}

    @torch.no_grad()
    def step(self, values: Named, slopes: Named, lr: float, decay: float = 0.0) -> None:
        """Move values in place.

        Args:
            values: by name.
            slopes: the loss's gradient by each of them; those without one stay.
            lr: learning rate.
            decay: of the values.
        """
        self.steps += 1
        (a, b), t = BETAS, self.steps
        for name, g in slopes.items():
            m = self.first.setdefault(name, torch.zeros_like(g)).lerp_(g, 1 - a)
            v = self.second.setdefault(name, torch.zeros_like(g)).lerp_(g.square(), 1 - b)
            scale = (v / (1 - b**t)).sqrt_().add_(TINY)
            values[name].mul_(1 - lr * decay).addcdiv_(m / (1 - a**t), scale, value=-lr)

    def state(self) -> dict[str, Any]:
        """Moments and steps."""
        return {"steps": self.steps, "first": dict(self.first), "second": dict(self.second)}

    @staticmethod
    def load(state: dict[str, Any]) -> Adam:
        """From `state`."""
        adam = Adam()
        adam.steps = int(state["steps"])
        adam.first = {n: t.clone() for n, t in state["first"].items()}
        adam.second = {n: t.clone() for n, t in state["second"].items()}
        return adam
