"""``holdfast run --diagnose`` and ``holdfast diagnose`` as a user meets them."""

import json

import pytest

from holdfast.cli import main

FAST = ["--epochs", "1", "--first-epochs", "1", "--width", "4", "--per-class", "12",
        "--test-per-class", "8", "--tasks", "2"]  # fmt: skip


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


def test_a_run_says_the_cost_before_and_after_and_shows_a_table(capsys):
    assert main(["run", "lwf", *FAST, "--diagnose", "--out", "here"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "diagnosis: 80 watched rows" in text and "diagnosis took" in text
    assert "silhouette of the classes*" in text and "never a score of the method" in text
    assert main(["diagnose", "here"]) == 0
    again = " ".join(capsys.readouterr().out.split())
    assert "lwf on digits" in again and "after task 1 2 better" in again
    assert main(["diagnose", "here", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["folder"] == "here" and len(data["tasks"]) == 2


def test_a_run_without_it_is_diagnosed_from_its_last_network(capsys):
    assert main(["run", "finetune", *FAST, "--out", "free", "--quiet"]) == 0
    assert main(["run", "lwf", *FAST, "--out", "here", "--quiet"]) == 0
    capsys.readouterr()
    assert main(["diagnose", "here", "--against", "free", "--every"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "only the network after task 2 is kept" in text and "intransigence I, Task-IL" in text


def test_what_is_no_run_is_refused_in_a_sentence(tmp_path, capsys):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "current.json").write_text("{}")
    for folder, words in (("nothing", "holds no run"), ("model", "is a model")):
        assert main(["diagnose", folder]) == 2
        text = " ".join(capsys.readouterr().err.split())
        assert words in text and "Traceback" not in text
