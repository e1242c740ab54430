"""Unsure: what held-out rows say of a readout's own answers: a temperature, and what is unknown."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from holdfast.core.output import Output
from holdfast.readout.confidence import Confidence
from holdfast.readout.readout import Readout


class Unsure(Readout):
    """A readout that measures how far it can be believed; a subclass says when.

    Attributes:
        confidence: what was measured.
    """

    confidence: Confidence

    @property
    def temperature(self) -> float:
        """Of `probabilities`."""
        return self.confidence.temperature

    @temperature.setter
    def temperature(self, value: float) -> None:
        self.confidence = replace(self.confidence, temperature=value)

    def threshold(self, rate: float = 0.05) -> float:
        """The strangeness beyond which an input is unknown, see `Confidence.threshold`."""
        return self.confidence.threshold(rate)

    def unknown(self, out: Output, rate: float = 0.05) -> Bool[Tensor, " n"]:
        """(N,) whether an input is too strange to be of any class; none is where nothing was measured."""
        strange = self.strange(out)
        if not len(self.confidence.reach):
            return torch.zeros_like(strange, dtype=torch.bool)
        return strange > self.threshold(rate)
