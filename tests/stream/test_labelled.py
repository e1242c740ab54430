"""Labelled data in every form are the same images and classes, or one sentence says what is wrong."""

import io
import sys

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import tables
from holdfast.core.errors import ConfigError, DataError
from holdfast.stream import hub as hub_module
from holdfast.stream.columns import asked
from holdfast.stream.labelled import is_table, list_labelled, read_labelled

KINDS = (
    "folder", "csv", "tsv", "jsonl", "parquet-paths", "parquet-images", "saved",
)  # fmt: skip


def pairs(data):
    """Every image with its class, in an order of their own."""
    return sorted((label, x.flatten().tolist()) for label, x in zip(data.labels, data.x))


def expected(rows=range(tables.EACH)):
    """The same of what was written."""
    return sorted(
        (name, tables.pixels(k, i).transpose(2, 0, 1).flatten().tolist())
        for k, name in enumerate(tables.CLASSES)
        for i in rows
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_the_same_images_and_classes(tmp_path, kind):
    data = read_labelled(tables.written(tmp_path, kind))
    assert pairs(data) == expected() and data.skipped == []
    assert len(read_labelled(tables.written(tmp_path, kind), per_class=2).labels) == 6


def test_nothing_is_opened_before_it_is_read(tmp_path):
    source = tables.written(tmp_path, "csv")
    (tmp_path / "images" / "ant" / "0.png").write_bytes(b"broken")
    assert len(list_labelled(source).files) == 15
    data = read_labelled(source)
    assert len(data.labels) == 14 and data.skipped[0][0].endswith("ant/0.png")
    with pytest.raises(DataError, match=r"0\.png is not a readable image"):
        read_labelled(source, strict=True)


def test_a_split_column_is_honoured_as_folders_of_parts_are(tmp_path):
    source = tables.written(tmp_path, "csv-split")
    train, test = (read_labelled(source, part=part) for part in ("train", "test"))
    assert pairs(train) == expected(range(3)) and pairs(test) == expected(range(3, 5))
    assert test.notes == [f"the rows are those of split val of {source}"]
    text = source.read_text().replace("4.png,ant,val", "4.png,ant,test")
    source.write_text(text)
    listed = list_labelled(source, part="test")
    assert listed.labels == ["ant"] and "val are not used beside test" in listed.notes[1]
    source.write_text(text.replace(",val", ",train").replace(",test", ",train"))
    assert len(list_labelled(source, part="test").files) == 15  # both, as for folders
    source.write_text(text.replace(",train", ",val"))
    with pytest.raises(DataError, match="has no rows to train on"):
        list_labelled(source)


def test_splits_of_a_saved_data_set_are_its_parts(tmp_path):
    source = tables.written(tmp_path, "saved-split")
    assert is_table(source) and not is_table(tmp_path / "images")
    assert [len(list_labelled(source, part=part).files) for part in ("train", "test")] == [9, 6]
    (source / "train" / "state.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read as a saved data set"):
        list_labelled(source)


def test_a_data_set_of_the_hub_goes_by_its_name(monkeypatch):
    images = [{"bytes": tables.png(k, 0), "path": None} for k in (0, 1)]
    rows = tables.dataset(images, ["ant", "bee"])
    answer = datasets.DatasetDict(train=rows, validation=rows.select([1]))
    names = []
    monkeypatch.setattr(datasets, "load_dataset", lambda name: names.append(name) or answer)
    monkeypatch.setattr(hub_module, "_reachable", lambda endpoint: True)
    assert read_labelled("hf:owner/name").labels == ["ant", "bee"]
    assert read_labelled("hf:owner/name", part="test").labels == ["bee"]
    assert names == ["owner/name"] * 2 and is_table("hf:owner/name")


def test_columns_can_be_named(tmp_path):
    source = tables.written(tmp_path, "csv")
    source.write_text(source.read_text().replace("path,label", "photo, what"))
    data = read_labelled(f"{source}:path=photo:label=what")
    assert pairs(data) == expected()
    with pytest.raises(DataError, match=r"its columns are photo, what; name one label"):
        read_labelled(source)
    with pytest.raises(DataError, match="has no column 'x', which label=x asks for"):
        read_labelled(f"{source}:path=photo:label=x")
    with pytest.raises(ConfigError, match="did you mean 'path'"):
        read_labelled(f"{source}:pth=photo")
    odd = source.rename(tmp_path / "a:label=b.csv")
    assert asked(odd)[0] == str(odd)  # a file that is there has no settings


def test_tables_of_spreadsheets_are_read(tmp_path):
    tables.photographs(tmp_path)
    table = tmp_path / "t.csv"
    table.write_text("File;Target;n\nant/0.png;ant;1\n\nbee/0.png;bee;2\n", encoding="utf-8-sig")
    assert read_labelled(table).labels == ["ant", "bee"]
    table.write_text('path,label\n"ant/0.png","a, b"\r\nbee/0.png,7\n')
    assert read_labelled(table).labels == ["a, b", "7"]


@pytest.mark.parametrize(
    "text, why",
    [
        ("path,label\nant/0.png,\n", r"line 2: the class \(column 'label'\) is empty"),
        ("path,label\n,ant\n", r"line 2: the path \(column 'path'\) is empty"),
        ("path,label\nant/0.png,ant\nant/9.png,ant\n", r"line 3: .*ant/9.png is not there"),
        ("path,label\nant/8.png,ant\nant/9.png,ant\n", r"is not there \(1 more is not\)"),
        ("a,b\n1,2\n", r"has no column of paths: its columns are a, b"),
        ("path,x\nant/0.png,2\n", r"has no column of classes: its columns are path, x"),
        ("path,label,label\n1,2,3\n", r"has 2 columns named 'label'"),
        ("path,label\nant/0.png\n", r"line 2 has 1 cell where there are 2 columns"),
        ("", r"has no rows"),
        ("path,label\n", r"has no rows"),
        ("path,label\nant/0.png,ant\nant/0.png,bee\n", r"line 3: .* class bee, and of class ant in line 2"),
        ("path,label,split\nant/0.png,ant,dev\n", r"line 2: the split is 'dev': it must be one of"),
        ('path,label\n"ant/0.png,ant\n', r"line 2 is no row of a table"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_one_sentence_with_its_line(tmp_path, text, why):
    tables.photographs(tmp_path)
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=rf"t\.csv.* {why}"):
        read_labelled(tmp_path / "t.csv")


@pytest.mark.parametrize(
    "line, why",
    [
        ("{", "is no JSON"),
        ("[1]", "is no JSON object"),
        ('{"path": 3, "label": "ant"}', "the path is 3"),
        ('{"path": "ant/0.png", "label": null}', "the class is None"),
        ('{"path": "ant/0.png"}', "is empty"),
        ('{"path": "a", "label": "b", "label": "c"}', "has 2 columns named 'label'"),
    ],
)
def test_a_wrong_line_of_json_is_named(tmp_path, line, why):
    tables.photographs(tmp_path)
    (tmp_path / "t.jsonl").write_text('{"path": "ant/0.png", "label": "ant"}\n' + line)
    with pytest.raises(DataError, match=rf"t\.jsonl line 2:? .*{why}"):
        read_labelled(tmp_path / "t.jsonl")


def test_a_table_that_is_no_text_or_of_no_kind_is_refused(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"path,label\n\xff\xfe,a\n")
    with pytest.raises(DataError, match="no text in UTF-8"):
        read_labelled(tmp_path / "t.csv")
    (tmp_path / "t.doc").touch()
    with pytest.raises(DataError, match="no labelled data by its name: give a folder"):
        read_labelled(tmp_path / "t.doc")
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="not a readable parquet file"):
        read_labelled(tmp_path / "t.parquet")


def test_paths_in_a_parquet_file_are_there_or_named(tmp_path):
    source = tables.written(tmp_path, "parquet-paths")
    (tmp_path / "images" / "bee" / "0.png").unlink()
    with pytest.raises(DataError, match=r"row 5: .*bee/0.png is not there"):
        read_labelled(source)


@pytest.mark.parametrize("header", ["", "path,label\n", "label,path\n"])
def test_lines_on_standard_input_start_at_this_folder(tmp_path, monkeypatch, header):
    tables.photographs(tmp_path)
    monkeypatch.chdir(tmp_path)
    lines = ["ant/0.png,ant", "bee/1.png,bee"]
    if header.startswith("label"):
        lines = [",".join(reversed(line.split(","))) for line in lines]
    text = (header + "\n".join(lines)).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert read_labelled("-").labels == ["ant", "bee"]
    with pytest.raises(DataError, match="standard input has no rows"):
        read_labelled("-")


# vectors


def save(root, name, **arrays):
    np.savez(root / name, **arrays)
    return root / name


def test_features_of_every_kind_are_the_same_vectors(tmp_path):
    x, y = tables.vectors()
    sources = [save(tmp_path, "f.npz", x=x, y=y), tmp_path / "f.npy", tmp_path / "f.parquet"]
    np.save(tmp_path / "f.npy", x)
    np.save(tmp_path / "f.labels.npy", y)
    pq.write_table(pa.table({"embedding": list(x), "label": y.tolist()}), sources[2])
    for source in sources:
        data = read_labelled(source)
        assert torch.equal(data.x, torch.from_numpy(x)) and data.labels == y.tolist()
        assert str(data.files[3]) == f"{source} row 3"


def test_labels_may_stand_in_a_file_of_their_own(tmp_path):
    x, y = tables.vectors()
    np.save(tmp_path / "f.npy", x)
    (tmp_path / "y.txt").write_text("\n".join(y.tolist()))
    assert list_labelled(tmp_path / "f.npy", labels=tmp_path / "y.txt").labels == y.tolist()
    assert list_labelled(f"{tmp_path / 'f.npy'}:labels={tmp_path / 'y.txt'}").labels == y.tolist()
    (tmp_path / "y.txt").write_text("a\nb\n")
    with pytest.raises(DataError, match=r"has 30 rows and .*y\.txt has 2: they must match"):
        list_labelled(tmp_path / "f.npy", labels=tmp_path / "y.txt")
    with pytest.raises(DataError, match=r"f\.npy has no labels: put them into .*f\.labels\.npy"):
        list_labelled(tmp_path / "f.npy")


def test_a_split_of_features_and_names_of_classes(tmp_path):
    x, y = tables.vectors(6)
    split = ["train"] * 4 + ["test"] * 2
    source = save(tmp_path, "f.npz", x=x, y=y, split=split)
    assert list_labelled(source, part="test").labels == y[4:].tolist()
    kinds = {
        "features": datasets.List(datasets.Value("float32")),
        "label": datasets.ClassLabel(names=["low", "high"]),
    }
    rows = {"features": x.tolist(), "label": [0, 1] * 3}
    made = datasets.Dataset.from_dict(rows, features=datasets.Features(kinds))
    made.to_parquet(tmp_path / "f.parquet")
    made.save_to_disk(tmp_path / "saved")
    for place in ("f.parquet", "saved"):
        data = read_labelled(tmp_path / place)
        assert data.labels == ["low", "high"] * 3 and torch.equal(data.x, torch.from_numpy(x))


def spoilt(x, row, value):
    x = x.copy()
    x[row, 1] = value
    return x


X, Y = tables.vectors(4)


@pytest.mark.parametrize(
    "arrays, why",
    [
        ({"x": X, "y": Y[:3]}, "has 4 rows and .* labels has 3: they must match"),
        ({"x": spoilt(X, 2, np.nan), "y": Y}, "row 2 holds a NaN or infinite value"),
        ({"x": X, "y": Y.astype(object)}, "array 'y' holds Python objects, which are never loaded"),
        ({"x": X.astype(object), "y": Y}, "array 'x' holds Python objects"),
        ({"z": X, "y": Y}, "has no column of features: its columns are z, y"),
        ({"x": X}, "has no column of classes"),
        ({"x": X[:, 0], "y": Y}, r"shape \(4,\): features are \(N, D\)"),
        ({"x": X[:, :0], "y": Y}, r"is empty, its shape is \(4, 0\)"),
        ({"x": X, "y": ["a", "", "b", "c"]}, "the label of row 1 is empty"),
        ({"x": X, "y": [0.5, 1, 2, 3]}, "the label of row 0 is 0.5"),
        ({"x": X, "y": Y, "split": ["train", "dev", "test", "test"]}, "row 1: the split is 'dev'"),
    ],
)
def test_wrong_features_are_one_sentence(tmp_path, arrays, why):
    with pytest.raises(DataError, match=why):
        read_labelled(save(tmp_path, "f.npz", **arrays))


def test_files_that_are_no_arrays_are_refused(tmp_path):
    for name in ("f.npy", "f.npz"):
        (tmp_path / name).write_bytes(b"\x80\x04N.")  # a pickle
        with pytest.raises(DataError, match="pickled data are never loaded"):
            read_labelled(tmp_path / name)
    np.savez(tmp_path / "f.npz", x=X, y=Y)
    (tmp_path / "f.npz").write_bytes((tmp_path / "f.npz").read_bytes()[:-30])
    with pytest.raises(DataError, match=r"f\.npz cannot be read|no array"):
        read_labelled(tmp_path / "f.npz")


def test_wrong_lists_in_a_parquet_file_are_named(tmp_path):
    source = tmp_path / "f.parquet"
    pq.write_table(pa.table({"features": [[1.0, 2.0], [1.0]], "label": ["a", "b"]}), source)
    with pytest.raises(DataError, match="'features' of row 1 holds 1 numbers, that of row 0 2"):
        read_labelled(source)
    pq.write_table(pa.table({"features": [[1.0, 2.0], None], "label": ["a", "b"]}), source)
    with pytest.raises(DataError, match="'features' of row 1 holds nothing"):
        read_labelled(source)
    twice = pa.table([["a.png"], ["a"], ["b"]], names=["path", "label", "label"])
    pq.write_table(twice, source)
    with pytest.raises(DataError, match="has 2 columns named 'label'"):
        read_labelled(source)
    pq.write_table(pa.table({"features": [[1.0, 2.0]], "name": ["a"]}), source)
    with pytest.raises(DataError, match="has no column of classes"):
        read_labelled(source)
