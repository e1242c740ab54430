"""``holdfast run --resume``: what a stopped run leaves is taken up, and nothing else is."""

import json
import signal

import pytest

from holdfast.cli import main
from holdfast.core.errors import StoreError
from holdfast.store import Checkpoint, RunFolder
from holdfast.train import loop

FAST = ["--epochs", "2", "--first-epochs", "2", "--width", "4", "--per-class", "12",
        "--test-per-class", "6", "--tasks", "3", "--device", "cpu"]  # fmt: skip


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


def said(capsys, *arguments, code=0):
    found = main(list(arguments))
    out = capsys.readouterr()
    assert found == code, out
    return " ".join((out.out + out.err).split())


def pressing_at(monkeypatch, number, times=1):
    """Ctrl-C during one of the updates."""
    honest, updates = loop.update, []

    def pressed(*arguments):
        updates.append(1)
        if len(updates) == number:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
        return honest(*arguments)

    monkeypatch.setattr(loop, "update", pressed)
    return lambda: monkeypatch.setattr(loop, "update", honest)


def left(folder):
    result = json.loads((folder / "result.json").read_text())
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    log = [(line["task"], line["epoch"], line["loss"]) for line in lines]
    return result["status"], result["readouts"], log, (folder / "learner.safetensors").read_bytes()


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_then_resume_leaves_what_an_uninterrupted_run_leaves(
    times, tmp_path, capsys, monkeypatch
):
    said(capsys, "run", "fnc2", *FAST, "--quiet", "--out", "whole")
    honest = pressing_at(monkeypatch, 4, times)
    told = said(capsys, "run", "fnc2", *FAST, "--out", "cut", code=130)
    honest()
    assert f"to go on: holdfast run fnc2 {' '.join(FAST)} --out cut --resume" in told
    assert json.loads((tmp_path / "cut" / "result.json").read_text())["status"].startswith(
        "stopped"
    )
    again = said(capsys, "run", "fnc2", *FAST, "--out", "cut", "--resume")
    assert "resumed in task" in again and "3 tasks, complete" in again
    assert left(tmp_path / "cut") == left(tmp_path / "whole")
    assert not (tmp_path / "cut" / "checkpoint.safetensors").exists()
    assert "nothing is left to learn" in said(
        capsys, "run", "fnc2", *FAST, "--out", "cut", "--resume"
    )


def test_without_out_the_stopped_run_of_that_name_is_found(tmp_path, capsys, monkeypatch):
    said(capsys, "run", "finetune", *FAST, "--quiet")
    honest = pressing_at(monkeypatch, 4)
    said(capsys, "run", "finetune", *FAST, "--quiet", code=130)
    honest()
    said(capsys, "run", "finetune", *FAST, "--quiet", "--resume")
    assert left(tmp_path / "runs/finetune-digits-strict-2")[0] == "complete"
    assert "no stopped run is at" in said(capsys, "run", "finetune", *FAST, "--resume", code=2)


def test_resuming_with_other_flags_is_refused_by_name(capsys, monkeypatch):
    honest = pressing_at(monkeypatch, 4)
    said(capsys, "run", "fnc2", *FAST, "--quiet", "--out", "cut", code=130)
    honest()
    flags = ["--out", "cut", "--resume", *FAST]
    assert "lr 0.005, not 0.01" in said(capsys, "run", "fnc2", *flags, "--lr", "0.01", code=2)
    assert "tau 0.5, not 0.7" in said(capsys, "run", "fnc2", *flags, "--tau", "0.7", code=2)
    assert "method.name fnc2, not co2l" in said(capsys, "run", "co2l", *flags, code=2)
    assert "data." in said(capsys, "run", "fnc2", *flags, "--order-seed", "1", code=2)
    assert "give one" in said(capsys, "run", "fnc2", *flags, "--overwrite", code=2)


def test_a_run_killed_before_its_first_checkpoint_begins_again(tmp_path, capsys):
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "log.jsonl").write_text('{"task": 0, "epoch": 0}\n{"task": 0, "ep')
    said(capsys, "run", "finetune", *FAST, "--quiet", "--out", "cut", "--resume")
    said(capsys, "run", "finetune", *FAST, "--quiet", "--out", "whole", "--resume")
    assert left(tmp_path / "cut") == left(tmp_path / "whole")


def test_what_is_no_run_is_not_resumed(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("years of work")
    found = said(capsys, "run", "finetune", *FAST, "--out", str(tmp_path), "--resume", code=2)
    assert "holds no run" in found


def test_a_damaged_checkpoint_is_refused(tmp_path):
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "checkpoint.safetensors").write_bytes(b"x" * 99)
    with pytest.raises(StoreError, match=r"checkpoint\.safetensors is damaged"):
        RunFolder(tmp_path / "cut", resume=True)


def test_writing_takes_a_twentieth_of_the_time_unless_it_must(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("holdfast.store.checkpoint.time.perf_counter", lambda: clock[0])

    def slow(path, state):
        clock[0] += 1.0
        path.write_text(str(state))

    monkeypatch.setattr("holdfast.store.serialize.write", slow)
    checkpoint, written = Checkpoint(tmp_path / "c"), []
    for epoch in range(200):
        clock[0] += 1.0
        written.append(checkpoint.offer(lambda epoch=epoch: epoch))
    assert checkpoint.spent / clock[0] == pytest.approx(0.05, abs=0.01)
    assert written[0] and checkpoint.offer(lambda: "last", must=True)
    assert (tmp_path / "c").read_text() == "last"
