import colorsys
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from holdfast.core.errors import ConfigError, DataError
from holdfast.core.numerics import to_float
from holdfast.core.rows import Rows
from holdfast.stream.augment import (
    CONTRASTIVE,
    CONTRASTIVE_TINY,
    DIGITS,
    NONE,
    PLAIN,
    Augment,
    views,
)

LUMA = torch.tensor([0.299, 0.587, 0.114])
STILL = replace(NONE, jitter_p=1.0)  # the identity; each test turns on what it looks at
HEAVY = Augment(crop=(0.3, 0.9), pad=3, jitter=(0.5, 0.6, 0.7, 0.3), blur_p=0.7)
CASES = {
    "contrastive": (CONTRASTIVE, (6, 3, 16, 16)),
    "tiny": (CONTRASTIVE_TINY, (6, 3, 40, 45)),
    "plain": (PLAIN, (6, 3, 16, 16)),
    "digits": (DIGITS, (6, 1, 8, 8)),
    "everything": (HEAVY, (8, 3, 25, 17)),
    "wide": (CONTRASTIVE, (6, 3, 9, 30)),
    "moved and recoloured": (replace(PLAIN, jitter=(0.4, 0.4, 0.4, 0.5)), (6, 3, 7, 12)),
    "two channels": (HEAVY, (6, 2, 12, 12)),
    "one pixel": (HEAVY, (4, 3, 1, 1)),
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pixels(*shape, seed=1):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=seeded(seed))


def drawn(augment, n, height, width, seed=0):
    return augment._draw(n, height, width, seeded(seed), torch.device("cpu"))


def hat_read(image, y, x, zeros):
    """A channel-last image at a place between pixels; outside are zeros, or the nearest pixel."""
    height, width, channels = image.shape
    if not zeros:
        y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    value = np.zeros(channels)
    for i in (math.floor(y), math.floor(y) + 1):
        for j in (math.floor(x), math.floor(x) + 1):
            if 0 <= i < height and 0 <= j < width:
                value += (1 - abs(y - i)) * (1 - abs(x - j)) * image[i, j]
    return value


def twin_colour(image, brightness, contrast, saturation, hue):
    """The colour steps one after the other, each on pixels, hue by way of YIQ itself."""
    image = image * brightness
    weights = np.array(LUMA.tolist()) if image.shape[-1] == 3 else np.ones(image.shape[-1])
    weights = weights / weights.sum()
    image = contrast * image + (1 - contrast) * (image @ weights).mean()
    if image.shape[-1] != 3:
        return image
    image = saturation * image + (1 - saturation) * (image @ weights)[..., None]
    yiq = np.array([weights, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
    cos, sin = math.cos(2 * math.pi * hue), math.sin(2 * math.pi * hue)
    turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    return image @ (np.linalg.inv(yiq) @ turn.T @ yiq).T


def twin_blur(image, sigma):
    """A two-dimensional Gaussian window, pixel by pixel, the border mirrored."""
    height, width, _ = image.shape
    reach = min(max(1, min(height, width) // 20), min(height, width) - 1)
    mirrored = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    offsets = np.arange(-reach, reach + 1)
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * sigma**2))
    out = np.empty_like(image)
    for i in range(height):
        for j in range(width):
            near = mirrored[i : i + 2 * reach + 1, j : j + 2 * reach + 1]
            out[i, j] = (window[..., None] * near).sum((0, 1)) / window.sum()
    return out


def twin(augment, image, draw, row):
    """One view of one image (C, H, W), step by step in double precision, by the same draw."""
    image = image.numpy().transpose(1, 2, 0).astype(float) / 255
    height, width, _ = image.shape
    top, left, h, w = draw.box[row].tolist()
    view = np.empty_like(image)
    for i in range(height):
        for j in range(width):
            column = width - 1 - j if draw.flip[row] else j
            y = top + (i + 0.5) * h / height - 0.5
            x = left + (column + 0.5) * w / width - 0.5
            view[i, j] = hat_read(image, y, x, zeros=augment.pad > 0)
    view = twin_colour(view, *draw.colour[row].tolist())
    if draw.sigma[row] > 0:
        view = twin_blur(view, draw.sigma[row].item())
    return torch.from_numpy(np.clip(view, 0, 1).transpose(2, 0, 1)).float()


@pytest.mark.parametrize("augment, shape", CASES.values(), ids=CASES)
def test_agrees_with_the_slow_twin(augment, shape):
    x = pixels(*shape)
    draw = drawn(augment, shape[0], *shape[2:])
    expected = torch.stack([twin(augment, image, draw, row) for row, image in enumerate(x)])
    assert_close(augment(x, seeded()), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("augment, shape", CASES.values(), ids=CASES)
def test_a_view_is_float_channels_last_and_within_range(augment, shape):
    view = augment(pixels(*shape), seeded())
    assert view.shape == shape and view.dtype == torch.float32
    assert view.is_contiguous(memory_format=torch.channels_last)
    assert view.min() >= 0 and view.max() <= 1


def test_harsh_settings_reach_the_range_and_stay_in_it():
    x = pixels(64, 3, 8, 8)
    view = Augment(jitter=(1.0, 1.0, 1.0, 0.5), noise=0.5)(x, seeded())
    assert view.min() == 0 and view.max() == 1


def test_the_identity_returns_the_input():
    x = pixels(5, 3, 9, 7)
    assert_close(NONE(x, seeded()), x.float() / 255, atol=0, rtol=0)
    floats = torch.rand(5, 3, 9, 7, generator=seeded())
    assert_close(NONE(floats, seeded()), floats, atol=0, rtol=0)
    everything_off = Augment((1.0, 1.0), 0, False, (0.4, 0.4, 0.4, 0.1), 0.0, 0.0, 0.0, 0.0)
    assert_close(everything_off(floats, seeded()), floats, atol=0, rtol=0)


def test_blur_leaves_the_images_it_does_not_choose():
    x = to_float(pixels(64, 3, 20, 20))
    augment = replace(STILL, blur_p=0.5)
    same = (augment(x, seeded()) == x).flatten(1).all(1)
    assert torch.equal(same, drawn(augment, 64, 20, 20).sigma == 0)
    assert 15 < same.sum() < 49


def test_blur_s_sigma_is_spread_between_a_tenth_of_a_pixel_and_two():
    sigma = drawn(CONTRASTIVE_TINY, 20000, 64, 64).sigma
    blurred = sigma[sigma > 0]
    assert_close(len(blurred) / 20000, 0.5, atol=0.02, rtol=0)
    assert 0.1 <= blurred.min() < 0.11 and 1.99 < blurred.max() <= 2
    assert_close(blurred.mean().item(), 1.05, atol=0.02, rtol=0)


@pytest.mark.parametrize("augment", [CONTRASTIVE_TINY, PLAIN, replace(NONE, noise=0.1)])
def test_the_seed_decides_the_bits(augment):
    x = pixels(8, 3, 12, 12)
    assert torch.equal(augment(x, seeded(3)), augment(x, seeded(3)))
    assert not torch.equal(augment(x, seeded(3)), augment(x, seeded(4)))


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    replace(CONTRASTIVE_TINY, noise=0.1)(pixels(8, 3, 12, 12), seeded())
    assert torch.equal(torch.get_rng_state(), before)


def test_autocast_changes_no_bit():
    x = pixels(8, 3, 12, 12)
    with torch.autocast("cpu", torch.bfloat16):
        view = CONTRASTIVE(x, seeded())
    assert torch.equal(view, CONTRASTIVE(x, seeded()))


def test_input_is_not_written_to():
    for x in (pixels(8, 3, 12, 12), torch.rand(8, 3, 12, 12)):
        kept = x.clone()
        for augment in (CONTRASTIVE_TINY, PLAIN, NONE):
            augment(x, seeded())
        assert torch.equal(x, kept)


def test_memory_format_of_the_input_does_not_matter():
    x = pixels(8, 3, 12, 12)
    for augment in (CONTRASTIVE_TINY, PLAIN):
        strided = augment(x.contiguous(memory_format=torch.channels_last), seeded())
        assert_close(strided, augment(x, seeded()), atol=1e-6, rtol=0)


@pytest.mark.parametrize("augment", [CONTRASTIVE, PLAIN, replace(NONE, noise=0.1)])
def test_each_sample_has_its_own_draw(augment):
    x = pixels(1, 3, 16, 16).expand(20, -1, -1, -1)
    view = augment(x, seeded()).flatten(1)
    assert len(view.unique(dim=0)) > 15  # of plain shifts two may coincide


@pytest.mark.parametrize(
    "change",
    [
        {"crop": (0.5, 1.0)},
        {"pad": 4},
        {"flip": True},
        {"jitter": (0.4, 0.0, 0.0, 0.0)},
        {"jitter": (0.0, 0.4, 0.0, 0.0)},
        {"jitter": (0.0, 0.0, 0.4, 0.0)},
        {"jitter": (0.0, 0.0, 0.0, 0.1)},
        {"grey_p": 0.5},
        {"blur_p": 0.5},
        {"noise": 0.1},
    ],
    ids=str,
)
def test_every_setting_alone_changes_the_view(change):
    x = pixels(16, 3, 16, 16)
    assert (replace(STILL, **change)(x, seeded()) - to_float(x)).abs().max() > 0.05


def test_a_setting_leaves_the_other_draws():
    plain, more = replace(PLAIN, grey_p=0.5), replace(PLAIN, blur_p=0.5, flip=False)
    one, other = drawn(plain, 50, 16, 16), drawn(more, 50, 16, 16)
    assert torch.equal(one.box, other.box)
    assert one.flip.any() and not other.flip.any()


def test_flip_is_an_exact_mirror_of_half_the_images():
    x = pixels(4000, 3, 5, 6)
    view = replace(STILL, flip=True)(x, seeded())
    mirrored = (view == to_float(x).flip(3)).flatten(1).all(1)
    same = (view == to_float(x)).flatten(1).all(1)
    assert (mirrored ^ same).all()
    assert 0.45 < mirrored.float().mean() < 0.55


def test_a_crop_s_share_of_the_area_is_that_of_the_first_shape_that_fits():
    box = drawn(Augment(crop=(0.2, 1.0)), 20000, 32, 32).box
    top, left, h, w = box.unbind(1)
    assert (top >= 0).all() and (left >= 0).all()
    assert (top + h <= 32 + 1e-4).all() and (left + w <= 32 + 1e-4).all()
    share, aspect = h * w / 32**2, w / h
    assert 0.2 <= share.min() < 0.21 and 0.98 < share.max() <= 1
    assert 0.74 < aspect.min() < 0.76 and 1.32 < aspect.max() < 1.34
    # Below 3/4 every aspect fits, so shares are uniform; above, fewer fit the closer to the whole:
    # a part log(1/s) / log(4/3) of the proposals, 0.476 on average.
    low, high = 0.55, 0.25 * 0.475655
    assert_close((share < 0.75).float().mean().item(), low / (low + high), atol=0.015, rtol=0)
    assert_close(share[share < 0.75].mean().item(), 0.475, atol=0.01, rtol=0)
    for place in ((top / (32 - h))[h < 30], (left / (32 - w))[w < 30]):
        assert_close(place.mean().item(), 0.5, atol=0.01, rtol=0)
        assert_close(place.std().item(), 12**-0.5, atol=0.01, rtol=0)


def test_a_crop_that_never_fits_takes_the_image_s_shape():
    box = drawn(Augment(crop=(0.9, 0.95)), 500, 10, 40).box
    assert_close(box[:, 3] / box[:, 2], torch.full((500,), 4.0))
    share = box[:, 2] * box[:, 3] / 400
    assert (share >= 0.9 - 1e-5).all() and (share <= 0.95 + 1e-5).all()


def test_plain_only_moves_pixels():
    x = pixels(300, 3, 12, 10)
    view = PLAIN(x, seeded())
    padded = torch.nn.functional.pad(to_float(x), (4, 4, 4, 4))
    found = torch.zeros(9, 9)
    for image, wide in zip(view, padded):
        places = [
            (i, j)
            for i in range(9)
            for j in range(9)
            for source in (wide, wide.flip(2))
            if torch.equal(source[:, i : i + 12, j : j + 10], image)
        ]
        assert len(places) == 1
        found[places[0]] += 1
    assert (found.sum(0) > 10).all() and (found.sum(1) > 10).all()  # about 33 each
    assert (found > 0).sum() > 60


def test_shift_and_crop_together_bring_zeros_in():
    x = torch.full((64, 3, 16, 16), 255, dtype=torch.uint8)
    assert_close(Augment(jitter_p=0.0, grey_p=0.0)(x, seeded()), torch.ones(x.shape))
    view = Augment(crop=(0.9, 1.0), pad=4, jitter_p=0.0, grey_p=0.0)(x, seeded())
    assert ((view == 0).flatten(1).any(1)).sum() > 40


def test_jitter_factors_are_spread_over_their_range_and_some_images_are_spared():
    colour = drawn(Augment(jitter=(0.4, 0.3, 0.2, 0.1), grey_p=0.0), 20000, 8, 8).colour
    spared = (colour == torch.tensor([1.0, 1.0, 1.0, 0.0])).all(1)
    assert_close(spared.float().mean().item(), 0.2, atol=0.02, rtol=0)
    reach = (colour[~spared] - torch.tensor([1.0, 1.0, 1.0, 0.0])) / torch.tensor(
        [0.4, 0.3, 0.2, 0.1]
    )
    assert reach.min() >= -1.0001 and reach.max() <= 1.0001
    assert_close(reach.mean(0), torch.zeros(4), atol=0.03, rtol=0)
    assert_close(reach.std(0), torch.full((4,), 3**-0.5), atol=0.02, rtol=0)
    assert (reach.T.corrcoef() - torch.eye(4)).abs().max() < 0.05


def test_grey_gives_equal_channels_with_the_image_s_luma():
    x = pixels(16, 3, 8, 8)
    view = replace(STILL, grey_p=1.0)(x, seeded())
    assert_close(view[:, 0], view[:, 1], atol=1e-6, rtol=0)
    assert_close(view[:, 0], view[:, 2], atol=1e-6, rtol=0)
    assert_close(view[:, 0], torch.einsum("nchw,c->nhw", to_float(x), LUMA), atol=1e-6, rtol=0)


def test_grey_comes_at_its_rate():
    view = replace(STILL, grey_p=0.2)(pixels(4000, 3, 2, 2), seeded())
    grey = ((view[:, 0] - view[:, 1]).abs() < 1e-6).flatten(1).all(1)
    assert 0.17 < grey.float().mean() < 0.23


def test_hue_keeps_luma_and_grey_and_turns_red_towards_yellow():
    hue = replace(STILL, jitter=(0.0, 0.0, 0.0, 0.1))
    muted = 0.4 + 0.2 * torch.rand(32, 3, 4, 4, generator=seeded())  # no value reaches the clamp
    view = hue(muted, seeded())
    luma = lambda x: torch.einsum("nchw,c->nhw", x, LUMA)
    assert (view - muted).abs().max() > 0.02
    assert_close(luma(view), luma(muted), atol=1e-6, rtol=0)
    grey = muted[:, :1].expand(-1, 3, -1, -1)
    assert_close(hue(grey, seeded()), grey, atol=1e-6, rtol=0)
    red = torch.tensor([0.6, 0.4, 0.4]).view(1, 3, 1, 1).expand(200, 3, 1, 1)
    turns = drawn(hue, 200, 1, 1).colour[:, 3]
    seen = torch.tensor(
        [colorsys.rgb_to_hsv(*pixel.flatten().tolist())[0] for pixel in hue(red, seeded())]
    )
    assert_close((seen + 0.5) % 1 - 0.5, turns, atol=0.05, rtol=0)  # close to a shift in HSV


def test_contrast_keeps_mean_luma_and_brightness_scales():
    x = 0.4 + 0.2 * torch.rand(32, 3, 6, 6, generator=seeded())
    luma = lambda x: torch.einsum("nchw,c->nhw", x, LUMA)
    contrasted = replace(STILL, jitter=(0.0, 0.4, 0.0, 0.0))(x, seeded())
    assert (luma(contrasted) - luma(x)).abs().max() > 0.01
    assert_close(luma(contrasted).mean((1, 2)), luma(x).mean((1, 2)), atol=1e-6, rtol=0)
    bright = replace(STILL, jitter=(0.4, 0.0, 0.0, 0.0))
    factor = drawn(bright, 32, 6, 6).colour[:, 0].view(-1, 1, 1, 1)
    assert_close(bright(x, seeded()), x * factor, atol=1e-6, rtol=0)


def test_greyscale_leaves_images_of_one_channel():
    x = pixels(8, 1, 8, 8)
    assert_close(replace(STILL, grey_p=1.0)(x, seeded()), to_float(x), atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_feature_vectors_pass_unless_there_is_noise(dtype):
    x = 5 * torch.randn(400, 30, generator=seeded(), dtype=dtype)
    assert torch.equal(CONTRASTIVE_TINY(x, seeded()), x)
    noise = Augment(noise=0.3)(x, seeded()) - x
    assert noise.dtype == dtype
    assert_close(noise.std().item(), 0.3, atol=0.01, rtol=0)
    assert_close(noise.mean().item(), 0.0, atol=0.01, rtol=0)


def test_noise_on_images_has_its_size_and_is_clamped():
    x = torch.full((50, 3, 16, 16), 0.5)
    noise = replace(STILL, noise=0.1)(x, seeded()) - x
    assert_close(noise.std().item(), 0.1, atol=0.005, rtol=0)
    white = replace(STILL, noise=0.1)(torch.ones(50, 3, 16, 16), seeded())
    assert white.max() == 1 and white.min() < 1


def test_half_precision_images_become_float32():
    x = torch.rand(4, 3, 8, 8, generator=seeded()).half()
    assert_close(CONTRASTIVE(x, seeded()), CONTRASTIVE(x.float(), seeded()))


@pytest.mark.parametrize("augment", [CONTRASTIVE_TINY, PLAIN, NONE, replace(NONE, noise=0.1)])
def test_no_rows_give_no_views(augment):
    assert augment(pixels(0, 3, 8, 8), seeded()).shape == (0, 3, 8, 8)


def test_to_float_scales_pixels_and_passes_floats():
    x = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert_close(to_float(x).flatten(), torch.arange(256) / 255, atol=0, rtol=0)
    assert x.dtype == torch.uint8
    vectors = torch.randn(3, 4)
    assert to_float(vectors) is vectors
    with pytest.raises(DataError, match="uint8 pixels or floats"):
        to_float(torch.zeros(2, 3, dtype=torch.int64))


def test_views_repeat_the_table_with_a_draw_for_each_row():
    x = pixels(5, 3, 12, 12)
    rows = Rows(
        x, torch.arange(5), torch.zeros(5).long(), 10 + torch.arange(5), {"w": torch.rand(5)}
    )
    table = views(CONTRASTIVE, rows, 3, seeded())
    assert table.key.tolist() == [10, 11, 12, 13, 14] * 3
    assert torch.equal(table.extra["w"], rows.extra["w"].repeat(3))
    assert torch.equal(table.x, CONTRASTIVE(x.repeat(3, 1, 1, 1), seeded()))
    assert not torch.equal(table.x[:5], table.x[5:10])
    assert rows.x.dtype == torch.uint8
    with pytest.raises(ConfigError, match="at least 1"):
        views(CONTRASTIVE, rows, 0, seeded())


@pytest.mark.parametrize(
    "change, message",
    [
        ({"crop": (0.0, 1.0)}, "crop"),
        ({"crop": (0.5, 1.1)}, "crop"),
        ({"crop": (0.9, 0.5)}, "crop"),
        ({"crop": (math.nan, 1.0)}, "crop"),
        ({"pad": -1}, "pad"),
        ({"jitter": (-0.1, 0.0, 0.0, 0.0)}, "jitter"),
        ({"jitter": (0.0, 0.0, 1.5, 0.0)}, "jitter"),
        ({"jitter": (0.0, 0.0, 0.0, 0.6)}, "hue"),
        ({"jitter_p": 1.1}, "chances"),
        ({"grey_p": -0.1}, "chances"),
        ({"blur_p": math.nan}, "chances"),
        ({"noise": -1.0}, "noise"),
        ({"noise": math.inf}, "noise"),
    ],
    ids=str,
)
def test_bad_numbers_are_refused(change, message):
    with pytest.raises(ConfigError, match=f"needs .*{message}.* unlike"):
        Augment(**change)
