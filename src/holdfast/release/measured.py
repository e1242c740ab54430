"""Measure: what a version says of labelled images, and how far it can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from holdfast.metrics.accuracy import by_class
from holdfast.metrics.calibration import ece_floor, expected_calibration_error
from holdfast.readout.streaming import Streaming
from holdfast.train.continual import Continual

BATCH = 256


@dataclass(frozen=True)
class Measured:
    """Answers to N labelled images.

    Attributes:
        classes: that the version knows.
        labels: true ones, one an image.
        predicted: (N,) places among the classes.
        probabilities: (N, K).
        strange: (N,) how strange each looks; None where the readout cannot say.
        threshold: above it an image is unknown; None where it was not measured.
        false_alarms: share of known images that may be called unknown.
    """

    classes: list[str]
    labels: list[str]
    predicted: Int[Tensor, " n"]
    probabilities: Float[Tensor, "n k"]
    strange: Float[Tensor, " n"] | None = None
    threshold: float | None = None
    false_alarms: float = 0.05

    @property
    def right(self) -> list[bool]:
        """Whether each was right; an image of a class it does not know is not."""
        return [self.classes[k] == y for k, y in zip(self.predicted.tolist(), self.labels)]

    @property
    def known(self) -> Bool[Tensor, " n"]:
        """(N,) whether each is of a class that the version knows."""
        classes = set(self.classes)
        return torch.tensor([label in classes for label in self.labels], dtype=torch.bool)

    def counts(self) -> dict[str, tuple[int, int]]:
        """Right ones, of how many, for each class among the labels."""
        return by_class(self.labels, self.right)

    def calibration(self) -> tuple[float, float] | None:
        """Expected calibration error on images of known classes, and what chance alone would show."""
        known = self.known
        if not bool(known.any()):
            return None
        place = {name: k for k, name in enumerate(self.classes)}
        y = torch.tensor([place[label] for label in self.labels if label in place])
        p = self.probabilities[known]
        return expected_calibration_error(p, y), ece_floor(p, draws=20)

    def alarms(self) -> tuple[int, int] | None:
        """Images of known classes that are called unknown, of how many; None if it cannot tell."""
        if self.strange is None or self.threshold is None:
            return None
        strange = self.strange[self.known]
        return int((strange > self.threshold).sum()), len(strange)


@torch.no_grad()
def measure(
    core: Continual,
    x: Shaped[Tensor, "n ..."],
    labels: Sequence[str],
    false_alarms: float = 0.05,
) -> Measured:
    """What a learner says of images, by its main readout.

    Args:
        core: the learner, with a task learned.
        x: (N, C, H, W) pixels or (N, D) features, as it takes them.
        labels: true ones.
        false_alarms: share of known images that may be called unknown.
    """
    readout = core.readouts[core.readout]
    streaming = readout if isinstance(readout, Streaming) else None
    can_tell = streaming is not None and len(streaming.confidence.reach) > 0
    probabilities, strange = [torch.zeros(0, len(core.labels))], []
    for piece in x.split(BATCH):
        out = core.out(piece)
        probabilities.append(readout.probabilities_of(readout.scores(out)).float().cpu())
        if streaming is not None and can_tell:
            strange.append(streaming.strange(out).cpu())
    p = torch.cat(probabilities)
    return Measured(
        [str(label) for label in core.labels],
        list(labels),
        p.argmax(1) if len(p) else torch.zeros(0, dtype=torch.long),
        p,
        torch.cat(strange) if strange else None,
        streaming.threshold(false_alarms) if streaming is not None and can_tell else None,
        false_alarms,
    )
