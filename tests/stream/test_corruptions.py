"""Corruptions: named, seeded by the row, worse with every severity."""

import pytest
import torch

from holdfast.core.errors import ConfigError
from holdfast.stream import CORRUPTIONS, corrupted


def photographs(n=6, c=3, side=32):
    """Smooth pictures: noise on a coarse grid, drawn once."""
    chance = torch.Generator().manual_seed(0)
    coarse = torch.rand(n, c, 5, 5, generator=chance)
    smooth = torch.nn.functional.interpolate(coarse, [side] * 2, mode="bicubic").clamp(0, 1)
    return (smooth * 255).byte()


def away(x, name, severity):
    return float((corrupted(x, name, severity).float() - x.float()).abs().mean())


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_grows_with_its_severity_and_keeps_shape_and_type(name):
    x = photographs()
    before = x.clone()
    changes = [away(x, name, severity) for severity in (1, 2, 3, 4, 5)]
    assert changes[0] > 0.2 and changes == sorted(changes)
    worse = corrupted(x, name, 5)
    assert worse.shape == x.shape and worse.dtype == torch.uint8
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_image_is_corrupted_alike_alone_and_among_others(name):
    x = photographs()
    whole = corrupted(x, name, 4, range(10, 16))
    for i in (0, 3, 5):
        assert torch.equal(corrupted(x[i : i + 1], name, 4, [10 + i])[0], whole[i])


def test_rows_and_names_have_chance_of_their_own():
    x = photographs()[:1].expand(2, 3, 32, 32)
    for name in ("gaussian_noise", "shot_noise", "impulse_noise", "motion_blur", "haze", "elastic"):
        first, second = corrupted(x, name)
        assert not torch.equal(first, second), name
    grey = torch.full((1, 1, 16, 16), 128, dtype=torch.uint8)
    noise = [corrupted(grey, name).float() - 128 for name in ("gaussian_noise", "speckle_noise")]
    assert abs(float(torch.corrcoef(torch.stack(noise).flatten(1))[0, 1])) < 0.3


@pytest.mark.parametrize("name", [n for n in CORRUPTIONS if not CORRUPTIONS[n].colour])
def test_grey_images_of_eight_pixels_are_changed_too(name):
    x = photographs(4, 1, 8)
    assert away(x, name, 5) > 0.5


def test_what_is_known_in_closed_form():
    x = photographs()
    brighter = corrupted(x, "brightness", 2).int()
    assert torch.equal(brighter, (x.int() + round(0.16 * 255)).clamp_max(255))
    flat = torch.full((2, 3, 32, 32), 90, dtype=torch.uint8)
    for name in ("gaussian_blur", "defocus_blur", "motion_blur", "elastic", "contrast", "pixelate"):
        assert int((corrupted(flat, name, 5).int() - 90).abs().max()) <= 1, name
    noise = corrupted(flat, "gaussian_noise", 3).float() - 90
    assert noise.std().item() == pytest.approx(0.12 * 255, rel=0.05)
    light = corrupted(flat, "shot_noise", 3).float()
    assert light.std().item() == pytest.approx((90 / 255 / 20) ** 0.5 * 255, rel=0.05)
    assert light.mean().item() == pytest.approx(90, rel=0.03)


@pytest.mark.parametrize(
    "name, severity, channels, words",
    [
        ("hase", 3, 3, "did you mean 'haze'"),
        ("haze", 6, 3, "from 1 to 5, not 6"),
        ("saturate", 3, 1, "three channels, not 1"),
    ],
)
def test_bad_input_is_one_sentence(name, severity, channels, words):
    with pytest.raises(ConfigError, match=words):
        corrupted(photographs(2, channels), name, severity)
