"""Streams small enough to be learned in a second, and what the tests share."""

import pytest
import torch

from holdfast.core.rows import Rows
from holdfast.core.settings import Training
from holdfast.learner import Learner, Output
from holdfast.stream.source import digits, limit
from holdfast.stream.split import class_incremental
from holdfast.testing import small_stream, textures, vectors  # noqa: F401 - textures for others


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the long tail of the laws as well")


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: the long tail of the laws, run with --slow")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--slow"):
        skip = pytest.mark.skip(reason="of the long tail: run with --slow")
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def every_warning():
    """What torch warns of once a process would fail whichever test comes first."""
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(False)


@pytest.fixture(scope="session")
def tiny_stream():
    """3 tasks of 2 textures, 24 train and 10 test images a class."""
    return small_stream()


@pytest.fixture(scope="session")
def single_stream():
    """The same with one train image a class."""
    return small_stream(each=1)


@pytest.fixture(scope="session")
def vector_stream():
    """3 tasks of 2 clouds of feature vectors."""
    return small_stream(vectors)


@pytest.fixture(scope="session")
def digits_stream():
    """Handwritten digits in 5 tasks of 2, 60 train and 20 test images a class."""
    return class_incremental(limit(digits(), 60, 20, 0), 5)


@pytest.fixture
def tiny_training():
    """Enough for every method to run, too short to learn much."""
    return Training(epochs=2, batch=16, lr=0.05)


@pytest.fixture(scope="session")
def table():
    """Makes rows from labels; the inputs are random images unless they are given."""

    def make(y, task=0, x=None, first=0):
        y = torch.as_tensor(y)
        if x is None:
            chance = torch.Generator().manual_seed(1000 * task + len(y))
            x = torch.randint(256, (len(y), 1, 8, 8), generator=chance, dtype=torch.uint8)
        return Rows(x, y, torch.full_like(y, task), torch.arange(first, first + len(y)))

    return make


class PassThrough(Learner):
    """A learner whose features, embedding and logits are its inputs: a frozen network."""

    def __init__(self):
        torch.nn.Module.__init__(self)

    def forward(self, x):
        x = x.flatten(1)
        return Output(x, torch.nn.functional.normalize(x, dim=1), x)


@pytest.fixture(scope="session")
def identity():
    return PassThrough()
