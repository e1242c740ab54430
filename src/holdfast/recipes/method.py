"""Method: what is learned, what is held fast, what is remembered, how classes are decided."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import get_args

import torch
from torch import nn

from holdfast.anchor.past import Past
from holdfast.anchor.rule import Rule
from holdfast.core.errors import ConfigError
from holdfast.core.rows import Rows
from holdfast.core.settings import Training
from holdfast.learner.adapt import Norms, parse_way
from holdfast.learner.heads import HeadName
from holdfast.learner.prototype import Frame
from holdfast.loss.checks import require_option
from holdfast.loss.term import Objective, Term
from holdfast.memory.memory import Memory, NoMemory
from holdfast.memory.protocol import Protocol
from holdfast.readout.readout import Readout
from holdfast.stream.mixing import Mixing

Optimizer = Callable[[Iterable[nn.Parameter], Training], torch.optim.Optimizer]
DIM = 128  # width of the embedding where no term asks for another


def sgd(parameters: Iterable[nn.Parameter], training: Training) -> torch.optim.Optimizer:
    """SGD with momentum, made anew for each task."""
    return torch.optim.SGD(
        parameters, training.lr, training.momentum, weight_decay=training.weight_decay
    )


@dataclass(frozen=True)
class Method:
    """A continual-learning method as a value.

    Whether a head is trained, how wide the embedding is and how many views of an image a batch has
    follow from what the terms say they read.

    Attributes:
        loss: what the new task asks; None trains nothing: features stay, and readouts learn alone.
        anchors: what the old tasks are owed: objectives add to the loss, rules edit the step.
        memory: how stored images, if the protocol allows any, come back.
        readout: how classes are decided; None lets the protocol choose.
        optimizer: makes the optimiser of a task, from the weights and the training.
        protocol: the one it runs under unless told otherwise.
        name: of the recipe, for reports.
        adapt: which weights of the backbone a method without a loss trains in the first task, with a
            linear head and cross-entropy: see `holdfast.learner.adapt.parse_way`.
        once: whether the loss trains in the first task only; after it the network stands still, and
            readouts learn alone.
        hold_norms: what of the norms stays as it is after the first task: ``none``; ``statistics``, the
            running ones of batch norm; or ``all``, their scales and shifts too.
        past: makes the network that later tasks are held to, of the learner as a task leaves it and the
            task: of the same architecture, such as `TunedPast`; None takes a frozen copy.
        head: that is trained: ``linear``, ``cosine`` or ``grassmann`` (`holdfast.learner.heads`).

    Raises:
        ConfigError: if a part reads a head that no term trains, or two terms ask for embeddings of
            different widths or rows mixed in different ways; for another value of ``hold_norms`` or
            ``head``.
    """

    loss: Objective | None
    anchors: Sequence[Objective | Rule] = ()
    memory: Memory = field(default_factory=NoMemory)
    readout: Readout | None = None
    optimizer: Optimizer = sgd
    protocol: Protocol = Protocol()
    name: str = "method"
    adapt: str = "none"
    once: bool = False
    hold_norms: Norms = "none"
    past: Past | None = None
    head: HeadName = "linear"

    def __post_init__(self):
        if parse_way(self.adapt)[0] != "none" and self.loss is not None:
            raise ConfigError(
                "a method with a loss trains in every task: adapt is for one without."
            )
        if self.loss is None and any(isinstance(anchor, Objective) for anchor in self.anchors):
            raise ConfigError("a method without a loss trains nothing: it has no use for anchors.")
        require_option("holding of norms", self.hold_norms, get_args(Norms))
        require_option("head", self.head, get_args(HeadName))
        untrained = [part for part in (*self.terms, *self.rules) if "logits" in part.asks]
        if untrained and not self._teaches_head:
            name = type(untrained[0]).__name__
            raise ConfigError(
                f"{name} reads the head's logits, and no term of this method trains a head: add "
                "CrossEntropy(), or read something else, as in "
                "Curvature(likelihood=FrameSoftmax(frame, tau))."
            )
        widths = {term.dim for term in self.terms if term.dim}
        if len(widths) > 1:
            both = " and ".join(map(str, sorted(widths)))
            raise ConfigError(
                f"the terms of this method ask for embeddings of width {both}: give all of them one."
            )
        _ = self.mixing  # refuses two ways

    @property
    def trains_head(self) -> bool:
        """Whether a term trains the head from the first task on, so that it can decide."""
        return self._teaches_head and not self.once

    @property
    def _teaches_head(self) -> bool:
        return not self.freezes and any("logits" in term.teaches for term in self.terms)

    @property
    def freezes(self) -> bool:
        """Whether the network stands still."""
        return self.loss is None

    @property
    def adapts(self) -> bool:
        """Whether the first task trains weights of the backbone that no later one does."""
        return self.adapt != "none"

    def trains(self, task: int) -> bool:
        """Whether weights move in a task.

        Args:
            task: its number, from 0.
        """
        if task:
            return not self.freezes and not self.once
        return not self.freezes or self.adapts

    @property
    def trainable(self) -> list[nn.Parameter]:
        """The parameters that terms bring themselves, each once; their optimiser is the network's."""
        every = [p for objective in self.objectives for p in objective.parameters()]
        return list(dict.fromkeys(every))

    @property
    def views(self) -> int:
        """Random views of each image in a batch: the most that a term asks for."""
        return max((term.views for term in self.terms), default=1)

    @property
    def dim(self) -> int:
        """Width d of the embedding; 0 where nothing trains a projector of a frozen network."""
        usual = 0 if self.freezes else DIM
        return next((term.dim for term in self.terms if term.dim), usual)

    @property
    def penalties(self) -> list[str]:
        """Labels of the terms that ask nothing of the data."""
        return [term.label for term in self.terms if term.penalty]

    @property
    def objectives(self) -> list[Objective]:
        """The loss and the anchors that add to it."""
        parts = (self.loss, *self.anchors)
        return [part for part in parts if isinstance(part, Objective)]

    @property
    def rules(self) -> list[Rule]:
        """The anchors that edit the step."""
        return [anchor for anchor in self.anchors if isinstance(anchor, Rule)]

    @property
    def terms(self) -> list[Term]:
        """Every term of every objective, each once."""
        terms = [term for objective in self.objectives for term in objective.terms()]
        return list(dict.fromkeys(terms))

    @property
    def frame(self) -> Frame | None:
        """The prototypes its parts share, if it has any."""
        frames = [m for o in self.objectives for m in o.modules() if isinstance(m, Frame)]
        return frames[0] if frames else None

    @property
    def mixing(self) -> Mixing | None:
        """How the rows of the part ``mixed`` are mixed; None if no term asks them.

        Raises:
            ConfigError: if terms want them mixed in different ways.
        """
        asking = [term for term in self.terms if term.on == "mixed"]
        ways = list(dict.fromkeys(term.mixing for term in asking if term.mixing))
        if len(ways) > 1:
            both = " and as ".join(map(str, ways))
            raise ConfigError(
                f"terms of this method want rows mixed as {both}: give all of them one way."
            )
        return ways[0] if ways else Mixing() if asking else None

    @property
    def rows(self) -> Rows | None:
        """The rows a term brings itself, if any: the part ``given`` of every step.

        Raises:
            ConfigError: if several terms bring rows, which would share the part's name, or if a term
                asks for such rows and none brings any.
        """
        brought = [term.extra_rows for term in self.terms if term.extra_rows is not None]
        if len(brought) > 1:
            raise ConfigError(
                f"{len(brought)} terms bring rows of their own, and a method has room for one: "
                'give the rows to one term and let the others ask on="given".'
            )
        if not brought and any(term.on == "given" for term in self.terms):
            raise ConfigError('a term asks on="given" and no term was given any rows.')
        return brought[0] if brought else None
