"""Small labelled data in every form in which people have them, all of the same images."""

import csv
import io
import json

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

CLASSES = ("ant", "bee", "my cat's")
EACH = 5


def pixels(k, i):
    """(8, 8, 3) uint8: a class is a brightness."""
    chance = np.random.default_rng([k, i]).integers(0, 40, (8, 8, 3))
    return (80 * k + chance).astype(np.uint8)


def photographs(root):
    """A folder a class; the path, class and part of each image."""
    rows = []
    for k, name in enumerate(CLASSES):
        for i in range(EACH):
            path = root / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels(k, i)).save(path)
            rows.append((path, name, "train" if i < 3 else "val"))
    return rows


def png(k, i):
    """An encoded image."""
    stream = io.BytesIO()
    Image.fromarray(pixels(k, i)).save(stream, "PNG")
    return stream.getvalue()


def written(root, kind):
    """The photographs below ``root`` as a source of one kind: its path."""
    rows = photographs(root / "images")
    paths = [str(path.relative_to(root)) for path, _, _ in rows]
    labels, parts = [row[1] for row in rows], [row[2] for row in rows]
    if kind == "folder":
        return root / "images"
    out = root / f"table.{kind.split('-')[0]}"
    if kind in ("csv", "tsv", "csv-split"):
        head = ["path", "label"] + ["split"] * (kind == "csv-split")
        with out.open("w", newline="") as file:
            table = csv.writer(file, delimiter="\t" if kind == "tsv" else ",")
            table.writerows([head, *(r[: len(head)] for r in zip(paths, labels, parts))])
    elif kind == "jsonl":
        lines = [json.dumps({"file": p, "class": c}) for p, c in zip(paths, labels)]
        out.write_text("\n".join(lines))
    elif kind == "parquet-paths":
        pq.write_table(pa.table({"path": paths, "label": labels}), out)
    else:
        images = [{"bytes": (root / path).read_bytes(), "path": None} for path in paths]
        whole = dataset(images, labels)
        if kind == "parquet-images":
            whole.to_parquet(out)
        else:
            out = root / "saved"
            half = whole.train_test_split(test_size=6, shuffle=False)
            (half if kind == "saved-split" else whole).save_to_disk(out)
    return out


def dataset(images, labels):
    """A data set of Hugging Face whose classes are numbers with names."""
    kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(CLASSES))}
    rows = {"image": images, "label": [CLASSES.index(label) for label in labels]}
    return datasets.Dataset.from_dict(rows, features=datasets.Features(kinds))


def vectors(count=30, width=4, seed=0):
    """(count, width) float32 and labels of three classes that lie apart."""
    y = np.arange(count) % 3
    x = np.random.default_rng(seed).normal(size=(count, width)) + 8 * np.eye(3, width)[y]
    return x.astype(np.float32), np.array(["a", "b", "c"])[y]
