"""What tests of many readers share: a module with a small frozen network."""

import pytest

from imported import modules_of_parts

PLUGIN = '''
import os, signal, sys
from contextlib import suppress
import torch
from torch import nn
from holdfast.learner.backbone import register
from holdfast.learner.network import Backbone

def node():
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized() or ray.get_runtime_context().worker.mode != 1:
        return "here"
    return ray.get_runtime_context().get_node_id()

class Small(Backbone):
    normalises, size, fit = True, 8, "crop"

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng([]):
            torch.manual_seed(7)
            self.layers = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.ReLU(), nn.Conv2d(6, 9, 3))
        self.features, self.tuned = 9, ()
        self.requires_grad_(False)
        self.sha256 = "5" * 64

    def forward(self, x):
        where = node()
        with open("notes.txt", "a") as file:
            file.write(where + chr(10))
        if where != "here" and os.path.exists("victim") and len(open("notes.txt").readlines()) > 6:
            with suppress(FileNotFoundError):
                os.rename("victim", "killed")  # one process alone can do so
                os.kill(os.getpid(), signal.SIGKILL)
        return self.layers(x).mean((2, 3))

@register("small_frozen")
def small_frozen(shape: tuple[int, ...]):
    """A small frozen network."""
    return Small()
'''


@pytest.fixture
def small(tmp_path, monkeypatch):
    """The module is imported, and its network known as small_frozen."""
    for make in modules_of_parts(tmp_path, monkeypatch):
        make("spread_parts", PLUGIN)
        yield
