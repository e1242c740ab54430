"""What opens a task: its parts prepare, and what must stay as it is meanwhile is held."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.anchor.rule import Rule
from holdfast.core.errors import ConfigError
from holdfast.core.output import OF_STAGES
from holdfast.core.rng import seeded
from holdfast.learner.effective import parametrised
from holdfast.stream.task import Task
from holdfast.train.readouts import show_stages

if TYPE_CHECKING:
    from holdfast.train.continual import Continual


EDITS = ("gradient", "update", "settle")


def begin_parts(core: Continual, task: Task) -> None:
    """Terms, then rules, prepare for a task, with its own randomness.

    Raises:
        ConfigError: for a rule that edits weights where some are made from other parameters.
    """
    names = parametrised(core.learner)
    for rule in core.method.rules if names else ():
        if any(getattr(type(rule), hook) is not getattr(Rule, hook) for hook in EDITS):
            raise ConfigError(
                f"{type(rule).__name__} edits weights or their gradients, and {names[0]} is made from "
                "other parameters: use a backbone without parametrised weights, or another anchor."
            )
    with seeded(core.fabric.device, core.setup.seed, "begin", task.index):
        for part in (*core.method.terms, *core.method.rules):
            part.begin(core.learner, task)


def hold_parts(core: Continual, task: Task | None) -> None:
    """Keep of the network what its method says must stay while a task is learned; None lets it go."""
    terms = core.method.terms if task is not None else []
    later = task is not None and task.index > 0
    core.learner.hold_norms(core.method.hold_norms if later else "none")
    core.learner.hold_backbone(any(term.holds_backbone for term in terms))
    staged = tuple(name for name in OF_STAGES if any(name in term.reads for term in terms))
    if staged and core.learner.backbone.frozen:
        raise ConfigError(
            "a term of this method reads the backbone's stages, and nothing of this backbone is trained: "
            "leave the term out, or train its last layers (--tune-layers)."
        )
    show_stages(core, staged)
