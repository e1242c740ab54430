"""holdfast: continual learning that says what it kept.

A method is a value composed of parts: what is learned (`loss`), what is held fast (`anchor`), what
is remembered (`memory`) and how classes are decided (`readout`). One loop (`run`) learns a stream
with it and returns a `Result` that says what was stored, seen and measured.
"""

import os
from typing import TYPE_CHECKING

# Threads that wait by spinning slow a busy machine down many times over; this must stand before
# torch starts them, and leaves a choice already made alone.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from holdfast import anchor, learner, loss, memory, metrics, readout, recipes, stream
from holdfast.continual import Continual
from holdfast.engine import run
from holdfast.errors import ConfigError, DataError, DivergedError, HoldfastError, ProtocolError
from holdfast.events import Epoch, TaskDone
from holdfast.memory import Protocol
from holdfast.method import Method
from holdfast.result import Result
from holdfast.settings import Machine, Model, Training
from holdfast.step import Part, Step
from holdfast.stream import Rows, Stream, Task

if TYPE_CHECKING:
    from holdfast.estimator import HoldfastClassifier


def __getattr__(name: str) -> object:
    """The classifier on first use: it brings scikit-learn, which takes a second to load."""
    if name == "HoldfastClassifier":
        from holdfast.estimator import HoldfastClassifier

        return HoldfastClassifier
    raise AttributeError(f"module 'holdfast' has no attribute '{name}'")


# in the order the data flows: stream -> learner -> loss, anchor -> memory -> readout -> result
__all__ = [  # noqa: RUF022
    "stream", "Rows", "Task", "Stream",
    "learner", "Model",
    "Step", "Part", "loss", "anchor", "memory", "Protocol", "readout",
    "Method", "recipes", "Training", "Machine", "Continual", "run",
    "Epoch", "TaskDone", "metrics", "Result",
    "HoldfastClassifier",
    "HoldfastError", "ConfigError", "DataError", "DivergedError", "ProtocolError",
]  # fmt: skip
