"""Logs of a run: what they are told, that none stops a run, and that TensorBoard reads what is written."""

import json
import struct
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest

from holdfast.cli import main
from holdfast.core.errors import ConfigError
from holdfast.core.registry import Entry
from holdfast.core.settings import Machine, Network, Training
from holdfast.log import LOGS, About, Logs, records
from holdfast.recipes import make
from holdfast.testing import check_sink
from holdfast.testing.compare import difference
from holdfast.train.runner import run
from holdfast.train.setup import Setup

SETUP = Setup(Training(epochs=2, batch=16, lr=0.05), Network(width=4), Machine("cpu"))
FEW = ["--tasks", "2", "--per-class", "8", "--epochs", "2", "--first-epochs", "2", "--quiet"]


class Memory:
    """A log that keeps what it is told."""

    kept: list = []  # noqa: RUF012

    def __init__(self, about, fail=""):
        self.kept.append(("made", about))
        self.fail = fail
        if fail == "made":
            raise OSError("no such server\nat all")

    def scalars(self, step, values):
        self.kept.append((step, dict(values)))
        if self.fail == "scalars":
            raise TimeoutError("too slow")

    def finish(self, status):
        self.kept.append(("finish", status))
        if self.fail == "finish":
            raise ValueError("no")


@pytest.fixture
def memory(monkeypatch):
    monkeypatch.setattr(Memory, "kept", [])
    LOGS._import_builtin()
    monkeypatch.setitem(LOGS._entries, "memory", Entry("memory", Memory, __name__))
    return Memory.kept


def learned(stream, text, folder, **options):
    logs = Logs(text, folder, "mine", {"setup": {"training": {"lr": 0.05}}}, **options)
    return run(make("lwf"), stream, SETUP, watch=logs)


def test_a_sink_is_told_every_epoch_and_every_task(tiny_stream, tmp_path, memory):
    result = learned(tiny_stream, "memory", tmp_path)
    (_, about), *told, last = memory
    assert about.name == "mine" and about.settings == {"setup.training.lr": 0.05}
    tasks = len(tiny_stream)
    expected = [step for t in range(tasks) for step in (2 * t + 1, 2 * t + 2, 2 * t + 2)]
    assert [step for step, _ in told] == expected and last == ("finish", "complete")
    epochs = [values for _, values in told if "train/loss" in values]
    ends = [values for _, values in told if "class_il/seen" in values]
    assert len(epochs) == 2 * tasks and all({"train/lr", "train/task"} <= e.keys() for e in epochs)
    for t, values in enumerate(ends):
        assert values["class_il/seen"] == result.class_il.after(t)
        assert values[f"task_il/task_{t + 1}"] == float(result.task_il.matrix[t, t])
        assert f"class_il/task_{t + 2}" not in values and "belief/nll" in values


@pytest.mark.parametrize("moment", ["made", "scalars", "finish"])
def test_a_sink_that_fails_is_said_once_and_never_stops_a_run(
    moment, tiny_stream, tmp_path, memory
):
    words = []
    alone = learned(tiny_stream, "", tmp_path)
    both = learned(tiny_stream, f"memory:fail={moment},memory", tmp_path, tell=words.append)
    (word,) = words
    assert "and is left out; the run goes on" in word and f"memory:fail={moment} failed" in word
    assert "\n" not in word and memory[-1] == ("finish", "complete")
    assert not difference(alone.to_dict()["readouts"], both.to_dict()["readouts"])
    with pytest.warns(UserWarning, match="is left out"):
        learned(tiny_stream, f"memory:fail={moment}", tmp_path)


def test_what_cannot_be_logged_to_is_said_before_a_run_begins(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    for text, words in (
        ("wandb", "--log wandb needs wandb: pip install 'holdfast[wandb]'."),
        ("tensorbord", "did you mean 'tensorboard'"),
    ):
        assert main(["run", "lwf", *FEW, "--log", text, "--out", str(tmp_path / "r")]) == 2
        error = " ".join(capsys.readouterr().err.split())
        assert words in error and not (tmp_path / "r").exists()
        with pytest.raises(ConfigError):
            Logs(text, tmp_path, "mine")


@pytest.mark.parametrize("name", ["tensorboard"])
def test_built_in_logs_obey_the_laws(name):
    check_sink(name)


# event files


def slow_crc(data):
    """Bit by bit: the remainder of the message over the reflected polynomial."""
    value = 0xFFFFFFFF
    for bit in (byte >> k & 1 for byte in data for k in range(8)):
        value = (value >> 1) ^ (0x82F63B78 if (value ^ bit) & 1 else 0)
    return value ^ 0xFFFFFFFF


def test_the_checksum_is_castagnolis():
    for data in (b"", b"a", b"123456789", bytes(range(256)) * 3):
        assert records.crc32c(data) == slow_crc(data)
    assert records.crc32c(b"123456789") == 0xE3069283  # RFC 3720


def fields(data):
    """The fields of a protocol buffer: (number, value)."""
    place = 0

    def varint():
        nonlocal place
        value, shift = 0, 0
        while True:
            byte = data[place]
            place, value, shift = place + 1, value | (byte & 0x7F) << shift, shift + 7
            if byte < 0x80:
                return value

    while place < len(data):
        key = varint()
        length = {0: 0, 1: 8, 5: 4}.get(key & 7)
        if key & 7 == 0:
            yield key >> 3, varint()
            continue
        length = varint() if length is None else length
        value, place = data[place : place + length], place + length
        yield key >> 3, value


def events(file):
    """Every event of a file, its frames checked."""
    data = file.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        body = data[12 : 12 + length]
        for part, at in ((data[:8], 8), (body, 12 + length)):
            crc = slow_crc(part)
            masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
            assert struct.unpack("<I", data[at : at + 4])[0] == masked
        data = data[16 + length :]
        yield dict(fields(body))


def numbers(file):
    """(step, name, value) of a file."""
    for event in events(file):
        for _, value in fields(event.get(5, b"")):
            one = dict(fields(value))
            if 2 in one:
                yield event[2], one[1].decode(), struct.unpack("<f", one[2])[0]


def test_an_event_file_holds_what_the_run_says(tmp_path, capsys):
    folder = tmp_path / "r"
    assert main(["run", "lwf", *FEW, "--log", "tensorboard", "--out", str(folder)]) == 0
    (file,) = (folder / "tensorboard").iterdir()
    first = next(events(file))
    assert first[3] == b"brain.Event:2"
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    written = {(step, name): value for step, name, value in numbers(file)}
    for step, line in enumerate(lines, 1):
        assert written[step, "train/loss"] == pytest.approx(line["loss"], abs=1e-5)
    matrix = json.loads((folder / "result.json").read_text())["class_il"]["matrix"]
    assert written[4, "class_il/task_1"] == pytest.approx(matrix[1][0], abs=1e-5)
    assert b"setup.training.lr" in file.read_bytes()


def test_tensorboard_reads_it_and_a_resumed_run_takes_back_what_is_made_again(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for begin in (0, 3):  # stopped after 5 steps, resumed from the checkpoint after 3
        logs = Logs("tensorboard", tmp_path, "mine", {"lr": 0.1})
        for step in range(begin + 1, begin + 6):
            logs.sinks["tensorboard"].scalars(step, {"loss": 10 * begin + step})
        logs.finish("stopped")
    read = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    values = [(event.step, event.value) for event in read.Scalars("loss")]
    assert values == [(1, 1), (2, 2), (3, 3), *((s, 30 + s) for s in range(4, 9))]
    text, _ = read.Tensors("settings")  # of both files
    assert b"| lr | 0.1 |" in text.tensor_proto.string_val[0]


def test_numbers_beyond_single_precision_are_infinite(tmp_path):
    sink = LOGS.build("tensorboard", about=About("a", tmp_path, {}))
    sink.scalars(1, {"a": 1e300, "b": -1e300, "c": float("nan")})
    sink.finish("complete")
    (file,) = (tmp_path / "tensorboard").iterdir()
    a, b, c = (value for _, _, value in numbers(file))
    assert (a, b) == (float("inf"), float("-inf")) and c != c


# MLflow and W&B: as they are called, and the packages themselves where they are installed


def stub(monkeypatch, name, **content):
    """A module in place of a package."""
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    vars(module).update(content)
    monkeypatch.setitem(sys.modules, name, module)


def test_mlflow_is_handed_settings_and_figures_and_goes_on_in_the_same_run(monkeypatch, tmp_path):
    calls = []

    class Client:
        def __getattr__(self, name):
            def call(*arguments, **named):
                calls.append((name, arguments, named))
                if name == "create_run":
                    return SimpleNamespace(info=SimpleNamespace(run_id="r1"))
                return None if name == "get_experiment_by_name" else "7"

            return call

    pair = {name: lambda *values: values for name in ("Metric", "Param")}
    stub(monkeypatch, "mlflow", MlflowClient=Client)
    stub(monkeypatch, "mlflow.entities", **pair)
    for _ in range(2):
        logs = Logs(
            "mlflow:experiment=mine", tmp_path, "a", {f"s{k}": "x" * 900 for k in range(150)}
        )
        logs._every(lambda sink: sink.scalars(3, {"train/a, b": 0.5}))
        logs.finish("complete")
    names = [name for name, _, _ in calls]
    assert names.count("create_run") == 1 and names.count("update_run") == 1
    assert ("create_experiment", ("mine",), {}) in calls
    params = [c["params"] for name, _, c in calls if "params" in c]
    assert [len(some) for some in params] == [100, 50] and len(params[0][0][1]) == 500
    (metric,) = next(c["metrics"] for name, _, c in calls if "metrics" in c)
    assert metric[0] == "train/a_ b" and metric[1] == 0.5 and metric[3] == 3
    assert ("set_terminated", ("r1", "FINISHED"), {}) in calls


def test_wandb_is_handed_settings_and_figures_and_goes_on_in_the_same_run(monkeypatch, tmp_path):
    calls = []

    class Handle:
        id, summary = "w1", {}

        def log(self, values, step):
            calls.append((values, step))

        def finish(self, exit_code):
            calls.append(("finish", exit_code))

    def init(**options):
        calls.append(options)
        return Handle()

    stub(monkeypatch, "wandb", init=init, Settings=lambda **options: options)
    for status in ("stopped", "complete"):
        logs = Logs("wandb:project=mine", tmp_path, "a", {"lr": 0.1})
        logs._every(lambda sink: sink.scalars(2, {"train/loss": 0.5}))
        logs.finish(status)
    first, figures, ended, second, _, last = calls
    assert first["project"] == "mine" and first["config"] == {"lr": 0.1} and first["id"] is None
    assert figures == ({"train/loss": 0.5}, 2) and (ended[1], last[1]) == (1, 0)
    assert second["id"] == "w1" and second["resume"] == "allow"


def test_mlflow_itself_keeps_a_run(monkeypatch, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path}/ml")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.chdir(tmp_path)
    logs = Logs("mlflow", tmp_path / "r", "mine", {"lr": 0.1})
    logs._every(lambda sink: sink.scalars(1, {"train/loss": 0.5, "class_il/seen": float("nan")}))
    logs.finish("complete")
    client = mlflow.MlflowClient()
    number = json.loads((tmp_path / "r" / "logs.json").read_text())["mlflow"]
    kept = client.get_run(number)
    assert kept.data.params == {"lr": "0.1"} and kept.info.status == "FINISHED"
    assert client.get_metric_history(number, "train/loss")[0].value == 0.5


def test_wandb_itself_keeps_a_run_offline(monkeypatch, tmp_path):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    logs = Logs("wandb", tmp_path, "mine", {"lr": 0.1})
    logs._every(lambda sink: sink.scalars(1, {"train/loss": 0.5}))
    logs.finish("complete")
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))
