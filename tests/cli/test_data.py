"""Data in and answers out at the command line: every form of data, every format, nothing else on stdout."""

import csv
import io
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import tables
from holdfast.cli import main
from holdfast.cli.answers import csv_cell
from holdfast.cli.import_model import _lines
from holdfast.cli.inputs import batches, names_on
from holdfast.cli.operate import inputs_of
from holdfast.core.errors import DataError
from holdfast.serve.predictor import Predictor
from holdfast.store.embedded import embeds
from holdfast.store.model import ModelFolder
from holdfast.stream.labelled import list_labelled
from terminal import said


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def output(capsys, *arguments, code=0):
    """What a command printed on stdout."""
    assert main([str(a) for a in arguments]) == code, capsys.readouterr()
    return capsys.readouterr().out


@pytest.fixture
def model(tmp_path):
    """Of the photographs below images/, by their pixels; the table of them."""
    source = tables.written(tmp_path, "csv")
    assert main(["learn", "a model", "--data", str(source), "--recipe", "frozen", "--quiet"]) == 0
    return "a model"


@pytest.fixture
def features(tmp_path):
    """A model of vectors, with a file of more of them."""
    x, y = tables.vectors()
    np.savez(tmp_path / "f.npz", x=x, y=y)
    np.save(tmp_path / "f.npy", x)
    assert main(["learn", "vectors", "--data", "f.npz", "--quiet"]) == 0
    return "vectors"


def standard_input(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


# data in


@pytest.mark.parametrize(
    "kind", ["folder", "tsv", "jsonl", "parquet-images", "parquet-paths", "saved"]
)
def test_a_model_is_the_same_from_every_kind_of_data(model, tmp_path, capsys, kind):
    source = tables.written(tmp_path, kind)
    flags = ["--data", source, "--recipe", "frozen", "--quiet"]
    said(capsys, "learn", "other", *flags)
    first, second = (ModelFolder(path).load(device="cpu")[0] for path in (model, "other"))
    x = list_labelled(source).read(8).x
    assert torch.allclose(first.scores(x), second.scores(x), atol=1e-6)
    report = json.loads(output(capsys, "evaluate", model, "--data", source, "--json"))
    assert report["accuracy"] == 1 and report["classes"]["bee"] == {"right": 5, "images": 5}


def test_learning_goes_on_from_another_kind_and_takes_the_part_of_a_split(model, tmp_path, capsys):
    source = tables.written(tmp_path, "csv-split")
    found = said(capsys, "learn", model, "--data", source)
    assert "9 images of 3 classes: ant 3, bee 3" in found and "those of split train" in found
    report = json.loads(output(capsys, "evaluate", model, "--data", source, "--json"))
    assert {c["images"] for c in report["classes"].values()} == {2}
    assert report["notes"] == [f"the rows are those of split val of {source}"]


def test_vectors_make_a_model_of_vectors_end_to_end(features, tmp_path, capsys):
    core, manifest = ModelFolder(features).load(device="cpu")
    assert core.learner.shape == (4,) and manifest.blueprint["recipe"] == "frozen"
    assert manifest.blueprint["model"]["backbone"] == "identity"
    x, y = tables.vectors(seed=1)
    np.save("more.npy", x)
    (tmp_path / "labels.txt").write_text("\n".join(y))
    flags = ["--data", "more.npy", "--labels", "labels.txt"]
    report = json.loads(output(capsys, "evaluate", features, *flags, "--json"))
    assert report["accuracy"] == 1 and report["classes"]["a"]["images"] == 10
    rows = output(capsys, "predict", features, "more.npy", "--json").splitlines()
    assert [json.loads(row)["class"] for row in rows] == y.tolist()
    assert json.loads(rows[7])["image"] == "more.npy row 7"
    assert "protocol strict, vectors of 4 numbers" in said(capsys, "learn", features, *flags)
    assert ModelFolder(features).manifest().version == 2
    assert "agreement 100.0 %" in said(capsys, "diff", features, 1, 2, "--data", "f.npz")
    said(capsys, "remove", features, "b", "--data", "f.npz", code=2)  # learned from more
    np.savez("all.npz", x=np.concatenate([tables.vectors()[0], x]), y=np.concatenate([y, y]))
    text = said(capsys, "remove", features, "b", "--data", "all.npz")
    assert "learned from 20 images: the model is one that never learned it" in text


def test_vectors_and_images_are_not_mistaken_for_each_other(model, features, capsys):
    for command in ("learn", "evaluate"):
        text = said(capsys, command, model, "--data", "f.npz", code=2)
        assert "f.npz holds vectors of 4 numbers" in text and "takes images (3x8x8)" in text
        text = said(capsys, command, features, "--data", "table.csv", code=2)
        assert "table.csv holds images" in text and "takes vectors of 4 numbers" in text
    np.savez("wide.npz", x=np.ones((2, 5)), y=["a", "b"])
    text = said(capsys, "learn", features, "--data", "wide.npz", code=2)
    assert "vectors of 5 numbers, and vectors takes vectors of 4" in text
    assert "not 7" in said(
        capsys, "learn", features, "--data", "f.npz", "--size", "7", code=2
    )  # fmt: skip
    found = said(capsys, "predict", model, "f.npy", "--out", "o.csv", code=2)
    assert "give images" in found and not os.path.exists("o.csv")
    assert ModelFolder(features).manifest().version == 1


def test_lines_on_standard_input_are_learned_and_measured(model, tmp_path, monkeypatch, capsys):
    lines = b"images/ant/0.png,ant\nimages/bee/1.png,bee\n"
    standard_input(monkeypatch, lines)
    assert "2 images of 2 classes" in said(capsys, "learn", model, "--data", "-")
    standard_input(monkeypatch, b"path,label\n" + lines)
    report = json.loads(output(capsys, "evaluate", model, "--data", "-", "--json"))
    assert {name: c["images"] for name, c in report["classes"].items()} == {"ant": 1, "bee": 1}


def test_a_frozen_backbone_is_asked_in_batches_and_says_the_same(tmp_path):
    from holdfast import Continual, recipes

    core = Continual(recipes.make("frozen", decide="mean"), (3, 16, 16))
    core.learner.backbone.size = 16
    source = tables.written(tmp_path, "parquet-images")
    assert embeds(core)
    predictor = Predictor(core)
    features, pixels = predictor.labelled(source), predictor.read_folder(source)
    assert features.x.shape == (15, core.learner.backbone.features) and pixels.x.ndim == 4
    assert torch.allclose(core.out(pixels.x).features.cpu(), features.x, atol=1e-5)
    assert features.labels == pixels.labels == list_labelled(source).labels


def test_the_images_of_a_class_to_remove_come_in_any_kind(tmp_path):
    source = tables.written(tmp_path, "csv")
    (tmp_path / "parts").mkdir()
    os.rename("images", "parts/train")
    core, manifest = learned(tmp_path / "parts")
    x = list_labelled("parts").read(8).x
    for path in ("parts", "parts/train", "parts/train/bee"):
        assert torch.equal(inputs_of(core, manifest, Path(path), "bee"), x[5:10])
    os.rename("parts/train", "images")
    assert torch.equal(inputs_of(core, manifest, source, "bee"), x[5:10])
    with pytest.raises(DataError, match="holds nothing of class 'wasp'"):
        inputs_of(core, manifest, source, "wasp")


def learned(path):
    assert main(["learn", "m", "--data", str(path), "--recipe", "frozen", "--quiet"]) == 0
    return ModelFolder("m").load(device="cpu")


# answers out


@pytest.mark.parametrize("kind", ["csv-split", "parquet-images", "saved"])
def test_every_row_of_a_table_is_answered_once_in_order(model, tmp_path, capsys, kind):
    source = tables.written(tmp_path, kind)
    rows = [
        json.loads(row) for row in output(capsys, "predict", model, source, "--json").splitlines()
    ]
    assert [row["class"] for row in rows] == [n for n in tables.CLASSES for _ in range(5)]
    assert rows[6]["image"].endswith("bee/1.png" if kind == "csv-split" else " row 6")


def test_answers_come_in_the_order_of_the_inputs_with_errors_in_their_place(
    model, monkeypatch, capsys
):
    names = ["images/bee/1.png", "none.png", "images/ant/2.png", "images/my cat's/0.png"]
    rows = [
        json.loads(row)
        for row in output(capsys, "predict", model, *names, "--json", code=2).splitlines()
    ]
    assert [row["image"] for row in rows] == names
    assert [row.get("class") for row in rows] == ["bee", None, "ant", "my cat's"]
    assert list(rows[0]) == ["image", "class", "probability", "unknown", "version"]
    assert list(rows[1]) == ["image", "error"] and "No such file" in rows[1]["error"]
    for separator in ("\n", "\r\n", "\0"):
        standard_input(monkeypatch, separator.join(names).encode())
        text = output(capsys, "predict", model, "-", "--json", code=2)
        assert [json.loads(row) for row in text.splitlines()] == rows
    table = output(capsys, "predict", model, *names, code=2).splitlines()
    assert table[0].split() == ["image", "class", "probability"]
    assert table[1].startswith("images/bee/1.png") and table[2].startswith("none.png  ")
    assert table[-1] == "1 file skipped"


def test_the_likeliest_classes_are_those_of_the_model(model, capsys):
    text = output(capsys, "predict", model, "images/ant", "--top", "2", "--json")
    rows = [json.loads(row) for row in text.splitlines()]
    core, _ = ModelFolder(model).load(device="cpu")
    p = Predictor(core)(list_labelled("table.csv").read(8).x[:5]).probabilities
    for row, expected in zip(rows, p):
        order = expected.argsort(descending=True)[:2].tolist()
        assert [c["class"] for c in row["top"]] == [core.labels[k] for k in order]
        assert [c["probability"] for c in row["top"]] == pytest.approx(
            expected[order].tolist(), abs=1e-6
        )
        assert row["top"][0] == {"class": row["class"], "probability": row["probability"]}
    assert "ant" in output(capsys, "predict", model, "images/ant/0.png", "--top", "9")


@pytest.mark.parametrize("top", [0, 2])
def test_every_format_holds_the_same_answers(model, capsys, top):
    flags = ["predict", model, "images/ant", "none.png", "table.csv", "--top", top]
    text = output(capsys, *flags, "--json", code=2)
    rows = [json.loads(row) for row in text.splitlines()]
    assert len(rows) == 5 + 1 + 15
    said(capsys, *flags, "--out", "o.parquet", code=2)
    for row, expected in zip(pq.read_table("o.parquet").to_pylist(), rows, strict=True):
        assert {name: value for name, value in row.items() if value is not None} == expected
    said(capsys, *flags, "--out", "o.csv", code=2)
    with open("o.csv", newline="") as file:
        cells = list(csv.DictReader(file))
    assert [c["image"] for c in cells] == [row["image"] for row in rows]
    assert (
        float(cells[0]["probability"]) == rows[0]["probability"] and cells[0]["unknown"] == "false"
    )
    if top:
        assert cells[0]["class_2"] == rows[0]["top"][1]["class"]
    assert output(capsys, *flags, "--format", "csv", code=2) == Path("o.csv").read_text()


def test_where_answers_go_is_clear_or_refused(model, capsys):
    flags = ["predict", model, "images/ant"]
    said(capsys, *flags, "--out", "o.jsonl")
    assert "o.jsonl exists already" in said(capsys, *flags, "--out", "o.jsonl", code=2)
    said(capsys, *flags, "--out", "o.jsonl", "--overwrite", "--top", "1")
    assert "top" in json.loads(Path("o.jsonl").read_text().splitlines()[0])
    for more, why in (
        (["--format", "parquet"], "name a file with --out FILE.parquet"),
        (["--json", "--format", "csv"], "leave one"),
        (["--out", "o.odd"], "does not say a format"),
    ):
        assert why in said(capsys, *flags, *more, code=2)
    said(capsys, *flags, "--out", "o.odd", "--format", "table")
    assert Path("o.odd").read_text().splitlines()[1].split()[:2] == ["images/ant/0.png", "ant"]


def test_cells_of_csv_are_no_formulas_and_no_escapes(model, capsys):
    os.rename("images/ant/0.png", "=1+1.png")
    os.rename("images/ant/1.png", "a,\x1b[31m.png")
    text = output(capsys, "predict", model, "=1+1.png", "a,\x1b[31m.png", "--format", "csv")
    names = [row["image"] for row in csv.DictReader(io.StringIO(text))]
    assert names == ["'=1+1.png", "a,\\x1b[31m.png"]
    assert [csv_cell(c) for c in ("+a", "-b", "@c", "\td", -1.5)] == [
        "'+a",
        "'-b",
        "'@c",
        "'\\td",
        -1.5,
    ]


def test_names_are_taken_as_they_come(model):
    class Slow:
        """A pipe into which somebody writes now and then."""

        def __init__(self):
            self.pieces = [b"a.p", b"ng\nb.png\nc", b".png\n", b"d.png"]

        def read1(self, _):
            return self.pieces.pop(0) if self.pieces else b""

    assert [n for n in names_on(Slow()) if n] == [["a.png", "b.png"], ["c.png"], ["d.png"]]
    files = [Path(f"{number}.png") for number in range(70)]
    sizes = [len(batch.names) for batch in batches(files)]
    assert sizes == [32, 32, 6]


def test_a_line_is_written_before_the_next_name_comes_and_a_closed_pipe_ends_quietly(model):
    command = [sys.executable, "-m", "holdfast.cli", "predict", model, "-", "--json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(b"images/ant/0.png\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["class"] == "ant"  # while stdin is open
        process.stdout.close()
        for _ in range(3):
            process.stdin.write(b"images/bee/0.png\n")
            process.stdin.flush()
            time.sleep(0.05)
            if process.poll() is not None:
                break
        process.stdin.close()
        assert process.wait(60) == 141 and process.stderr.read() == b""


# JSON


@pytest.mark.parametrize(
    "arguments, keys",
    [
        (["history", "a model"], {"current", "events"}),
        (["rename", "a model", "ant", "wasp"], {"renamed", "version", "classes"}),
        (["prune", "a model"], {"deleted", "left", "freed_bytes", "dry_run"}),
        (
            ["diff", "a model", "1", "1", "--data", "table.csv"],
            {"before", "after", "added", "data"},
        ),
        (["backbones"], {"registered", "suggested"}),
        (["inspect", "a model"], {"version", "classes", "blueprint"}),
    ],
)
def test_json_is_one_object_and_nothing_else(model, capsys, arguments, keys):
    data = json.loads(output(capsys, *arguments, "--json"))
    assert keys <= set(data)


def test_json_of_versions(features, capsys):
    said(capsys, "learn", features, "--data", "f.npz", "--quiet")
    back = json.loads(output(capsys, "rollback", features, "--json"))
    assert back == {"version": 1, "classes": 3}
    events = json.loads(output(capsys, "history", features, "--json"))
    assert events["current"] == 1 and [e["version"] for e in events["events"]] == [1, 2, 1]
    assert events["events"][0]["summary"] == "learned a, b, c; 30 images"


def test_suggested_commands_can_be_pasted_whatever_the_names_are(tmp_path, capsys):
    x, y = tables.vectors()
    np.savez("f.npz", x=x, y=y)
    name = "bob's model"
    said(capsys, "learn", name, "--data", "f.npz", "--quiet")
    text = said(capsys, "learn", name, "--data", "f.npz")
    assert f"back: {shlex.join(['holdfast', 'rollback', name])}" in text
    ModelFolder(name).checkpoint.path.write_bytes(b"")  # as of an update that was stopped
    text = said(capsys, "rename", name, "a", "z", code=2)
    assert shlex.join(["holdfast", "learn", name, "--data", "FOLDER", "--resume"]) in text
    notes = {"used": 1, "traffic": 2, "expected_right": 1.0, "classes": {}, "agreement": 1.0}
    last = _lines(notes, Path(name))[-1]
    assert last.endswith(shlex.join(["holdfast", "learn", name, "--data", "FOLDER"]))


def test_a_number_that_is_not_finite_is_null(capsys):
    from rich.console import Console

    from holdfast.cli.operate import say

    say({"share": float("nan"), "name": "a\x1b"}, [], True, Console())
    text = capsys.readouterr().out
    assert json.loads(text) == {"share": None, "name": "a\x1b"} and "\x1b" not in text
