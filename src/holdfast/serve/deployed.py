"""A stored model as one network: pixels to scores, probabilities and how strange an input is."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from holdfast.core.numerics import to_float
from holdfast.readout.decision import ClassWhitening, SharedWhitening, Whitening
from holdfast.readout.readout import Readout
from holdfast.readout.streaming import Streaming
from holdfast.serve.export import Scores

if TYPE_CHECKING:
    from holdfast.train.continual import Continual


@dataclass(frozen=True)
class UnknownRule:
    """An input is unknown if its score is above a threshold.

    Attributes:
        network: (N, f) rows of what the readout reads to (N,) scores.
        threshold: for the share of false alarms.
        false_alarms: share of known inputs that may be called unknown.
    """

    network: nn.Module
    threshold: float
    false_alarms: float


class Answer(NamedTuple):
    """What a deployed network gives for N inputs.

    Attributes:
        logits: (N, K) scores; the largest decides.
        probabilities: (N, K) softmax(logits / temperature).
        unknown_score: (N,) above the threshold for an unknown input; None if the readout has no rule.
        features: (N, f) of the backbone.
    """

    logits: Float[Tensor, "n k"]
    probabilities: Float[Tensor, "n k"]
    unknown_score: Float[Tensor, " n"] | None
    features: Float[Tensor, "n f"]


class Deployed(nn.Module):
    """(N, C, H, W) uint8 pixels, or (N, D) floats, to `Answer`; all that `Predictor` does in one network.

    Args:
        core: the learner and its readouts.
        false_alarms: share of known inputs that may be called unknown.

    Attributes:
        temperature: of the probabilities.
        rule: which inputs are unknown; None if the readout has no rule that can be a network.
        shift: (K,) what is taken off the unknown score of an input by the class it is taken for; () if
            there is one threshold for all.

    Raises:
        ConfigError: for a readout that is no network.
    """

    shift: Tensor

    def __init__(self, core: Continual, false_alarms: float = 0.05):
        super().__init__()
        self.scores = Scores(core)
        readout = core.readouts[core.readout]
        self.temperature = float(readout.temperature)
        self.rule = unknown_rule(readout, self.scores.width, false_alarms)
        self.strange = None if self.rule is None else self.rule.network
        shift = readout.shift.float().cpu() if isinstance(readout, Streaming) else torch.zeros(0)
        self.register_buffer("shift", shift if bool(shift.any()) else torch.zeros(0))

    def forward(self, x: Shaped[Tensor, "n ..."]) -> Answer:
        """See `Answer`."""
        out = self.scores.learner(to_float(x))
        rows = self.scores.select(out).float()
        logits = self.scores.network(rows)
        unknown = None if self.strange is None else self.strange(rows)
        if unknown is not None and len(self.shift):
            unknown = unknown - self.shift[logits.argmax(1)]
        return Answer(logits, torch.softmax(logits / self.temperature, 1), unknown, out.features)


def unknown_rule(readout: Readout, width: int, false_alarms: float) -> UnknownRule | None:
    """The unknown rule of a fitted readout as a network; None where there is none.

    Args:
        readout: fitted.
        width: f, of the rows that it reads.
        false_alarms: share of known inputs that may be called unknown.
    """
    if not isinstance(readout, Streaming) or not len(readout.confidence.reach):
        return None
    network = readout.strange_network()
    if network is None:
        whitening = getattr(readout, "whitening", None)
        network = None if whitening is None else distances(whitening, readout.known.met)
    if network is None:
        return None
    representation = copy.deepcopy(readout.representation(width)).float()
    rule = nn.Sequential(representation, network).eval()
    return UnknownRule(rule, readout.threshold(false_alarms), false_alarms)


def distances(whitening: Whitening, met: Tensor) -> nn.Module | None:
    """Squared distances to the nearest class as a network; None for an unknown kind of distance."""
    match whitening:
        case SharedWhitening(root, means):
            points = means[met]
            centre = root @ points.mean(0)
            return Nearest(_inverse([root]), points[None] - points.mean(0), centre)
        case ClassWhitening():
            means = whitening.statistics.mean[whitening.classes]
            inverse, centre = _inverse(list(whitening.roots())), means.mean(0)
            points = inverse @ (means - centre)[:, :, None]
            return Nearest(inverse, points.transpose(1, 2), centre)
    return None


def _inverse(roots: Sequence[Tensor]) -> Tensor:
    """(j, f, f) L^-1 of each factor."""
    eye = torch.eye(len(roots[0])).to(roots[0])
    return torch.stack([torch.linalg.solve_triangular(root, eye, upper=False) for root in roots])


class Nearest(nn.Module):
    """min_jk ||W_j (x - c) - v_jk||^2 over every map j and the points that are measured by it.

    Args:
        inverse: (j, f, f) W: one for all classes, or one for each.
        points: (j, k, f) v: all classes' for the one map, or one for each.
        centre: (f,) c, near the rows, so that single precision suffices.
    """

    inverse: Tensor
    points: Tensor
    centre: Tensor

    def __init__(
        self,
        inverse: Float[Tensor, "j f f"],
        points: Float[Tensor, "j k f"],
        centre: Float[Tensor, " f"],
    ):
        super().__init__()
        for name, value in {"inverse": inverse, "points": points, "centre": centre}.items():
            self.register_buffer(name, value.detach().float().cpu().clone())

    def forward(self, x: Float[Tensor, "n f"]) -> Float[Tensor, " n"]:
        """(N, f) to (N,)."""
        white = (x - self.centre)[None] @ self.inverse.transpose(1, 2)
        gap = white[:, :, None] - self.points[:, None]
        return (gap**2).sum(3).amin((0, 2))
