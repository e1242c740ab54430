"""Sources: arrays, folders, parquet files and the hub; what is wrong with them is said in a sentence."""

import io
import json
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from holdfast.core.errors import ConfigError, DataError
from holdfast.stream import hub as hub_module
from holdfast.stream import pictures, pixel_store, pixels
from holdfast.stream.catalogue import from_path, load, open_source
from holdfast.stream.source import Source, digits, from_arrays, limit

CIFAR10 = Path(__file__).parents[2].parent / "shared/data/cifar10"
COLOURS = {"blue": (0, 0, 200), "green": (0, 200, 0), "red": (200, 0, 0)}


def save(path, colour, size=(6, 6), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).convert(mode).save(path, **options)
    return path


def folder(root, count=5, size=(6, 6), colours=COLOURS):
    for name, colour in colours.items():
        for i in range(count):
            save(root / name / f"{i}.png", (*colour[:2], colour[2] + i), size)
    return root


def encoded(colour, size=(6, 6), kind="PNG"):
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind)
    return file.getvalue()


def table(labels, names=None, column="label", images=None, features=True):
    """An arrow table of one-colour images, with the metadata of ``datasets`` if it has names."""
    images = images or [encoded((i % 256, 0, 0)) for i in range(len(labels))]
    made = pa.table({"image": [{"bytes": b, "path": None} for b in images], column: labels})
    if names is not None and features:
        kinds = {"image": {"_type": "Image"}, column: {"names": names, "_type": "ClassLabel"}}
        made = made.replace_schema_metadata(
            {"huggingface": json.dumps({"info": {"features": kinds}})}
        )
    return made


def same(a: Source, b: Source) -> bool:
    pairs = [(a.x, b.x), (a.y, b.y), (a.test_x, b.test_x), (a.test_y, b.test_y)]
    return a.names == b.names and all(torch.equal(one, other) for one, other in pairs)


# ---- digits and arrays


def test_digits_are_all_there_once_and_the_split_is_stratified_and_fixed():
    made = digits()
    assert made.x.shape[1:] == (1, 8, 8) and made.x.dtype == torch.uint8 and made.x.max() == 255
    assert made.names == tuple("0123456789") and made.y.dtype == torch.int64
    assert len(made.x) + len(made.test_x) == 1797
    share = torch.bincount(made.test_y) / (torch.bincount(made.y) + torch.bincount(made.test_y))
    assert (share - 0.2).abs().max() < 0.01
    assert same(made, digits()) and not same(made, digits(seed=1))


@pytest.mark.parametrize(
    "shape", [(12, 3, 8, 9), (12, 8, 9, 3), (12, 8, 9), (12, 1, 8, 9), (12, 8, 9, 1)]
)
@pytest.mark.parametrize("kind", ["uint8", "float64", "int64", "torch"])
def test_images_of_any_layout_become_channels_first_bytes(shape, kind):
    pixels = np.random.default_rng(0).integers(0, 256, shape)
    given = {
        "uint8": pixels.astype(np.uint8),
        "float64": pixels / 255,
        "int64": pixels,
        "torch": torch.tensor(pixels / 255, dtype=torch.float32),
    }[kind]
    made = from_arrays(given, [0, 1] * 6, given[:4], [0, 1, 0, 1])
    expected = pixels.reshape(12, 1, 8, 9) if 3 not in shape else pixels
    expected = expected.transpose(0, 3, 1, 2) if shape == (12, 8, 9, 3) else expected
    assert made.x.dtype == torch.uint8
    np.testing.assert_array_equal(made.x.numpy(), expected)
    np.testing.assert_array_equal(made.test_x.numpy(), expected[:4])


def test_arrays_are_copied():
    x = np.zeros((4, 2), np.float32)
    made = from_arrays(x, [0, 1, 0, 1], x, [0, 1, 0, 1])
    x[:] = 7
    assert made.x.sum() == 0


def test_features_stay_float_and_labels_may_be_strings_or_gaps():
    x = torch.randn(10, 5, dtype=torch.float64)
    text = from_arrays(x, ["dog", "cat"] * 5, x, ["cat"] * 10)
    assert text.x.dtype == torch.float64 and text.names == ("cat", "dog")
    assert text.y.tolist() == [1, 0] * 5 and text.test_y.tolist() == [0] * 10
    assert (
        from_arrays(x, np.array(["dog", "cat"] * 5, object), x, ["cat"] * 10).y.tolist()
        == [1, 0] * 5
    )
    gaps = from_arrays(x, [7, 3] * 5, x, [9] * 10)
    assert gaps.names == ("3", "7", "9") and gaps.y[0] == 1 and gaps.test_y[0] == 2
    named = from_arrays(x, [2.0, 0.0] * 5, x, torch.zeros(10), names=["a", "b", "c"])
    assert named.names == ("a", "b", "c") and named.y.tolist() == [2, 0] * 5


def test_a_share_of_every_class_is_held_out():
    x, y = np.arange(60).reshape(30, 2), [0] * 20 + [1] * 8 + [2] * 2
    made = from_arrays(x, y, test_share=0.25)
    assert torch.bincount(made.test_y).tolist() == [5, 2, 1]
    rows = torch.cat([made.x, made.test_x])[:, 0].sort().values
    assert rows.tolist() == list(range(0, 60, 2))
    assert same(made, from_arrays(x, y, test_share=0.25))
    assert not same(made, from_arrays(x, y, test_share=0.25, seed=1))


X = np.zeros((4, 2))
PIXELS = np.zeros((4, 5, 5))


def spoilt(array, value, row=2):
    array = array.astype(float)
    array[row, 0] = value
    return array


@pytest.mark.parametrize(
    "x, y, message",
    [
        (spoilt(X, np.nan), [0, 1, 0, 1], "x: row 2 holds a NaN or infinite value"),
        (spoilt(X, np.inf), [0, 1, 0, 1], "x: row 2 holds a NaN or infinite"),
        (spoilt(X, 1e301), [0, 1, 0, 1], r"x: row 2 holds 1e\+301, in size beyond 1e\+300"),
        (spoilt(PIXELS, np.nan, 1), [0, 1, 0, 1], "x: row 1 holds a NaN"),
        (
            spoilt(PIXELS, 254.0),
            [0, 1, 0, 1],
            r"row 2 has pixels from 0.0 to 254.0: .* in \[0, 1\]",
        ),
        (spoilt(PIXELS, -0.5), [0, 1, 0, 1], "row 2 has pixels from -0.5"),
        (PIXELS.astype(int) - 3, [0, 1, 0, 1], r"row 0 has pixels from -3 .* in 0\.\.255"),
        (
            np.zeros((4, 5, 5, 4)),
            [0, 1, 0, 1],
            r"shape \(4, 5, 5, 4\): images need 1 or 3 channels",
        ),
        (np.zeros(4), [0, 1, 0, 1], r"x has shape \(4,\): give images"),
        (np.zeros((0, 2)), [], "x is empty"),
        (np.array([["a", "b"]] * 4), [0, 1, 0, 1], "inputs must be numbers"),
        ([[1.0], [1.0, 2.0]], [0, 1], "x is no array .* its rows must have one shape"),
        (X, [], "y is empty"),
        (X, [0, 1, 0], "x has 4 rows and y has 3: they must match"),
        (X, [0, 1.5, 0, 1], "y: the label of row 1 is 1.5: labels must be integers"),
        (X, [0, 1, np.nan, 1], "y: the label of row 2 is nan"),
        (X, [0, 1, 0, -1], "y: the label of row 3 is -1"),
        (X, [0, None, 0, 1], "y: the label of row 1 is None"),
        (X, ["a", "b", None, "a"], "y: the label of row 2 is None: .* all strings"),
        (X, np.array(["a", 1, "b", "a"], object), "y: the label of row 1 is 1: "),
        (X, np.array([1j, 2, 3, 4]), "labels are integers or strings"),
        (X, np.eye(4), r"y has shape \(4, 4\): give one label per row"),
        (X, ["cat"] * 4, "all train rows are of one class, 'cat'"),
        (X, [0, 1, 1, 1], "class '0' has one row"),
    ],
)
def test_bad_arrays_are_refused_with_what_would_be_right(x, y, message):
    with pytest.raises(DataError, match=message):
        from_arrays(x, y)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"test_y": None}, "test_x and test_y belong together"),
        ({"test_x": X[:3]}, "test_x has 3 rows and test_y has 4"),
        ({"test_x": np.zeros((4, 3))}, r"x and test_x have shapes \(2,\) and \(3,\)"),
        ({"test_x": spoilt(X, np.nan)}, "test_x: row 2 holds a NaN"),
        ({"test_y": ["a", "b", "a", "b"]}, "y and test_y hold integers in one and strings"),
        ({"test_y": [0, 1, 0, 2], "names": ["a", "b"]}, "test_y: the label 2 of row 3 has no name"),
        ({"names": ["a", "a"]}, "the class names a, a repeat"),
    ],
)
def test_bad_test_sets_and_names_are_refused(changes, message):
    given = {"x": X, "y": [0, 1, 0, 1], "test_x": X, "test_y": [0, 1, 0, 1], **changes}
    with pytest.raises(DataError, match=message):
        from_arrays(**given)


def test_numbers_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match=r"test_share is 1\.5: it must lie between 0 and 1"):
        from_arrays(X, [0, 1, 0, 1], test_share=1.5)
    with pytest.raises(ConfigError, match="per_class is 0: it must be at least 1"):
        open_source(per_class=0)
    with pytest.raises(ConfigError, match="size is -1"):
        from_path("anywhere", size=-1)
    with pytest.raises(ConfigError, match="digits have one size"):
        open_source("digits", size=32)


def test_limit_keeps_so_many_of_a_class_and_more_hold_fewer():
    made = digits()
    few, more = limit(made, per_class=5), limit(made, per_class=20, test_per_class=3)
    assert torch.bincount(few.y).tolist() == [5] * 10 and torch.equal(few.test_x, made.test_x)
    assert (
        torch.bincount(more.y).tolist() == [20] * 10
        and torch.bincount(more.test_y).tolist() == [3] * 10
    )
    held = {row.numpy().tobytes() for row in more.x}
    assert {row.numpy().tobytes() for row in few.x} <= held
    assert not torch.equal(few.x, limit(made, per_class=5, seed=1).x)
    assert same(open_source(per_class=5), few) and same(limit(made, per_class=10**6), made)


# ---- folders of images


def test_a_folder_per_class_is_held_out_and_decoded(tmp_path):
    made = from_path(folder(tmp_path / "colours"))
    assert made.name == "colours" and made.names == ("blue", "green", "red")
    assert made.x.shape == (12, 3, 6, 6) and torch.bincount(made.test_y).tolist() == [1, 1, 1]
    for x, y in zip(made.x, made.y):
        assert x[:2, 0, 0].tolist() == list(COLOURS[made.names[y]][:2])


@pytest.mark.parametrize("test", ["test", "val", "Validation"])
def test_train_and_test_folders_are_used(tmp_path, test):
    folder(tmp_path / "train", 3)
    folder(tmp_path / test, 2)
    made = from_path(tmp_path, per_class=2)
    assert (
        torch.bincount(made.y).tolist() == [2] * 3
        and torch.bincount(made.test_y).tolist() == [2] * 3
    )
    alone = tmp_path / "alone"
    folder(alone / "train")
    assert from_path(alone).names == ("blue", "green", "red")
    folder(tmp_path / "vehicles", colours={"train": (1, 1, 1), "car": (2, 2, 2)})
    assert from_path(tmp_path / "vehicles").names == ("car", "train")


def test_files_of_every_kind_become_rgb(tmp_path):
    grey, modes = (
        (102, 102, 102),
        {"a.PNG": "L", "b.bmp": "RGB", "c.gif": "P", "d.tif": "RGB", "e.jpg": "L"},
    )
    for name, mode in modes.items():
        save(tmp_path / "grey" / name, grey, mode=mode)
    save(tmp_path / "grey" / "f.JPEG", grey, mode="CMYK", quality=100)
    save(tmp_path / "grey" / "g.png", grey, mode="P")
    save(tmp_path / "grey" / "deep" / "h.webp", grey, lossless=True)
    Image.fromarray(np.full((6, 6), 102 * 257, np.uint16)).save(tmp_path / "grey" / "i.png")
    save(tmp_path / "white" / "1.png", (255, 255, 255))
    Image.new("RGBA", (6, 6), (0, 0, 0, 0)).save(tmp_path / "white" / "2.png")
    Image.new("LA", (6, 6), (0, 0)).save(tmp_path / "white" / "3.png")
    Image.new("P", (6, 6)).save(tmp_path / "white" / "4.png", transparency=0)
    save(tmp_path / "white" / ".hidden.png", (0, 0, 0), (1, 1))
    save(tmp_path / ".cache" / "1.png", (0, 0, 0), (1, 1))
    (tmp_path / "white" / "notes.txt").write_text("no image")
    made = from_path(tmp_path)
    x, y = torch.cat([made.x, made.test_x]), torch.cat([made.y, made.test_y])
    assert made.names == ("grey", "white") and torch.bincount(y).tolist() == [9, 4]
    assert (x[y == 0].int() - 102).abs().max() <= 2
    assert (x[y == 1] == 255).all()


def test_exif_turns_images_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    wide = Image.new("RGB", (8, 4))
    wide.paste((255, 255, 255), (0, 0, 4, 4))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(2):
            wide.save(tmp_path / name / f"{i}.png", exif=exif)
    made = from_path(tmp_path)
    assert made.x.shape[1:] == (3, 8, 4)
    assert (made.x[:, :, :4] == 255).all() and (made.x[:, :, 4:] == 0).all()


def test_sizes_that_differ_become_64_and_size_is_obeyed(tmp_path):
    folder(tmp_path, 3)
    assert from_path(tmp_path, size=4).x.shape[1:] == (3, 4, 4)
    save(tmp_path / "red" / "wide.png", (200, 0, 0), (300, 40))
    made = from_path(tmp_path)
    assert made.x.shape[1:] == (3, 64, 64) and made.test_x.shape[1:] == (3, 64, 64)
    assert (made.x[made.y == 2, 0] == 200).all()
    assert from_path(tmp_path, size=10).x.shape[1:] == (3, 10, 10)


def test_a_large_jpeg_is_decoded_small(tmp_path, monkeypatch):
    folder(tmp_path, 2)
    save(tmp_path / "red" / "large.jpg", (200, 0, 0), (2048, 2048))
    seen = []
    monkeypatch.setattr(
        pixels, "_rgb", lambda image, _: seen.append(image.size) or image.convert("RGB")
    )
    from_path(tmp_path, size=16)
    assert max(seen) == (256, 256)


def test_memory_is_bounded(tmp_path, monkeypatch):
    folder(tmp_path, 2)
    monkeypatch.setattr(pictures, "ROOM", 100)
    with pytest.raises(DataError, match=r"6 images of 6 x 6 pixels need .* give a size"):
        from_path(tmp_path)
    assert from_path(tmp_path, size=6).x.shape[1:] == (3, 6, 6)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DataError, match=r"blue/.\.png is too large to decode safely"):
        from_path(tmp_path, size=6)


def test_bad_folders_are_refused(tmp_path):
    with pytest.raises(DataError, match="nowhere does not exist: give a parquet file or a folder"):
        from_path(tmp_path / "nowhere")
    with pytest.raises(DataError, match="has no images in class folders"):
        from_path(tmp_path)
    loose = save(tmp_path / "loose.png", (1, 1, 1))
    with pytest.raises(DataError, match="has no images in class folders"):
        from_path(tmp_path)
    with pytest.raises(DataError, match=r"loose\.png is not a parquet file"):
        from_path(loose)
    folder(tmp_path, colours={"red": (200, 0, 0)})
    with pytest.raises(DataError, match="all train rows are of one class, 'red'"):
        from_path(tmp_path)
    folder(tmp_path)
    loose.unlink()
    whole = (tmp_path / "green" / "3.png").read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"no image at all"):
        (tmp_path / "green" / "3.png").write_bytes(broken)
        with pytest.raises(DataError, match=r"green/3\.png is not a readable image"):
            from_path(tmp_path, strict=True)
        made = from_path(tmp_path)
        assert len(made.x) + len(made.test_x) == 14
        ((file, why),) = made.skipped
        assert file.endswith("green/3.png") and why.startswith("is not a readable image")
    (tmp_path / "green" / "3.png").write_bytes(whole)
    save(tmp_path / "train" / "red" / "1.png", (1, 1, 1))
    save(tmp_path / "test" / "1.png", (1, 1, 1))
    with pytest.raises(DataError, match="test has no images in class folders"):
        from_path(tmp_path)


def test_images_that_are_not_kept_are_not_decoded(tmp_path, monkeypatch):
    folder(tmp_path / "train", 9)
    folder(tmp_path / "test", 4)
    decoded = []
    plain = pixel_store.decoded
    monkeypatch.setattr(
        pixel_store, "decoded", lambda *given: decoded.append(given[0]) or plain(*given)
    )
    made = from_path(tmp_path, per_class=2, test_per_class=1)
    assert len(made.x) == 6 and len(made.test_x) == 3 and len(decoded) == 9
    assert same(made, limit(from_path(tmp_path), 2, 1)) and same(
        made, open_source("any", tmp_path, None, 2, 1)
    )


# ---- parquet files


def test_parquet_files_with_named_classes(tmp_path):
    names = ["cat", "dog", "owl"]
    (tmp_path / "data").mkdir()
    pq.write_table(table([2, 0, 1, 0], names), tmp_path / "data" / "train-00000.parquet")
    pq.write_table(table([1, 2], names), tmp_path / "data" / "train-00001.parquet")
    pq.write_table(table([0, 1, 2], names), tmp_path / "data" / "valid-00000.parquet")
    made = from_path(tmp_path)
    assert made.names == ("cat", "dog", "owl") and made.y.tolist() == [2, 0, 1, 0, 1, 2]
    assert made.x[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 0, 1] and made.test_y.tolist() == [0, 1, 2]
    pq.write_table(table([2, 1, 0], names), tmp_path / "data" / "test.parquet")
    assert from_path(tmp_path).test_y.tolist() == [2, 1, 0]


@pytest.mark.parametrize("column", ["label", "labels", "fine_label", "class"])
@pytest.mark.parametrize("labels", [[5, 3] * 4, ["b", "a"] * 4])
def test_a_single_parquet_file_without_metadata(tmp_path, column, labels):
    pq.write_table(table(labels, column=column), tmp_path / "some.parquet")
    made = from_path(tmp_path / "some.parquet")
    assert made.name == "some" and len(made.x) == 6 and len(made.test_x) == 2
    assert made.names == (("3", "5") if labels[0] == 5 else ("a", "b"))
    assert all(y == 1 - x[0, 0, 0] % 2 for x, y in zip(made.x, made.y))


def test_images_in_a_parquet_file_may_be_plain_bytes_or_paths(tmp_path):
    save(tmp_path / "1.png", (7, 7, 7))
    made = pa.table({"image": [{"bytes": None, "path": "1.png"}] * 4, "label": [0, 1] * 2})
    pq.write_table(made, tmp_path / "x.parquet")
    assert (from_path(tmp_path / "x.parquet").x == 7).all()
    pq.write_table(
        pa.table({"img": [encoded((9, 9, 9))] * 4, "label": [0, 1] * 2}), tmp_path / "x.parquet"
    )
    assert (from_path(tmp_path).x == 9).all()


@pytest.mark.parametrize(
    "made, message",
    [
        (
            table([0, 1] * 3, column="kind"),
            "no label column: name it one of .* columns are image, kind",
        ),
        (pa.table({"label": [0, 1]}), "no image column: its columns are label"),
        (table([0, 0, 0], ["cat", "dog"]), "all train rows are of one class, 'cat'"),
        (table([0, 1, -1, 0], ["cat", "dog"]), "x train labels: the label of row 2 is -1"),
        (table([0, 1, None, 0]), "x train labels: the label of row 2 is None"),
        (
            table([0, 1, 2, 0], ["cat", "dog"]),
            "the label 2 of row 2 has no name: the 2 names are cat, dog",
        ),
        (
            table([0, 1] * 2, images=[b"junk"] * 4),
            "no image of x can be read: .*x.parquet row . is not a read",
        ),
        (
            pa.table({"image": [{"bytes": b"", "path": None}] * 4, "label": [0, 1] * 2}),
            "row . holds no image",
        ),
    ],
)
def test_bad_parquet_files_are_refused(tmp_path, made, message):
    pq.write_table(made, tmp_path / "x.parquet")
    with pytest.raises(DataError, match=message):
        from_path(tmp_path / "x.parquet")


def test_broken_rows_of_a_parquet_file_are_skipped_or_refused(tmp_path):
    images = [encoded((i, 0, 0)) for i in range(12)]
    images[5] = b"junk"
    pq.write_table(table([0, 1] * 6, images=images), tmp_path / "x.parquet")
    made = from_path(tmp_path / "x.parquet")
    pixels = torch.cat([made.x, made.test_x])[:, 0, 0, 0].tolist()
    classes = torch.cat([made.y, made.test_y]).tolist()
    assert sorted(zip(pixels, classes)) == [(i, i % 2) for i in range(12) if i != 5]
    ((row, why),) = made.skipped
    assert row.endswith("x.parquet row 5") and why.startswith("is not a readable image")
    with pytest.raises(DataError, match=r"x\.parquet row 5 is not a readable image"):
        from_path(tmp_path / "x.parquet", strict=True)


@pytest.mark.parametrize("column", ["image", "file_name"])
def test_a_parquet_column_of_file_names(tmp_path, column):
    for i in range(12):
        save(tmp_path / "pictures" / f"{i}.png", (i, i, i))
    names = [f"pictures/{i}.png" for i in range(12)]
    rows = pa.table({"note": ["some text"] * 12, column: names, "label": [0, 1] * 6})
    pq.write_table(rows, tmp_path / "x.parquet")
    made = from_path(tmp_path / "x.parquet")
    assert all(int(y) == int(x[0, 0, 0]) % 2 for x, y in zip(made.x, made.y))
    assert len(made.x) == 10
    pq.write_table(rows.rename_columns(["note", "text", "label"]), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"columns are note \(string\), text \(string\), label"):
        from_path(tmp_path / "x.parquet")


def test_unreadable_parquet_files_are_named(tmp_path):
    file = tmp_path / "train.parquet"
    pq.write_table(table([0, 1] * 200), file)
    whole = file.read_bytes()
    for broken in (
        whole[: len(whole) // 2],
        b"",
        whole[:50] + bytes(len(whole) // 2) + whole[50 + len(whole) // 2 :],
    ):
        file.write_bytes(broken)
        with pytest.raises(DataError, match=r"train\.parquet is not a readable parquet file"):
            from_path(tmp_path)


def test_parquet_files_must_agree_on_the_names(tmp_path):
    pq.write_table(table([0, 1], ["cat", "dog"]), tmp_path / "train-0.parquet")
    pq.write_table(table([0, 1], ["dog", "cat"]), tmp_path / "test.parquet")
    with pytest.raises(DataError, match="name other classes"):
        from_path(tmp_path)
    pq.write_table(table([0, 1], ["dog", "cat"]), tmp_path / "train-1.parquet")
    with pytest.raises(DataError, match=r"train-1\.parquet names other classes than .*train-0"):
        from_path(tmp_path)


@pytest.mark.skipif(not CIFAR10.exists(), reason="shared/data/cifar10 is not there")
def test_cifar10_from_local_files():
    made = open_source("cifar10", CIFAR10, per_class=4, test_per_class=2)
    assert made.name == "cifar10" and made.names[3] == "cat" and made.x.shape == (40, 3, 32, 32)
    assert torch.bincount(made.test_y).tolist() == [2] * 10
    found = pq.read_table(CIFAR10 / "train.parquet").slice(0, 2000).to_pylist()
    pixels = {
        np.asarray(Image.open(io.BytesIO(r["image"]["bytes"]))).tobytes(): r["label"] for r in found
    }
    hits = [
        pixels.get(x.permute(1, 2, 0).contiguous().numpy().tobytes(), int(y)) == y
        for x, y in zip(made.x, made.y)
    ]
    assert all(hits)


# ---- the hub


@pytest.fixture
def hub(monkeypatch):
    """What load_dataset is asked for, and what it answers: a dict of splits or an error."""
    asked, answer = [], {}

    def load_dataset(name):
        asked.append((name, datasets.config.HF_HUB_OFFLINE))
        if "error" in answer:
            raise answer["error"]
        return datasets.DatasetDict(answer)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(hub_module, "_reachable", lambda endpoint: True)
    return asked, answer


def split(labels, names, column="label", image="img", **more):
    kinds = {image: datasets.Image(), column: datasets.ClassLabel(names=names)}
    rows = {
        image: [{"bytes": encoded((i, 0, 0)), "path": None} for i in range(len(labels))],
        column: labels,
    }
    extra = {name: datasets.ClassLabel(names=["x", "y"]) for name in more}
    return datasets.Dataset.from_dict(
        {**more, **rows}, features=datasets.Features({**extra, **kinds})
    )


@pytest.mark.parametrize(
    "name, repo",
    [("cifar10", "uoft-cs/cifar10"), ("tiny-imagenet", "zh-plus/tiny-imagenet"), ("a/b", "a/b")],
)
def test_hub_datasets_by_short_or_full_name(hub, name, repo):
    asked, answer = hub
    answer.update(train=split([1, 0, 1, 0], ["cat", "dog"]), valid=split([1, 0, 1], ["cat", "dog"]))
    made = load(name, per_class=1)
    assert asked[0][0] == repo and made.name == name and made.names == ("cat", "dog")
    assert torch.bincount(made.y).tolist() == [1, 1] and made.test_y.tolist() == [1, 0, 1]
    assert made.test_x[:, 0, 0, 0].tolist() == [0, 1, 2]


def test_cifar100_uses_the_fine_labels(hub):
    hub[1].update(
        train=split([2, 1, 0], ["cat", "dog", "owl"], "fine_label", coarse_label=[0, 0, 1]),
        test=split([2, 1, 0], ["cat", "dog", "owl"], "fine_label", coarse_label=[0, 0, 1]),
    )
    assert load("cifar100").names == ("cat", "dog", "owl") and load("cifar100").y.tolist() == [
        2,
        1,
        0,
    ]


def test_a_hub_dataset_without_a_test_split_is_held_out(hub):
    hub[1].update(train=split([0, 1] * 5, ["cat", "dog"], "animal"))
    made = load("some/animals", size=3)
    assert made.x.shape == (8, 3, 3, 3) and len(made.test_x) == 2
    hub[1]["rest"] = hub[1].pop("train")
    with pytest.raises(DataError, match="'some/animals' has no train split: its splits are rest"):
        load("some/animals")


def test_a_hub_that_cannot_be_reached_fails_fast_and_says_what_to_do(hub, monkeypatch):
    asked, answer = hub
    answer["error"] = ConnectionError("Couldn't reach it.")
    message = (
        r"hub cannot be reached for 'uoft-cs/cifar10' \(Couldn't reach it\): .* --data PATH\.$"
    )
    with pytest.raises(DataError, match=message):
        load("cifar10")
    answer["error"] = datasets.exceptions.DatasetNotFoundError("Dataset 'a/b' doesn't exist")
    with pytest.raises(
        DataError, match=r"'a/b' cannot be loaded from the Hugging Face hub .* --data PATH"
    ):
        load("a/b")
    monkeypatch.setattr(hub_module, "_reachable", lambda endpoint: False)
    with pytest.raises(DataError, match="cannot be reached"):
        load("a/b")
    before = datasets.config.HF_HUB_OFFLINE
    assert [offline for _, offline in asked] == [before, before, True]


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="unknown source 'cifar1O': did you mean 'cifar1"):
        open_source("cifar1O")


def test_local_data_are_named_after_the_stream_that_was_asked_for(tmp_path):
    folder(tmp_path / "mine")
    assert open_source("cifar10", tmp_path / "mine").name == "cifar10"
    assert open_source(data=str(tmp_path / "mine"), size=2).name == "mine"
