"""Labelled data of any kind behind one door: folders, tables, saved data sets, features, a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from holdfast.core.errors import DataError
from holdfast.stream import arrays, hub, text_tables, vectors
from holdfast.stream.arrow_vectors import objects, read_vectors
from holdfast.stream.columns import (
    SPLIT,
    Columns,
    Side,
    asked,
    bare,
    column,
    part_rows,
    refuse_repeats,
)
from holdfast.stream.fit import Fit
from holdfast.stream.folder import list_folder, pictures_in
from holdfast.stream.levels import Levels
from holdfast.stream.listed import LabelledImages, Listed
from holdfast.stream.pictures import Pictures
from holdfast.stream.tables import parquet, read_tables
from holdfast.stream.vectors import VectorTable, read_labels, require_equal, texts_of
from holdfast.stream.walk import readable, walk

HUB = "hf:"  # before the name of a data set of the hub
KINDS = (
    "a folder with a folder of images a class, a .csv, .tsv, .jsonl or .parquet table, .npz or .npy "
    "features, a folder that datasets saved, hf:owner/name, or - for path,label on standard input"
)
SUFFIXES = (*text_tables.SUFFIXES, ".parquet", *vectors.SUFFIXES)


def read_labelled(
    source: str | Path,
    size: int | None = None,
    per_class: int | None = None,
    seed: int = 0,
    strict: bool = False,
    part: Side = "train",
    levels: Levels | None = None,
    fit: Fit = "squash",
    resize: int = 0,
) -> LabelledImages:
    """Labelled images or features, whatever form they come in; see `list_labelled`.

    Args:
        source: where they are.
        size: side to which images are resized, as for `holdfast.stream.read_folder`.
        per_class: at most so many of each class, chosen by the seed.
        seed: of the choice.
        strict: refuse what would be skipped, in place of listing it.
        part: train, or test where there is one.
        levels: of greys of more than 8 bits; None finds them from these images.
        fit: how images become squares of that side: squash, crop or pad.
        resize: what the shorter side becomes before a crop; 0 is the size.

    Raises:
        ConfigError: if a number or a setting makes no sense.
        DataError: naming the file, and the line or row, of what is wrong.
    """
    listed = list_labelled(source, per_class, seed, strict, part)
    return listed.read(size, strict, levels, fit, resize)


def list_labelled(
    source: str | Path | Listed,
    per_class: int | None = None,
    seed: int = 0,
    strict: bool = False,
    part: Side = "train",
    labels: Path | None = None,
    labelled: bool = True,
) -> Listed:
    """What a source holds; no image of it is opened.

    Args:
        source: a folder of class folders (`holdfast.stream.read_folder`); a CSV, TSV or JSON lines
            table of paths and classes; a parquet file of images, paths or features; ``.npz`` or
            ``.npy`` features; a folder that ``datasets`` saved; ``hf:owner/name`` of the hub; ``-`` for
            lines ``path,label`` on standard input. ``FILE:path=COLUMN:label=COLUMN`` names columns.
            What is listed already is taken as it is.
        per_class: at most so many of each class, chosen by the seed.
        seed: of the choice.
        strict: refuse what would be skipped, in place of listing it.
        part: train or test, where the source has parts; a column ``split`` says it of labelled rows.
        labels: a file of labels, in place of those in the source.
        labelled: whether every row needs a class.

    Raises:
        ConfigError: if a number or a setting makes no sense.
        DataError: naming the file, and the line or row, of what is wrong.
    """
    arrays.positive(per_class=per_class)
    if isinstance(source, Listed):
        return source.kept(per_class, seed) if labelled else source
    text, columns = asked(source, labels)
    every = _listed(text, columns, part, strict, labelled)
    if labelled and columns.labels is not None:
        of_file = read_labels(columns.labels)
        require_equal(len(every.files), len(of_file), readable(text), readable(columns.labels))
        every = replace(every, labels=of_file)
    return every.kept(per_class, seed) if labelled else every


def is_table(path: str | Path) -> bool:
    """Whether a name is that of a table, of features or of a data set, not of an image or a folder."""
    text, _ = bare(path)
    if text.startswith(HUB):
        return True
    file = Path(text).expanduser()
    return file.suffix.lower() in SUFFIXES or (file.is_dir() and hub.is_saved(file))


def _listed(text: str, columns: Columns, part: Side, strict: bool, labelled: bool) -> Listed:
    """Everything of the part, whatever its kind."""
    if text == "-":
        return _of_files(text_tables.read_standard_input(columns), "standard input", part)
    if text.startswith(HUB):
        return _data_set(hub.open_hub(text[len(HUB) :]), text, columns, part, labelled)
    path = Path(text).expanduser()
    if not path.exists():
        raise DataError(f"{readable(path)} does not exist: give {KINDS}.")
    suffix = path.suffix.lower()
    if path.is_dir():
        return _folder(path, columns, part, strict, labelled)
    if suffix in text_tables.SUFFIXES:
        table = text_tables.read_text_table(path, columns, labelled)
        table = table if labelled else replace(table, split=None)
        return _of_files(table, readable(path), part)
    if suffix in vectors.SUFFIXES:
        table = vectors.read_numpy(path, columns, labelled)
        return _of_vectors(table, readable(path), part, labelled)
    if suffix == ".parquet":
        return _parquet(path, columns, part, labelled)
    raise DataError(f"{readable(path)} is no labelled data by its name: give {KINDS}.")


def _folder(path: Path, columns: Columns, part: Side, strict: bool, labelled: bool) -> Listed:
    """A saved data set, parquet files with the names of parts, or folders of classes."""
    if hub.is_saved(path):
        return _data_set(hub.open_saved(path), readable(path), columns, part, labelled)
    files, _ = walk(path)
    tables = [file for file in files if file.suffix.lower() == ".parquet"]
    if not tables or not labelled:
        return list_folder(path, strict=strict, part=part)
    sides = read_tables(path, tables)
    images = sides[0] if part == "train" or sides[1] is None else sides[1]
    return _of_pictures(images, readable(path), True)


def _parquet(path: Path, columns: Columns, part: Side, labelled: bool) -> Listed:
    """Images, paths or features of one parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    where = readable(path)
    try:
        schema = pq.read_schema(path)
        refuse_repeats(schema.names, where)
        split = column(schema.names, SPLIT, columns.split, "split", where)
        get = lambda name: pq.read_table(path, columns=[name]).column(0)
        table = read_vectors(schema, get, columns, labelled, where)
        if table is not None:
            return _of_vectors(table, where, part, labelled)
        parts = (
            None
            if split is None or not labelled
            else texts_of(objects(get(split)), f"{where} split")
        )
        images = parquet([path], columns, labelled and columns.labels is None)
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataError(f"{where} is not a readable parquet file ({reason}): replace it.") from None
    return _in_part(_of_pictures(images, where, labelled and columns.labels is None), parts, part)


def _data_set(splits: Any, where: str, columns: Columns, part: Side, labelled: bool) -> Listed:
    """One split of a data set of Hugging Face."""
    name = hub.choose_split(splits, part, where)
    table, place = splits[name], f"{where} {name}"
    get = lambda c: table.select_columns([c]).with_format("arrow")[:].column(0)
    schema = table.features.arrow_schema
    features = read_vectors(schema, get, columns, labelled, place)
    notes = [f"the rows are those of the split {name} of {where}"] if len(splits) > 1 else []
    if features is not None:
        return replace(_of_vectors(features, place, part, labelled), notes=notes)
    use = labelled and columns.labels is None
    images = hub.table_of(table, place, columns, use)
    return replace(_of_pictures(images, place, use), notes=notes)


def _of_files(table: text_tables.FileTable, where: str, part: Side) -> Listed:
    """Image files that a table names."""
    rows = np.arange(len(table.files))
    listed = Listed(where, table.files, table.labels, pictures_in(table.files), rows)
    return _in_part(listed, table.split, part, table.places)


def _of_pictures(images: Pictures, where: str, labelled: bool) -> Listed:
    """Encoded images of a table."""
    count = len(images.labels)
    if not count:
        raise DataError(f"{where} has no rows: a row an image is needed.")
    files = [Path(f"{where} row {i}") for i in range(count)]
    _, first = next(iter(images.images(np.arange(1))))
    if isinstance(first, Path):
        files = [Path(str(file)) for _, file in images.images(np.arange(count))]
        text_tables.require_files(files, [f"{where} row {i}" for i in range(count)])
    labels = texts_of(images.labels, f"{where} labels", images.names) if labelled else []
    return Listed(where, files, labels, images, np.arange(count))


def _of_vectors(table: VectorTable, where: str, part: Side, labelled: bool) -> Listed:
    """Features, named by their rows."""
    files = [Path(f"{where} row {i}") for i in range(len(table.x))]
    listed = Listed(where, files, table.labels, vectors=table.x)
    return _in_part(listed, table.split if labelled else None, part)


def _in_part(
    listed: Listed, split: Sequence[str] | None, part: Side, places: Sequence[str] = ()
) -> Listed:
    """The rows of a part, where a column says of which part each is."""
    if split is None:
        return listed
    rows, notes = part_rows(
        split, places or [str(f) for f in listed.files], part, str(listed.where)
    )
    return replace(listed.take(np.array(rows, np.int64)), notes=[*listed.notes, *notes])
