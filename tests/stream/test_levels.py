"""Greys of more than 8 bits keep their levels, by one range for all images of a data set."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

import reference
from holdfast.core.errors import DataError
from holdfast.stream.catalogue import from_path
from holdfast.stream.folder import read_folder, read_images
from holdfast.stream.levels import Levels
from holdfast.stream.pixels import stacked


def scan(path, values, kind=np.uint16):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, kind).reshape(2, 2)).save(path)
    return path


def classes(root, *greys, kind=np.uint16, suffix="png"):
    for name, values in zip(("lesion", "sound"), greys):
        for i in range(3):
            scan(root / name / f"{i}.{suffix}", values, kind)
    return root


@pytest.mark.parametrize(
    "least, most",
    [(0, 255), (0, 256), (3, 4095), (0, 4096), (0, 65535), (-1, 2), (-1024, 3071), (-1025, 0)],
)
def test_levels_are_the_narrowest_range_and_scale_as_their_slow_twin(least, most):
    levels = Levels.of(least, most)
    assert levels == reference.levels(least, most)
    values = np.linspace(least - 9, most + 9, 50).astype(np.int64)
    expected = [reference.grey(int(v), levels.low, levels.bits) for v in values]
    assert levels.to_bytes(values).tolist() == expected


def test_greys_too_far_apart_are_refused():
    with pytest.raises(ValueError, match="greys run from 0 to 65536, more than 16 bits"):
        Levels.of(0, 65536)


def test_twelve_bits_in_files_of_sixteen_keep_their_levels(tmp_path):
    classes(tmp_path, [1100] * 4, [1220, 0, 1220, 4000])
    for images in (read_folder(tmp_path), from_path(tmp_path)):
        assert images.levels == Levels(0, 12)
        assert images.notes[-1].endswith("greys of 12 bits: 0 is black, 4095 is white")
    x = read_folder(tmp_path).x
    assert x[0, :, 0, 0].tolist() == [68] * 3 and x[3, 0].flatten().tolist() == [75, 0, 75, 249]


def test_hounsfield_numbers_keep_their_levels(tmp_path):
    classes(tmp_path, [-1000, -50, 40, 60], [-1000, 300, 700, 1900], kind=np.int32, suffix="tif")
    images = read_folder(tmp_path)
    assert images.levels == Levels(-1024, 12)
    assert images.x[0, 0].flatten().tolist() == [1, 60, 66, 67]


def test_sixteen_bits_and_eight_bits_are_read_as_before(tmp_path):
    classes(tmp_path, [257 * 100, 0, 1, 65535], [65535] * 4)
    Image.fromarray(np.full((2, 2), 9, np.uint8)).save(tmp_path / "sound" / "8.png")
    x = read_folder(tmp_path).x
    assert x[0, 0].flatten().tolist() == [100, 0, 0, 255] and (x[-1] == 9).all()


def test_a_dark_image_is_not_brightened_by_itself(tmp_path):
    classes(tmp_path / "train", [10] * 4, [4095] * 4)
    classes(tmp_path / "test", [10] * 4, [90] * 4)
    source = from_path(tmp_path)
    assert source.levels == Levels(0, 12) and source.test_x.max() == 5
    assert (read_folder(tmp_path, part="test").levels, read_folder(tmp_path).levels) == (
        Levels(0, 8),
        Levels(0, 12),
    )
    kept = read_folder(tmp_path, part="test", levels=source.levels)
    assert kept.levels == source.levels and kept.x.max() == 5
    file = tmp_path / "test" / "sound" / "0.png"
    assert read_images([file], levels=source.levels).x[0].max() == 5


def test_an_image_of_more_bits_is_skipped_and_two_scales_are_refused(tmp_path):
    classes(tmp_path, [0, 5, 9, 4000], [1] * 4)
    scan(tmp_path / "sound" / "wide.tif", [0, 0, 0, 10**6], np.int32)
    images = read_folder(tmp_path)
    assert images.levels == Levels(0, 12) and len(images.x) == 6
    assert "greys run from 0 to 1000000, more than 16 bits" in images.skipped[0][1]
    scan(tmp_path / "sound" / "wide.tif", [65535] * 4, np.int32)
    scan(tmp_path / "sound" / "low.tif", [-3000] * 4, np.int32)
    with pytest.raises(DataError, match="share no scale of greys: together, greys run from -3000"):
        read_folder(tmp_path)


def test_floating_point_pixels_are_refused_in_a_sentence(tmp_path):
    classes(tmp_path, [1] * 4, [2] * 4)
    scan(tmp_path / "sound" / "f.tif", [0.5] * 4, np.float32)
    images = read_folder(tmp_path)
    assert "floating-point numbers: save them with 8 or 16 bits" in images.skipped[0][1]


def colours_of_16_bits(value):
    """A PNG of 2 x 2 pixels with colours of 16 bits, which Pillow cannot write."""
    rows = (b"\0" + struct.pack(">6H", *[value] * 6)) * 2
    chunks = {
        b"IHDR": struct.pack(">2I5B", 2, 2, 16, 2, 0, 0, 0),
        b"IDAT": zlib.compress(rows),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks.items()
    )


def test_colours_of_sixteen_bits_that_pillow_would_blacken_are_refused(tmp_path):
    classes(tmp_path, [1] * 4, [2] * 4)
    for name, value in (("dim", 4000), ("full", 40000)):
        (tmp_path / "sound" / f"{name}.png").write_bytes(colours_of_16_bits(value))
    ((file, why),) = read_folder(tmp_path).skipped
    assert file.endswith("dim.png") and "its colours have 16 bits and use 12 or fewer" in why


def test_a_list_of_images_shares_one_range():
    images = [Image.fromarray(np.full((2, 2), v, np.uint16)) for v in (100, 4000)]
    x, levels = stacked(images)
    assert levels == Levels(0, 12) and x[:, 0, 0, 0].tolist() == [6, 249]
    assert stacked(images[:1], levels)[0][0, 0, 0, 0] == 6


@pytest.mark.parametrize("data", [[0, 10**9], [0], [0, 9], ["0", 12], [10**9, 12], {"low": 0}])
def test_levels_of_whatever_origin_are_checked(data):
    with pytest.raises(DataError, match="are no levels of greys"):
        Levels.from_data(data)
    assert Levels.from_data([-1024, 12]) == Levels(-1024, 12) and Levels.from_data(None) is None
