"""Progress: a value that a run resumes from."""

import json
from dataclasses import replace

import pytest

from holdfast.core.errors import ConfigError
from holdfast.memory import Holdings
from holdfast.recipes.former import EDITION
from holdfast.train.progress import Progress, classes_with, fingerprint
from holdfast.train.result import TaskNote

NOTE = TaskNote(["a", "b"], 48, 2, 1.5, 1000, Holdings(floats=3))


def test_a_task_counts_once_it_is_learned_to_its_end(tiny_stream):
    begun = Progress(labels=tuple(tiny_stream.names)).begin(tiny_stream[0])
    assert (begun.task, begun.epochs, begun.seen, begun.notes) == (0, 0, (), ())
    inside = begun.after_epoch(0, 1.5)
    assert (inside.task, inside.epochs, inside.seen, inside.seconds) == (0, 1, (), 1.5)
    done = inside.after(tiny_stream[0], NOTE, 48)
    assert (done.task, done.epochs, done.seen, done.notes) == (1, 0, (0, 1), (NOTE,))
    assert (done.seconds, done.begun, done.arrived) == (0.0, "", 0)
    assert done.labels == tiny_stream.names


def test_rows_that_arrived_are_counted_and_their_labels_kept(tiny_stream):
    task = replace(tiny_stream[0], labels=("x", "y"))
    done = Progress(arrived=5).begin(task).after(task, NOTE, len(task.train))
    assert done.arrived == 5 + len(task.train) and done.labels == ("x", "y")


def test_it_goes_through_json_in_the_layout_of_the_first_format(tiny_stream):
    value = Progress(1, 1, (0, 1), ("a", "b"), 48, (NOTE,), 2.5, fingerprint(tiny_stream[1]))
    data = json.loads(json.dumps(value.to_dict()))
    assert Progress.from_dict(data) == value
    assert data["place"] == {"task": 1, "epochs": 1}
    del data["begun"]  # which the first format did not have
    assert Progress.from_dict(data) == replace(value, begun="")


@pytest.mark.parametrize("identity, edition", [({"format": 2}, 2), ({}, 1)])
def test_the_edition_of_its_beginning_stays(identity, edition, tiny_stream):
    data = Progress().to_dict() | {"identity": identity}
    assert data.pop("edition") == Progress.from_dict(data | {"edition": EDITION}).edition == EDITION
    begun = Progress.from_dict(data)
    inside = begun.begin(tiny_stream[0]).after_epoch(0, 1.0)
    for value in (begun, inside, inside.after(tiny_stream[0], NOTE, 48)):
        assert value.to_dict()["edition"] == edition


@pytest.mark.parametrize("index", [1, 2])
def test_a_task_of_another_place_is_refused(index, tiny_stream):
    with pytest.raises(ConfigError, match=rf"this is task {index + 1}, but 0 were learned"):
        Progress().begin(tiny_stream[index])


def test_a_task_that_was_begun_with_other_data_is_refused(tiny_stream):
    begun = Progress().begin(tiny_stream[0])
    other = replace(tiny_stream[0], train=tiny_stream[0].train[slice(0, 5)])
    assert begun.begin(other).begun == fingerprint(other)  # no epoch is done: nothing is lost
    with pytest.raises(ConfigError, match="task 1 was begun with other data"):
        begun.after_epoch(0, 1.0).begin(other)
    assert begun.after_epoch(0, 1.0).begin(tiny_stream[0]).epochs == 1


def test_a_task_is_known_by_its_rows_labels_and_classes(tiny_stream):
    task = tiny_stream[0]
    others = [
        replace(task, classes=(0, 2)),
        replace(task, labels=("x", "y")),
        replace(task, train=replace(task.train, y=1 - task.train.y)),
        tiny_stream[1],
    ]
    marks = {fingerprint(other) for other in (task, *others)}
    assert len(marks) == 5 and fingerprint(task) == fingerprint(task)


def test_classes_of_a_task_join_in_order(tiny_stream):
    assert classes_with((5, 0), tiny_stream[1]) == (0, 2, 3, 5)
