"""Feature anchors: the backbone must say of an input what the past one said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.core.errors import ConfigError, DataError
from holdfast.core.numerics import at_least_float32, in_float64, to_float
from holdfast.core.output import outputs
from holdfast.core.step import Part, Step
from holdfast.learner.stages import showing_stages
from holdfast.loss.checks import require_option, require_pair
from holdfast.loss.term import Term

if TYPE_CHECKING:
    from holdfast.core.rows import Rows
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task

Distance = Literal["square", "cosine"]
Space = Literal["features", "embedding"]
AnySpace = Literal["features", "embedding", "stages"]
LEAST_SPREAD = 0.1  # of the mean squared length, below which features count as one point
NARROW = 0.05  # of the kept spread of features, below which rows may be one scene
NARROW_INPUTS = 0.2  # of the kept spread of inputs, below which they are
LEAST_LENGTH = 1e-3  # of the past row's length, below which a direction is no longer followed


def feature_distillation(
    now: Float[Tensor, "n f"],
    past: Float[Tensor, "n f"],
    distance: Distance = "square",
    spread: float | None = None,
) -> Float[Tensor, ""]:
    """mean_i ||h_i - h*_i||^2 / s, or mean_i (1 - cos(h_i, h*_i)).

    s = mean_i ||h*_i - mean h*||^2, the past features' spread, so that a weight means one strength
    whatever their scale and width. Rows that are alike have none: then s is a tenth of their mean
    squared length. Rows with h*_i = 0 have no direction to keep and count 0 for the cosine.

    Args:
        now: (N, f) features of the learner.
        past: (N, f) those of the past network; no gradient flows into them.
        distance: ``square`` or ``cosine``.
        spread: s of other rows, in place of these rows' own.

    Raises:
        ConfigError: for an unknown distance, or a spread that is not positive.
        DataError: for tensors of two shapes.

    Source: Jung et al., *Less-forgetting learning*, 2016; Hou et al. (LUCIR), CVPR 2019, for the cosine

    >>> h = torch.tensor([[0.0, 2.0], [0.0, 4.0]])  # the spread is 1
    >>> feature_distillation(h + torch.tensor([2.0, 0.0]), h)
    tensor(4.)
    """
    require_option("distance", distance, get_args(Distance))
    require_pair("features", now, past)
    if spread is not None and not 0 < spread < float("inf"):
        raise ConfigError(f"the spread of features must be positive, not {spread}.")
    now, past = at_least_float32(now), at_least_float32(past.detach())
    if not len(now):
        return now.sum() * 0.0
    if distance == "cosine":
        return _one_minus_cosine(now, past).mean()
    s = _spread(*_moments(past)) if spread is None else spread
    return ((now - past) ** 2).sum(1).mean() / s


def stage_distillation(
    now: Sequence[Float[Tensor, "n _"]],
    past: Sequence[Float[Tensor, "n _"]],
    distance: Distance = "square",
    spreads: Sequence[float] | None = None,
    rising: float = 0.0,
) -> Float[Tensor, ""]:
    """sum_l (l / L)^rising of the `feature_distillation` of stage l of L.

    Args:
        now: L tensors (N, f_l), the learner's stages.
        past: those of the past network.
        distance: ``square`` or ``cosine``.
        spreads: s_l of other rows, in place of these rows' own.
        rising: 0 counts all stages alike; the larger, the freer are the early ones.

    Raises:
        DataError: for another number of stages, or of another width.

    Source: after Ye et al., ACL 2021, which takes a mean over all entries of all layers and one weight
    """
    if len(now) != len(past):
        raise DataError(
            f"the past network has {len(past)} stages and the learner {len(now)}: only networks of one "
            "architecture can be held stage by stage."
        )
    values = (
        ((stage + 1) / len(now)) ** rising
        * feature_distillation(a, b, distance, None if spreads is None else spreads[stage])
        for stage, (a, b) in enumerate(zip(now, past))
    )
    return torch.stack(list(values)).sum()


def _one_minus_cosine(now: Tensor, past: Tensor) -> Float[Tensor, " n"]:
    """1 - cos(h_i, h*_i), whose gradient stays finite where h_i is 0; 0 where h*_i is."""
    length = past.norm(dim=1)
    product = torch.maximum(now.norm(dim=1) * length, LEAST_LENGTH * length**2)
    there = length > 0
    cosine = (now * past).sum(1) / torch.where(there, product, 1.0)
    return torch.where(there, 1 - cosine, 0.0)


def _moments(h: Float[Tensor, "n f"]) -> tuple[Tensor, Tensor]:
    """Mean ||h - mean h||^2 and mean ||h||^2."""
    return ((h - h.mean(0)) ** 2).sum(1).mean(), (h**2).sum(1).mean()


def _spread(spread: Tensor, square: Tensor) -> Tensor:
    """The spread, where it is one; a share of the mean squared length, where rows are alike."""
    return torch.maximum(spread, LEAST_SPREAD * square).clamp_min(1e-12)


def _input_spread(rows: Rows) -> Float[Tensor, ""]:
    """mean_i ||x_i - mean x||^2 of rows at rest, in float64 on the CPU, batch by batch."""
    first = in_float64(to_float(rows.x[:1])).flatten(1)
    total, square = torch.zeros_like(first[0]), torch.zeros_like(first[0, 0])
    for batch in rows.batches(1024):
        away = in_float64(to_float(batch.x)).flatten(1) - first
        total, square = total + away.sum(0), square + away.square().sum()
    return (square / len(rows) - (total / len(rows)).square().sum()).clamp_min(0).cpu()


class FeatureDistillation(Term):
    """`feature_distillation` of the current inputs' features, embeddings, or stages of the backbone.

    Of stages it is the sum over all, `stage_distillation`. The spread, of each stage, is that of the
    earlier tasks' rows, measured when each task ended (their mean, weighted by rows) and kept as two
    numbers a space: what a batch happens to hold, one row or frames of one scene, has no say in it.
    Before any task was measured, as in a state of an older format, it is the batch's own.

    A task whose rows are all alike, as inputs and to the network (a single row, frames of one scene:
    spreads below a fifth and a twentieth of the kept ones), says where the features stay at one point
    and nothing of the rest; the backbone, batch statistics included, is then held as it is while that
    task is learned.

    Args:
        distance: ``square`` or ``cosine``.
        of: ``features``, ``embedding`` or ``stages``.
        on: the part it is asked of.
        rising: of stages, as for `stage_distillation`.

    Raises:
        ConfigError: for an unknown distance or space, or rising below 0.

    Source: as for the functions; stages: [V] read in code (QuantiDCE's trainer)
    """

    needs_past = True
    label = "features"

    def __init__(
        self,
        distance: Distance = "square",
        of: AnySpace = "features",
        on: str = "batch",
        rising: float = 0.0,
    ):
        super().__init__()
        require_option("distance", distance, get_args(Distance))
        require_option("feature space", of, get_args(AnySpace))
        self.distance: Distance = distance
        if not 0 <= rising < float("inf"):
            raise ConfigError(f"rising must be a number from 0 on, not {rising}.")
        self.of, self.on, self.rising = of, on, rising
        self.reads = (of,)
        # rows measured; means over rows of each space's spread and square, and of the inputs' spread
        self.moments = torch.zeros(4, dtype=torch.float64)
        self._spreads: list[float] | None = None

    @property
    def spread(self) -> float | None:
        """The spread of the earlier tasks' rows, of stages the last one's; None before any was measured."""
        return None if self._spreads is None else self._spreads[-1]

    def _keep(self, moments: Float[Tensor, " m"]) -> None:
        self.moments = moments
        spaces = moments[1:-1].view(-1, 2)
        self._spreads = [float(_spread(*space)) for space in spaces] if moments[0] else None

    def value(self, part: Part, step: Step) -> Tensor:
        """The mean over the part's rows."""
        now, past = getattr(part.out, self.of), getattr(part.past, self.of)
        if self.of == "stages":
            if now is None or past is None:
                raise ConfigError("a network of this step shows no stages: call its show_stages().")
            return stage_distillation(now, past, self.distance, self._spreads, self.rising)
        return feature_distillation(now, past, self.distance, self.spread)

    def begin(self, learner: Learner, task: Task) -> None:
        """Hold the backbone for a task whose rows are all alike."""
        if self._spreads is not None:
            *spaces, inputs = self._measured(learner, task).tolist()
            narrow = all(a <= NARROW * b for a, b in zip(spaces[::2], self._spreads, strict=True))
            self.holds_backbone = narrow and inputs <= NARROW_INPUTS * float(self.moments[-1])

    def consolidate(self, learner: Learner, task: Task, past: Learner | None = None) -> None:
        """Measure the task's rows, as the past network of the next tasks will see them."""
        self.holds_backbone = False
        rows = self.moments[0] + len(task.train)
        measured = self._measured(learner, task)
        before = self.moments[1:] if self.moments[0] else torch.zeros_like(measured)
        means = before + (measured - before) * (len(task.train) / rows)
        self._keep(torch.cat([rows[None], means]))

    def _measured(self, learner: Learner, task: Task) -> Float[Tensor, " m"]:
        """What `moments` are the means of, of a task's rows, in float64 on the CPU."""
        if self.of == "stages":
            with showing_stages(learner):
                spaces = outputs(learner, task.train).stages or ()
        else:
            spaces = (getattr(outputs(learner, task.train), self.of),)
        values = [value.cpu().double() for h in spaces for value in _moments(h)]
        return torch.stack([*values, _input_spread(task.train)])

    def get_extra_state(self) -> dict[str, Any]:
        """The moments measured, and whether the task that is being learned holds the backbone."""
        return {"moments": self.moments, "holds_backbone": self.holds_backbone}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take over the moments; a state of an older format has none."""
        if state:
            self._keep(state["moments"].cpu())
            self.holds_backbone = bool(state["holds_backbone"])

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ):
        """As any module's, for a state of an older format too."""
        state_dict.setdefault(f"{prefix}_extra_state", {})
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
