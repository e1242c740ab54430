"""Links inside a model, and declarations that would take memory: refused before anything happens."""

import resource
import sys

import pytest

from holdfast.core.errors import StoreError
from holdfast.store import serialize
from holdfast.store.atomic import atomic_write
from holdfast.store.model import ModelFolder

from .conftest import learn
from .test_model import STATE, forge, put

PLACES = [
    "versions",
    "versions/0001",
    "versions/0002",
    "versions/0002/manifest.json",
    "versions/0002/state.safetensors",
    "current.json",
]


def led_outside(place, outside):
    """Put a link to what stands in a place."""
    place.rename(outside)
    place.symlink_to(outside)


def names(root):
    return sorted(str(p.relative_to(root)) for p in root.rglob("*"))


@pytest.mark.parametrize("place", PLACES)
def test_a_link_anywhere_inside_is_not_read_through(place, model, tmp_path):
    led_outside(model / place, tmp_path / "outside")
    version = 1 if "0001" in place else 2
    with pytest.raises(StoreError, match="no plain file"):
        ModelFolder(model).load(version, device="cpu")


@pytest.mark.parametrize("place", PLACES[:1] + PLACES[2:])
def test_a_link_anywhere_inside_is_not_written_through(place, model, tmp_path):
    led_outside(model / place, tmp_path / "outside")
    before = names(tmp_path)
    with pytest.raises(StoreError, match="link"):
        learn(model, 4)
    left = [name for name in names(tmp_path) if ".lock" not in name]
    assert left == [name for name in before if ".lock" not in name]


@pytest.mark.parametrize("name", [".lock", ".lock.pid", "update.safetensors"])
def test_lock_and_checkpoint_are_not_written_through_a_link(name, model, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (model / name).unlink(missing_ok=True)
    (model / name).symlink_to(victim)
    with pytest.raises(StoreError, match="link"):
        learn(model, 4)
    assert victim.read_text() == "precious"


def test_a_link_to_nothing_is_a_link(model, tmp_path):
    (model / "update.safetensors").symlink_to(tmp_path / "nowhere")
    with pytest.raises(StoreError, match=r"update\.safetensors is a link"):
        learn(model, 4)
    assert not (tmp_path / "nowhere").exists()


def test_where_the_next_version_would_go_is_no_link(model, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    for name in (".0003.part", "0003"):
        (model / "versions" / name).symlink_to(tmp_path / "elsewhere")
        with pytest.raises(StoreError, match=f"{name} is a link"):
            learn(model, 4)
        (model / "versions" / name).unlink()
        ModelFolder(model).checkpoint.remove()
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert learn(model, 4).version == 3


def test_a_half_file_is_not_written_through_a_link(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".a.part.txt").symlink_to(victim)
    atomic_write(tmp_path / "a.txt", lambda to: to.write_text("new"))
    assert victim.read_text() == "precious" and (tmp_path / "a.txt").read_text() == "new"
    assert not (tmp_path / "a.txt").is_symlink()


def test_the_model_itself_may_be_reached_by_a_link(model, tmp_path):
    """A user's ``production`` that leads to a model, or to a folder of models, is their own choice."""
    (tmp_path / "production").symlink_to(model)
    (tmp_path / "models").symlink_to(model.parent)
    for path in (tmp_path / "production", tmp_path / "models" / model.name):
        assert ModelFolder(path).load(device="cpu")[1].version == 2
    assert learn(tmp_path / "production", 4).version == 3
    assert ModelFolder(model).manifest().version == 3


# what is declared


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda m: put(m, [1, 2**20, 2**20], "blueprint", "shape"), "inputs of shape"),
        (lambda m: put(m, [2**20, 2**20], "blueprint", "shape"), "inputs of shape"),
        (lambda m: put(m, 10**9, "blueprint", "model", "width"), "width|declares|cannot be made"),
        (lambda m: put(m, "random_ridge:width=1000000000", "blueprint", "readout"), "1000000000"),
        (lambda m: put(m, ["random_ridge:1000000000"], "blueprint", "also"), "1000000000"),
        (lambda m: put(m, 10**9, "blueprint", "parameters", "dim"), "1000000000"),
    ],
    ids=["images", "vectors", "width", "readout", "also", "parameter"],
)
def test_what_would_take_memory_is_refused_before_it_is_taken(change, words, model):
    forge(model, change)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(StoreError, match=words):
        ModelFolder(model).load(device="cpu")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # KiB


def test_a_class_that_no_head_reaches_makes_no_room(model):
    state = serialize.read(model / STATE)
    state["classes"]["seen"] = (0, 1, 2, 10**9)
    serialize.write(model / STATE, state)
    forge(model)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(StoreError, match="declares a class 1,000,000,000"):
        ModelFolder(model).load(device="cpu")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


def test_a_small_file_cannot_stand_for_a_large_network(monkeypatch, model):
    from holdfast.store import untrusted

    monkeypatch.setattr(untrusted, "FREE", 0)
    monkeypatch.setattr(untrusted, "REPEATED", 0.01)
    with pytest.raises(StoreError, match="no network repeats itself that often"):
        ModelFolder(model).load(device="cpu")


NOTE = [{"kind": "backbone", "name": "trap:Backbone", "module": "trap", "origin": "trap"}]
TRAP = """
open("sprung", "w").close()
Backbone = readout = recipe = views = dict
"""


def sprung(model, change, tmp_path, monkeypatch):
    """Whether code of the current folder runs because a model names it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trap.py").write_text(TRAP)
    forge(model, change)
    try:
        ModelFolder(model).load(device="cpu")
    finally:
        assert "trap" not in sys.modules
        assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda m: put(m, "trap:Backbone", "blueprint", "model", "backbone"),
        lambda m: put(m, "trap:readout", "blueprint", "readout"),
        lambda m: put(m, ["trap:readout"], "blueprint", "also"),
        lambda m: put(m, "trap:recipe", "blueprint", "recipe"),
        lambda m: put(m, {"divergence": "trap:views"}, "blueprint", "parameters"),
        lambda m: put(m, "trap:views", "blueprint", "augment"),
    ],
    ids=["backbone", "readout", "also", "recipe", "parameter", "views"],
)
def test_no_code_runs_because_a_model_names_it(change, model, tmp_path, monkeypatch):
    with pytest.raises(StoreError):
        sprung(model, change, tmp_path, monkeypatch)


def test_a_plugin_that_a_model_notes_is_not_imported(model, tmp_path, monkeypatch):
    sprung(model, lambda m: put(m, NOTE, "blueprint", "plugins"), tmp_path, monkeypatch)
    assert ModelFolder(model).manifest().blueprint["plugins"] == NOTE
