"""Readout: how classes are decided from what the learner says of an input."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from holdfast.core.errors import ConfigError, unknown
from holdfast.core.output import OF_STAGES, Output
from holdfast.core.registry import Registry
from holdfast.learner.prototype import Frame
from holdfast.readout.contexts import FitContext
from holdfast.statistics.deviations import AGAIN

Space = Literal["features", "hidden", "embedding", "stages", "pyramid", "moments", "mirrored"]
SPACES: tuple[Space, ...] = get_args(Space)


class Readout(nn.Module, ABC):
    """Scores over all classes seen so far. It is never told the task of an input.

    Args:
        on: what is read of an output: ``features``, ``hidden`` (of the projector), ``embedding``, or
            ``stages``, the pooled outputs of all stages of the backbone beside each other, ``pyramid``, the
            same pooled over the cells of grids, finer the earlier the stage, ``moments``, means and
            deviations of the cells, or ``mirrored``, moments averaged over an image and its mirror image
            where the views of training are mirrored too. Of a backbone that names no stages, or of which
            nothing is trained, all four are its features.

    Attributes:
        label: its name without settings.
        uses_images: whether it is trained on stored images.
        needs_past: whether it compares with the network as it was before the task.
        needs_head: whether it asks a head that was trained.
        needs_frame: whether its first argument is the method's prototypes.
        needs_states: whether it reads what the network says under each task's state.
        reads: the columns of stages that it reads.
        weighs: whether a row of weight w (`holdfast.core.rows.row_weights`) is learned as w rows.
        temperature: of `probabilities`.
        residuals: of each drift map it fitted (`Drift.residual`).
        forecasts: of each of them (`Drift.forecast`).

    Raises:
        ConfigError: for an unknown space.
    """

    label: str = "readout"
    uses_images: bool = False
    needs_past: bool = False
    needs_head: bool = False
    needs_frame: bool = False
    needs_states: bool = False
    weighs: bool = False

    def __init__(self, on: Space = "features"):
        super().__init__()
        if on not in SPACES:
            raise unknown("feature space", on, SPACES)
        self.on: Space = on
        self.reads: tuple[str, ...] = (on,) if on in OF_STAGES else ()
        self.temperature = 1.0
        self.residuals: list[float | None] = []
        self.forecasts: list[float | None] = []
        self._name = ""

    @property
    def name(self) -> str:
        """The text it was built from, or its label and each setting that is not the default."""
        return self._name or described(self)

    @name.setter
    def name(self, text: str) -> None:
        self._name = text

    @property
    def calibrated(self) -> bool:
        """Whether `temperature` was fitted to rows, so that probabilities can be believed."""
        return False

    def fit(self, context: FitContext) -> None:
        """Take in a task that was just learned."""

    def forget(self, out: Output, y: Int[Tensor, " n"], slack: float = AGAIN) -> dict[str, str]:
        """Go on without rows that were learned, as if they had never come.

        Args:
            out: what the network that the readout reads says of them.
            y: the class of each.
            slack: as of `Statistics.remove`.

        Returns:
            What had been chosen while they were there, each with how it stands now.

        Raises:
            ConfigError: for a readout from which rows cannot be taken; this one has no statistics.
            DataError: for rows that were not learned.
        """
        raise ConfigError(
            f"the readout {self.name} is no function of statistics from which rows could be taken: fit it "
            "anew without them, or use gaussian, ridge or mean."
        )

    @abstractmethod
    def scores(self, out: Output) -> Float[Tensor, "n k"]:
        """(N, K) one score a class seen so far; the largest decides."""

    def network(self, width: int) -> nn.Module | None:
        """The scores as a network of their own, for an export; None if there is none.

        It takes (N, f) rows of what is read, in single precision, and gives (N, K) scores.

        Args:
            width: f.
        """
        return None

    def select(self, out: Output) -> Float[Tensor, "n f"]:
        """What it reads of an output (ConfigError for a learner that has no such thing)."""
        if self.on in OF_STAGES:
            pieces = getattr(out, self.on)
            return out.features if pieces is None else torch.cat(pieces, 1)
        rows = getattr(out, self.on)
        if rows is None:
            raise ConfigError(f"this learner has no {self.on} to read: use on=features.")
        return rows

    @torch.no_grad()
    def predict(self, out: Output) -> Tensor:
        """(N,) the class with the largest score: Class-IL inference."""
        return self.scores(out).argmax(1)

    @torch.no_grad()
    def probabilities(self, out: Output) -> Float[Tensor, "n k"]:
        """(N, K) softmax(scores / temperature); see `calibrated`."""
        return self.probabilities_of(self.scores(out))

    def probabilities_of(self, scores: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
        """(N, K) softmax(scores / temperature)."""
        return torch.softmax(scores / self.temperature, 1)

    def strange(self, out: Output) -> Float[Tensor, " n"]:
        """(N,) how little an input looks like any class seen: here 1 less the largest probability."""
        return 1 - self.probabilities(out).amax(1)


READOUTS: Registry[Callable[..., Readout]] = Registry("readout", module="holdfast.readout")
register = READOUTS.register


def build_readout(text: str, frame: Frame | None = None) -> Readout:
    """A readout from a text such as ``gaussian``, ``gaussian:embedding`` or ``gaussian:drift=ridge+blend``.

    It carries the text as its name.

    Args:
        text: the name, and what differs from its defaults (`holdfast.core.grammar`).
        frame: the method's prototypes, for a readout that needs them.

    Raises:
        ConfigError: for an unknown name or parameter, or a value that does not fit.
    """
    readout = READOUTS.build(text, frame=frame)
    if not isinstance(readout, Readout):
        raise ConfigError(f"'{text}' makes a {type(readout).__name__}, which is no readout.")
    readout.name = text
    return readout


def readout_class(text: str) -> type[Readout]:
    """The class behind a text such as ``gaussian:embedding``; `Readout` itself for a function's.

    Raises:
        ConfigError: for an unknown name.
    """
    maker = READOUTS.find(text)[0].value
    maker = getattr(maker, "func", maker)  # a partial's
    return maker if isinstance(maker, type) and issubclass(maker, Readout) else Readout


def described(readout: Readout) -> str:
    """A readout's label and each setting that differs from its default, as a text that builds it."""
    texts = [readout.label]
    for name, parameter in inspect.signature(type(readout)).parameters.items():
        value = getattr(readout, name, parameter.default)
        if parameter.default is not parameter.empty and value != parameter.default:
            texts.append(f"{name}={value}")
    return ":".join(texts)
