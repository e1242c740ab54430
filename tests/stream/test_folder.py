"""Folders as users have them: each strange file is converted, or skipped and told, or refused."""

import io
import os

import numpy as np
import pytest
import torch
from PIL import Image

from holdfast.core.errors import DataError
from holdfast.stream.folder import read_folder
from holdfast.stream.sizes import common_size
from holdfast.stream.walk import walk

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


def put(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


@pytest.fixture
def zoo(tmp_path):
    """One good image a class."""
    for name in ("ant", "bee"):
        put(tmp_path / name / "good.png", Image.fromarray(GREY))
    return tmp_path


def why(images, name):
    reasons = [reason for file, reason in images.skipped if file.endswith(name)]
    assert len(reasons) == 1, images.skipped
    return reasons[0]


def test_classes_are_folder_names_and_images_keep_their_size(zoo):
    images = read_folder(zoo)
    assert images.labels == ["ant", "bee"] and images.skipped == []
    assert images.x.shape == (2, 3, 8, 8) and images.x.dtype == torch.uint8
    assert torch.equal(images.x[0, 0], torch.from_numpy(GREY))


def cmyk():
    return Image.new("CMYK", (8, 8), (0, 255, 255, 0)), (255, 0, 0)


def palette():
    return Image.new("RGB", (8, 8), (0, 0, 255)).quantize(4), (0, 0, 255)


def deep():
    return Image.fromarray(np.full((8, 8), 257 * 100, np.uint16)), (100, 100, 100)


def clear():
    return Image.new("RGBA", (8, 8), (0, 0, 0, 0)), (255, 255, 255)


def bilevel():
    return Image.new("1", (8, 8), 1), (255, 255, 255)


@pytest.mark.parametrize("kind", [cmyk, palette, deep, clear, bilevel])
def test_other_kinds_of_pixels_are_converted(kind, tmp_path):
    image, colour = kind()
    put(tmp_path / "c" / f"a.{'tif' if kind is cmyk else 'png'}", image)
    images = read_folder(tmp_path)
    assert images.skipped == []
    assert images.x[0, :, 4, 4].tolist() == pytest.approx(colour, abs=2)


def test_an_image_is_turned_upright_by_its_exif(tmp_path):
    wide = np.zeros((8, 8), np.uint8)
    wide[:, :4] = 255  # white on the left; turned by a quarter clockwise: white above
    exif = Image.Exif()
    exif[274] = 6
    put(tmp_path / "c" / "a.png", Image.fromarray(wide), exif=exif)
    x = read_folder(tmp_path).x[0, 0]
    assert x[0].min() == 255 and x[7].max() == 0


def test_of_an_animation_the_first_picture_counts(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    put(tmp_path / "c" / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    assert read_folder(tmp_path).x[0, :, 0, 0].tolist() == [255, 0, 0]


def test_extreme_sizes_are_scaled(tmp_path):
    put(tmp_path / "c" / "dot.png", Image.new("RGB", (1, 1), "red"))
    put(tmp_path / "c" / "long.png", Image.new("RGB", (20_000, 20), "blue"))
    images = read_folder(tmp_path)
    assert images.x.shape == (2, 3, 64, 64) and images.skipped == []
    assert read_folder(tmp_path, size=8).x.shape == (2, 3, 8, 8)


def heic():
    return b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(200)


def half():
    whole = io.BytesIO()
    Image.effect_noise((32, 32), 50).save(whole, "PNG")
    return whole.getvalue()[:200]


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "is not a readable image"),
        (b"hello", "is not a readable image"),
        (heic(), "is not a readable image"),
        (half(), "is not a readable image"),
        (b"\x80\x04\x95cos\nsystem\n", "is not a readable image"),
    ],
    ids=["zero bytes", "text", "heic as jpg", "half", "pickle"],
)
def test_what_is_no_image_is_skipped_and_told(content, words, zoo):
    (zoo / "ant" / "strange.jpg").write_bytes(content)
    images = read_folder(zoo)
    assert words in why(images, "strange.jpg") and images.labels == ["ant", "bee"]


def test_a_decompression_bomb_is_skipped_before_it_takes_memory(zoo):
    import resource

    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    (zoo / "ant" / "bomb.png").write_bytes(bomb.getvalue())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "too large to decode safely" in why(read_folder(zoo), "bomb.png")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # KiB


def test_links_hidden_files_and_strange_names(zoo):
    (zoo / "ant" / "loop").symlink_to(zoo)
    (zoo / "bee" / "self.png").symlink_to("self.png")
    (zoo / "bee" / "gone.png").symlink_to("nowhere.png")
    (zoo / "bee" / "twice.png").symlink_to("good.png")
    (zoo / "ant" / ".hidden.png").write_bytes(b"x")
    (zoo / ".git").mkdir()
    (zoo / "stray.png").write_bytes((zoo / "ant" / "good.png").read_bytes())
    (zoo / "ant" / "notes.txt").write_text("hello")
    put(zoo / "🦊 fox" / "sleepy 💤.PNG", Image.fromarray(GREY))
    put(zoo / "e\u0301meu" / "a.png", Image.fromarray(GREY))  # as some systems write é
    images = read_folder(zoo)
    assert sorted(images.labels) == ["ant", "bee", "\u00e9meu", "🦊 fox"]
    assert why(images, "stray.png") == "in no class folder"
    assert why(images, "notes.txt") == "no image by its name"
    assert why(images, "self.png") and why(images, "gone.png")
    assert why(images, "twice.png").endswith("good.png, which is read already")
    assert why(images, "loop") == "a link back to a folder above it"
    assert len(images.skipped) == 6


def test_two_links_at_each_other_end(zoo):
    (zoo / "ant" / "x").mkdir()
    (zoo / "ant" / "x" / "up").symlink_to(zoo / "ant")
    assert len([file for file in walk(zoo)[0] if file.name == "good.png"]) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told(zoo):
    (zoo / "ant" / "good.png").chmod(0)
    assert "Permission" in why(read_folder(zoo), "good.png")


def test_nothing_to_learn_is_refused(tmp_path):
    with pytest.raises(DataError, match="is no folder"):
        read_folder(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no images in class folders"):
        read_folder(tmp_path)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "a.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"no image of .* can be read"):
        read_folder(tmp_path)


def test_more_than_memory_holds_is_refused_before_it_is_taken(zoo):
    with pytest.raises(DataError, match="GiB of memory: give a smaller --size"):
        read_folder(zoo, size=100_000)


def test_a_part_of_each_class(zoo):
    for i in range(5):
        put(zoo / "ant" / f"{i}.png", Image.fromarray(GREY))
    assert read_folder(zoo, per_class=2).labels == ["ant", "ant", "bee"]


def test_size_is_shared_only_by_squares_of_one_size(zoo):
    assert common_size([zoo / "ant" / "good.png", zoo / "none.png"]) == 8
    wide = put(zoo / "bee" / "wide.png", Image.new("L", (8, 4)))
    assert common_size([wide]) == 64 == common_size([wide, zoo / "ant" / "good.png"])
