"""A run that has ended, diagnosed from what its folder keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from holdfast.core.errors import ConfigError
from holdfast.diagnose.diagnoser import Diagnoser
from holdfast.diagnose.report import Diagnosis, read_diagnosis
from holdfast.diagnose.stored import (
    check_stream,
    matrix,
    method_of,
    network_of,
    read_result,
    reference_of,
)
from holdfast.stream.task import Stream


def diagnose_folder(
    folder: Path, stream: Stream, per_class: int = 0, against: Path | None = None
) -> tuple[Diagnosis, list[str]]:
    """Look at the network that a run left; diagnostics.json is written into its folder.

    What a diagnosis along with the run has seen of earlier networks is used.

    Args:
        folder: of the run.
        stream: its data, cut as it was.
        per_class: watched rows a class; 0 is the usual number.
        against: the folder of a run on the same stream that was free to learn, for intransigence.

    Returns:
        the diagnosis, and sentences on what could not be had.

    Raises:
        ConfigError: for a folder without a run, other data, or a stream without test rows.
        StoreError: for files that are damaged, missing or of a later version.
    """
    data = read_result(folder)
    check_stream(folder, data, stream)
    learner, done = network_of(folder, data, stream.shape), len(data["tasks"])
    if done > len(stream):
        raise ConfigError(f"the run in {folder} has {done} tasks, and the stream {len(stream)}.")
    reference = None if against is None else reference_of(against, data)
    method, last = method_of(data), done - 1
    if method is not None and method.frame is not None:
        method.frame.extend(max(stream.seen(last)) + 1)
    earlier = read_diagnosis(folder)
    diagnoser = Diagnoser(stream, folder, per_class, 0, last)
    if earlier is not None and earlier.watched.get("rows") != len(diagnoser.watched):
        raise ConfigError(
            f"{folder} holds a diagnosis of {earlier.watched.get('rows')} watched rows, which another "
            "number would undo: leave --per-class as it was, or remove its diagnostics.json and "
            "watched.safetensors."
        )
    accuracies = (matrix(data, "class_il"), matrix(data, "task_il"))
    diagnoser.look(learner, method, last, accuracies, torch.device("cpu"), reference)
    if earlier is not None:
        _fill(diagnoser, earlier)
    return diagnoser.diagnosis, notes(diagnoser, last, method is None)


def _fill(diagnoser: Diagnoser, earlier: Diagnosis) -> None:
    """Keep figures of the last task that an earlier diagnosis could have and this one cannot."""
    now = diagnoser.tasks[-1]
    before = next((task for task in earlier.tasks if task.task == now.task), None)
    if before is None:
        return
    lacking = [name for name, value in now.figures.items() if value is None]
    figures = now.figures | {name: before.figures.get(name) for name in lacking}
    reasons = {name: why for name, why in now.reasons.items() if figures[name] is None}
    diagnoser.tasks[-1] = replace(now, figures=figures, reasons=reasons)
    diagnoser.write()


def notes(diagnoser: Diagnoser, last: int, unknown: bool) -> list[str]:
    """What could not be had, in sentences.

    Args:
        diagnoser: that has looked.
        last: the task after which the network is.
        unknown: whether the method is not known.
    """
    sentences = []
    lost = [task for task in range(last) if task not in diagnoser.records.networks]
    if lost:
        which = "1" if last == 1 else f"1 to {last}"
        sentences.append(
            f"only the network after task {last + 1} is kept: figures after task {which}, and those that "
            "compare with an earlier network (drift, probe then, update), cannot be had; holdfast run "
            "--diagnose sees them while the run goes on."
        )
    if unknown:
        sentences.append(
            "the method of this run cannot be made anew (a plugin: add --import): figures of prototypes, "
            "head and loss cannot be had."
        )
    return sentences


def stored(folder: Path) -> Diagnosis | None:
    """The diagnosis that a run's folder holds, if it is of all its tasks.

    Args:
        folder: of the run.

    Raises:
        ConfigError: as `read_result`.
        StoreError: the same.
    """
    done = len(read_result(folder)["tasks"])
    earlier = read_diagnosis(folder)
    if earlier is None or [task.task for task in earlier.tasks] != list(range(done)):
        return None
    return earlier
