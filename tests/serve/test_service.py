"""A server as a client meets it: answers are the model's, and every limit is a sentence."""

import base64
import http.client
import io
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from PIL import Image

from holdfast.core.errors import ConfigError
from holdfast.serve.limits import Limits
from holdfast.serve.predictor import Predictor
from holdfast.store.model import ModelFolder
from holdfast.store.update import Update
from holdfast.train.blueprint import Blueprint

pytest.importorskip("fastapi")


def expected(zoo, files, version=None, false_alarms=0.05):
    """What the model itself says of files."""
    predictor = Predictor(ModelFolder(zoo / "model").load(version, "cpu")[0])
    return predictor, predictor(predictor.read(files)[0], false_alarms)


def same(row, predictor, answer, i):
    assert row["class"] == predictor.classes[int(answer.label[i])]
    assert row["probability"] == pytest.approx(float(answer.probability[i]), abs=1e-5)
    assert row["unknown"] == bool(answer.unknown[i])


def form(files, boundary="xyz"):
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="f"; filename="{name}"\r\n'
        "Content-Type: image/png\r\n\r\n".encode()
        + content
        + b"\r\n"
        for name, content in files
    ]
    return b"".join(
        parts
    ) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


# answers


def test_one_image_is_answered_as_the_model_answers(client, zoo, images):
    file, content = next(iter(images.items()))
    code, data, headers = client.image(content, "?top=3")
    predictor, answer = expected(zoo, [file])
    assert code == 200 and data["version"] == 2 and data["calibrated"]
    (row,) = data["predictions"]
    same(row, predictor, answer, 0)
    best = answer.probabilities[0].topk(3)
    assert [entry["class"] for entry in row["top"]] == [predictor.classes[k] for k in best.indices]
    assert [e["probability"] for e in row["top"]] == pytest.approx(best.values.tolist(), abs=1e-5)
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("way", ["multipart", "json"])
def test_many_images_come_as_files_or_as_base64(way, client, zoo, images):
    if way == "multipart":
        body, kind = form([(file.name, content) for file, content in images.items()])
        code, data, _ = client.ask("predict", body, kind)
        assert [row["image"] for row in data["predictions"]] == [file.name for file in images]
    else:
        texts = [base64.b64encode(content).decode() for content in images.values()]
        code, data, _ = client.json({"images": texts})
    predictor, answer = expected(zoo, list(images))
    assert code == 200 and len(data["predictions"]) == len(images) == 24
    for i, row in enumerate(data["predictions"]):
        same(row, predictor, answer, i)


def test_the_share_of_false_alarms_is_that_of_the_request(client, zoo, images):
    texts = [base64.b64encode(content).decode() for content in images.values()]
    for rate in (0.01, 0.9):
        body = json.dumps({"images": texts}).encode()
        _, data, _ = client.ask(f"predict?false_alarms={rate}", body, "application/json")
        _, answer = expected(zoo, list(images), false_alarms=rate)
        assert [row["unknown"] for row in data["predictions"]] == answer.unknown.tolist()


def test_an_image_that_cannot_be_read_spoils_its_own_answer_only(client, zoo, images):
    (first, a), (second, b) = list(images.items())[:2]
    body, kind = form([("a.png", a), ("no.png", b"none"), ("b.png", b), ("empty.gif", b"GIF89a")])
    code, data, _ = client.ask("predict", body, kind)
    rows = data["predictions"]
    assert code == 200 and [row["image"] for row in rows] == [
        "a.png",
        "no.png",
        "b.png",
        "empty.gif",
    ]
    assert "is not a readable image" in rows[1]["error"] and "is not a readable" in rows[3]["error"]
    predictor, answer = expected(zoo, [first, second])
    same(rows[0], predictor, answer, 0)
    same(rows[2], predictor, answer, 1)


def test_a_model_of_vectors_takes_numbers(serve, tmp_path):
    torch.manual_seed(0)
    x, labels = torch.randn(40, 5) + torch.arange(40)[:, None] % 2 * 4, ["a", "b"] * 20
    folder = ModelFolder(tmp_path / "vectors")
    with folder.lock():
        update = Update(folder, x, labels, Blueprint.of("fnc2_strict", (5,), epochs=1), "cpu")
        list(update.learn())
        update.publish({"images": {}})
    predictor = Predictor(folder.load(device="cpu")[0])
    answer = predictor(x[:3].double())
    with serve(tmp_path / "vectors") as client:
        code, data, _ = client.json({"features": x[:3].tolist()})
        assert code == 200
        for i, row in enumerate(data["predictions"]):
            assert row["class"] == predictor.classes[int(answer.label[i])]
            assert row["probability"] == pytest.approx(float(answer.probability[i]), abs=1e-5)
        assert client.json({"features": x[0].tolist()})[1]["predictions"] == [
            data["predictions"][0]
        ]
        code, data, _ = client.json({"features": [[1.0, 2.0]]})
        assert code == 422 and "(5,)" in data["error"]
        code, data, _ = client.image(b"x")
        assert code == 422 and "feature vectors" in data["error"]
        assert client.ask("model")[1]["input"] == {"shape": [5], "images": False}


def test_the_model_and_its_health_are_told(client, zoo):
    manifest = ModelFolder(zoo / "model").manifest()
    _, data, _ = client.ask("model")
    assert data["classes"] == [entry["name"] for entry in manifest.classes]
    assert data["stored"] == manifest.stored and data["input"] == {
        "shape": [3, 8, 8],
        "images": True,
    }
    assert data["version"] == 2 and data["calibrated"] and data["unknown"]
    code, health, _ = client.ask("health")
    assert code == 200 and (health["status"], health["version"], health["problem"]) == (
        "ok",
        2,
        None,
    )


# limits


@pytest.mark.parametrize(
    "kind, body, code, words",
    [
        ("image/png", b"", 422, "no image or an empty one"),
        ("image/png", b"none", 422, "in no format that is read"),
        ("image/svg+xml", b"<svg/>", 422, "in no format that is read"),
        ("text/html", b"<p>", 415, "content type text/html is not read"),
        ("application/x-www-form-urlencoded", b"a=b", 415, "Content-Type: image/jpeg"),
        ("application/json", b"{", 422, "no JSON"),
        ("application/json", b"[" * 100_000, 422, "no JSON"),
        ("application/json", b'{"image": 3}', 422, '{"image": base64}'),
        ("application/json", b'{"image": "*"}', 422, "no base64"),
        ("application/json", b'{"images": []}', 422, "no image"),
        ("application/json", b'{"features": [[1, NaN]]}', 422, "finite numbers"),
        ("application/json", b'{"features": [[1e999]]}', 422, "finite numbers"),
        ("application/json", b'{"features": [[' + b"9" * 400 + b"]]}", 422, "finite numbers"),
        ("application/json", b'{"features": [[1], [1, 2]]}', 422, "of one length"),
        ("application/json", b'{"features": [[1, 2]]}', 422, "(3, 8, 8)"),
        ("multipart/form-data", b"", 422, "boundary"),
        ("multipart/form-data; boundary=a", b"--a\r\n", 422, "cut short"),
        ("multipart/form-data; boundary=a", b"--a--\r\n", 422, "no image"),
    ],
)  # fmt: skip
def test_a_body_that_is_not_understood_is_told_in_a_sentence(kind, body, code, words, client):
    status, data, _ = client.ask("predict", body, kind)
    assert status == code and words in data["error"] and set(data) == {"error"}
    assert data["error"].endswith(".") and "Traceback" not in data["error"]


@pytest.mark.parametrize("query", ["?top=0", "?top=many", "?false_alarms=1", "?false_alarms=nan"])
def test_a_parameter_that_makes_no_sense_is_told(query, client, images):
    code, data, _ = client.image(next(iter(images.values())), query)
    assert code == 422 and data["error"].startswith(query[1:].partition("=")[0])


def test_other_paths_and_methods_are_told(client):
    code, data, _ = client.ask("nothing")
    assert code == 404 and "POST /predict" in data["error"]
    code, data, headers = client.ask("predict")
    assert code == 405 and "POST /predict" in data["error"] and headers["Allow"] == "POST"


def test_a_request_beyond_a_limit_is_refused(serve, zoo, images):
    small = next(iter(images.values()))
    with serve(zoo / "model", Limits(body=20_000, images=3, pixels=2000)) as client:
        for body in (b"x" * 20_001, b"x" * 10_000_000):  # the second is sent whole, and hears why
            code, data, _ = client.image(body)
            assert code == 413 and "20,000 bytes" in data["error"]
        code, data, _ = client.ask("predict", *form([(f"{i}.png", small) for i in range(4)]))
        assert code == 413 and "at most 3" in data["error"]
        code, data, _ = client.ask("predict", *form([("1", b"")] * 70))
        assert code == 413 and "at most 3" in data["error"]
        large = io.BytesIO()
        Image.new("RGB", (50, 41)).save(large, "PNG")
        code, data, _ = client.image(large.getvalue())
        assert code == 413 and "50 x 41 pixels" in data["error"]
        bomb = io.BytesIO()
        Image.new("1", (20_000, 20_000)).save(bomb, "TIFF", compression="group4")
        assert len(bomb.getvalue()) <= 20_000
        code, data, _ = client.image(bomb.getvalue())
        assert code == 413 and "pixels" in data["error"]
        assert client.image(small)[0] == 200


def test_a_body_without_a_length_is_bounded_too(serve, zoo):
    with serve(zoo / "model", Limits(body=5000)) as client:
        host = client.address.removeprefix("http://").rstrip("/")
        connection = http.client.HTTPConnection(host, timeout=20)
        pieces = (b"x" * 1000 for _ in range(50))
        connection.request(
            "POST", "/predict", pieces, {"Content-Type": "image/png"}, encode_chunked=True
        )
        assert connection.getresponse().status == 413
        connection.close()


def test_a_body_that_comes_too_slowly_is_given_up(serve, zoo):
    with serve(zoo / "model", Limits(seconds=0.3)) as client:
        host = client.address.removeprefix("http://").rstrip("/")
        connection = http.client.HTTPConnection(host, timeout=20)
        connection.putrequest("POST", "/predict")
        connection.putheader("Content-Type", "image/png")
        connection.putheader("Content-Length", "100")
        connection.endheaders()
        connection.send(b"x")
        answer = connection.getresponse()
        assert answer.status == 408 and "too slowly" in json.loads(answer.read())["error"]
        connection.close()
        assert client.service.waiting == 0


def test_a_full_server_says_when_to_come_again(serve, zoo, images, monkeypatch):
    gate, image = threading.Event(), next(iter(images.values()))
    with serve(zoo / "model", Limits(waiting=2, seconds=20)) as client:
        predictor = client.service.follower.served.predictor
        real = Predictor.__call__
        monkeypatch.setattr(
            type(predictor), "__call__", lambda *a, **k: gate.wait(20) and real(*a, **k)
        )
        with ThreadPoolExecutor(2) as pool:
            two = [pool.submit(client.image, image) for _ in range(2)]
            while client.service.waiting < 2:
                time.sleep(0.01)
            code, data, headers = client.image(image)
            assert (code, headers["Retry-After"]) == (503, "1") and "busy" in data["error"]
            assert client.ask("health")[0] == 200  # which is never refused
            gate.set()
            assert [answer.result()[0] for answer in two] == [200, 200]
        assert client.image(image)[0] == 200


def test_an_answer_that_takes_too_long_is_given_up(serve, zoo, images, monkeypatch):
    gate = threading.Event()
    with serve(zoo / "model", Limits(seconds=0.3)) as client:
        predictor = client.service.follower.served.predictor
        real = Predictor.__call__
        monkeypatch.setattr(
            type(predictor), "__call__", lambda *a, **k: gate.wait(20) and real(*a, **k)
        )
        code, data, headers = client.image(next(iter(images.values())))
        gate.set()
        assert code == 503 and headers["Retry-After"] and "too long" in data["error"]


def test_what_goes_wrong_inside_is_told_to_the_log_alone(serve, zoo, images, monkeypatch, caplog):
    def broken(*_, **__):
        raise RuntimeError("a secret path /root/x")

    with serve(zoo / "model") as client:
        monkeypatch.setattr(type(client.service.follower.served.predictor), "__call__", broken)
        code, data, _ = client.image(next(iter(images.values())))
        assert code == 500 and "secret" not in data["error"] and "its log" in data["error"]
    assert "a secret path" in caplog.text


@pytest.mark.parametrize("name", ["body", "images", "pixels", "seconds", "waiting", "connections"])
def test_a_limit_is_above_zero(name):
    with pytest.raises(ConfigError, match=f"{name} must be above 0"):
        Limits(**{name: 0})


# load


def test_two_hundred_requests_by_eight_threads_are_each_answered_rightly(client, zoo, images):
    files = list(images)
    predictor, answer = expected(zoo, files)
    calls = []
    real = Predictor.__call__
    watched = client.service.follower.served.predictor

    def ask(i):
        return i % len(files), client.image(images[files[i % len(files)]])

    def counted(self, x, *rest):
        calls.append(len(x))
        return real(self, x, *rest)

    type(watched).__call__ = counted
    try:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, range(200)))
    finally:
        type(watched).__call__ = real
    assert {code for _, (code, _, _) in answers} == {200}
    for i, (_, data, _) in answers:
        same(data["predictions"][0], predictor, answer, i)
    assert sum(calls) == 200 and max(calls) > 1 and client.service.waiting == 0
