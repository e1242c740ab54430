"""Models on disk that take a second to learn."""

import shutil

import pytest
import torch

from conftest import textures
from holdfast.core.settings import Network, Training
from holdfast.store.model import ModelFolder
from holdfast.store.update import Update
from holdfast.train.blueprint import Blueprint
from holdfast.train.setup import Setup

NAMES = ("ant", "bee", "cat", "dog", "émeu", "🦊")
BLUEPRINT = Blueprint(
    "fnc2", (1, 8, 8), {"tau": 0.5, "dim": 16},
    Setup(Training(epochs=2, batch=16, lr=0.02), Network(width=4)),
)  # fmt: skip


def images(*classes, each=18, seed=0):
    """Textures of some classes, and their names."""
    x, y = textures(each, seed)
    kept = torch.isin(y, torch.tensor(classes))
    return x[kept], [NAMES[c] for c in y[kept].tolist()]


def learn(path, *classes, blueprint=BLUEPRINT, resume=False, seed=0, stop=None):
    """An update; with ``stop``, it is kept after so many epochs and left there."""
    folder = ModelFolder(path)
    with folder.lock():
        update = Update(folder, *images(*classes, seed=seed), blueprint, "cpu", resume)
        for number, _ in enumerate(update.learn(), start=1):
            update.keep(must=True)
            if number == stop:
                return None
        return update.publish({"images": {}})


def answers(path, version=None):
    """Scores of a version on images of every class."""
    core, _ = ModelFolder(path).load(version, "cpu")
    return core.scores(images(*range(6), each=3, seed=1)[0])


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A model of two versions, and another of one; not to be written to."""
    root = tmp_path_factory.mktemp("models")
    learn(root / "one", 0, 1)
    learn(root / "one", 2, 3)
    learn(root / "other", 4, 5)
    return root


@pytest.fixture
def model(made, tmp_path):
    """A copy of the model of two versions."""
    return shutil.copytree(made / "one", tmp_path / "one")


@pytest.fixture
def other(made, tmp_path):
    """A copy of the other one."""
    return shutil.copytree(made / "other", tmp_path / "other")
