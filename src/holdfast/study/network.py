"""What the network of a run that is over does to test rows: collapse, separation, invasion."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from safetensors.torch import load_file

from holdfast.compare.plan import Job
from holdfast.compare.work import prepared
from holdfast.metrics.between_classes import invasion, separation
from holdfast.metrics.collapse import nc1, nc2

NETWORK = ("nc1", "nc2", "separation", "new_into_old", "old_into_new")


def of_network(job: Job, folder: Path) -> dict[str, float]:
    """NC1 and NC2 of all classes, and how the last task's lie to the earlier ones, of test rows.

    Args:
        job: a run that is complete.
        folder: that it left, with the weights of its last network.

    Returns:
        by the names of `NETWORK`; nan where one is not defined, as for a single task.
    """
    work = prepared(job)
    core, tasks = work.continual, work.stream.tasks
    classes = sorted({c for task in tasks for c in task.classes})
    core.make_room(max(classes) + 1, len(tasks) - 1)
    core.learner.load_state_dict(load_file(folder / "learner.safetensors"))
    x = torch.cat([core.out(task.test.x).features for task in tasks]).double()
    y = torch.cat([task.test.y for task in tasks]).to(x.device)
    means = torch.stack([x[y == c].mean(0) for c in classes])
    values = {"nc1": float(nc1(x, y)), "nc2": float(nc2(means))}
    if len(tasks) > 1:
        new = tuple(tasks[-1].classes)
        old = tuple(c for c in classes if c not in new)
        into = invasion(x, y, old, new)
        values["separation"] = float(separation(x, y, old, new).least)
        values["new_into_old"] = float(into.new_into_old)
        values["old_into_new"] = float(into.old_into_new)
    return {name: values.get(name, math.nan) for name in NETWORK}
