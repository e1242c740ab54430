"""Which files of a folder are images, in which part, of which class; each once, however links run."""

import os

import numpy as np
import pytest
import torch
from PIL import Image

from holdfast.core.errors import ConfigError, DataError
from holdfast.stream.catalogue import from_path, peek_shape
from holdfast.stream.folder import read_folder
from holdfast.stream.image_files import SUFFIXES, is_lost, scan
from holdfast.stream.pixels import formats
from holdfast.stream.walk import walk


def put(path, shade=0, mode="L", size=(8, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {".jfif": "JPEG", ".pgm": "PPM", ".ppm": "PPM", ".pnm": "PPM", ".pbm": "PPM"}
    Image.new(mode, size, shade).save(path, kind.get(path.suffix))
    return path


def classes(root, names=("ant", "bee"), count=3):
    for k, name in enumerate(names):
        for i in range(count):
            put(root / name / f"{i}.png", 10 * k + i)
    return root


def counts(labels):
    return {name: labels.count(name) for name in sorted(set(labels))}


def named(source):
    return counts([source.names[y] for y in torch.cat([source.y, source.test_y]).tolist()])


# ---- parts


@pytest.mark.parametrize("train", ["train", "training", "Train"])
@pytest.mark.parametrize("test", ["test", "val", "valid", "validation", "VAL"])
def test_both_readers_know_a_train_and_a_test_part(tmp_path, train, test):
    classes(tmp_path / train)
    classes(tmp_path / test, count=2)
    source = from_path(tmp_path)
    assert (len(source.y), len(source.test_y)) == (6, 4) and source.names == ("ant", "bee")
    learned, measured = read_folder(tmp_path), read_folder(tmp_path, part="test")
    assert counts(learned.labels) == {"ant": 3, "bee": 3}
    assert counts(measured.labels) == {"ant": 2, "bee": 2}
    assert train in learned.notes[0] and test in measured.notes[0]


def test_a_lone_train_part_is_the_training_part_for_both(tmp_path):
    classes(tmp_path / "train")
    assert (
        named(from_path(tmp_path)) == counts(read_folder(tmp_path).labels) == {"ant": 3, "bee": 3}
    )
    assert counts(read_folder(tmp_path, part="test").labels) == {"ant": 3, "bee": 3}


def test_a_lone_test_part_is_measured_and_never_learned(tmp_path):
    classes(tmp_path / "val")
    assert counts(read_folder(tmp_path, part="test").labels) == {"ant": 3, "bee": 3}
    for read in (read_folder, from_path):
        with pytest.raises(DataError, match="has a test part and none to train on"):
            read(tmp_path)


@pytest.mark.parametrize("read", [read_folder, from_path])
def test_flat_train_and_test_folders_are_never_two_classes(tmp_path, read):
    for name in ("train", "test"):
        put(tmp_path / name / "1.png")
    with pytest.raises(DataError, match=r"train has no images in class folders"):
        read(tmp_path)


def test_train_beside_other_classes_is_a_class(tmp_path):
    classes(tmp_path, ("train", "car"))
    assert counts(read_folder(tmp_path).labels) == {"car": 3, "train": 3}


def test_what_stands_beside_the_parts_is_listed(tmp_path):
    for name in ("train", "test", "val", "raw"):
        classes(tmp_path / name)
    assert sorted(file.rsplit("/", 1)[1] for file, why in scan(tmp_path).skipped) == ["raw", "val"]
    assert scan(tmp_path).skipped[0][1] == "not used beside train/ and test/"
    assert len(read_folder(tmp_path, strict=True).labels) == 6


# ---- links


def test_a_link_back_up_counts_nothing_twice_and_nothing_under_another_class(tmp_path):
    classes(tmp_path / "data", count=5)
    put(tmp_path / "other" / "1.png")
    for place, target in (("up", ".."), ("top", "../.."), ("self", "."), ("sister", "../bee")):
        (tmp_path / "data" / "ant" / place).symlink_to(target)
    assert named(from_path(tmp_path / "data")) == {"ant": 5, "bee": 5}
    assert counts(read_folder(tmp_path / "data").labels) == {"ant": 5, "bee": 5}
    reasons = {file.rsplit("/", 1)[1]: why for file, why in walk(tmp_path / "data")[1]}
    assert reasons["up"] == reasons["top"] == reasons["self"] == "a link back to a folder above it"
    assert reasons["sister"] == "leads to a folder that is read already"


def test_links_to_elsewhere_are_followed_once(tmp_path):
    classes(tmp_path / "store", ("x", "y"), count=2)
    data = tmp_path / "data"
    data.mkdir()
    (data / "ant").symlink_to(tmp_path / "store" / "x")
    (data / "bee").symlink_to(tmp_path / "store" / "y")
    (data / "cow").symlink_to(tmp_path / "store" / "x")
    put(data / "dog" / "1.png")
    (data / "dog" / "2.png").symlink_to(tmp_path / "store" / "x" / "0.png")
    (data / "dog" / "3.png").symlink_to(data / "dog" / "1.png")
    assert counts(read_folder(data).labels) == {"ant": 2, "bee": 2, "dog": 1}
    (tmp_path / "alias").symlink_to(data)
    assert counts(read_folder(tmp_path / "alias").labels) == {"ant": 2, "bee": 2, "dog": 1}


def test_a_hidden_store_behind_links_is_read_by_its_links(tmp_path):
    store = put(tmp_path / ".store" / "a.png", 7)
    (tmp_path / "ant").mkdir()
    (tmp_path / "ant" / "1.png").symlink_to(store)
    images = read_folder(tmp_path)
    assert images.labels == ["ant"] and (images.x == 7).all()


def test_a_pipe_is_not_waited_for(tmp_path):
    classes(tmp_path)
    os.mkfifo(tmp_path / "ant" / "pipe.png")
    assert [why for _, why in read_folder(tmp_path).skipped] == ["no regular file"]


# ---- names


def test_a_folder_named_in_latin_1_is_a_class_with_a_readable_name(tmp_path):
    root = os.fsencode(tmp_path)
    for name in (b"caf\xe9", b"\x80\xff"):
        os.mkdir(os.path.join(root, name))
        for i in range(3):
            Image.new("L", (8, 8), i).save(
                os.path.join(os.fsdecode(root), os.fsdecode(name), f"{i}.png")
            )
    (tmp_path / os.fsdecode(b"caf\xe9") / "broken.png").write_bytes(b"x")
    images = read_folder(tmp_path)
    assert counts(images.labels) == {"\\x80ÿ": 3, "café": 3}
    assert images.skipped[0][0].endswith("café/broken.png")
    assert str(images.skipped).encode() and named(from_path(tmp_path)) == counts(images.labels)


def test_two_spellings_of_a_name_are_one_class_for_both(tmp_path):
    put(tmp_path / "e\u0301mu" / "1.png")
    put(tmp_path / "\u00e9mu" / "2.png")
    classes(tmp_path, ("ant",), 2)
    expected = {"ant": 2, "\u00e9mu": 2}
    assert counts(read_folder(tmp_path).labels) == named(from_path(tmp_path)) == expected


# ---- suffixes


@pytest.mark.parametrize("suffix", [".pgm", ".ppm", ".pnm", ".jfif", ".PNG", ".jp2", ".webp"])
def test_suffixes_that_pillow_reads_are_read(tmp_path, suffix):
    mode = "L" if suffix == ".pgm" else "RGB"
    for name in ("ant", "bee"):
        for i in range(2):
            path = put(tmp_path / name / f"{i}{suffix.lower()}", 0, mode)
            path.rename(path.with_suffix(suffix))
    assert len(read_folder(tmp_path).labels) == 4 and named(from_path(tmp_path)) == {
        "ant": 2,
        "bee": 2,
    }


def test_no_suffix_that_is_read_belongs_to_a_format_that_is_not():
    Image.init()
    known = {suffix: Image.EXTENSION[suffix] for suffix in SUFFIXES if suffix in Image.EXTENSION}
    assert set(known.values()) <= {*formats(), "MPO"} and len(known) > 15
    assert not {"EPS", "WMF", "FITS", "PSD"} & set(formats())


@pytest.mark.parametrize("read", [read_folder, from_path])
def test_a_folder_without_images_says_what_it_holds_and_what_is_read(tmp_path, read):
    (tmp_path / "ant").mkdir()
    (tmp_path / "ant" / "1.heic").write_bytes(b"x")
    with pytest.raises(DataError, match=r"it holds files of \.heic\. Suffixes .* \.png, .*\.pgm"):
        read(tmp_path)


def test_other_files_are_listed_and_an_image_among_them_is_lost(tmp_path):
    classes(tmp_path)
    for name in ("notes.txt", "photo.heic"):
        (tmp_path / "ant" / name).write_text("x")
    for skipped in (read_folder(tmp_path).skipped, from_path(tmp_path).skipped):
        assert [(f.rsplit("/", 1)[1], is_lost(f, why)) for f, why in skipped] == [
            ("notes.txt", False),
            ("photo.heic", True),
        ]


@pytest.mark.parametrize("read", [read_folder, from_path])
def test_strict_refuses_a_lost_image_and_bears_a_note(tmp_path, read):
    classes(tmp_path)
    (tmp_path / "ant" / "notes.txt").write_text("x")
    read(tmp_path, strict=True)
    (tmp_path / "ant" / "photo.heic").write_text("x")
    with pytest.raises(DataError, match=r"photo\.heic: no image by its name"):
        read(tmp_path, strict=True)
    (tmp_path / "ant" / "photo.heic").rename(tmp_path / "ant" / "photo.jpg")
    with pytest.raises(DataError, match=r"photo\.jpg is not a readable image"):
        read(tmp_path, strict=True)


@pytest.mark.parametrize("numbers", [{"size": -1}, {"per_class": -2}])
def test_numbers_that_make_no_sense_are_refused_by_both(tmp_path, numbers):
    classes(tmp_path)
    for read in (read_folder, from_path):
        with pytest.raises(ConfigError, match="must be at least 1"):
            read(tmp_path, **numbers)


def test_both_readers_give_the_same_pixels(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        for i in range(4):
            image = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
            image.save(tmp_path / name / f"{i}.{'png' if i % 2 else 'jpg'}")
    for size in (None, 5):
        images, source = read_folder(tmp_path, size), from_path(tmp_path, size)
        ours = {x.numpy().tobytes() for x in images.x}
        theirs = {x.numpy().tobytes() for x in torch.cat([source.x, source.test_x])}
        assert ours == theirs and len(ours) == 8


# ---- peek


def test_peek_shape_is_the_shape_that_is_read(tmp_path):
    assert peek_shape("digits") == (1, 8, 8)
    assert peek_shape("cifar10") is None and peek_shape("cifar10", size=9) == (3, 9, 9)
    classes(tmp_path, count=30)
    assert peek_shape("any", tmp_path) == tuple(from_path(tmp_path).x.shape[1:]) == (3, 8, 8)
    assert peek_shape("any", tmp_path, 5) == (3, 5, 5)
    put(tmp_path / "ant" / "0.png", size=(7, 8))
    assert peek_shape("any", str(tmp_path)) == (3, 64, 64)
