"""Two processes with half a batch each learn what one does with the whole."""

import copy
import json
import sys
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest
import torch

from every_recipe import EVERY
from holdfast.cli import main
from holdfast.core.errors import ConfigError
from holdfast.core.registry import IMPORTED, REGISTRIES
from holdfast.core.settings import Machine
from holdfast.learner.synced import sync_norms
from holdfast.recipes import make
from holdfast.stream.augment import CONTRASTIVE_TINY, PLAIN, Augment
from holdfast.testing import small_stream, vectors
from holdfast.testing.devices import OnDevices, differences_on_devices
from holdfast.testing.watched import QUICK
from holdfast.train.events import STOP
from holdfast.train.runner import Run, run

OPTIONS = (
    "er:forward=split", "derpp:classes=seen", "lwf_strict:rehearse=3:decide=head", "si:step=proximal",
    "ewc:step=proximal:classes=new", "ewc:fisher=sampled_fisher", "fnc2_strict:uniform=0.5",
    "fnc2:denominator=open:support=old", "co2l:average=rows", "lwf:divergence=jensen_shannon",
    "kfac_laplace:classes=new", "online_ewc:fisher=empirical_fisher",
)  # fmt: skip


@contextmanager
def gone_after(module):
    """What a module registers and imports inside is gone at the end."""
    for registry in REGISTRIES.values():
        list(registry)  # the package's own are there before
    before = {kind: dict(registry._entries) for kind, registry in REGISTRIES.items()}
    named = set(IMPORTED)
    IMPORTED.clear()
    try:
        yield
    finally:
        IMPORTED.clear()
        IMPORTED.update(named)
        sys.modules.pop(module, None)
        for kind, registry in REGISTRIES.items():
            for name in set(registry._entries) - set(before.get(kind, {})):
                del registry._entries[name]


def test_every_recipe_on_two_devices_is_that_on_one():
    """And the law sees where it does not hold: a batch norm of each process, asked of the last."""
    once = QUICK.updated(epochs=1)
    cases = [OnDevices(text, setup=once) for text in (*EVERY, *OPTIONS)]
    cases += [
        OnDevices("co2l:now=0.3", setup=once.updated(past_mode="batch")),
        OnDevices("fnc2:gamma=2", vectors, once, sync_norm=False),  # a network without any norm
        OnDevices("finetune:classes=new", setup=once, sync_norm=False),
    ]
    gaps = differences_on_devices(cases)
    assert set(gaps) == {"finetune:classes=new"} and "epoch 1 of task 1" in str(gaps)


DYING = '''
import os, signal
from dataclasses import replace
from pathlib import Path
from holdfast.anchor.rule import Rule
from holdfast.core.ranks import current
from holdfast.recipes import make, register
from holdfast.stream.catalogue import register as register_source
from holdfast.testing.streams import small_source

@register_source("device_textures")
def device_textures():
    """Six gratings."""
    return small_source(each=13, tests=6)

class Dying(Rule):
    """Ends the second of two processes when the second task begins."""

    def begin(self, learner, task):
        ranks = current()
        if task.index == 1 and ranks is not None and ranks.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)

@register("dying")
def dying():
    """Does not survive its second task on several devices."""
    method = make("finetune")
    return replace(method, anchors=[*method.anchors, Dying()])
'''
FLAGS = ("--stream", "device_textures", "--tasks", "3", "--epochs", "2", "--batch", "16", "--width", "4",
         "--sync-norm", "--import", "device_parts.py")  # fmt: skip


def test_a_process_that_dies_ends_the_run_with_a_sentence_and_it_goes_on_with_another_number(
    tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "device_parts.py").write_text(DYING)
    with gone_after("device_parts"):
        assert main(["run", "dying", *FLAGS, "--devices", "2", "--out", "cut"]) == 2
        shown = " ".join("".join(capfd.readouterr()).split())
        assert "process 1 of 2 that learn together has ended (signal 9" in shown
        assert "2 devices (cpu)" in shown and shown.count("training samples") == 1
        assert (tmp_path / "cut" / "checkpoint.safetensors").exists()
        assert main(["run", "dying", *FLAGS, "--out", "cut", "--resume", "--quiet"]) == 0
        assert main(["run", "dying", *FLAGS, "--out", "whole", "--quiet"]) == 0
    cut, whole = (
        [
            json.loads(line)["loss"]
            for line in (tmp_path / name / "log.jsonl").read_text().splitlines()
        ]
        for name in ("cut", "whole")
    )
    assert len(cut) == len(whole) == 6 and cut == pytest.approx(whole, abs=2e-4)
    assert json.loads((tmp_path / "cut" / "result.json").read_text())["status"] == "complete"


def stop_after_two(seen, event):
    seen.append(type(event).__name__)
    return STOP if len(seen) == 2 else None


def test_a_watcher_stops_all_processes():
    machine, seen = Machine("cpu", devices=2), []
    stream = small_stream(each=4, tests=2)
    setup = replace(QUICK, machine=machine)
    result = run(make("finetune"), stream, setup, watch=partial(stop_after_two, seen))
    assert result.status == "stopped: by its watcher" and seen == ["Epoch", "Epoch"]


def test_numbers_of_devices_that_cannot_be(monkeypatch):
    stream = small_stream(each=1)
    with pytest.raises(ConfigError, match="--devices must be at least 1"):
        Machine(devices=0)
    many = replace(QUICK, machine=Machine("cpu", devices=10_000))
    with pytest.raises(ConfigError, match=r"--devices 10000 are more than the \d+ cores"):
        run(make("finetune"), stream, many)
    with pytest.raises(ConfigError, match="needs as many processes, and this is one of 1"):
        Run(make("finetune"), stream, many)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ConfigError, match="started 3 processes and --devices is 10000"):
        run(make("finetune"), stream, many)


def test_a_key_of_a_grid_does_not_change_by_what_is_not_asked():
    assert set(QUICK.to_dict()["machine"]) == {"device", "precision"}
    assert replace(QUICK, machine=Machine(devices=2)).to_dict()["machine"]["devices"] == 2


def test_batch_norm_alone_is_the_usual_one():
    plain = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.BatchNorm2d(3))
    twin = sync_norms(copy.deepcopy(plain))
    x = torch.rand(4, 1, 5, 5)
    assert torch.equal(plain(x), twin(x)) and isinstance(twin[1], torch.nn.BatchNorm2d)
    assert list(plain.state_dict()) == list(twin.state_dict())
    with pytest.raises(ConfigError, match="knows BatchNorm1d, 2d and 3d, and 0 is a LazyBatchNorm"):
        sync_norms(torch.nn.Sequential(torch.nn.LazyBatchNorm2d()))


@pytest.mark.parametrize("augment", [CONTRASTIVE_TINY, PLAIN, Augment(noise=0.1)])
@pytest.mark.parametrize("shape", [(7, 3, 12, 12), (7, 5)])
def test_views_of_a_share_are_those_of_the_whole(augment, shape):
    chance = lambda: torch.Generator().manual_seed(3)
    share = slice(2, 5)
    for seed in range(20):
        x = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(augment.some(x, share, chance()), augment(x, chance())[share])
