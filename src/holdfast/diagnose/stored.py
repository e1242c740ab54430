"""The folder of a run, read back for a diagnosis: its result, its network, and what it was taught with."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from holdfast.core.errors import ConfigError, HoldfastError, StoreError
from holdfast.core.settings import Network
from holdfast.diagnose.local import State
from holdfast.learner.heads import head_kind
from holdfast.learner.learner import Learner
from holdfast.recipes.catalogue import make
from holdfast.recipes.method import Method
from holdfast.stream.task import Stream

FORMAT = 2  # of result.json, the newest that is understood


def read_result(folder: Path) -> Mapping[str, Any]:
    """The content of a run's result.json.

    Args:
        folder: of the run.

    Raises:
        ConfigError: if there is no run, or it has not finished a task.
        StoreError: for a result that is damaged, or of a later version.
    """
    file = folder / "result.json"
    if (folder / "current.json").exists():
        raise ConfigError(
            f"{folder} is a model, and a diagnosis looks at a run: give a folder of holdfast run."
        )
    if not file.exists():
        raise ConfigError(
            f"{folder} holds no run (it has no result.json): give a folder of holdfast run."
        )
    try:
        data = json.loads(file.read_text("utf-8"))
        version = data.get("format", 1)
        if not isinstance(version, int) or version > FORMAT:
            raise StoreError(
                f"{file} has format {version}, and this version reads up to {FORMAT}: update holdfast."
            )
        lacks = {"recipe", "readouts", "data", "config", "tasks"} - data.keys()
        if lacks:
            raise ValueError(f"it has no {min(lacks)}")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise StoreError(f"{file} is no result of holdfast run ({error}): run it again.") from None
    if not data["tasks"]:
        raise ConfigError(f"the run in {folder} has not finished a task: go on with it, --resume.")
    return data


def matrix(data: Mapping[str, Any], name: str) -> Float[Tensor, "t t"]:
    """A matrix of accuracies by the reported readout, NaN where it is not filled.

    Args:
        data: of result.json.
        name: ``class_il`` or ``task_il``.
    """
    rows = data[name]["matrix"]
    return torch.tensor([[math.nan if v is None else v for v in row] for row in rows])


def method_of(data: Mapping[str, Any]) -> Method | None:
    """The method by its recipe; None where that is not there, as of a plugin.

    Args:
        data: of result.json.
    """
    try:
        return make(str(data["recipe"]), **data["config"].get("recipe", {}))
    except (HoldfastError, TypeError, AttributeError):
        return None


def network_of(folder: Path, data: Mapping[str, Any], shape: tuple[int, ...]) -> Learner:
    """The network that a run left, on the CPU.

    Args:
        folder: of the run.
        data: of its result.json.
        shape: of one input.

    Raises:
        StoreError: if it left none, or one of another shape than its settings say.
    """
    file = folder / "learner.safetensors"
    if not file.exists():
        raise StoreError(
            f"{folder} keeps no network (learner.safetensors), so that there is nothing to look at: run "
            "it again."
        )
    try:
        state: State = load_file(file)
        network = Network(**data["config"]["setup"]["network"])
        dim = state["projector.2.weight"].shape[0] if "projector.2.weight" in state else 0
        head, kind = len(state["head.bias"]), head_kind(state)
        with torch.random.fork_rng([]):
            learner = Learner(
                shape, network.backbone, network.width, dim, head, network.tune_layers, kind
            )
        learner.load_state_dict(state)
    except (OSError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        line = str(error).partition("\n")[0]
        raise StoreError(
            f"{file} does not fit the settings of its run ({line}): run it again."
        ) from None
    return learner.eval()


def check_stream(folder: Path, data: Mapping[str, Any], stream: Stream) -> None:
    """Refuse other data than the run learned (StoreError).

    Args:
        folder: of the run.
        data: of its result.json.
        stream: the data as they are now.
    """
    if data["data"].get("fingerprint") != stream.fingerprint():
        raise StoreError(
            f"the data of {data['data'].get('stream')} are not those that the run in {folder} learned: a "
            "diagnosis needs the same ones."
        )


def reference_of(folder: Path, data: Mapping[str, Any]) -> Float[Tensor, " t"]:
    """Task-IL accuracy on each task, when it was learned, of a run that was free to learn.

    Args:
        folder: of that run.
        data: of the result.json of the run that is diagnosed.

    Raises:
        ConfigError: for a run on other tasks.
        StoreError: as `read_result`.
    """
    other = read_result(folder)
    if any(other["data"].get(name) != data["data"].get(name) for name in ("tasks", "fingerprint")):
        raise ConfigError(
            f"{folder} is a run on other data or tasks: a reference needs the same stream and order."
        )
    learned = matrix(other, "task_il").diagonal()
    if bool(learned.isnan().any()) and len(other["tasks"]) > 1:
        raise ConfigError(
            f"the run in {folder} is not complete: a reference has learned every task."
        )
    return learned
