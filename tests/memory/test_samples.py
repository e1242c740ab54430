"""What the strict protocol's check finds, and what it must not take for a sample."""

import array
import io
import pickle
from collections import deque

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from conftest import textures
from holdfast.core.errors import ProtocolError
from holdfast.core.rows import Rows
from holdfast.learner import Learner
from holdfast.memory import forbid_images
from holdfast.memory.samples import Samples

SHAPE = (3, 8, 8)


def images(n=40, seed=0, shape=SHAPE):
    """Smooth random images: neighbouring pixels are alike."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, shape[0], 4, 4, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, shape[1:], mode="bilinear")
    noise = 0.1 * torch.rand(n, *shape, generator=generator)
    return ((0.9 * fine + noise) * 255).round().to(torch.uint8)


def rows_of(x, classes=4):
    y = torch.arange(len(x)) % classes
    return Rows(x, y, torch.zeros_like(y), torch.arange(len(x)))


def png(x):
    file = io.BytesIO()
    Image.fromarray(x.permute(1, 2, 0).numpy()).save(file, "png")
    return file.getvalue()


X = images()
F = X.flatten(1).float()
KEPT = {
    "halved": F[3:5] / 2,
    "halved as integers": (F[3:5] / 2).long(),
    "shifted": F[3:5] - 128,
    "scaled to [-1, 1]": F[3:5] / 127.5 - 1,
    "negative": 255 - F[3:5],
    "less their own mean": F[3:5] - F[3:5].mean(1, keepdim=True),
    "less the mean image": F[3:5] - F.mean(0),
    "standardised by pixel": (F[3:5] - F.mean(0)) / F.std(0),
    "standardised by channel": (
        (X[3:5].float() - X.float().mean((0, 2, 3), keepdim=True)) / X.float().std((0, 2, 3), keepdim=True)
    ).flatten(1),
    "at unit length": torch.nn.functional.normalize(F[3:5], dim=1),
    "in half precision": (F[3:5] / 255).half(),
    "halved in half precision": (F[3:5] / 510).half(),
    "one flat vector": (F / 2).flatten(),
    "one flat vector with a number before it": torch.cat([torch.tensor([7.0]), F[3] / 3]),
    "with a label beside each": torch.cat([torch.arange(3.0)[:, None], F[:3] / 2], 1),
    "with a label after each": torch.cat([F[:3] / 2, torch.arange(3.0)[:, None]], 1),
    "a column each": (F[:5] / 2).T.contiguous(),
    "channels last": (X[3:6].permute(0, 2, 3, 1).float() / 2).contiguous(),
    "channels last and flat": (X[3:6].permute(0, 2, 3, 1).float() / 2).reshape(3, -1),
    "a list of numbers": (F[3] / 2).tolist(),
    "a list of lists": (F[3:5] / 2).tolist(),
    "a tuple of tuples": tuple(map(tuple, F[3:5].tolist())),
    "a deque": deque(F[3].tolist()),
    "a dict by pixel": dict(enumerate((F[3] / 2).tolist())),
    "an array of numpy": (F[3:5] / 2).numpy(),
    "an array of arrays": np.array([(F[3] / 2).numpy(), None], dtype=object),
    "array.array": array.array("f", (F[3] / 2).tolist()),
    "bytes": bytes(X[3].flatten().tolist()),
    "bytearray": bytearray(X[3].flatten().tolist()),
    "bytes of floats": (F[3:5] / 2).numpy().tobytes(),
    "bytes of halves": (F[3:5] / 2).half().numpy().tobytes(),
    "bytes behind a header": b"12345" + X[3].numpy().tobytes(),
    "a memoryview": memoryview(X[3].numpy().tobytes()),
    "a picture of Pillow": Image.fromarray(X[3].permute(1, 2, 0).numpy()),
    "a png file": png(images(1, 9)[0]),
    "a sparse tensor": (F[3:5] / 2).to_sparse(),
    "a view of a number": (F[3:5] / 2).clone().flatten()[:1],
    "nothing of a batch": F[:2].clone()[:0],
    "a parameter": nn.Parameter(F[3:5] / 2),
    "a set of tuples": {tuple(F[3].tolist())},
}  # fmt: skip


class Thing:
    """A part that keeps something."""

    def __init__(self, kept):
        self.kept = kept


@pytest.mark.parametrize("kept", KEPT.values(), ids=KEPT.keys())
def test_copies_are_found(kept):
    with pytest.raises(ProtocolError, match=r"part\.kept.* keeps samples in"):
        forbid_images({"part": Thing(kept)}, rows_of(X), "strict")


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


HARMLESS = {
    "class means": torch.stack([F[k::4].mean(0) for k in range(4)]),
    "class means in [0, 1]": torch.stack([F[k::4].mean(0) for k in range(4)]) / 255,
    "the mean image": F.mean(0),
    "a covariance": torch.cov(F.T),
    "its eigenvectors": torch.linalg.eigh(torch.cov(F.T)).eigenvectors.T.contiguous(),
    "other images, flat": images(40, 5).flatten(1).float(),
    "noise": torch.rand(100, F.shape[1], generator=chance()),
    "zeros": torch.zeros(5, F.shape[1]),
    "a ramp": torch.arange(F.shape[1]).float(),
    "a list of labels": list(range(300)),
    "accuracies by task": [[0.5, 0.25], [1.0]],
    "names": ["ant", "bee"] * 100,
    "short bytes": b"abc",
    "a pickle of settings": pickle.dumps({"lr": 0.1, "names": ["ant"] * 200}),
    "an empty list": [],
    "a view of noise": torch.rand(50, F.shape[1], generator=chance())[3:4],
}


@pytest.mark.parametrize("kept", HARMLESS.values(), ids=HARMLESS.keys())
def test_what_is_no_copy_is_allowed(kept):
    forbid_images({"part": Thing(kept)}, rows_of(X), "strict")
    with pytest.raises(ProtocolError):
        forbid_images({"part": Thing([kept, F[3] / 2])}, rows_of(X), "strict")


@pytest.mark.parametrize("shape", [(1, 3, 3), (3, 3, 3), (1, 5, 5), (3, 4, 4)])
def test_weights_in_the_shape_of_an_image_are_no_images(shape):
    x = torch.randint(256, (30, *shape), generator=chance(), dtype=torch.uint8)
    torch.manual_seed(0)
    learner = Learner(shape, "convnet", width=8, classes=3)
    weights = {name: p.detach().clone() for name, p in learner.named_parameters()}
    parts = {"learner": learner, "past": learner.freeze(), "centre": weights}
    forbid_images(parts, rows_of(x), "strict")
    with pytest.raises(ProtocolError, match="part keeps samples"):
        forbid_images(parts | {"part": x[:2]}, rows_of(x), "strict")


def test_weights_that_are_an_image_are_samples():
    x = images(30, shape=(3, 3, 3))
    learner = Learner((3, 3, 3), "convnet", width=8, classes=3)
    kernel = next(p for p in learner.parameters() if tuple(p.shape[1:]) == (3, 3, 3))
    with torch.no_grad():
        kernel[0] = x[4].float() / 400
    with pytest.raises(ProtocolError, match=r"learner.*keeps samples"):
        forbid_images({"learner": learner}, rows_of(x), "strict")


def test_views_in_the_shape_of_an_image_are_samples():
    with pytest.raises(ProtocolError, match="samples in a tensor of shape"):
        forbid_images({"part": torch.rand(2, *SHAPE)}, rows_of(X), "strict")


@pytest.mark.parametrize("width", [2, 3, 5, 7])
def test_few_numbers_are_compared_exactly(width):
    """Among thousands of tables some pair always points the same way."""
    x = torch.randn(200, width, generator=chance())
    rows = rows_of(x)
    forbid_images({"part": torch.randn(20_000, width, generator=chance(1))}, rows, "strict")
    forbid_images({"part": torch.randn(300, 300, generator=chance(1))}, rows, "strict")
    with pytest.raises(ProtocolError):
        forbid_images({"part": x[7:9].double()}, rows, "strict")


@pytest.mark.parametrize("width", [8, 12, 40])
def test_wider_features_are_found_scaled_and_shifted(width):
    x = torch.randn(200, width, generator=chance())
    rows = rows_of(x)
    forbid_images({"part": torch.randn(5000, width, generator=chance(1))}, rows, "strict")
    with pytest.raises(ProtocolError):
        forbid_images({"part": 3 * x[7:9] - 5}, rows, "strict")


def test_features_in_few_directions_leave_their_means_alone():
    """Every mean of many inputs in a plane is near one of them."""
    generator = chance()
    x = torch.randn(4000, 2, generator=generator) @ torch.randn(2, 20, generator=generator)
    means = torch.stack(
        [x[torch.randperm(4000, generator=generator)[:20]].mean(0) for _ in range(200)]
    )
    forbid_images({"part": means}, rows_of(x), "strict")
    with pytest.raises(ProtocolError):
        forbid_images({"part": x[5:6].double()}, rows_of(x), "strict")


def test_the_mean_of_a_class_of_one_row_is_that_row():
    """An exact copy is one, whatever made it; a scaled one tells no more than a mean must."""
    x = torch.randn(3, 20, generator=chance())
    rows = rows_of(x, classes=3)
    with pytest.raises(ProtocolError):
        forbid_images({"means": x.clone()}, rows, "strict")
    forbid_images({"products": 0.3 * x[0][:, None] * x[0]}, rows, "strict")


@pytest.mark.parametrize("spread", [0.0, 0.001, 0.01])
def test_near_duplicates_are_not_found_in_what_is_near_all_of_them(spread):
    scene = torch.randn(1, 20, generator=chance())
    x = scene + spread * torch.randn(30, 20, generator=chance(1))
    forbid_images({"part": 2 * x.mean(0) + 1}, rows_of(x, 1), "strict")
    with pytest.raises(ProtocolError):
        forbid_images({"part": x[7:8].clone()}, rows_of(x, 1), "strict")


def test_statistics_and_curvatures_are_sums():
    """In what sums over rows one of them may outweigh the others."""
    from holdfast.statistics import Statistics

    x = torch.randn(30, 20, generator=chance())
    rows = rows_of(x)
    sums = Statistics.empty(20, "full").add(x / 2, rows.y)
    forbid_images({"part": sums}, rows, "strict")
    outweighed = Statistics(sums.count, x[:4].double() / 2, sums.scatter)
    forbid_images({"part": outweighed}, rows, "strict")
    with pytest.raises(ProtocolError):
        forbid_images(
            {"part": Statistics(sums.count, x[:4].double(), sums.scatter)}, rows, "strict"
        )


def test_a_correlation_means_the_same_in_a_slow_twin():
    x, y = textures(5, 0)
    samples = Samples(x, y)
    for way, seed in zip(samples._scales, range(3)):
        shift, scale = (torch.as_tensor(v) for v in samples._scales[way])
        prepared = (x.flatten(1).float() - shift) / scale
        for noise in (0.0, 0.5 * samples.tolerance, 4 * samples.tolerance):
            unit = prepared[7] - prepared[7].mean()
            unit = unit / unit.norm()
            other = torch.randn(64, generator=chance(seed))
            other = other - other.mean()
            other = other - (other @ unit) * unit
            row = (1 - noise) * unit + (1 - (1 - noise) ** 2) ** 0.5 * other / other.norm()
            corr = np.corrcoef(row.double().numpy(), prepared[7].double().numpy())[0, 1]
            assert corr == pytest.approx(1 - noise, abs=1e-5)
            assert samples._correlated(5 * row[None] + 3, way) == (noise < samples.tolerance)
