"""Readouts fitted to tables on a frozen network."""

import pytest

from holdfast.memory import NoMemory
from holdfast.readout import FitContext
from holdfast.stream.task import Task


@pytest.fixture
def task(table):
    def make_task(x, y, index=0, first=0):
        rows = table(y, index, x, first)
        return Task(index, tuple(sorted(set(y.tolist()))), rows, rows)

    return make_task


@pytest.fixture
def fitted(task, identity):
    """Fits a readout to tables (x, y), one task after the other, on a frozen network."""

    def fit(readout, *tables, memory=None):
        seen = set()
        for index, (x, y) in enumerate(tables):
            seen |= set(y.tolist())
            now = task(x, y, index, 1000 * index)
            readout.fit(FitContext(identity, now, memory or NoMemory(), tuple(sorted(seen))))
        return readout

    return fit
