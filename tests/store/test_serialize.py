"""Nested data survive the way to the disk and back; a damaged file is refused before it is used."""

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from holdfast.core.errors import StoreError
from holdfast.store import serialize

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
KEYS = st.text(max_size=4) | st.integers(0, 9) | st.sampled_from(["$tensor", "$"])
NESTED = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=12,
)
KINDS = [torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool, torch.bfloat16]


@given(NESTED)
@settings(max_examples=100, deadline=None)
def test_plain_data_come_back_equal_and_of_the_same_types(thing):
    tensors, data = serialize.flatten(thing)
    found = serialize.unflatten(tensors, json.loads(json.dumps(data, allow_nan=False)))
    assert repr(found) == repr(thing)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3), (2, 3, 4, 4)])
def test_tensors_come_back_bit_for_bit(kind, shape, tmp_path):
    x = (torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 9).to(kind)
    x = x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
    serialize.write(tmp_path / "a.safetensors", {"x": x, "again": [x, x.T if x.ndim == 2 else x]})
    found = serialize.read(tmp_path / "a.safetensors")
    assert found["x"].dtype == kind and torch.equal(found["x"], x)
    assert torch.equal(found["again"][1], x.T if x.ndim == 2 else x)


def test_what_is_no_plain_data_is_refused():
    with pytest.raises(TypeError, match="function is no plain data"):
        serialize.flatten({"a": [lambda: 0]})


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "state.safetensors"
    serialize.write(path, {"w": torch.arange(12.0), "epoch": 3})
    return path


def test_a_flipped_bit_anywhere_is_noticed(written):
    whole = written.read_bytes()
    for place in range(0, len(whole), 7):
        written.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(StoreError, match=r"state\.safetensors"):
            serialize.read(written)
    written.write_bytes(whole)
    assert serialize.read(written)["epoch"] == 3


def test_a_truncated_file_is_refused_at_any_length(written):
    whole = written.read_bytes()
    for length in range(0, len(whole), 11):
        written.write_bytes(whole[:length])
        with pytest.raises(StoreError, match=r"state\.safetensors"):
            serialize.read(written)


class Trap:
    def __reduce__(self):
        return os.mkdir, ("sprung",)


def test_other_files_under_the_name_are_refused_and_run_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "state.safetensors"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(StoreError, match="damaged or no file"):
        serialize.read(path)
    assert not (tmp_path / "sprung").exists()
    save_file({"w": torch.zeros(2)}, path)  # a true one, but not ours
    with pytest.raises(StoreError, match="damaged or no file"):
        serialize.read(path)
    with pytest.raises(StoreError, match="cannot be read"):
        serialize.read(tmp_path / "missing.safetensors")


def test_a_write_that_fails_leaves_the_old_state(written, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StoreError, match="No space"):
        serialize.write(written, {"epoch": 4})
    assert serialize.read(written)["epoch"] == 3
    assert [path.name for path in written.parent.iterdir()] == [written.name]
