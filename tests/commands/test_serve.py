"""The example server: answers what the model says, follows a rollback, outlives a bad request."""

import importlib.util
import json
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from PIL import Image

from conftest import textures
from holdfast.cli import main
from holdfast.store.model import ModelFolder


@pytest.fixture
def server():
    path = Path(__file__).parents[2] / "examples" / "serve.py"
    spec = importlib.util.spec_from_file_location("serve_example", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.server


def ask(address, content):
    request = urllib.request.Request(address, data=content)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_a_session(server, tmp_path):
    x, y = textures(6, 0)
    for i, (image, c) in enumerate(zip(x, y.tolist())):
        (tmp_path / f"part{c // 2}" / f"class{c}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).save(
            tmp_path / f"part{c // 2}" / f"class{c}" / f"{i}.png"
        )
    flags = ["--epochs", "1", "--device", "cpu", "--quiet"]
    for part in ("part0", "part1"):
        assert main(["learn", str(tmp_path / "m"), "--data", str(tmp_path / part), *flags]) == 0
    serving = server(str(tmp_path / "m"), 0)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{serving.server_port}/"
        image = (tmp_path / "part0" / "class0" / "0.png").read_bytes()
        code, said = ask(address, image)
        assert code == 200 and said["version"] == 2 and said["class"].startswith("class")
        code, told = ask(address, b"no image")
        assert code == 400 and "not a readable image" in told["error"]
        assert ask(address, b"")[0] == 413
        ModelFolder(tmp_path / "m").rollback()
        code, said = ask(address, image)
        assert (code, said["version"]) == (200, 1) and said["class"] in ("class0", "class1")
    finally:
        serving.shutdown()
        serving.server_close()
