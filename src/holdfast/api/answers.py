"""Answers: what a model says of one input, and the batches in which inputs are asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from holdfast.api.sources import unlabelled_source
from holdfast.cli.inputs import Batch, batches, cut


@dataclass(frozen=True)
class Answer:
    """What a model says of one input.

    Attributes:
        name: of the file, or the place of the input among those given.
        label: its class; empty for an input that could not be read.
        probability: of that class.
        unknown: whether it is of no class the model knows; None where the readout cannot tell.
        top: the likeliest classes with their probabilities, as many as were asked for.
        inside: the classes of its conformal set, where one was asked for.
        error: why it could not be read.
    """

    name: str
    label: str = ""
    probability: float = float("nan")
    unknown: bool | None = None
    top: list[tuple[str, float]] = field(default_factory=list)
    inside: list[str] | None = None
    error: str = ""


def batches_of(inputs: Any) -> Iterator[Batch]:
    """Of paths, or of what is in memory."""
    if isinstance(inputs, (str, Path)):
        return batches([Path(inputs)])
    if isinstance(inputs, (list, tuple)) and inputs and isinstance(inputs[0], (str, Path)):
        return batches([Path(path) for path in inputs])
    return cut(unlabelled_source(inputs))


def answer_of(row: Mapping[str, Any]) -> Answer:
    """A row of the command."""
    if "error" in row:
        return Answer(str(row["image"]), error=row["error"])
    top = [(entry["class"], entry["probability"]) for entry in row.get("top", ())]
    return Answer(
        str(row["image"]), row["class"], row["probability"], row["unknown"], top, row.get("set")
    )
