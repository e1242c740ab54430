"""Surgery: classes of a learner taken out, renamed, joined or brought in, by its statistics alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from holdfast.core.errors import ConfigError, unknown
from holdfast.learner.heads import GrowingHead
from holdfast.readout.again import decide_by
from holdfast.readout.streaming import Streaming
from holdfast.statistics.class_statistics import Statistics
from holdfast.train.continual import Continual
from holdfast.train.progress import Progress
from holdfast.train.result import TaskNote


def rename_class(core: Continual, old: str, new: str, join: bool = False) -> None:
    """Give a class another name; with ``join`` it becomes part of the class of that name.

    Raises:
        ConfigError: for a class it does not have, an empty name, or one that is taken.
    """
    k, labels = place_of(core, old), [str(label) for label in core.labels]
    if not new.strip() or new == old:
        raise ConfigError(f"'{new}' is no other name for '{old}': give one that differs.")
    if not new.isprintable():
        raise ConfigError(f"{new!r} is no name: give printable characters on one line.")
    taken = new in labels
    if taken != join:
        hint = "add --join to make the two one class" if taken else "leave --join out to rename"
        state = "is a class already" if taken else "is no class of this model"
        raise ConfigError(f"'{new}' {state}: {hint}.")
    if not taken:
        labels[k] = new
        notes = tuple(_noted(note, {old: new}) for note in core.progress.notes)
        core.progress = replace(core.progress, labels=tuple(labels), notes=notes)
        return
    require_still(core, f"'{old}' and '{new}' cannot become one class")
    if trained_on(core, old) or trained_on(core, new):
        raise ConfigError(
            f"'{old}' and '{new}' cannot become one class: weights were trained to tell them apart."
        )
    left = [label for label in labels if label != old]
    regroup(core, [left.index(new if label == old else label) for label in labels], left)


def keep_classes(core: Continual, names: Sequence[str]) -> None:
    """Make a learner one of some of its classes, in the order in which it has them.

    Raises:
        ConfigError: for a class it does not have, or a readout that cannot tell classes apart.
    """
    wanted = {place_of(core, name) for name in names}
    streaming = require_still(core, "a model of some of its classes cannot be made")
    for reader, readout in streaming.items():
        if not readout.known.scatter.by_class and len(wanted) < len(core.labels):
            raise ConfigError(
                f"the readout {reader} keeps one scatter for all classes, so a choice of them has none: "
                "a model to be split keeps structure=factor or full."
            )
    kept = sorted(wanted)
    places = [kept.index(k) if k in wanted else -1 for k in range(len(core.labels))]
    regroup(core, places, [core.labels[k] for k in kept])


def regroup(
    core: Continual,
    places: Sequence[int],
    labels: Sequence[str | int],
    cleared: Mapping[str, Statistics] | None = None,
) -> dict[str, dict[str, str]]:
    """Class k becomes class places[k] of ``labels``; those that share a place are one, -1 is gone.

    Args:
        core: the learner; it is changed.
        places: the new number of each class.
        labels: names by the new numbers.
        cleared: by readout, statistics from which a class was taken out already.

    Returns:
        What each readout chose anew, see `decide_by`.
    """
    chosen = {}
    for name, readout in _streaming(core).items():
        statistics = (cleared or {}).get(name, readout.known)
        chosen[name] = decide_by(readout, statistics.regroup(places, len(labels)))
    first = [places.index(place) for place in range(len(labels))]
    for network in (core.learner, core.past, core.past_eval):
        if network is not None:
            _choose_rows(network.head, first)
    before = core.progress
    names = {
        str(label): str(labels[place]) if place >= 0 else ""
        for label, place in zip(before.labels, places, strict=True)
    }
    core.progress = replace(
        before,
        labels=tuple(labels),
        seen=tuple(sorted({places[k] for k in before.seen if places[k] >= 0})),
        notes=tuple(_noted(note, names) for note in before.notes),
    )
    return chosen


def join_learner(core: Continual, other: Continual) -> list[str]:
    """Bring the classes of another learner in, those of one name being one; see `require_alike`.

    Args:
        core: the learner; it is changed.
        other: of the same network and readouts.

    Returns:
        The names that both had.

    Raises:
        ConfigError: if classes of either cannot be told apart from what was trained.
    """
    mine, theirs = ([str(label) for label in one.labels] for one in (core, other))
    labels = [*mine, *(name for name in theirs if name not in mine)]
    places = [labels.index(name) for name in theirs]
    streaming, others = (require_still(one, "models cannot be merged") for one in (core, other))
    for name, readout in streaming.items():
        decide_by(readout, readout.known.join(others[name].known, places))
    missing = [theirs.index(name) for name in labels[len(mine) :]]
    for network in (core.learner, core.past, core.past_eval):
        if network is not None:
            _append_rows(network.head, other.learner.head, missing)
    core.progress = _both(core.progress, other.progress, labels)
    return [name for name in mine if name in theirs]


def place_of(core: Continual, name: str) -> int:
    """The number of a class (ConfigError for one it does not have)."""
    labels = [str(label) for label in core.labels]
    if name not in labels:
        raise unknown("class", name, labels)
    return labels.index(name)


def require_still(core: Continual, what: str) -> dict[str, Streaming]:
    """The readouts of a learner whose network stands still, all of them statistics of classes.

    Args:
        core: the learner.
        what: cannot be done otherwise, for the message.

    Raises:
        ConfigError: for a network that is trained in every task, a readout that is, or stored images.
    """
    if not core.method.freezes:
        raise ConfigError(
            f"{what}: the recipe {core.method.name} trains the network in every task, so its weights "
            "remember each class: only a model of a frozen network (--recipe frozen) can."
        )
    streaming = _streaming(core)
    trained = [name for name in core.readouts if name not in streaming]
    if trained:
        raise ConfigError(
            f"{what}: the readout {trained[0]} is no function of statistics by class: use gaussian, "
            "ridge or mean."
        )
    if len(core.memory):
        raise ConfigError(f"{what}: the model stores {len(core.memory)} images of its classes.")
    return streaming


def trained_on(core: Continual, name: str) -> list[str]:
    """What of the network was trained on images of a class; nothing where it stood still."""
    notes = core.progress.notes
    trained = any(note.epochs and name in note.classes for note in notes)
    return ["the adapted weights of the backbone"] if trained else []


def _streaming(core: Continual) -> dict[str, Streaming]:
    return {name: part for name, part in core.readouts.items() if isinstance(part, Streaming)}


def _noted(note: TaskNote, names: Mapping[str, str]) -> TaskNote:
    """A note with classes by new names, those without one left out, each once."""
    renamed = [names.get(name, name) for name in note.classes]
    return replace(note, classes=list(dict.fromkeys(name for name in renamed if name)))


def _both(a: Progress, b: Progress, labels: list[str]) -> Progress:
    """How far two learners have come as one."""
    notes = (*a.notes, *b.notes)
    seen = tuple(range(len(labels)))
    return Progress(len(notes), 0, seen, tuple(labels), a.arrived + b.arrived, notes)


def _choose_rows(head: GrowingHead, rows: Sequence[int]) -> None:
    index = torch.tensor([row for row in rows if row < len(head.bias)], dtype=torch.long)
    for name in ("weight", "bias"):
        values: Tensor = getattr(head, name).data
        setattr(head, name, nn.Parameter(values[index.to(values.device)]))


def _append_rows(head: GrowingHead, other: GrowingHead, rows: Sequence[int]) -> None:
    for name in ("weight", "bias"):
        values, theirs = getattr(head, name).data, getattr(other, name).data
        index = torch.tensor([row for row in rows if row < len(theirs)], dtype=torch.long)
        added = theirs[index.to(theirs.device)].to(values)
        setattr(head, name, nn.Parameter(torch.cat([values, added])))
