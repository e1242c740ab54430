"""Method: what is learned, what is held fast, what is remembered, how classes are decided."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from holdfast.anchor.rule import Rule
from holdfast.errors import ConfigError
from holdfast.learner.prototype import Frame
from holdfast.loss.term import Objective, Term
from holdfast.memory.memory import Memory, NoMemory
from holdfast.memory.protocol import Protocol
from holdfast.readout import Head, LinearProbe, Readout, SharedGaussian, kind, readout
from holdfast.settings import Training
from holdfast.stream.rows import Rows

Optimizer = Callable[[Iterable[nn.Parameter], Training], torch.optim.Optimizer]


def sgd(parameters: Iterable[nn.Parameter], training: Training) -> torch.optim.Optimizer:
    """SGD with momentum, made anew for each task."""
    return torch.optim.SGD(
        parameters, training.lr, training.momentum, weight_decay=training.weight_decay
    )


@dataclass(frozen=True)
class Method:
    """A continual-learning method as a value.

    Attributes:
        loss: what the new task asks.
        anchors: what the old tasks are owed: objectives add to the loss, rules edit the step.
        memory: how stored images, if the protocol allows any, come back.
        readout: how classes are decided; None lets the protocol choose.
        views: random views of each image in a batch.
        optimizer: makes the optimiser of a task.
        protocol: the one it runs under unless told otherwise.
        trains_head: whether the head is trained, and so can decide.
        dim: d, width of the embedding.
        name: of the recipe, for reports.
    """

    loss: Objective
    anchors: Sequence[Objective | Rule] = ()
    memory: Memory = field(default_factory=NoMemory)
    readout: Readout | None = None
    views: int = 1
    optimizer: Optimizer = sgd
    protocol: Protocol = Protocol()
    trains_head: bool = True
    dim: int = 128
    name: str = "method"

    def __post_init__(self):
        asking = [a for a in (*self.terms, *self.rules) if a.needs_head and not self.trains_head]
        if asking:
            raise ConfigError(
                f"{type(asking[0]).__name__} has no likelihood to take its curvature from, for this "
                "method trains no head: name one, as in Curvature(likelihood=FrameSoftmax(frame, tau))."
            )

    @property
    def penalties(self) -> list[str]:
        """Labels of the terms that ask nothing of the data."""
        return [term.label for term in self.terms if term.penalty]

    @property
    def objectives(self) -> list[Objective]:
        """The loss and the anchors that add to it."""
        return [self.loss, *(anchor for anchor in self.anchors if isinstance(anchor, Objective))]

    @property
    def rules(self) -> list[Rule]:
        """The anchors that edit the step."""
        return [anchor for anchor in self.anchors if isinstance(anchor, Rule)]

    @property
    def terms(self) -> list[Term]:
        """Every term of every objective."""
        return [term for objective in self.objectives for term in objective.terms()]

    @property
    def frame(self) -> Frame | None:
        """The prototypes its parts share, if it has any."""
        frames = [m for o in self.objectives for m in o.modules() if isinstance(m, Frame)]
        return frames[0] if frames else None


def given_rows(method: Method) -> Rows | None:
    """The rows its terms bring themselves, if any; they are the part ``given`` of every step.

    Raises:
        ConfigError: if several terms bring rows, which would share the part's name, or if a term
            asks for given rows and none brings any.
    """
    brought = [term.given for term in method.terms if term.given is not None]
    if len(brought) > 1:
        raise ConfigError(
            f"{len(brought)} terms are given rows of their own, and a method has room for one: "
            'give the rows to one term and let the others ask on="given".'
        )
    if not brought and any(term.on == "given" for term in method.terms):
        raise ConfigError('a term asks on="given" and no term was given any rows.')
    return brought[0] if brought else None


def make_readout(name: str, method: Method, protocol: Protocol) -> Readout:
    """A readout by name (`holdfast.readout.readout`); ``auto`` takes what the protocol allows.

    Under ``auxiliary`` that is the probe; else the method's own, the trained head, a Gaussian that
    follows the drift where ``strict`` has no head, and the probe in what is left.

    Raises:
        ConfigError: for a readout that this method or this protocol cannot serve.
    """
    if name == "auto":
        own = method.readout
        if own is not None and (own.uses_images or protocol.kind != "auxiliary"):
            return own
        if method.trains_head and protocol.kind != "auxiliary":
            return Head()
        return SharedGaussian() if protocol.kind == "strict" else LinearProbe()
    asked = kind(name)
    if asked.uses_images and protocol.kind == "strict":
        raise ConfigError(
            f"the readout {name} trains on stored images and the protocol strict keeps none: "
            "use --readout gaussian, or --protocol auxiliary --images 200."
        )
    if asked.needs_head and not method.trains_head:
        raise ConfigError(
            f"the recipe {method.name} trains no head: use --readout gaussian, mean or probe."
        )
    if asked.needs_frame and method.frame is None:
        raise ConfigError(
            f"the recipe {method.name} has no prototypes: use --readout mean or gaussian."
        )
    return readout(name, method.frame)
