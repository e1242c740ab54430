"""A server follows updates and rollbacks: every answer is of one whole version, whatever happens."""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from holdfast.cli import main
from holdfast.core.errors import ConfigError, StoreError
from holdfast.serve import follow
from holdfast.serve.batches import Batches, Job
from holdfast.serve.follow import Follower
from holdfast.serve.predictor import Predictions, Predictor
from holdfast.store.model import ModelFolder
from served import serving, until


@pytest.fixture
def follower(model):
    return Follower(ModelFolder(model), "cpu")


def test_another_version_is_taken_when_it_is_put_in_use(follower, model):
    before = follower.served
    follower.renew()
    assert follower.served is before and before.version == 2
    ModelFolder(model).rollback()
    follower.renew()
    assert follower.served.version == 1 and follower.served.predictor.classes == [
        "class0",
        "class1",
    ]
    assert before.version == 2 and len(before.predictor.classes) == 4  # it did not change


def test_nothing_is_read_while_nothing_changes(follower, monkeypatch):
    monkeypatch.setattr(ModelFolder, "index", lambda self: pytest.fail("the index was read"))
    for _ in range(3):
        follower.renew()
    assert follower.problem is None


@pytest.mark.parametrize("damage", ["state", "index", "missing"])
def test_a_damaged_version_leaves_the_present_one(damage, follower, model):
    folder, before = ModelFolder(model), follower.served
    folder.rollback()
    if damage == "state":
        state = model / "versions" / "0001" / "state.safetensors"
        state.write_bytes(state.read_bytes()[:-1])
    elif damage == "index":
        (model / "current.json").write_text("{")
    else:
        (model / "current.json").unlink()
    follower.renew()
    assert follower.served is before and str(model) in follower.problem


def test_a_version_that_was_mended_is_tried_again(follower, model, monkeypatch):
    state = model / "versions" / "0001" / "state.safetensors"
    whole = state.read_bytes()
    ModelFolder(model).rollback()
    state.write_bytes(whole[:-1])
    follower.renew()
    state.write_bytes(whole)
    follower.renew()  # current.json has not changed, and it is too early to try again
    assert follower.served.version == 2 and "is damaged" in follower.problem
    monkeypatch.setattr(follow, "AGAIN", 0.0)
    follower.renew()
    assert follower.served.version == 1 and follower.problem is None


def test_a_version_without_the_readout_that_was_asked_for_is_not_taken(model):
    with pytest.raises(ConfigError, match="no readout 'head'"):
        Follower(ModelFolder(model), "cpu", readout="head")


def test_a_model_that_is_damaged_at_the_start_is_refused(model):
    state = model / "versions" / "0002" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-1])
    with pytest.raises(StoreError, match="is damaged"):
        Follower(ModelFolder(model), "cpu")


def test_a_version_has_answered_before_it_is_used(model, monkeypatch):
    follower = Follower(ModelFolder(model), "cpu")
    ModelFolder(model).rollback()
    monkeypatch.setattr(
        Predictor, "__call__", lambda *_: (_ for _ in ()).throw(RuntimeError("no memory"))
    )
    follower.renew()
    assert follower.served.version == 2 and "no memory" in follower.problem


# batches


class Stub(Predictor):
    """Answers with its version and a number of each input."""

    def __init__(self, version):
        self.version = version

    def __call__(self, x, false_alarms):
        mark = x.double().mean((1, 2, 3)) / 256
        p = torch.stack([mark, torch.full_like(mark, self.version)], 1)
        return Predictions(mark.round().long(), mark, p, mark > false_alarms)


def test_jobs_of_several_versions_are_not_mixed(follower):
    versions = [replace(follower.served, predictor=Stub(n), key=("m", n, "")) for n in (1, 2)]
    x = torch.randint(256, (6, 3, 8, 8), dtype=torch.uint8, generator=torch.manual_seed(0))
    batches = Batches()
    jobs = [
        Job(v, x[i : i + 2], alarms)
        for i, alarms in ((0, 0.4), (2, 0.5), (4, 0.5))
        for v in versions
    ]
    futures = [batches.submit(job) for job in jobs]
    for job, future in zip(jobs, futures):
        expected = job.served.predictor(job.x, job.false_alarms)
        for name in ("label", "probability", "probabilities", "unknown"):
            assert torch.equal(getattr(future.result(10), name), getattr(expected, name))
    batches.stop()


def test_a_batch_that_fails_does_not_end_the_others(follower):
    batches = Batches()
    wrong = batches.submit(Job(follower.served, torch.zeros(1, 4, dtype=torch.float64), 0.05))
    with pytest.raises(ConfigError, match="inputs have shape"):
        wrong.result(10)
    x = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    assert len(batches.submit(Job(follower.served, x, 0.05)).result(10).label) == 1
    batches.stop()


# updates and rollbacks while requests come in


def test_every_answer_is_of_one_whole_version(model, zoo, images):
    contents = list(images.values())
    classes = {1: {"class0", "class1"}, 2: {f"class{k}" for k in range(4)}}
    folder, ended = ModelFolder(model), threading.Event()
    models = {v: Predictor(folder.load(v, "cpu")[0]) for v in (1, 2)}
    rightly = {v: p(p.decode(contents)[0]) for v, p in models.items()}
    with serving(model) as client:

        def ask(start):
            answers = []
            while not ended.is_set():
                i = (start + len(answers)) % len(contents)
                answers.append((i, *client.image(contents[i], "?top=9")[:2]))
            return answers

        with ThreadPoolExecutor(3) as pool:
            asking = [pool.submit(ask, 8 * k) for k in range(3)]
            try:
                for version in (1, 2, 1):
                    folder.rollback(version)
                    until(lambda v=version: client.service.follower.served.version == v)
                (model / "current.json").write_text("{")  # while it is damaged, version 1 answers
                until(lambda: client.ask("health")[1]["status"] == "degraded")
                assert client.image(contents[0])[1]["version"] == 1
            finally:
                ended.set()
            answers = [answer for future in asking for answer in future.result()]
    assert {code for _, code, _ in answers} == {200} and len(answers) > 20
    assert {data["version"] for _, _, data in answers} == {1, 2}
    for i, _, data in answers:
        (row,), version = data["predictions"], data["version"]
        assert {entry["class"] for entry in row["top"]} == classes[version]
        p = float(rightly[version].probability[i])
        assert row["probability"] == pytest.approx(p, abs=1e-5)


def test_an_update_is_served_without_a_word(zoo, tmp_path, images):
    """As a user does it: learn, serve, learn further."""
    flags = ["--epochs", "1", "--width", "4", "--device", "cpu", "--quiet"]
    model = tmp_path / "m"
    assert main(["learn", str(model), "--data", str(zoo / "part0"), *flags]) == 0
    with serving(model) as client:
        image = next(iter(images.values()))
        assert client.image(image)[1]["version"] == 1
        assert main(["learn", str(model), "--data", str(zoo / "part1"), *flags]) == 0
        until(lambda: client.image(image)[1]["version"] == 2)
        assert len(client.ask("model")[1]["classes"]) == 4


# the command


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_the_command_answers_until_it_is_stopped(zoo, images):
    words = ["-m", "holdfast.cli", "serve", str(zoo / "model"), "--port", "0", "--device", "cpu"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        line = process.stdout.readline()
        assert line.startswith(f"version 2 of {zoo / 'model'} answers at http://127.0.0.1:")
        address = line.partition("answers at ")[2].partition(" ")[0]
        request = urllib.request.Request(
            f"{address}predict", next(iter(images.values())), {"Content-Type": "image/png"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert json.loads(answer.read())["version"] == 2
    finally:
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=20)
    assert process.returncode == 130 and "Traceback" not in out + errors, errors


def test_a_port_that_is_in_use_is_told(zoo, capsys):
    with serving(zoo / "model") as client:
        port = client.address.rstrip("/").rpartition(":")[2]
        assert main(["serve", str(zoo / "model"), "--port", port]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert f"port {port} of 127.0.0.1 cannot be opened" in error and "--port" in error


@pytest.mark.parametrize(
    "flags, words",
    [(["--max-images", "0"], "images must be above 0"), (["--port", "70000"], "port 70000 of")],
)
def test_a_flag_that_makes_no_sense_is_told(flags, words, zoo, capsys):
    assert main(["serve", str(zoo / "model"), *flags]) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_a_missing_extra_is_told(zoo, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert main(["serve", str(zoo / "model"), "--port", "0", "--device", "cpu"]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "serving a model needs fastapi: pip install 'holdfast[serve]'" in error
