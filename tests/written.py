"""Run folders as ``holdfast run`` writes them, with figures of a test's choice."""

import copy
import json

BLANK = {
    "format": 2,
    "status": "complete",
    "readout": "head",
    "memory": {"images": 0, "floats": 7, "bytes": 28, "past_network": {"floats": 0, "bytes": 0}},
    "seconds": 2.5,
    "config": {
        "setup": {
            "training": {"epochs": 2, "lr": 0.1},
            "network": {"backbone": "auto", "width": 0},
            "machine": {"device": "auto", "precision": "32-true"},
            "augment": "auto",
        },
        "stream": {"scenario": "class", "order_seed": None},
    },
    "data": {
        "stream": "toy", "scenario": "class", "classes": list("abcdef"),
        "tasks": [[0, 1], [2, 3], [4, 5]], "fingerprint": "f" * 64, "content": "c" * 64,
    },
    "environment": {"versions": {"holdfast": "0.1.0"}},
}  # fmt: skip


def result(recipe="lwf", seed=0, order=None, last=0.5, sizes=(10, 20, 30), **parameters):
    """A result whose last row holds ``last`` everywhere, or the three values of it."""
    row = list(last) if isinstance(last, (list, tuple)) else [last] * 3
    matrix = [[0.9, None, None], [0.7, 0.8, None], row]
    share = [[1.0, None, None], [0.9, 0.9, None], [(1 + v) / 2 for v in row]]
    data = copy.deepcopy(BLANK)
    reading = {
        "protocol": "strict", "class_il": {"matrix": matrix, "sizes": list(sizes)},
        "task_il": {"matrix": matrix, "sizes": list(sizes)}, "right_task": share,
        "calibration_error": 0.1,
    }  # fmt: skip
    data |= {"recipe": recipe, "readouts": {"head": reading}}
    data["config"] |= {"recipe": parameters, "method": {"name": recipe, **parameters}}
    data["config"]["setup"]["seed"] = seed
    data["config"]["stream"]["order_seed"] = order
    places = [0, 1, 2, 3, 4, 5]
    data["data"]["order"] = places if order is None else places[order:] + places[:order]
    return data


def write(folder, data):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps(data))
    return folder
