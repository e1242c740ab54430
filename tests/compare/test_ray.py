"""A grid on a Ray cluster of two nodes: nothing is lost or run twice when a process is killed."""

import json
import socket
import time
from collections import Counter
from pathlib import Path

import pytest

from clusters import two_nodes
from holdfast.cli import main
from holdfast.compare import Grid, run_grid
from holdfast.compare.board import seen
from holdfast.compare.cluster import require
from holdfast.compare.engine_ray import SHARED
from holdfast.compare.sweep import is_complete
from holdfast.core.errors import ConfigError

ray = pytest.importorskip("ray")

PLUGIN = '''
import os, signal
from dataclasses import replace
from pathlib import Path
from holdfast.anchor.rule import Rule
from holdfast.recipes import make, register
from holdfast.stream.catalogue import register as register_source
from holdfast.testing.streams import small_source

@register_source("ray_textures")
def ray_textures():
    """Six gratings."""
    return small_source(each=12, tests=6)

class Noting(Rule):
    def __init__(self, name, marker):
        super().__init__()
        self.name, self.marker = name, marker

    def note(self, what, task):
        import ray
        node = ray.get_runtime_context().get_node_id() if ray.is_initialized() else "here"
        with open("notes.txt", "a") as file:
            file.write(f"{self.name} {what} {task.index} {node}\\n")

    def begin(self, learner, task):
        self.note("begins", task)
        if task.index == 1 and self.marker and not Path(self.marker).exists():
            Path(self.marker).write_text("x")
            os.kill(os.getpid(), signal.SIGKILL)

    def consolidate(self, learner, task, past):
        self.note("ends", task)

@register("noted")
def noted(name: str = "", marker: str = "", fails: bool = False):
    """Notes where it is learned; its process is killed in the middle where it has a marker."""
    import multiprocessing, sys
    if fails and "ray" in sys.modules and sys.modules["ray"].is_initialized() \\
            and sys.modules["ray"].get_runtime_context().worker.mode == 1:
        raise RuntimeError("no\\nway")
    method = make("finetune")
    return replace(method, anchors=[*method.anchors, Noting(name, marker)])
'''


@pytest.fixture
def plugin(import_parts):
    """A module with a tiny source, gone after the test."""
    return import_parts("ray_parts", PLUGIN)


@pytest.fixture
def cluster(monkeypatch):
    """Two nodes of one core each."""
    yield from two_nodes(monkeypatch)


def grid(*recipes, **changes):
    quick = {"epochs": ["2"], "batch": ["8"], "width": ["4"]}
    return Grid(**({
        "recipes": list(recipes), "streams": ["ray_textures"], "tasks": 2, "settings": quick,
    } | changes))  # fmt: skip


def measured(folder):
    """What a run measured and logged, without its seconds."""
    data = json.loads((folder / "result.json").read_text())
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return data["readouts"], [(one["task"], one["epoch"], one["loss"]) for one in lines]


def test_two_nodes_share_a_grid_and_a_killed_process_loses_and_doubles_nothing(
    plugin, tmp_path, cluster, capfd
):
    ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
    try:
        marker = tmp_path / "marker"
        names = [f"noted:name=a:marker={marker}", "noted:name=b"]
        shares = []
        watch = lambda sweep, job, outcome: shares.append(max(sweep.shares.values(), default=0))
        sweep = run_grid(grid(*names, seeds=2), tmp_path / "out", engine="ray", watch=watch)
        assert sweep.workers == 2 and not sweep.failed and len(sweep.outcomes) == 4
        assert marker.exists() and max(shares) <= 1
        notes = [line.split() for line in Path("notes.txt").read_text().splitlines()]
        counts = Counter(tuple(note[:3]) for note in notes)
        for (
            name
        ) in "ab":  # each of two runs a name, each task once, but for the one that was killed
            for task in "01":
                assert counts[name, "ends", task] == 2
                assert counts[name, "begins", task] == 2 + (name == "a" and task == "1")
        assert len({note[3] for note in notes}) == 2  # nodes
        runs = tmp_path / "out" / "runs"
        assert all(is_complete(runs / job.name) for job in sweep.jobs)
        assert {path.name for path in runs.iterdir()} == {job.name for job in sweep.jobs}

        before = len(notes)  # again: what is complete is skipped, and one that fails is listed
        words = [
            "grid", "--recipes", "noted:name=b,noted:fails=yes", "--streams", "ray_textures",
            "--tasks", "2", "--set", "epochs=2", "--set", "batch=8", "--set", "width=4",
            "--out", "out", "--engine", "ray",
        ]  # fmt: skip
        assert main(words) == 1
        shown = " ".join("".join(capfd.readouterr()).split())
        assert "RuntimeError: no" in shown and "1 of 2 runs were complete before" in shown
        (file,) = (tmp_path / "out" / "failed").iterdir()
        assert "way" in file.read_text() and "Traceback" in file.read_text()
        assert len(Path("notes.txt").read_text().splitlines()) == before

        with pytest.raises(ConfigError, match="--threads 2 are more than any node has cores"):
            run_grid(grid("noted"), tmp_path / "no", threads=2, engine="ray")
    finally:
        ray.shutdown()
    here = run_grid(grid("noted", seeds=2), tmp_path / "here", workers=1)
    same = {job.seed: measured(tmp_path / "here" / "runs" / job.name) for job in here.jobs}
    assert same[0] != same[1]
    assert all(measured(runs / job.name) == same[job.seed] for job in sweep.jobs)


def test_a_cluster_that_cannot_be_reached_is_one_sentence_and_soon(
    plugin, tmp_path, capfd, monkeypatch
):
    monkeypatch.setattr("holdfast.compare.cluster.PATIENCE", 1.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    silent = socket.create_server(("127.0.0.1", 0))
    other = f"127.0.0.1:{silent.getsockname()[1]}"
    started = time.monotonic()
    for address in (f"127.0.0.1:{port}", other, "no-such-host.invalid:6379", "nonsense"):
        with pytest.raises(ConfigError, match="no Ray cluster can be reached at"):
            run_grid(grid("noted"), tmp_path / "out", engine="ray", address=address)
    silent.close()
    words = ["grid", "--recipes", "noted", "--out", "out2", "--address", "127.0.0.1:1"]
    assert main(words) == 2
    assert "add --engine ray" in " ".join("".join(capfd.readouterr()).split())
    assert time.monotonic() - started < 20


def test_a_node_that_does_not_see_the_folder_or_has_another_version_is_named(tmp_path):
    (tmp_path / "token").touch()
    host, sees, version = seen(str(tmp_path / "token"))
    assert sees and not seen(str(tmp_path / "none"))[1]
    require(host, sees, version, tmp_path, SHARED)
    with pytest.raises(ConfigError, match=f"the node {host} .* does not see .* storage that all"):
        require(host, False, version, tmp_path, SHARED)
    with pytest.raises(ConfigError, match=r"has holdfast 0\.0 and this machine"):
        require(host, True, "0.0", tmp_path, SHARED)
