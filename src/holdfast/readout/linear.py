"""Linear layers on the features: the learner's own head, a probe, and a head trained on draws."""

from __future__ import annotations

from typing import get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from holdfast.core.errors import ConfigError
from holdfast.core.numerics import in_float64
from holdfast.core.output import Output, outputs
from holdfast.core.rows import cat, row_weights
from holdfast.loss.checks import require_option
from holdfast.readout.contexts import FitContext
from holdfast.readout.decision import linear_layer
from holdfast.readout.forgetting import rest_of
from holdfast.readout.readout import Readout, Space, register
from holdfast.statistics.covariance import ClassCovariance, SharedCovariance
from holdfast.statistics.deviations import AGAIN
from holdfast.statistics.drift import DriftName
from holdfast.statistics.gaussian_source import GaussianSource
from holdfast.statistics.kinds import ScatterKind
from holdfast.statistics.softmax import Solver, balanced_shares, fit_softmax
from holdfast.statistics.tracker import check_rows


@register("head")
class Head(Readout):
    """argmax of the trained logits of the classes seen: nothing is stored."""

    label = "head"
    needs_head = True

    def __init__(self):
        super().__init__()
        self.seen: int | None = None

    def fit(self, context: FitContext) -> None:
        """Only the number of classes is needed: a head may be wider from the start."""
        self.seen = context.classes

    def scores(self, out: Output) -> Float[Tensor, "n k"]:
        """The logits."""
        return self.select(out)

    def select(self, out: Output) -> Float[Tensor, "n k"]:
        """The logits of the classes seen."""
        return out.logits[:, : self.seen]

    def network(self, width: int) -> nn.Module:
        """The logits are the scores."""
        return nn.Identity()

    def get_extra_state(self) -> int | None:
        """How many classes were seen."""
        return self.seen

    def set_extra_state(self, state: int | None) -> None:
        """Take over their number."""
        self.seen = state


class LinearReadout(Readout):
    """Scores x W^T + b; a subclass solves for W and b when it is fitted.

    Attributes:
        solved: ``weight`` (K, f) and ``bias`` (K,).
    """

    def __init__(self, on: Space = "features"):
        super().__init__(on)
        self.solved: dict[str, Tensor] = {}

    def scores(self, out: Output) -> Float[Tensor, "n k"]:
        """X W^T + b."""
        return self.select(out).float() @ self.solved["weight"].T + self.solved["bias"]

    def network(self, width: int) -> nn.Module:
        """A linear layer."""
        return linear_layer(self.solved["weight"], self.solved["bias"])

    def get_extra_state(self) -> dict[str, Tensor]:
        """The layer."""
        return self.solved

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take over a layer."""
        self.solved = state


@register("probe")
class LinearProbe(LinearReadout):
    """Class-balanced linear classifier on the current task's rows and the stored images.

    A row with a weight (`holdfast.core.rows.row_weights`) counts as so many rows of its class.

    Args:
        on: ``features``, ``hidden`` or ``embedding``.
        decay: weight decay on standardised features.
        solver: ``lbfgs``, or ``normalised`` steps until no row is wrong (`separate`), without decay.

    Raises:
        ConfigError: for another solver.

    Source: docs/theory.md, section 9
    """

    label = "probe"
    uses_images = True
    weighs = True
    solver: Solver = "lbfgs"

    def __init__(self, on: Space = "features", decay: float = 1e-3, solver: Solver = "lbfgs"):
        super().__init__(on)
        require_option("solver", solver, get_args(Solver))
        self.decay = decay
        if (
            solver != "lbfgs"
        ):  # else it is no setting of this object: runs begun before it was one go on
            self.solver = solver

    def fit(self, context: FitContext) -> None:
        """Train anew on the task and the memory; a stored row of this task is not used twice."""
        task, stored = context.task, context.memory.rows
        x, tables = self.select(context.out).float(), [task.train]
        if stored is not None and len(old := stored[stored.task < task.index]):
            x = torch.cat([x, self.select(outputs(context.learner, old)).float()])
            tables.append(old)
        rows = cat([table.with_x(table.y) for table in tables])  # all but the inputs
        y, of = rows.y, row_weights(rows)
        share = balanced_shares(y, of)
        mean = share @ x
        std = (share @ (x - mean) ** 2).sqrt().clamp_min(1e-6)
        weight, bias = fit_softmax(
            (x - mean) / std, y, context.classes, self.decay, weight=of, solver=self.solver
        )
        self.solved = {"weight": weight / std, "bias": bias - weight @ (mean / std)}


@register("pseudo-head")
class PseudoHead(LinearReadout):
    """Softmax regression over all classes on pseudo-features alone, drawn anew when a task ends.

    Stored are the statistics of the Gaussians it draws from and K (1 + f) weights.

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

    label = "pseudo-head"
    weighs = True

    def __init__(
        self,
        on: Space = "features",
        each: int = 200,
        decay: float = 1e-3,
        structure: ScatterKind = "shared",
        rank: int = 8,
        drift: DriftName = "ridge",
        seed: int = 0,
    ):
        super().__init__(on)
        if each < 2:
            raise ConfigError(f"a pseudo-head needs at least 2 draws of a class, not {each}.")
        if structure == "none":
            raise ConfigError(
                "a pseudo-head draws by a covariance: structure=none must be shared, full, diagonal "
                "or low_rank."
            )
        covariance = SharedCovariance() if structure == "shared" else ClassCovariance()
        self.source = GaussianSource(drift, covariance, structure, rank)
        self.needs_past = self.source.tracker.follows
        tracker = self.source.tracker
        self.residuals, self.forecasts = tracker.residuals, tracker.forecasts
        self.structure, self.rank, self.drift = structure, rank, drift
        self.each, self.decay, self.seed = each, decay, seed

    def fit(self, context: FitContext) -> None:
        """Take the task into the Gaussians, draw from all of them, and train."""
        rows, y = self.select(context.out), context.task.train.y
        check_rows(rows, y, context.task, f"the readout {self.name}", self.on)
        past = context.past_out if self.needs_past else None
        past = None if past is None else self.select(past)
        self.source.update(rows, y, context.classes, past, row_weights(context.task.train))
        self._train(context.classes)

    def forget(self, out: Output, y: Int[Tensor, " n"], slack: float = AGAIN) -> dict[str, str]:
        """Take rows out of the Gaussians, and train anew on draws; see `Readout.forget`."""
        tracker, x = self.source.tracker, in_float64(self.select(out))
        tracker.statistics = rest_of(tracker, self.name, x, y, slack)
        self._train(len(tracker.statistics.count))
        return {}

    def _train(self, classes: int) -> None:
        """Softmax regression on draws of every class."""
        x, y = self.source.draw(self.each, self.seed)
        mean, std = x.mean(0), x.std(0).clamp_min(1e-6)
        weight, bias = fit_softmax((x - mean) / std, y, classes, self.decay)
        bias = bias.masked_fill(~self.source.known.met, -torch.inf)
        self.solved = {"weight": weight / std, "bias": bias - weight @ (mean / std)}

    def scores(self, out: Output) -> Float[Tensor, "n k"]:
        """X W^T + b, in float64."""
        rows = in_float64(self.select(out))
        scores = rows @ self.solved["weight"].to(rows).T + self.solved["bias"].to(rows)
        return scores.float().to(out.features.device)
