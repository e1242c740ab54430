"""holdfast: continual learning that says what it kept.

A method is a value composed of parts: what is learned (`loss`), what is held fast (`anchor`), what
is remembered (`memory`) and how classes are decided (`readout`). One loop (`run`) learns a stream
with it and returns a `Result` that says what was stored, seen and measured.

Every name is imported when it is first used: ``import holdfast`` itself loads nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from holdfast.core.threads import wait_quietly

if TYPE_CHECKING:
    from holdfast import anchor, learner, loss, memory, metrics, readout, recipes, stream
    from holdfast.api import Answer, Evaluation, Model, Release, learn, load, merge
    from holdfast.core.errors import (
        ConfigError,
        DataError,
        DivergedError,
        HoldfastError,
        PluginError,
        ProtocolError,
        StoreError,
    )
    from holdfast.core.rows import Rows
    from holdfast.core.settings import Machine, Network, Training
    from holdfast.core.step import Part, Step
    from holdfast.estimator import HoldfastClassifier
    from holdfast.memory import Protocol
    from holdfast.recipes.method import Method
    from holdfast.stream import Stream, Task
    from holdfast.train.continual import Continual
    from holdfast.train.events import STOP, Epoch, TaskDone
    from holdfast.train.result import Result
    from holdfast.train.runner import run
    from holdfast.train.setup import Setup

wait_quietly()

_ROOMS = ("anchor", "learner", "loss", "memory", "metrics", "readout", "recipes", "stream")
_HOMES = {  # which module has which names
    "api": "Answer Evaluation Model Release learn load merge",
    "core.errors": "ConfigError DataError DivergedError HoldfastError PluginError ProtocolError StoreError",
    "core.rows": "Rows",
    "core.settings": "Machine Network Training",
    "core.step": "Part Step",
    "estimator": "HoldfastClassifier",
    "memory": "Protocol",
    "recipes.method": "Method",
    "stream": "Stream Task",
    "train.continual": "Continual",
    "train.events": "STOP Epoch TaskDone",
    "train.result": "Result",
    "train.runner": "run",
    "train.setup": "Setup",
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    """A room, or a name from the module that has it, on first use."""
    if name in _ROOMS:
        return import_module(f"holdfast.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'holdfast' has no attribute '{name}'")
    value = getattr(import_module(f"holdfast.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Every name, whether it was used or not."""
    return sorted({*globals(), *__all__})


# in the order the data flows: stream -> learner -> loss, anchor -> memory -> readout -> result
__all__ = [  # noqa: RUF022
    "stream", "Rows", "Task", "Stream",
    "learner",
    "Step", "Part", "loss", "anchor", "memory", "Protocol", "readout",
    "Method", "recipes", "Setup", "Training", "Network", "Machine", "Continual", "run",
    "Epoch", "TaskDone", "STOP", "metrics", "Result",
    "HoldfastClassifier",
    "learn", "load", "merge", "Release", "Model", "Answer", "Evaluation",
    "HoldfastError", "ConfigError", "DataError", "DivergedError", "PluginError", "ProtocolError",
    "StoreError",
]  # fmt: skip
