"""Streams small enough to be learned in a second, and what the tests share."""

import math

import pytest
import torch

from holdfast.learner import Learner, Output
from holdfast.settings import Training
from holdfast.stream.rows import Rows
from holdfast.stream.source import digits, from_arrays, limit
from holdfast.stream.split import class_incremental

WAVES = ((0, 4), (4, 0), (0, 2), (2, 0), (2, 2), (4, 4))  # a texture a class, in cycles an image


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def textures(each, seed):
    """(N, 1, 8, 8) uint8: noisy gratings, ``each`` of every class, and their classes."""
    generator = torch.Generator().manual_seed(seed)
    place = torch.arange(8) / 8
    turn = 2 * math.pi * torch.tensor(WAVES)
    wave = (turn[:, :1, None] * place[:, None] + turn[:, 1:, None] * place).cos()
    noise = torch.randn(len(WAVES), each, 8, 8, generator=generator)
    x = (0.5 + 0.3 * wave[:, None] + 0.1 * noise).clamp(0, 1).flatten(0, 1)
    y = torch.arange(len(WAVES)).repeat_interleave(each)
    return (x * 255).round().to(torch.uint8)[:, None], y


def vectors(each, seed):
    """(N, 12) floats: six clouds, ``each`` of every class, and their classes."""
    centres = 2 * torch.randn(6, 12, generator=torch.Generator().manual_seed(99))
    y = torch.arange(6).repeat_interleave(each)
    return centres[y] + torch.randn(len(y), 12, generator=torch.Generator().manual_seed(seed)), y


def three_tasks(kind, each, test_each):
    source = from_arrays(*kind(each, 0), *kind(test_each, 1), name=kind.__name__)
    return class_incremental(source, 3)


@pytest.fixture(scope="session")
def tiny_stream():
    """3 tasks of 2 textures, 24 train and 10 test images a class."""
    return three_tasks(textures, 24, 10)


@pytest.fixture(scope="session")
def single_stream():
    """The same with one train image a class."""
    return three_tasks(textures, 1, 10)


@pytest.fixture(scope="session")
def vector_stream():
    """3 tasks of 2 clouds of feature vectors."""
    return three_tasks(vectors, 24, 10)


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
