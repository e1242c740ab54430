"""What a run says of its probabilities and of classes that have not come, task by task."""

import json

import pytest
import torch

from holdfast.core.settings import Machine, Network, Training
from holdfast.metrics import average_precision, calibration_figures, oscr
from holdfast.recipes import make
from holdfast.train import seen
from holdfast.train.events import TaskDone
from holdfast.train.runner import Run
from holdfast.train.setup import Setup

SETUP = Setup(Training(epochs=1, batch=16, lr=0.05), Network(width=4), Machine("cpu"))


@pytest.mark.parametrize("readout", ["gaussian", "head"])
def test_the_figures_of_a_task_are_those_of_its_readout(tiny_stream, readout):
    work = Run(make("lwf"), tiny_stream, SETUP.updated(readout=readout))
    for event in work.events():
        if not isinstance(event, TaskDone):
            continue
        core, last = work.continual, event.task == len(tiny_stream) - 1
        tests = tiny_stream.tasks[: event.task + 1]
        out = core.out(torch.cat([task.test.x for task in tests]))
        y = torch.cat([task.test.y for task in tests])
        reading, one = core.readouts[readout], work.result.readings[readout].by_task[-1]
        new = torch.isin(y, torch.tensor(tiny_stream[event.task].classes))
        figures = calibration_figures(reading.probabilities(out), y, new)
        for name, value in figures.items():
            assert one[name] == (None if value != value else pytest.approx(value, abs=1e-5)), name
        assert (one["nll_old"] is None) == (event.task == 0)
        assert (one["auroc"] is None) == last
        if not last:
            later = core.out(torch.cat([t.test.x for t in tiny_stream.tasks[event.task + 1 :]]))
            sides = reading.strange(out), reading.strange(later)
            right = reading.predict(out) == y
            assert one["oscr"] == pytest.approx(oscr(sides[0], right, sides[1]), abs=1e-5)
            assert one["average_precision"] == pytest.approx(average_precision(*sides), abs=1e-5)
    kept = json.loads(work.result.to_json())["readouts"][readout]
    assert len(kept["by_task"]) == len(tiny_stream)
    assert kept["by_task"][-1]["calibration_error"] == kept["calibration_error"]


def test_rows_of_later_tasks_are_few_and_of_classes_that_have_not_come(tiny_stream, monkeypatch):
    counts = [len(task.test) for task in tiny_stream]
    assert len(seen.later_rows(tiny_stream, 0)) == sum(counts[1:])
    assert len(seen.later_rows(tiny_stream, len(counts) - 1)) == 0
    monkeypatch.setattr(seen, "LATER", 3)
    assert 0 < len(seen.later_rows(tiny_stream, 0)) <= 3 + len(counts)
