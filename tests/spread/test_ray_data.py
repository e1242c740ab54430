"""Learning and measuring over a cluster of two nodes: what one process would have made of the files."""

import json
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

import holdfast
from clusters import two_nodes
from holdfast.cli import main
from holdfast.core.errors import ConfigError, DataError
from holdfast.release.gate import Verdict
from holdfast.spread import learning, shards
from holdfast.spread.shards import require_files, shards_of
from holdfast.store.model import ModelFolder
from holdfast.stream.labelled import list_labelled

ray = pytest.importorskip("ray")
pytestmark = [  # of Ray Data's own code
    pytest.mark.filterwarnings(f"ignore::{kind}")
    for kind in ("DeprecationWarning", "FutureWarning", "ResourceWarning")
]
FROZEN = {
    "recipe": "frozen",
    "backbone": "small_frozen",
    "size": 8,
    "also": "gaussian:drift=none:shrinkage=0.2",
}
EACH = 24


def pictures(root, *names, each=EACH):
    """Classes of small pictures: a class is a colour."""
    for name in names:
        (root / name).mkdir(parents=True)
        chance = np.random.default_rng(len(name) + sum(map(ord, name)))
        middle = chance.integers(60, 200, 3)
        for i in range(each):
            pixels = np.clip(middle + chance.normal(0, 30, (10, 9, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i:02}.png")
    return root


@pytest.fixture
def cluster(monkeypatch):
    """Two nodes of one core each, this process connected."""
    for cluster in two_nodes(monkeypatch):
        ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
        yield cluster
        ray.shutdown()


def known(model):
    """By readout, what is stored of the classes; and the version's learner."""
    core, manifest = ModelFolder(model).load()
    return {name: readout.known for name, readout in core.readouts.items()}, core, manifest


def require_same(one, other, exact):
    """Two models know the same: to the bit, or to 1e-10 of what one process knows."""
    mine, a, _ = known(one)
    theirs, b, _ = known(other)
    assert a.labels == b.labels and a.progress.arrived == b.progress.arrived
    assert mine.keys() == theirs.keys() and len(mine) == 2
    for name, statistics in mine.items():
        assert statistics.count.equal(theirs[name].count)
        size = float(theirs[name].mean.abs().amax())
        assert_close(statistics.mean, theirs[name].mean, atol=1e-10 * size, rtol=0)
        for key, tensor in statistics.scatter.tensors().items():
            wanted = theirs[name].scatter.tensors()[key]
            assert_close(tensor, wanted, atol=1e-10 * float(wanted.abs().amax()), rtol=0)
        if exact:
            states = (core.readouts[name].get_extra_state() for core in (a, b))
            for left, right in zip(*(state.values() for state in states), strict=True):
                assert left.equal(right)


class Alone:
    """In place of a cluster: this process does the work, packed and unpacked as for others."""

    def __init__(self, workers=0, address=""):
        self.asked = workers, address

    def results(self, shards, work):
        for shard in shards:
            yield shard, pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(work))(shard)))


@pytest.fixture
def data(small, tmp_path, monkeypatch):
    """Two folders with a class in both, an image that is none, and portions of 10 files."""
    monkeypatch.setattr(shards, "SIZE", 10)
    first, second = (
        pictures(tmp_path / "a", "ant", "bee", "cow"),
        pictures(tmp_path / "b", "cow", "dog"),
    )
    (second / "cow" / "00.png").rename(second / "cow" / "z.png")
    (first / "bee" / "07.png").write_bytes(b"no image")
    return first, second


def few_at_hand(monkeypatch):
    """6 images of a class, of the others statistics."""
    monkeypatch.setattr(learning, "MOST", 6)
    monkeypatch.setattr(learning, "LEAST", 6)


def test_portions_make_the_model_that_one_process_makes(data, tmp_path, monkeypatch):
    monkeypatch.setattr("holdfast.spread.over_ray.Spread", Alone)
    for folder in data:  # all rows of a class fit: the models are the same to the bit
        whole = holdfast.learn(tmp_path / "whole", folder, **FROZEN, engine="ray")
        here = holdfast.learn(tmp_path / "here", folder, **FROZEN)
        assert whole.published and whole.after == here.after and whole.findings == here.findings
        for key in ("skipped", "images", "fingerprint"):
            assert whole.notes.get(key) == here.notes.get(key)
    require_same(tmp_path / "whole", tmp_path / "here", exact=True)
    few_at_hand(monkeypatch)
    for folder in data:
        part = holdfast.learn(tmp_path / "part", folder, **FROZEN, engine="ray")
        assert part.published
    require_same(tmp_path / "part", tmp_path / "here", exact=False)
    assert part.notes["images"] == {"cow": EACH, "dog": EACH}
    notes = known(tmp_path / "part")[1].progress.notes
    assert [note.images for note in notes] == [3 * EACH - 1, 2 * EACH]
    with pytest.raises(DataError, match=r"07\.png"):
        holdfast.learn(tmp_path / "no", data[0], **FROZEN, engine="ray", strict_data=True)


def test_a_refused_update_is_resumed_with_the_same_data_and_no_other(data, tmp_path, monkeypatch):
    monkeypatch.setattr("holdfast.spread.over_ray.Spread", Alone)
    few_at_hand(monkeypatch)
    learn = partial(holdfast.learn, tmp_path / "m", **FROZEN, engine="ray")
    learn(data[0])
    monkeypatch.setattr("holdfast.release.gate.Gate.judge", lambda *_: Verdict(1.0, ["worse"]))
    assert not learn(data[1], golden=data[0]).published
    with pytest.raises(ConfigError, match="was begun with images"):
        learn(pictures(tmp_path / "c", "elk"), resume=True)
    there = learn(data[1], golden=data[0], resume=True, yes=True)
    assert there.published and there.version == 2
    assert known(tmp_path / "m")[1].progress.arrived == 5 * EACH - 1


def test_two_nodes_do_it_and_a_process_killed_in_the_middle_loses_and_doubles_nothing(
    data, tmp_path, cluster, monkeypatch, capfd
):
    few_at_hand(monkeypatch)
    first = data[0]
    Path("victim").touch()
    seen = []
    watch = lambda what, done, count: seen.append((what, done, count))
    part = holdfast.learn(tmp_path / "part", first, **FROZEN, engine="ray", progress=watch)
    assert Path("killed").exists(), "no process was killed in the middle"
    nodes = set(Path("notes.txt").read_text().split())
    assert len(nodes - {"here"}) == 2
    assert seen[-1] == ("features", 3 * EACH, 3 * EACH)
    assert part.notes["images"] == {"ant": EACH, "bee": EACH - 1, "cow": EACH}
    assert [Path(file).name for file, _ in part.notes["skipped"]] == ["07.png"]
    holdfast.learn(tmp_path / "here", first, **FROZEN)
    require_same(tmp_path / "part", tmp_path / "here", exact=False)

    ask = ["evaluate", "part", "--data", "b", "--json"]
    capfd.readouterr()
    assert main(ask) == 0
    alone = json.loads(capfd.readouterr().out)
    assert main([*ask, "--engine", "ray", "--workers", "2"]) == 0
    there = capfd.readouterr()
    assert json.loads(there.out) == alone and "ray" not in there.err.lower()
    assert sum(entry["images"] for entry in alone["classes"].values()) == 2 * EACH


REFUSED = {
    "recipe": ({"recipe": "fnc2_strict"}, "a network would be trained here"),
    "adapts": ({"recipe": "frozen:adapt=all"}, "the recipe frozen trains"),
    "readout": ({"also": "pseudo-head"}, "add exactly, and the readout pseudo-head"),
    "drift": ({"also": "gaussian"}, "and the readout gaussian"),
    "workers": ({"engine": "here", "workers": 2}, "--workers 2 is of a Ray cluster"),
    "address": ({"engine": "here", "address": "a:1"}, "--address a:1 is of a Ray cluster"),
    "engine": ({"engine": "spark"}, "engine is here or ray, not 'spark'"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_add_is_refused_before_a_cluster_is_asked(small, tmp_path, what):
    changes, words = REFUSED[what]
    options = FROZEN | {"engine": "ray", "address": "127.0.0.1:1"} | changes
    if changes.get("recipe") == "fnc2_strict":
        options |= {"backbone": None, "also": None, "size": 0}
    if options["engine"] != "ray":
        options["address"] = changes.get("address")
    with pytest.raises(ConfigError, match=words):
        holdfast.learn(tmp_path / "m", pictures(tmp_path / "a", "ant", "bee", each=3), **options)
    assert not (tmp_path / "m").exists()


def test_vectors_and_images_inside_tables_stay_here(small, tmp_path):
    np.savez(tmp_path / "v.npz", x=np.random.default_rng(0).normal(size=(6, 4)), y=np.arange(6) % 2)
    with pytest.raises(ConfigError, match=r"v\.npz holds vectors"):
        require_files(list_labelled(tmp_path / "v.npz"))
    images = [Image.new("RGB", (4, 4), (i, 0, 0)) for i in range(4)]
    with pytest.raises(ConfigError, match="lie inside of it"):
        require_files(holdfast.api.sources.labelled_source((images, [0, 1, 0, 1])))


def test_shards_hold_each_file_once_in_order(tmp_path):
    listed = list_labelled(pictures(tmp_path / "a", "ant", "bee", each=7))
    cut = shards_of(listed, 4)
    assert [len(s.files) for s in cut] == [4, 4, 4, 2] and [s.first for s in cut] == [0, 4, 8, 12]
    assert [file for s in cut for file in s.files] == [file.absolute() for file in listed.files]
    assert [label for s in cut for label in s.labels] == listed.labels
    assert len(shards_of(listed)) == 1
    assert torch.tensor([s.number for s in cut]).equal(torch.arange(4))
