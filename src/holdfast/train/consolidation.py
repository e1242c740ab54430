"""What ends a task, in a fixed order, and what of it is kept for the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.core.rng import make_generator, seeded
from holdfast.memory.meter import Holdings, forbid_images, measure
from holdfast.readout.contexts import FitContext
from holdfast.readout.streaming import Streaming
from holdfast.stream.task import Task
from holdfast.train.adaptation import end_adaptation
from holdfast.train.progress import classes_with

if TYPE_CHECKING:
    from holdfast.train.continual import Continual


def consolidate(core: Continual, task: Task) -> None:
    """First what changes the network, then all that measures it (terms, rules, memory, readouts), then
    the past network, and last the check of what was stored.

    Raises:
        ProtocolError: when a part keeps images that the protocol does not allow.
    """
    end_adaptation(core)
    seed, device = core.setup.seed, core.fabric.device
    with seeded(device, seed, "consolidate", task.index):
        for rule in () if task.few else core.method.rules:
            rule.adjust(core.learner, task)
        for part in (*core.method.terms, *core.method.rules):
            part.consolidate(core.learner, task, core.past_eval)
        chance = make_generator(device, seed, "memory", task.index)
        core.memory.consolidate(core.learner, task, chance)
        seen = classes_with(core.progress.seen, task)
        context = FitContext(core.learner, task, core.memory, seen, core.past_eval)
        for name, readout in core.readouts.items():
            if core.beside is not None and isinstance(readout, Streaming):
                known = core.beside.joined(name, readout.statistics, task.labels)
                readout.tracker.statistics = known
            readout.fit(context)
    _keep_past(core, task)
    stored = kept(core) | core.readouts | {"learner": core.learner, "past": core.past}
    forbid_images(stored, task.train, str(core.protocol), core.rows)
    if core.protocol.kind == "strict":
        forbid_images({"memory": core.memory}, task.train, "strict")


def _keep_past(core: Continual, task: Task) -> None:
    """Freeze copies of the network for the next task, as many as its parts need.

    Terms are held to what `Method.past` makes of it; what measures takes the network itself.
    """
    mode, tuned = core.setup.network.past_mode, core.method.past
    terms = any(term.needs_past for term in core.method.terms)
    if terms and tuned is None:
        core.past = core.learner.freeze(mode)
    elif terms and tuned is not None:
        with seeded(core.fabric.device, core.setup.seed, "past", task.index):
            core.past = tuned(core.learner, task).freeze(mode)
    if terms or any(readout.needs_past for readout in core.readouts.values()):
        shared = core.past if mode == "eval" and tuned is None else None
        core.past_eval = shared or core.learner.freeze()


def kept(core: Continual, readout: str = "") -> dict[str, object]:
    """What of the method outlives a task, the learner and the declared memory apart.

    Args:
        core: that learns.
        readout: that decides, by name; empty for the main one. No other readout is counted.
    """
    parts: dict[str, object] = {}
    for part in (*core.method.terms, *core.method.objectives, *core.method.rules):
        name = type(part).__name__
        parts[f"{name} {len(parts) + 1}" if name in parts else name] = part
    if core.learner.states is not None:
        parts["states of the tasks"] = core.learner.states
    name = readout or core.readout
    return parts | {name: core.readouts[name]}


def holdings_of(core: Continual, readout: str = "", strict: bool = False) -> Holdings:
    """What is stored of the past where one readout decides.

    Args:
        core: that learns.
        readout: its name; empty for the main one.
        strict: whether no stored image helped it, so that none would have to be kept.
    """
    memory = {} if strict else {"memory": core.memory}
    return measure(kept(core, readout) | memory, core.past or core.past_eval)
