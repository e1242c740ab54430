"""Pixels on disk: the same as in memory, decoded once, named by what they were decoded from."""

import pytest
import torch
from PIL import Image

from holdfast.core import filed
from holdfast.core.errors import ConfigError, DataError
from holdfast.core.filed import FiledTensor
from holdfast.stream import PixelStore, open_source, pixel_store
from holdfast.stream.split import class_incremental
from pictures import write_pictures


@pytest.fixture
def photographs(tmp_path):
    """Pictures; one file is none."""
    folder = write_pictures(tmp_path / "data")
    (folder / "bee" / "9.png").write_bytes(b"no image")
    return folder


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(filed, "LAZY", 500)
    return PixelStore(tmp_path / "pixels", "disk")


@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_read_is_the_same_as_in_memory(photographs, store, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        memory, disk = (open_source(data=photographs, store=s) for s in (None, store))
    finally:
        torch.set_num_threads(before)
    assert isinstance(disk.x, FiledTensor)
    assert torch.equal(disk.x.dense(), memory.x)
    assert torch.equal(disk.test_x.clone(), memory.test_x)
    assert disk.y.equal(memory.y)
    assert disk.skipped == memory.skipped
    assert len(disk.skipped) == 1
    streams = [class_incremental(source, 2, order_seed=3) for source in (memory, disk)]
    assert streams[0].fingerprint() == streams[1].fingerprint()
    assert isinstance(streams[1][0].train.x, FiledTensor)


def test_nothing_is_decoded_twice_and_other_bytes_are_other_pixels(photographs, store, monkeypatch):
    first = open_source(data=photographs, store=store)
    calls = []
    decode = pixel_store.decoded
    monkeypatch.setattr(pixel_store, "decoded", lambda *a: calls.append(a) or decode(*a))
    again = open_source(data=photographs, store=store)
    assert calls == []
    assert torch.equal(again.x.dense(), first.x.dense())
    assert again.skipped == first.skipped
    Image.new("RGB", (12, 12), "red").save(photographs / "ant" / "0.png")
    other = open_source(data=photographs, store=store)
    assert calls
    assert not torch.equal(other.x.dense(), first.x.dense())


def test_a_file_that_was_cut_is_made_again(photographs, store):
    first = open_source(data=photographs, store=store)
    expected = first.x.dense()
    for file in store.folder.glob("*.pixels"):
        file.write_bytes(file.read_bytes()[:-5])
    assert torch.equal(open_source(data=photographs, store=store).x.dense(), expected)


def test_images_of_several_sizes_are_resized_as_in_memory(photographs, store):
    Image.new("RGB", (20, 10), "red").save(photographs / "ant" / "0.png")
    memory, disk = (open_source(data=photographs, store=s) for s in (None, store))
    assert disk.x.shape[1:] == (3, 64, 64)
    assert torch.equal(disk.x.dense(), memory.x)
    assert not list(store.folder.glob("*.part"))


def test_an_image_that_cannot_be_read_is_refused_if_asked_also_the_second_time(photographs, store):
    open_source(data=photographs, store=store)
    for _ in range(2):
        with pytest.raises(DataError, match=r"9\.png is not a readable image"):
            open_source(data=photographs, store=store, strict=True)


def test_a_folder_that_cannot_be_written_is_named(photographs, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigError, match=r"taken.*does not take.*--pixels memory"):
        open_source(data=photographs, store=PixelStore(tmp_path / "taken" / "pixels", "disk"))


def test_pixels_go_to_the_disk_if_they_take_more_than_a_quarter_of_the_free_memory(monkeypatch):
    monkeypatch.setattr(pixel_store, "available_memory", lambda: 1000)
    for where, sizes in {"auto": (250, 251), "memory": (10**12, None), "disk": (None, 1)}.items():
        store = PixelStore(pixel_store.Path("unused"), where)
        assert sizes[0] is None or not store.wants(sizes[0])
        assert sizes[1] is None or store.wants(sizes[1])
