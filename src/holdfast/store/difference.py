"""What differs between two versions of a model by what they say of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from holdfast.readout.streaming import Streaming
from holdfast.store.manifest import Manifest
from holdfast.store.model import ModelFolder
from holdfast.train.continual import Continual


@dataclass(frozen=True)
class Difference:
    """Two versions beside each other.

    Attributes:
        added, removed: names of classes.
        renamed: new name of each class that has another one.
        joined: for each class that became part of another, that one.
        images: by class, how many it was learned from in each; None where no statistics count them.
        settings: by name, what differs of the blueprint.
        stored: by name, numbers kept about the data in each.
    """

    added: list[str]
    removed: list[str]
    renamed: dict[str, str]
    joined: dict[str, str]
    images: dict[str, tuple[int | None, int | None]]
    settings: dict[str, tuple[Any, Any]]
    stored: dict[str, tuple[Any, Any]]


def between(
    folder: ModelFolder, before: tuple[Continual, Manifest], after: tuple[Continual, Manifest]
) -> Difference:
    """What differs between two versions; in words of the second where a class was renamed.

    Args:
        folder: of the model, whose versions say what was renamed.
        before: a version.
        after: another.

    Raises:
        StoreError: for a damaged manifest.
    """
    old, new = ([str(entry["name"]) for entry in m.classes] for _, m in (before, after))
    last = names_since(folder, "renamed")
    renamed = {
        was: now
        for was in old
        for now in new
        if was not in new and now not in old and last.get(was, was) == last.get(now, now)
    }
    joined = {w: n for w, n in names_since(folder, "joined").items() if w in old and n in new}
    kept = {renamed.get(name, name) for name in old}
    first, second = counts(before[0]), counts(after[0])
    first = {renamed.get(name, name): n for name, n in first.items()}
    names = [*new, *(name for name in sorted(kept) if name not in new)]
    return Difference(
        added=[name for name in new if name not in kept],
        removed=[n for n in old if renamed.get(n, n) not in new and n not in joined],
        renamed=renamed,
        joined=joined,
        images={name: (first.get(name), second.get(name)) for name in names},
        settings=_unequal(before[1].blueprint, after[1].blueprint),
        stored=_unequal(before[1].stored, after[1].stored),
    )


def names_since(folder: ModelFolder, what: str) -> dict[str, str]:
    """For each class that was renamed or joined in any version, its last name.

    Args:
        folder: of the model.
        what: ``renamed`` or ``joined``.
    """
    last: dict[str, str] = {}
    for version in sorted(map(int, folder.index().manifests)):
        update = folder.manifest(version).update
        pairs = update.get(what, {})
        steps = {old: new for new, old in pairs.items()} if what == "renamed" else pairs
        for old, new in steps.items():
            last = {name: new if name_now == old else name_now for name, name_now in last.items()}
            last[old] = new
    return last


def counts(core: Continual) -> dict[str, int]:
    """How many images each class was learned from, where a readout counts them."""
    for readout in core.readouts.values():
        if isinstance(readout, Streaming) and readout.statistics is not None:
            numbers = readout.known.count.tolist()
            return {str(name): int(n) for name, n in zip(core.labels, numbers)}
    return {}


def _unequal(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Leaves that differ, by their path."""
    left, right = _leaves(a), _leaves(b)
    names = [*left, *(name for name in right if name not in left)]
    pairs = {name: (left.get(name), right.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _leaves(thing: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(thing, Mapping):
        return {path: thing}
    inner = [_leaves(value, f"{path}.{key}" if path else str(key)) for key, value in thing.items()]
    return {name: value for leaves in inner for name, value in leaves.items()}
