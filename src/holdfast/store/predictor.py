"""Predictor: a stored model in use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from holdfast.continual import Continual
from holdfast.errors import ConfigError
from holdfast.readout.readout import Readout
from holdfast.stream.gather import Skipped, read


@dataclass(frozen=True)
class Predictions:
    """What a model says of N inputs.

    Attributes:
        label: (N,) index of the class with the largest score.
        probability: (N,) of that class.
        probabilities: (N, K) of every class.
        unknown: (N,) whether an input is too far from every class; None where the readout cannot tell.
    """

    label: Int[Tensor, " n"]
    probability: Float[Tensor, " n"]
    probabilities: Float[Tensor, "n k"]
    unknown: Bool[Tensor, " n"] | None


class Predictor:
    """Answers of a learner, batch by batch.

    Args:
        core: the learner.
        readout: which of its readouts decides; None takes the main one.
        batch: inputs at a time.

    Attributes:
        classes: names, in the order of the labels.
        calibrated: whether the readout's probabilities were calibrated.

    Raises:
        ConfigError: for a readout that the model does not have.
    """

    def __init__(self, core: Continual, readout: str | None = None, batch: int = 256):
        if readout not in (None, *core.readouts):
            known = ", ".join(core.readouts)
            raise ConfigError(f"this model has no readout '{readout}': it has {known}.")
        self.core, self.batch = core, batch
        self.readout = core.readouts[readout or core.readout]
        self.classes = [str(label) for label in core.labels]
        self.calibrated = calibrated(self.readout)

    @torch.no_grad()
    def __call__(self, x: Shaped[Tensor, "n ..."], false_alarms: float = 0.05) -> Predictions:
        """Labels, probabilities, and whether an input is of no class it knows.

        Args:
            x: (N, C, H, W) uint8 pixels or (N, D) float features, of the model's input shape.
            false_alarms: share of known inputs that may be called unknown.

        Raises:
            ConfigError: for inputs of another shape.
        """
        if tuple(x.shape[1:]) != tuple(self.core.learner.shape):
            raise ConfigError(
                f"inputs have shape {tuple(x.shape[1:])}, but this model takes "
                f"{tuple(self.core.learner.shape)}."
            )
        pieces, strange = [torch.zeros(0, len(self.classes))], []
        tells = getattr(self.readout, "unknown", None)
        for piece in x.split(self.batch) if len(x) else ():
            out = self.core.out(piece)
            scores = self.readout.scores(out)
            to_p = getattr(self.readout, "calibrated", lambda s: torch.softmax(s, 1))
            pieces.append(to_p(scores).float().cpu())
            if tells is not None:
                strange.append(tells(out, false_alarms).cpu())
        p = torch.cat(pieces)
        best = p.max(1) if len(p) else (p.new_zeros(0), torch.zeros(0, dtype=torch.long))
        return Predictions(best[1], best[0], p, torch.cat(strange) if strange else None)

    def read(self, files: Sequence[Path]) -> tuple[Tensor, list[int], Skipped]:
        """Image files at the model's size: see `holdfast.stream.gather.read`.

        Raises:
            ConfigError: for a model of feature vectors or of images that are not RGB squares.
        """
        return read(files, self.size)

    @property
    def size(self) -> int:
        """Side of the images it takes (ConfigError if it takes none)."""
        shape = self.core.learner.shape
        if len(shape) != 3 or shape[0] != 3 or shape[1] != shape[2]:
            raise ConfigError(f"this model takes inputs of shape {tuple(shape)}, not image files.")
        return shape[1]

    def accuracies(self, x: Tensor, labels: Sequence[str]) -> dict[str, tuple[int, int]]:
        """For each class name among the labels: how many inputs are right, of how many.

        A class that the model does not know has none right.
        """
        said = [self.classes[i] for i in self(x).label.tolist()]
        pairs = list(zip(said, labels, strict=True))
        return {
            name: (
                sum(pair == (name, name) for pair in pairs),
                sum(true == name for _, true in pairs),
            )
            for name in sorted(set(labels))
        }


def calibrated(readout: Readout) -> bool:
    """Whether a readout has fitted a temperature to its scores."""
    return getattr(readout, "temperature", 1.0) != 1.0


def share(counts: dict[str, tuple[int, int]]) -> float:
    """Accuracy over all inputs of a count by class; nan for none."""
    total = sum(n for _, n in counts.values())
    return sum(right for right, _ in counts.values()) / total if total else float("nan")
