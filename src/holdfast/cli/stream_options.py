"""What a run learns from: one flag a field, its meaning in the docstring."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class StreamOptions:
    """What arrives, and in which order.

    Args:
        stream: see holdfast sources; or any image dataset of the Hugging Face hub as owner/name.
        data: local data in place of the hub: parquet files, or a folder with one folder a class,
            perhaps below train/ and test/.
        scenario: new classes (class), the same classes with permuted or rotated inputs, or new
            images of the same classes (instance).
        domains: one source seen in several ways, each a task with all classes: rotated:0,30,60 (degrees),
            permuted:3 (orders of pixels) or corrupted:clean,haze,jpeg@5:severity=2 (ours, not the
            published benchmark's); with :mix=yes the tasks of the scenario have rows of all.
        tasks: how many; 0 takes the preset's, at most one a class.
        classes_per_task: uneven cuts such as 4,2,2,2, in place of tasks.
        order_seed: shuffles the classes; without it they come in their own order.
        per_class: training images used of each class; 0 is all.
        test_per_class: test images used of each class; 0 is all.
        strict_data: refuse data in which a file cannot be read, instead of leaving it out.
        size: side to which images are scaled; 0 keeps theirs.
        validation: share of the training images to measure on in place of the test set, for
            choosing parameters.
    """

    stream: str = "digits"
    data: Path | None = None
    scenario: Literal["class", "permuted", "rotated", "instance"] = "class"
    domains: str = ""
    tasks: int = 0
    classes_per_task: str = ""
    order_seed: int | None = None
    per_class: int = 0
    test_per_class: int = 0
    size: int = 0
    strict_data: bool = False
    validation: float = 0.0
