"""Images to features: each once, in any order, in a stated memory, kept by content."""

import io
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.testing import assert_close

from holdfast.core.errors import ConfigError, DataError, StoreError
from holdfast.learner import Learner
from holdfast.learner.cache import FeatureCache
from holdfast.learner.embed import MEMORY, batch_size, embed
from holdfast.learner.network import Backbone
from holdfast.stream.fit import Square
from holdfast.stream.folder import pictures_in, read_images


class Net(Backbone):
    """A small frozen network that counts the images it sees, in every batch."""

    normalises, size, fit, resize = True, 16, "crop", 20
    sha256 = "a" * 64

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.ReLU(), nn.Conv2d(6, 5, 3))
        self.features, self.tuned, self.batches = 5, (), []
        self.requires_grad_(False)

    def forward(self, x):
        self.batches.append(len(x))
        return self.layers(x).mean((2, 3))


def learner(backbone=None):
    net = Learner((3, 16, 16), "resnet18", 4)
    net.backbone = backbone or Net()
    return net.eval()


def picture(seed):
    chance = np.random.default_rng(seed)
    small = Image.fromarray(chance.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    return small.resize((40, 30), Image.Resampling.BICUBIC)


def encoded(seed):
    buffer = io.BytesIO()
    picture(seed).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path):
    for i in range(7):
        (tmp_path / "data" / f"c{i % 2}").mkdir(parents=True, exist_ok=True)
        picture(i).save(tmp_path / "data" / f"c{i % 2}" / f"{i}.png")
    return tmp_path / "data"


def files(folder):
    return sorted(folder.rglob("*.png"), key=lambda file: file.name)


def test_features_are_those_of_the_backbone_on_images_of_its_own_shape(folder):
    net = learner()
    done = embed(net, files(folder))
    pixels = read_images(files(folder), 16, fit="crop", resize=20).x[0]
    assert_close(done.features, net.backbone(pixels / 255), atol=1e-6, rtol=0)
    assert done.features.dtype == torch.float32 and done.features.shape == (7, 5)
    assert done.rows.tolist() == list(range(7)) and done.skipped == [] and done.passed == 7
    direct = np.asarray(Square(16, "crop", 20)(picture(0))).transpose(2, 0, 1)
    assert np.array_equal(pixels[0].numpy(), direct)


def test_the_order_and_the_company_of_images_change_no_bit(folder):
    net = learner()
    every = embed(net, files(folder)).features
    assert torch.equal(embed(net, files(folder)[::-1]).features.flip(0), every)
    alone = [embed(net, [file]).features for file in files(folder)]
    assert torch.equal(torch.cat(alone), every)
    assert len(set(net.backbone.batches) - {1}) == 1  # 1 is the look at one image's memory


def test_bytes_and_chosen_rows_of_pictures_are_embedded(folder):
    net = learner()
    every = embed(net, files(folder)).features
    assert torch.equal(embed(net, [encoded(i) for i in (3, 1)]).features, every[[3, 1]])
    chosen = embed(net, (pictures_in(files(folder)), np.array([2, 5])))
    assert torch.equal(chosen.features, every[[2, 5]])
    pair = files(folder)[4], files(folder)[0]  # a tuple of two files is no pictures with rows
    assert torch.equal(embed(net, pair).features, every[[4, 0]])


def test_what_cannot_be_read_is_skipped_with_the_reason(folder, tmp_path):
    (folder / "c0" / "3.png").write_bytes(b"no image")
    broken = [folder / "c0" / "3.png", tmp_path / "gone.png"]
    done = embed(learner(), [broken[0], *files(folder)[:3], broken[1], b"", files(folder)[3]])
    assert done.rows.tolist() == [1, 2, 3, 6] and len(done.features) == 4
    assert [where for where, _ in done.skipped] == [str(broken[0]), str(broken[1]), "image 5"]
    assert (
        "in no format that is read" in done.skipped[0][1] and "No such file" in done.skipped[1][1]
    )
    with pytest.raises(DataError, match="is not a readable image"):
        embed(learner(), broken, strict=True)


def test_an_image_that_occurs_twice_passes_once(folder):
    net = learner()
    names = files(folder)
    done = embed(net, [names[0], names[1], names[0], encoded(1), names[0]])
    assert done.passed == 2 and done.rows.tolist() == [0, 1, 2, 3, 4]
    assert torch.equal(done.features[[2, 4]], done.features[[0, 0]])
    assert torch.equal(done.features[3], done.features[1])


def test_a_cache_costs_no_second_pass_also_after_a_class_is_renamed(folder, tmp_path):
    net, cache = learner(), FeatureCache(tmp_path / "cache")
    first = embed(net, files(folder), cache)
    assert first.passed == 7
    net.backbone.batches.clear()
    again = embed(net, files(folder), cache)
    (folder / "c0").rename(folder / "renamed")
    moved = embed(net, files(folder), FeatureCache(tmp_path / "cache"))
    assert net.backbone.batches == [] and again.passed == moved.passed == 0
    assert torch.equal(again.features, first.features) and torch.equal(
        moved.features, first.features
    )
    shutil.copy(files(folder)[0], folder / "copy.png")
    assert embed(net, [folder / "copy.png", encoded(99)], cache).passed == 1


@pytest.mark.parametrize("change", ["sha256", "size", "fit", "resize", "levels"])
def test_another_network_or_preparation_starts_another_file(folder, tmp_path, change):
    cache, net, options = FeatureCache(tmp_path / "cache"), learner(), {}
    before = embed(net, files(folder), cache)
    values = {"sha256": "b" * 64, "size": 12, "fit": "pad", "resize": 18}
    if change == "levels":
        from holdfast.stream.levels import Levels

        options = {"levels": Levels(0, 12)}
    else:
        setattr(net.backbone, change, values[change])
    assert embed(net, files(folder), cache, **options).passed == 7
    assert embed(net, files(folder), cache, **options).passed == 0
    assert len(list((tmp_path / "cache").glob("*.rows"))) == 2
    again = embed(learner(), files(folder), cache)
    assert again.passed == 0 and torch.equal(again.features, before.features)


def test_a_network_that_does_not_say_what_it_is_is_not_cached(folder, tmp_path):
    net, cache = learner(), FeatureCache(tmp_path / "cache")
    net.backbone.sha256 = ""
    assert [embed(net, files(folder), cache).passed for _ in range(2)] == [7, 7]
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("torn", ["rows", "index", "both"])
def test_what_a_kill_left_half_written_is_cut_off(folder, tmp_path, torn):
    net, cache = learner(), FeatureCache(tmp_path / "cache")
    before = embed(net, files(folder), cache)
    for kind in ("rows", "index"):
        if torn in (kind, "both"):
            path = next((tmp_path / "cache").glob(f"*.{kind}"))
            path.write_bytes(path.read_bytes()[:-3])
    again = embed(net, files(folder), cache)
    assert again.passed == 1 and torch.equal(again.features, before.features)
    assert embed(net, files(folder), cache).passed == 0


def test_a_row_that_is_no_longer_what_was_written_is_computed_anew(folder, tmp_path):
    net, cache = learner(), FeatureCache(tmp_path / "cache")
    before = embed(net, files(folder), cache)
    path = next((tmp_path / "cache").glob("*.rows"))
    content = bytearray(path.read_bytes())
    content[2 * 20 + 3] ^= 0x40
    path.write_bytes(content)
    again = embed(net, files(folder), cache)
    assert again.passed == 1 and torch.equal(again.features, before.features)
    assert embed(net, files(folder), cache).passed == 0  # the later row of a key counts


def test_a_cache_stopped_half_way_keeps_what_was_done(folder, tmp_path):
    net, cache = learner(), FeatureCache(tmp_path / "cache")
    net.backbone.size = net.backbone.resize = 224  # four at a time

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed(net, files(folder), cache, progress=stop)
    assert embed(net, files(folder), cache).passed == 3


def test_a_second_process_reads_and_does_not_write(folder, tmp_path):
    net, cache = learner(), FeatureCache(tmp_path / "cache")
    embed(net, files(folder)[:3], cache)
    with cache.open("one", 2) as writer, cache.open("one", 2) as reader:
        writer.add([b"k" * 32], np.ones((1, 2), np.float32))
        reader.add([b"r" * 32], np.ones((1, 2), np.float32))
        assert len(writer) == 1 and len(reader) == 0
    with cache.open("one", 2) as again:
        assert again.get(b"k" * 32).tolist() == [1, 1] and again.get(b"r" * 32) is None


def test_a_place_that_can_hold_no_cache_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="is a file"):
        FeatureCache(tmp_path / "file")
    with pytest.raises(StoreError, match="cannot be used"):
        FeatureCache(tmp_path / "file" / "below").open("one", 2)


def test_greys_of_16_bits_are_read_by_one_range(tmp_path):
    for i, top in enumerate((1000, 4000)):
        grey = np.linspace(0, top, 400).reshape(20, 20).astype(np.uint16)
        Image.fromarray(grey).save(tmp_path / f"{i}.png")
    net, cache = learner(), FeatureCache(tmp_path / "cache")
    done = embed(net, files(tmp_path), cache)
    assert (done.levels.low, done.levels.bits) == (0, 12)
    pixels = read_images(files(tmp_path), 16, fit="crop", resize=20, levels=done.levels).x[0]
    assert_close(done.features, net.backbone(pixels / 255), atol=1e-6, rtol=0)
    assert embed(net, files(tmp_path), cache, levels=done.levels).passed == 0


def test_the_batch_is_chosen_by_memory_and_by_the_size_of_images(folder):
    net = learner()
    assert batch_size(net, 224) == 4 and batch_size(net, 16) == 256 and batch_size(net, 500) == 1
    small = batch_size(net, 16, 200_000)
    assert 1 < small < 256 and batch_size(net, 16, 400_000) in (2 * small, 2 * small + 1)
    assert batch_size(net, 16, 1) == 1
    net.backbone.batches.clear()
    few = embed(net, files(folder), memory=40_000)
    assert max(net.backbone.batches) == batch_size(net, 16, 40_000) < 7
    assert_close(few.features, embed(net, files(folder), memory=MEMORY).features)


def test_a_network_that_does_not_normalise_takes_the_learners_moments(folder):
    net = learner()
    net.backbone.normalises = False
    net.mean.copy_(torch.tensor([0.5, 0.4, 0.3]))
    net.std.fill_(0.5)
    pixels = read_images(files(folder), 16, fit="crop", resize=20).x[0]
    normal = (pixels / 255 - net.mean.view(-1, 1, 1)) / 0.5
    assert_close(embed(net, files(folder)).features, net.backbone(normal), atol=1e-6, rtol=0)


def test_progress_ends_with_all(folder):
    calls = []
    embed(learner(), files(folder), progress=lambda *place: calls.append(place))
    assert calls[-1] == (7, 7)


def test_a_network_that_is_trained_or_takes_no_colours_is_refused(folder):
    with pytest.raises(ConfigError, match="by a frozen backbone"):
        embed(Learner((3, 16, 16), "resnet18", 4), files(folder))
    grey = learner()
    grey.shape = (1, 16, 16)
    with pytest.raises(ConfigError, match="not images of 3 channels"):
        embed(grey, files(folder))
    assert embed(learner(), []).features.shape == (0, 5)
