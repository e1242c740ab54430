"""A linear head trained on draws from stored class Gaussians: rehearsal without an image."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.errors import ConfigError
from holdfast.learner.learner import Output
from holdfast.readout.drift import DriftName
from holdfast.readout.gaussian import ClassGaussian, Gaussian, SharedGaussian
from holdfast.readout.probe import fit_softmax
from holdfast.readout.readout import Lesson, Readout, Space
from holdfast.readout.scatter import Structure


class PseudoHead(Readout):
    """Softmax regression over all classes on pseudo-features alone, drawn anew when a task ends.

    Stored are the statistics of the Gaussian it draws from and K (1 + f) weights.

    Args:
        on: ``features``, ``hidden`` or ``embedding``.
        each: draws of every class.
        decay: weight decay on standardised features.
        structure: ``shared`` draws from one covariance; full, diagonal and low_rank from one a class.
        rank: of low_rank.
        drift: how the stored statistics follow the network.
        seed: of the draws.

    Raises:
        ConfigError: for fewer than two draws, or a structure without covariance.

    Source: Zhu et al., *Prototype augmentation and self-supervision* (PASS), CVPR 2021, with covariances
    """

    name = "pseudo-head"

    def __init__(
        self,
        on: Space = "features",
        each: int = 200,
        decay: float = 1e-3,
        structure: Structure = "shared",
        rank: int = 8,
        drift: DriftName = "ridge",
        seed: int = 0,
    ):
        super().__init__(on)
        if each < 2:
            raise ConfigError(f"a pseudo-head needs at least 2 draws of a class, not {each}.")
        self.source: Gaussian = (
            SharedGaussian(on, drift=drift)
            if structure == "shared"
            else ClassGaussian(on, structure=structure, rank=rank, drift=drift)
        )
        self.needs_past = self.source.needs_past
        self.residuals = self.source.residuals
        self.each, self.decay, self.seed = each, decay, seed
        self.solved: dict[str, Tensor] = {}

    def fit(self, lesson: Lesson) -> None:
        """Take the task into the Gaussians, draw from all of them, and train."""
        self.source.fit(lesson)
        x, y = self.source.draw(self.each, self.seed)
        mean, std = x.mean(0), x.std(0).clamp_min(1e-6)
        weight, bias = fit_softmax((x - mean) / std, y, lesson.classes, self.decay)
        bias = bias.masked_fill(~self.source.known.met, -torch.inf)
        self.solved = {"weight": weight / std, "bias": bias - weight @ (mean / std)}

    def scores(self, out: Output) -> Float[Tensor, "n k"]:
        """X W^T + b."""
        x = self.source.read(out)
        return (x @ self.solved["weight"].T + self.solved["bias"]).float()

    def get_extra_state(self) -> dict[str, Tensor]:
        """The classifier; the Gaussians have their own state."""
        return self.solved

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take over a classifier."""
        self.solved = state
