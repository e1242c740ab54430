"""Run folders read back: each result.json, from any machine, as one cell a readout."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from holdfast.compare.cell import Cell
from holdfast.core.errors import ConfigError, StoreError

FORMAT = 2  # of result.json, the newest that is understood
LARGEST = 64 * 2**20  # bytes of one result.json
REPORTED, ALL = "reported", "all"


def read_runs(paths: Sequence[Path | str], readout: str = REPORTED) -> tuple[list[Cell], list[str]]:
    """The cells of run folders, and a sentence for each kind of run that was left out.

    Args:
        paths: folders of runs, folders of such folders, or files ``result.json``.
        readout: a name, ``reported`` for the one each run reports, or ``all``.

    Raises:
        ConfigError: if there is no complete run, or none has the readout.
        StoreError: for a result that is damaged, of a later version, or without its figures.
    """
    files = [file for path in paths for file in result_files(Path(path))]
    files = list(dict.fromkeys(file.resolve() for file in files))
    cells: list[Cell] = []
    unfinished, without = [], []
    for file in files:
        data = read_result(file)
        if data.get("status") != "complete":
            unfinished.append(file.parent)
            continue
        more = cells_of(file.parent, data, readout)
        without += [] if more else [file.parent]
        cells += more
    notes = [*_left_out(unfinished, "not complete"), *_left_out(without, f"not read by {readout}")]
    if not cells:
        why = " ".join(notes) or "holdfast run and holdfast grid leave such folders."
        raise ConfigError(f"{_listed(paths)} holds no complete run to compare: {why}")
    return cells, notes


def result_files(path: Path) -> list[Path]:
    """Every result.json at or below a path (ConfigError if there is no such path)."""
    if not path.exists():
        raise ConfigError(f"{path} does not exist: give folders of runs.")
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("result.json") if file.is_file())


def read_result(file: Path) -> Mapping[str, Any]:
    """The content of a result.json.

    Raises:
        StoreError: if it cannot be read, is no result, or is of a later version.
    """
    try:
        if file.stat().st_size > LARGEST:
            raise ValueError(f"it has more than {LARGEST >> 20} MiB")
        data = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(
            f"{file} cannot be read ({type(error).__name__}: {error}): leave that run out, or run it again."
        ) from None
    if not isinstance(data, dict) or not {"recipe", "readouts", "data", "config"} <= data.keys():
        raise StoreError(f"{file} is no result of holdfast run: give folders of runs.")
    if not isinstance(data.get("format", 1), int) or data.get("format", 1) > FORMAT:
        raise StoreError(
            f"{file} has format {data['format']}, and this version reads up to {FORMAT}: update holdfast."
        )
    return data


def cells_of(path: Path, data: Mapping[str, Any], readout: str = REPORTED) -> list[Cell]:
    """The cells of one result, a readout each (StoreError if it lacks what it must have)."""
    try:
        names = list(data["readouts"]) if readout == ALL else [readout]
        names = [data["readout"] if name == REPORTED else name for name in names]
        return [_cell(path, data, name) for name in names if name in data["readouts"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(
            f"{path / 'result.json'} lacks what a comparison needs ({type(error).__name__}: {error}): "
            "run it again."
        ) from None


def _cell(path: Path, data: Mapping[str, Any], readout: str) -> Cell:
    reading, config, about = data["readouts"][readout], data["config"], data["data"]
    setup = config["setup"]
    matrices = {
        name: _matrix(reading[name]["matrix"], path, name) for name in ("class_il", "task_il")
    }
    share = reading.get("right_task")
    training = {name: dict(setup[name]) for name in ("training", "network")}
    method = {
        "method": config["method"], **training, "augment": setup["augment"],
        "readout": readout, "precision": setup["machine"]["precision"],
    }  # fmt: skip
    order, name = _order(about, config)
    return Cell(
        path, str(data["recipe"]), readout, str(reading["protocol"]), int(setup["seed"]),
        order, name, _place(data, reading), method, _parameters(config),
        matrices["class_il"], matrices["task_il"],
        None if share is None else _matrix(share, path, "right_task"),
        np.asarray(reading["class_il"]["sizes"], float), _stored(data, readout), float(data["seconds"]),
        reading.get("calibration_error"), _by_task(reading),
        [frozenset(task) for task in about["tasks"]] if about["scenario"] == "class" else (),
        config.get("tuning", {}).get("trials"), data,
    )  # fmt: skip


def _stored(data: Mapping[str, Any], readout: str) -> dict[str, float]:
    """What a readout needs of the past; older versions wrote it for the reported one alone."""
    reading, memory = data["readouts"][readout], data["memory"]
    names = ("images", "floats", "bytes", "past_bytes")
    if reading.get("stored"):
        return {name: float(reading["stored"][name]) for name in names}
    of_run = memory | {"past_bytes": memory["past_network"]["bytes"]}
    stored = {name: float(of_run[name]) for name in names}
    if readout != data["readout"]:
        stored |= {"floats": math.nan, "bytes": math.nan}
        stored["images"] = 0.0 if reading["protocol"] == "strict" else stored["images"]
    return stored


def _by_task(reading: Mapping[str, Any]) -> list[dict[str, float | None]]:
    """Figures after each task, as older versions did not write them (ValueError for what is none)."""
    data = reading.get("by_task") or []
    if not isinstance(data, list) or not all(isinstance(one, dict) for one in data):
        raise ValueError("by_task is no list of figures")
    return data


def _matrix(rows: Sequence[Sequence[float | None]], path: Path, name: str) -> np.ndarray:
    """A matrix whose lower triangle is filled (StoreError if it is not)."""
    matrix = np.array([[math.nan if v is None else float(v) for v in row] for row in rows])
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{name} is no square")
    lower = matrix[np.tril_indices(len(matrix))]
    if not np.isfinite(lower).all():
        i, j = (int(n) for n in np.argwhere(~np.isfinite(np.tril(matrix)))[0])
        raise StoreError(
            f"{path / 'result.json'} says complete, but its {name} of task {j + 1} after task {i + 1} is "
            "no number: leave that run out, or run it again."
        )
    return matrix


def _place(data: Mapping[str, Any], reading: Mapping[str, Any]) -> dict[str, str]:
    """What two runs must have alike to stand in one table."""
    about, config = data["data"], data["config"]
    network = config["setup"]["network"]
    content = about.get("content") or f"{about['fingerprint']} (with its order)"
    scenario = config.get("stream", {}).get("scenario") or about["scenario"]
    sizes = [len(task) for task in about["tasks"]]
    even = f"{len(sizes)} x {sizes[0]}" if len(set(sizes)) == 1 else ", ".join(map(str, sizes))
    backbone = str(network["backbone"])
    backbone += f", width {network['width']}" if network.get("width") else ""
    if config.get("backbone_sha256"):
        backbone += f", weights {config['backbone_sha256'][:8]}"
    return {
        "data": f"{about['stream']} ({content[:8]})",
        "split": f"{scenario}, {even} classes",
        "backbone": backbone,
        "protocol": str(reading["protocol"]),
    }


def _order(about: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[str, str]:
    """What tells an order from another, and its name."""
    seed = config.get("stream", {}).get("order_seed")
    text = json.dumps(about["order"]) if about["scenario"] == "class" else about["fingerprint"]
    key = hashlib.sha256(text.encode()).hexdigest()[:8]
    natural = about["scenario"] == "class" and list(about["order"]) == sorted(about["order"])
    return key, "natural" if natural else f"{seed}" if seed is not None else key


def _parameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a person would name, flat."""
    setup = config["setup"]
    return {**config.get("recipe", {}), **setup["training"], **setup["network"]} | {
        "augment": setup["augment"]
    }


def _left_out(paths: Sequence[Path], why: str) -> Iterator[str]:
    if paths:
        count = f"{len(paths)} run{'s are' if len(paths) > 1 else ' is'}"
        yield f"{count} {why} and left out: {_listed(paths)}."


def _listed(paths: Sequence[Path | str], most: int = 3) -> str:
    shown = ", ".join(map(str, paths[:most]))
    return shown + (f" and {len(paths) - most} more" if len(paths) > most else "")
