"""A model of two versions that takes a second to learn, and a server for it."""

import shutil

import pytest
from PIL import Image

from conftest import textures
from holdfast.cli import main
from served import serving


@pytest.fixture(scope="session")
def zoo(tmp_path_factory):
    """Pictures of four classes, and a model of two versions: two classes, then four."""
    root = tmp_path_factory.mktemp("served")
    x, y = textures(6, 0)
    for i, (image, c) in enumerate(zip(x, y.tolist())):
        if c < 4:
            place = root / f"part{c // 2}" / f"class{c}"
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0].numpy()).convert("RGB").save(place / f"{i}.png")
    flags = ["--epochs", "1", "--width", "4", "--device", "cpu", "--quiet"]
    for part in ("part0", "part1"):
        assert main(["learn", str(root / "model"), "--data", str(root / part), *flags]) == 0
    return root


@pytest.fixture
def model(zoo, tmp_path):
    """A copy of the model that may be written to."""
    return shutil.copytree(zoo / "model", tmp_path / "model")


@pytest.fixture(scope="session")
def images(zoo):
    """Encoded images, by their files."""
    return {file: file.read_bytes() for file in sorted(zoo.glob("part*/*/*.png"))}


@pytest.fixture(scope="module")
def client(zoo):
    """Of a server that nothing is written to."""
    with serving(zoo / "model") as client:
        yield client


@pytest.fixture
def serve():
    """`serving`, for a server of a test's own."""
    return serving
