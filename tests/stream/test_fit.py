"""Images of any shape as squares: distorted, cropped or padded."""

import io

import numpy as np
import pytest
from PIL import Image

from holdfast.core.errors import ConfigError
from holdfast.stream import read_folder, read_images
from holdfast.stream.fit import GREY, Square
from holdfast.stream.pixels import decoded


def ramp(width, height):
    """Red grows to the right, green downwards: 255 x / (width - 1), 255 y / (height - 1)."""
    x = np.linspace(0, 255, width)[None].repeat(height, 0)
    y = np.linspace(0, 255, height)[:, None].repeat(width, 1)
    return Image.fromarray(np.stack([x, y, 0 * x], 2).round().astype(np.uint8))


def spans(image):
    """Least and greatest red, then green."""
    pixels = np.asarray(image)
    return [int(v) for c in (0, 1) for v in (pixels[..., c].min(), pixels[..., c].max())]


@pytest.mark.parametrize("width, height", [(120, 60), (60, 120)])
def test_a_crop_keeps_the_shape_and_the_centre(width, height):
    x0, x1, y0, y1 = spans(Square(30, "crop")(ramp(width, height)))
    long, short = ((x0, x1), (y0, y1)) if width > height else ((y0, y1), (x0, x1))
    assert long == pytest.approx((64, 191), abs=3)  # the middle half
    assert short == pytest.approx((0, 255), abs=4)
    inner = spans(Square(30, "crop", resize=40)(ramp(width, height)))
    long, short = (inner[:2], inner[2:]) if width > height else (inner[2:], inner[:2])
    assert short == pytest.approx([32, 223], abs=4)  # 30 of 40: an eighth is cut on each side
    assert long == pytest.approx([80, 175], abs=3)


@pytest.mark.parametrize("width, height", [(120, 60), (60, 120)])
def test_padding_keeps_all_and_puts_grey_around(width, height):
    pixels = np.asarray(Square(32, "pad")(ramp(width, height)))
    assert pixels.shape == (32, 32, 3)
    wide = pixels if width > height else pixels.transpose(1, 0, 2)
    assert (wide[:8] == GREY).all() and (wide[24:] == GREY).all()
    assert (wide[8:24, :, 2] < 2).all()
    assert spans(wide[8:24]) == pytest.approx([0, 255, 0, 255], abs=6)


def test_squashing_distorts_and_is_what_is_done_unless_asked():
    assert spans(Square(30)(ramp(120, 60))) == pytest.approx([0, 255, 0, 255], abs=4)


def test_a_square_of_the_size_is_not_touched():
    image = ramp(32, 32)
    for fit in ("squash", "crop", "pad"):
        assert np.array_equal(np.asarray(Square(32, fit)(image)), np.asarray(image))
    assert Square(32, "pad")(ramp(500, 1)).size == (32, 32)


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_a_large_jpeg_is_decoded_small_and_right(fit, monkeypatch):
    buffer, sizes = io.BytesIO(), []
    ramp(1600, 800).save(buffer, "JPEG", quality=95)
    call = Square.__call__
    monkeypatch.setattr(
        Square, "__call__", lambda self, i: (sizes.append(i.size), call(self, i))[1]
    )
    pixels = decoded("a.jpg", buffer.getvalue(), Square(64, fit))
    assert sizes[0][0] <= 400
    exact = np.asarray(Square(64, fit)(ramp(1600, 800)))
    assert np.abs(pixels.astype(int) - exact).mean() < 3


def test_folders_and_files_are_read_with_a_fit(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        ramp(120, 60).save(tmp_path / name / "a.png")
    for fit in ("squash", "crop", "pad"):
        data = read_folder(tmp_path, 16, fit=fit)
        expected = np.asarray(Square(16, fit)(ramp(120, 60))).transpose(2, 0, 1)
        assert np.array_equal(data.x[1].numpy(), expected)
    cut = read_images([tmp_path / "cat" / "a.png"], 16, fit="crop", resize=20)
    expected = np.asarray(Square(16, "crop", 20)(ramp(120, 60))).transpose(2, 0, 1)
    assert np.array_equal(cut.x[0][0].numpy(), expected)


def test_what_is_no_fit_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="the fit 'stretch' is unknown: use squash, crop, pad"):
        Square(8, "stretch")
    with pytest.raises(ConfigError, match="32 pixels cannot be cropped from a side of 30"):
        Square(32, "crop", 30)
