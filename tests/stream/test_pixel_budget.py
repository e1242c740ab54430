"""A budget of bytes for one image, kept before any pixel is decoded."""

import io
import json
import os
import resource
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import holdfast
from holdfast.core.errors import DataError
from holdfast.stream import read_images
from holdfast.stream.fit import Square
from holdfast.stream.pixels import BUDGET, decoded, stacked


def encoded(mode, width, height, kind="PNG", **more):
    file = io.BytesIO()
    Image.new(mode, (width, height)).save(file, kind, **more)
    return file.getvalue()


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MiB


def chunk(kind, data):
    check = zlib.crc32(kind + data).to_bytes(4, "big")
    return len(data).to_bytes(4, "big") + kind + data + check


@pytest.fixture(scope="module")
def bomb():
    """85 megapixels of nothing in some hundred KB, made without having them."""
    side, packer = 9200, zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(4 * side + 1)) for _ in range(side)) + packer.flush()
    head = side.to_bytes(4, "big") * 2 + bytes([8, 6, 0, 0, 0])
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_a_bomb_is_refused_before_it_is_decoded(bomb, tmp_path):
    assert len(bomb) < 400_000
    before = peak()
    with pytest.raises(DataError, match=r"x\.png is too large .*9200 x 9200 .*RGBA.* MiB.*256 MiB"):
        decoded("x.png", bomb, Square(32))
    (tmp_path / "x.png").write_bytes(bomb)
    images = read_images([tmp_path / "x.png"], 32)
    assert len(images.x[0]) == 0 and "256 MiB allowed" in images.skipped[0][1]
    with pytest.raises(DataError, match=r"image 0 cannot be read .*256 MiB allowed"):
        stacked([Image.open(io.BytesIO(bomb))])
    assert peak() - before < 50


MEASURE = """
import io, json, resource, sys
from PIL import Image
from holdfast.core.errors import DataError
from holdfast.stream import pixels
from holdfast.stream.levels import Levels

mode, kind = sys.argv[1:]
def encoded(side):
    file = io.BytesIO()
    Image.new(mode, (side, side)).save(file, kind)
    return file.getvalue()
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
data = encoded(3000)
pixels.decoded("it", encoded(50), None, Levels(0, 16))
before = peak()  # with one image of this size made and dropped
pixels.decoded("it", data, None, Levels(0, 16))
taken = peak() - before
pixels.BUDGET = 0
try:
    pixels.decoded("it", data, None, Levels(0, 16))
except DataError as error:
    need = float(str(error).split(" take ")[1].split(" MiB")[0]) * 2**20
print(json.dumps([taken, need]))
"""


@pytest.mark.parametrize("mode, kind, bytes_each", [("RGBA", "PNG", 16), ("I;16", "PNG", 13)])
def test_what_is_counted_is_what_is_taken(mode, kind, bytes_each):
    script = [sys.executable, "-c", MEASURE, mode, kind]
    source = str(Path(holdfast.__file__).parents[1])
    done = subprocess.run(
        script, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": source}, check=True
    )
    taken, need = json.loads(done.stdout)
    pixels, freed = 9e6, 4 * 9e6  # the image that was made before may have left its room
    assert need == pytest.approx(bytes_each * pixels, rel=0.02)
    assert need / 4 - freed < taken < need + 8e6


def test_photographs_of_today_are_read():
    assert 24e6 * 12 > BUDGET > 24e6 * 8  # 24 megapixels as RGB, and as a JPEG of any size
    large = encoded("RGB", 6000, 4000, "JPEG")
    assert decoded("it", large, Square(32)).shape == (32, 32, 3)
    huge = encoded("RGB", 9000, 9000, "JPEG")  # decoded small: it never takes its full size
    assert decoded("it", huge, Square(32)).shape == (32, 32, 3)


def test_the_first_picture_of_an_animation_is_read_and_no_other(monkeypatch):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    seeks = []
    monkeypatch.setattr(
        "PIL.GifImagePlugin.GifImageFile.seek", lambda self, frame: seeks.append(frame)
    )
    assert decoded("it", file.getvalue(), None)[0, 0].tolist() == [255, 0, 0]
    assert set(seeks) <= {0}


def test_transparent_pixels_lie_on_white_as_before():
    chance = np.random.default_rng(0).integers(0, 256, (9, 7, 4), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(chance).save(file, "PNG")
    white = Image.new("RGBA", (7, 9), "white")
    white.alpha_composite(Image.fromarray(chance))
    assert (decoded("it", file.getvalue(), None) == np.asarray(white.convert("RGB"))).all()
