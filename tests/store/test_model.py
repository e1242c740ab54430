"""What a model folder promises, and every way in which it can be damaged or forged."""

import hashlib
import io
import json
import os
import pickle
import re
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from holdfast.core.errors import ConfigError, StoreError
from holdfast.store import serialize
from holdfast.store.manifest import Index
from holdfast.store.model import ModelFolder

from .conftest import NAMES, answers, images, learn

STATE, MANIFEST = "versions/0002/state.safetensors", "versions/0002/manifest.json"
FILES = ["current.json", MANIFEST, STATE]


def everything(path):
    return {
        str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()
    }


def test_versions_stand_side_by_side_and_say_what_they_are(model):
    folder = ModelFolder(model)
    first, second = folder.manifest(1), folder.manifest()
    assert [c["name"] for c in second.classes] == list(NAMES[:4])
    assert [c["version"] for c in second.classes] == [1, 1, 2, 2]
    assert (first.parent, second.version, second.parent) == (0, 2, 1)
    assert second.stored["images"] == 0 and second.stored["floats"] > 0
    assert second.input["shape"] == [1, 8, 8] and 0 < second.input["mean"][0] < 1
    assert second.blueprint["recipe"] == "fnc2" and "torch" in second.libraries["versions"]
    told = second.files["state.safetensors"]
    assert told["sha256"] == hashlib.sha256((model / STATE).read_bytes()).hexdigest()


def test_a_stored_model_answers_as_the_learner_that_was_stored(tmp_path):
    from holdfast.store.update import Update

    from .conftest import BLUEPRINT

    folder = ModelFolder(tmp_path / "m")
    with folder.lock():
        update = Update(folder, *images(0, 1), BLUEPRINT, "cpu")
        list(update.learn())
        update.publish({})
    x = images(0, 1, seed=1)[0]
    assert torch.equal(folder.load(device="cpu")[0].scores(x), update.core.scores(x))


def test_extending_a_loaded_model_is_extending_the_learner_itself(tmp_path):
    """Stored and loaded between two tasks, or kept in memory: the same bits."""
    from .conftest import BLUEPRINT

    core = BLUEPRINT.build("cpu")
    for classes in ((0, 1), (2, 3), (1, 4)):
        core.learn(core.arrive(*images(*classes)))
        learn(tmp_path / "m", *classes)
    found, manifest = ModelFolder(tmp_path / "m").load(device="cpu")
    x = images(*range(6), seed=1)[0]
    assert torch.equal(found.scores(x), core.scores(x))
    assert [c["name"] for c in manifest.classes] == core.labels == list(NAMES[:5])


def test_rollback_is_a_pointer_and_an_update_goes_on_from_there(model):
    before = answers(model, 1)
    folder = ModelFolder(model)
    files = everything(model / "versions")
    assert folder.rollback().version == 1
    assert torch.equal(answers(model), before) and everything(model / "versions") == files
    assert learn(model, 4).parent == 1
    assert folder.manifest().version == 3
    assert [e["did"] for e in folder.index().events] == [
        "learned",
        "learned",
        "rolled back",
        "learned",
    ]
    assert folder.rollback(2).version == 2
    with pytest.raises(ConfigError, match="no version 9: its versions are 1, 2, 3"):
        folder.rollback(9)
    folder.rollback(1)
    with pytest.raises(ConfigError, match="learned from none"):
        folder.rollback()


def test_a_damaged_version_is_not_rolled_back_to(model):
    (model / "versions/0001/state.safetensors").write_bytes(b"")
    with pytest.raises(StoreError, match=r"0001/state\.safetensors is damaged"):
        ModelFolder(model).rollback()
    assert ModelFolder(model).index().current == 2


# every file damaged, one at a time


def cut(path, theirs):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def cut_by_one(path, theirs):
    path.write_bytes(path.read_bytes()[:-1])


def emptied(path, theirs):
    path.write_bytes(b"")


def swapped(path, theirs):
    shutil.copy(theirs, path)


def missing(path, theirs):
    path.unlink()


@pytest.mark.parametrize("damage", [cut, cut_by_one, emptied, swapped, missing])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_refused_by_name(name, damage, model, other):
    damage(model / name, other / name.replace("0002", "0001"))
    # another model's index is whole in itself: then the manifests are not those that it lists
    named = "manifest.json" if damage is swapped and name == "current.json" else Path(name).name
    with pytest.raises(StoreError, match=re.escape(named)):
        ModelFolder(model).load(device="cpu")
    before = everything(model / "versions")
    with pytest.raises(StoreError):  # nor is anything published on top of it
        learn(model, 4)
    assert everything(model / "versions") == before


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_refused_wherever_it_is(name, model):
    path = model / name
    whole = path.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(StoreError, match=path.name.replace(".", r"\.")):
            ModelFolder(model).load(device="cpu")
    path.write_bytes(whole)
    assert ModelFolder(model).load(device="cpu")[1].version == 2


def test_a_version_of_another_model_is_refused(model, other):
    shutil.rmtree(model / "versions/0002")
    shutil.copytree(other / "versions/0001", model / "versions/0002")
    with pytest.raises(StoreError, match=r"0002/manifest\.json"):
        ModelFolder(model).load(device="cpu")


def test_a_version_in_anothers_place_is_refused(model):
    index = json.loads((model / "current.json").read_text())
    forge(model, index_change=lambda i: i.manifests.update({"2": index["manifests"]["1"]}))
    shutil.rmtree(model / "versions/0002")
    shutil.copytree(model / "versions/0001", model / "versions/0002")
    with pytest.raises(StoreError, match="belongs to another model or version"):
        ModelFolder(model).load(device="cpu")


# forged files, whose hashes are right


def forge(model, change=lambda manifest: None, state=None, index_change=lambda index: None):
    """Rewrite a model with every hash set right again."""
    if state is not None:
        (model / STATE).write_bytes(state)
    manifest = json.loads((model / MANIFEST).read_text())
    raw = (model / STATE).read_bytes()
    told = {"sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw)}
    manifest["files"]["state.safetensors"] = told
    change(manifest)
    (model / MANIFEST).write_text(json.dumps(manifest))
    index = Index.read(model / "current.json")
    index.manifests["2"] = serialize.sha256(model / MANIFEST)
    index_change(index)
    (model / "current.json").write_text(index.to_text())


def put(manifest, value, *path):
    for name in path[:-1]:
        manifest = manifest[name]
    manifest[path[-1]] = value


def test_forging_is_possible_so_that_the_next_tests_mean_something(model):
    before = answers(model)
    forge(model)
    assert torch.equal(answers(model), before)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: put(m, m["files"]["state.safetensors"], "files", "../../../victim"),
        lambda m: put(m, {"../0001/state.safetensors": {}}, "files"),
        lambda m: put(m, [], "files"),
        lambda m: put(m, [3, 10**9, 10**9], "blueprint", "shape"),
        lambda m: put(m, [3, 10**6, 10**6], "blueprint", "shape"),
        lambda m: put(m, [-1], "blueprint", "shape"),
        lambda m: put(m, "x", "blueprint", "shape"),
        lambda m: put(m, 10**9, "blueprint", "model", "width"),
        lambda m: put(m, 10**12, "blueprint", "parameters", "dim"),
        lambda m: put(m, 10**9, "blueprint", "parameters", "classes"),
        lambda m: put(m, 8, "blueprint", "model", "width"),
        lambda m: put(m, "resnet18", "blueprint", "model", "backbone"),
        lambda m: put(m, "/etc/passwd", "blueprint", "model", "backbone"),
        lambda m: put(m, "google/vit", "blueprint", "model", "backbone"),
        lambda m: put(
            m, '{"config": {"num_hidden_layers": 5000}}', "blueprint", "model", "backbone"
        ),
        lambda m: put(m, '{"config": {"hidden_size": 10000000}}', "blueprint", "model", "backbone"),
        lambda m: put(m, "{}", "blueprint", "model", "backbone"),
        lambda m: put(m, "os.system", "blueprint", "recipe"),
        lambda m: put(m, {"tau": "__import__('os')"}, "blueprint", "parameters"),
        lambda m: put(m, {"lr": -1}, "blueprint", "training"),
        lambda m: put(m, "lwf", "blueprint", "recipe"),
        lambda m: put(m, "head", "blueprint", "readout"),
        lambda m: put(m, 1, "surprise"),
        lambda m: m.pop("classes"),
        lambda m: put(m, 99, "version"),
        lambda m: put(m, "another", "model"),
    ],
)
def test_a_forged_manifest_is_refused_and_takes_no_memory(change, model):
    import resource

    forge(model, change)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(StoreError):
        ModelFolder(model).load(device="cpu")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB


@pytest.mark.parametrize("format, words", [(2, "update holdfast"), (0, "no version of holdfast")])
@pytest.mark.parametrize("name", ["current.json", MANIFEST])
def test_another_format_says_why_it_is_not_read(format, words, name, model):
    if name == MANIFEST:
        forge(model, lambda m: put(m, format, "format"))
    else:
        raw = json.loads((model / name).read_text())
        (model / name).write_text(json.dumps(raw | {"format": format}))
    with pytest.raises(StoreError, match=f"has format {format}, and this reads 1: {words}"):
        ModelFolder(model).load(device="cpu")


class Trap:
    def __reduce__(self):
        return os.mkdir, ("sprung",)


def bomb():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(50_000_000))
    return packed.getvalue()


def declared(shape):
    """A safetensors header that declares more than the file has."""
    size = 4
    for n in shape:
        size *= n
    header = {"learner.w": {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    "state",
    [
        lambda: pickle.dumps(Trap()),
        bomb,
        lambda: declared([10**6, 10**6]),
        lambda: (2**60).to_bytes(8, "little") + b"{}",
        lambda: save({"w": torch.zeros(3)}),
        lambda: save({"w": torch.zeros(3)}, {"data": "[" * 100_000, "sha256": ""}),
        lambda: save({"w": torch.zeros(3)}, {"data": '{"learner": {}}', "sha256": "0"}),
        lambda: b"",
    ],
    ids=["pickle", "zip", "huge", "header", "plain", "deep", "empty", "nothing"],
)
def test_a_forged_state_is_refused_and_runs_nothing(state, model, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    forge(model, state=state())
    with pytest.raises(StoreError, match=r"state\.safetensors|declares"):
        ModelFolder(model).load(device="cpu")
    assert not (tmp_path / "sprung").exists()


def test_a_state_of_another_network_is_refused(model, other):
    whole = serialize.read(model / STATE)
    whole["learner"]["backbone.strange"] = torch.zeros(2)
    serialize.write(model / STATE, whole)
    forge(model)
    with pytest.raises(StoreError, match=r"state\.safetensors does not fit"):
        ModelFolder(model).load(device="cpu")


@pytest.mark.parametrize("name", FILES)
def test_links_are_not_followed(name, model, tmp_path):
    outside = tmp_path / "outside"
    (model / name).rename(outside)
    (model / name).symlink_to(outside)
    with pytest.raises(StoreError, match="no plain file"):
        ModelFolder(model).load(device="cpu")


def test_an_index_of_any_size_is_not_read(model):
    with (model / "current.json").open("ab") as file:
        file.truncate(2**30)  # sparse: it takes no room
    with pytest.raises(StoreError, match=r"current\.json has 1,073,741,824 bytes"):
        ModelFolder(model).load(device="cpu")


# writers


def test_a_second_writer_is_refused_by_name(model):
    with (
        ModelFolder(model).lock(),
        pytest.raises(StoreError, match=rf"is being updated by another process \({os.getpid()}\)"),
        ModelFolder(model).lock(),
    ):
        pass
    with ModelFolder(model).lock():
        assert ModelFolder(model).load(device="cpu")[1].version == 2  # readers need no lock


def failure(act):
    """What an act that cannot write says; nothing if it could."""
    try:
        act()
    except (StoreError, OSError) as error:
        return str(error)
    return ""


CALLS = [("pathlib.Path", "write_bytes"), ("pathlib.Path", "write_text"), ("os", "fsync"),
         ("os", "replace"), ("pathlib.Path", "rename"), ("pathlib.Path", "mkdir")]  # fmt: skip


@pytest.mark.parametrize("where, call", CALLS, ids=[call for _, call in CALLS])
@pytest.mark.parametrize("name", ["model", "empty"])
def test_a_full_disk_at_any_write_leaves_the_old_version_and_no_half_file(
    where, call, name, made, model, tmp_path, monkeypatch
):
    """The n-th call of its kind fails, for every n, until an update passes without failing."""
    import importlib

    module, _, kind = where.rpartition(".")
    owner = (
        getattr(importlib.import_module(module), kind) if module else importlib.import_module(where)
    )
    honest, classes = getattr(owner, call), (4, 5)
    path = model if name == "model" else tmp_path / "fresh"
    before = {k: v for k, v in everything(model).items() if k != ".lock"}
    failed = 0
    (tmp_path / "none").mkdir()
    for n in range(40):
        left = [n]

        def full(*given, left=left, **named):
            left[0] -= 1
            if left[0] == -1:
                raise OSError(28, "No space left on device")
            return honest(*given, **named)

        monkeypatch.setattr(owner, call, full)
        said = failure(lambda: learn(path, *classes, resume=True))
        assert said == "" or "No space left on device" in said
        failed += said != ""
        monkeypatch.setattr(owner, call, honest)
        if not said:
            assert ModelFolder(path).load(device="cpu")[1].version == (3 if name == "model" else 1)
            if left[0] >= 0:
                break
            shutil.rmtree(path)  # a failure that came too late to matter: begin again
            shutil.copytree(made / "one" if name == "model" else tmp_path / "none", path)
        elif name == "model":
            now = everything(model)
            assert {k: v for k, v in now.items() if k in before and k != ".lock"} == before
            assert now.keys() - before.keys() <= {"update.safetensors", ".lock"}
        assert not [p for p in path.rglob("*") if ".part" in p.name]
    assert failed


def test_what_is_no_model_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match=r"is no model and is not empty .*thesis\.txt"):
        ModelFolder(tmp_path)
    with pytest.raises(ConfigError, match="is a file"):
        ModelFolder(tmp_path / "thesis.txt")
    with pytest.raises(StoreError, match=r"current\.json is missing"):
        ModelFolder(tmp_path / "nowhere").load()


def test_a_pretrained_backbone_is_stored_with_the_model(tmp_path):
    """The folder that it came from may go."""
    transformers = pytest.importorskip("transformers")
    from dataclasses import replace

    from holdfast.core.settings import Network

    from .conftest import BLUEPRINT

    place = tmp_path / "vit"
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        image_size=16, patch_size=8,
    )  # fmt: skip
    transformers.ViTModel(config).save_pretrained(place)
    processor = {"image_processor_type": "ViTImageProcessor", "size": {"height": 16, "width": 16}}
    (place / "preprocessor_config.json").write_text(json.dumps(processor))
    setup = replace(BLUEPRINT.setup, network=Network(str(place), tune_layers=1))
    tuned = replace(BLUEPRINT, setup=setup)
    learn(tmp_path / "m", 0, 1, blueprint=tuned)
    before = answers(tmp_path / "m")
    shutil.rmtree(place)
    assert torch.equal(answers(tmp_path / "m"), before)
    assert learn(tmp_path / "m", 2).version == 2
    assert torch.equal(answers(tmp_path / "m", 1), before)
    assert str(place) in ModelFolder(tmp_path / "m").manifest().blueprint["model"]["backbone"]
