"""What a stream is made of, whatever the order in which it comes."""

from __future__ import annotations

import hashlib

import torch

from holdfast.core.rows import Rows
from holdfast.stream.task import Stream, add_content


def content_fingerprint(stream: Stream) -> str:
    """SHA-256 over the rows of every class, in the source's own numbering: the same for every order.

    Where tasks change their inputs, the first task counts, whose inputs are the source's own.
    """
    whole = stream.scenario in ("class", "instance")
    tasks = stream.tasks if whole else stream.tasks[:1]
    total = hashlib.sha256()
    for number, label in sorted((number, label) for label, number in enumerate(stream.order)):
        for side in ("train", "test"):
            parts = [getattr(task, side) for task in tasks]
            total.update(f"{number} {side}".encode())
            _add(total, [part[part.y == label] for part in parts])
    return total.hexdigest()


def _add(total: hashlib._Hash, parts: list[Rows]) -> None:
    """The inputs of a class, by the place they have in the source."""
    x = torch.cat([part.x for part in parts])
    x = x[torch.cat([part.key for part in parts]).argsort()]
    add_content(total, x)
