"""SIGTERM ends a command as Ctrl-C does: one sentence, 143, nothing lost, and the next command goes on."""

import json
import signal

import numpy as np
import pytest
import torch

import tables
from holdfast.store.model import ModelFolder
from holdfast.train import loop
from terminal import said

RUN = ("--epochs", "2", "--first-epochs", "2", "--per-class", "6", "--test-per-class", "4", "--width", "4",
       "--tasks", "2")  # fmt: skip


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def ended_at(monkeypatch):
    """SIGTERM during one of the updates of the weights, from the next command on; once."""

    def arrange(number, times=1):
        honest, updates = loop.update, []

        def ended(*arguments):
            updates.append(1)
            if len(updates) == number:
                for _ in range(times):
                    signal.raise_signal(signal.SIGTERM)
            return honest(*arguments)

        monkeypatch.setattr(loop, "update", ended)

    return arrange


def test_sigterm_ends_a_run_that_then_goes_on(capsys, tmp_path, ended_at):
    before = signal.getsignal(signal.SIGTERM)
    said(capsys, "run", "finetune", *RUN, "--quiet", "--out", "whole")
    ended_at(2)
    text = said(capsys, "run", "finetune", *RUN, "--out", "cut", code=143)
    assert "stopping at the end of this epoch" in text
    assert f"stopped; to go on: holdfast run finetune {' '.join(RUN)} --out cut --resume" in text
    assert "Traceback" not in text and signal.getsignal(signal.SIGTERM) is before
    said(capsys, "run", "finetune", *RUN, "--out", "cut", "--resume", "--quiet")
    whole, cut = (
        json.loads((tmp_path / name / "result.json").read_text()) for name in ("whole", "cut")
    )
    assert cut["status"] == "complete" and cut["readouts"] == whole["readouts"]
    weights = [(tmp_path / name / "learner.safetensors").read_bytes() for name in ("whole", "cut")]
    assert weights[0] == weights[1]


def test_sigterm_ends_learn_and_what_it_began_is_finished_later(capsys, ended_at):
    x, y = tables.vectors()
    np.savez("f.npz", x=x, y=y)
    new = ["--data", "f.npz", "--recipe", "fnc2_strict", "--epochs", "3", "--width", "8"]
    ended_at(6)  # four are the estimate's
    text = said(capsys, "learn", "model", *new, code=143)
    assert "stopped, nothing published; to go on: holdfast learn model --data f.npz" in text
    assert text.endswith("--resume") and not ModelFolder("model").exists
    assert "was stopped before its end" in said(capsys, "learn", "model", *new, code=2)
    assert "resumed after epoch" in said(capsys, "learn", "model", *new, "--resume")
    said(capsys, "learn", "straight", *new, "--quiet")
    rows = torch.from_numpy(x).float()
    a, b = (ModelFolder(name).load(device="cpu")[0].scores(rows) for name in ("model", "straight"))
    assert torch.equal(a, b)


def test_a_second_sigterm_ends_at_once(capsys, ended_at):
    ended_at(1, times=2)
    text = said(capsys, "run", "finetune", *RUN, "--out", "cut", code=143)
    assert "stopped; to go on" in text and "epoch 1/2" not in text


@pytest.mark.parametrize("command", [["recipes"], ["history", "model"]])
def test_sigterm_ends_what_keeps_nothing(command, capsys, monkeypatch):
    """Outside of learning it ends at once, with a word and without a traceback."""
    monkeypatch.setattr(
        "holdfast.cli.entry.dispatch", lambda _: signal.raise_signal(signal.SIGTERM)
    )
    assert said(capsys, *command, code=143) == "stopped."
