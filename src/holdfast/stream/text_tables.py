"""Tables of text: CSV, TSV and JSON lines that name images and their classes."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from holdfast.core.errors import DataError
from holdfast.core.text import printable
from holdfast.stream.columns import (
    LABELS,
    PATHS,
    SPLIT,
    Columns,
    column,
    no_column,
    refuse_repeats,
)
from holdfast.stream.image_files import label_of
from holdfast.stream.walk import readable

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
STANDARD_INPUT = "standard input"


@dataclass(frozen=True)
class FileTable:
    """Image files that a table names.

    Attributes:
        files: of the images.
        labels: the class of each; empty where there is no such column.
        split: the part of each; None where there is no such column.
        places: the table and line of each, for errors.
    """

    files: list[Path] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    split: list[str] | None = None
    places: list[str] = field(default_factory=list)


def read_text_table(file: Path, columns: Columns, labelled: bool = True) -> FileTable:
    """The images that a CSV, TSV or JSON lines file names; paths start at its folder.

    Args:
        file: by whose suffix its kind is known.
        columns: that were asked for.
        labelled: whether every row needs a class.

    Raises:
        DataError: naming the file and the line of what is wrong.
    """
    where = readable(file)
    try:
        text = file.read_text(encoding="utf-8-sig", errors="strict")
    except OSError as error:
        raise DataError(f"{where} cannot be read ({error.strerror or error}).") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where} is no text in UTF-8 (byte {error.start}): save it as UTF-8."
        ) from None
    suffix = file.suffix.lower()
    rows = (
        _json_rows(text, where)
        if suffix in (".jsonl", ".ndjson")
        else _csv_rows(text, where, "\t" if suffix == ".tsv" else "", header=True)
    )
    return _table(list(rows), columns, labelled, where, file.parent)


def read_standard_input(columns: Columns) -> FileTable:
    """Lines ``path,label`` on standard input, with or without a header; paths start at this folder.

    Raises:
        DataError: naming the line of what is wrong.
    """
    try:
        text = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{STANDARD_INPUT} is no text in UTF-8 (byte {error.start}).") from None
    rows = list(_csv_rows(text, STANDARD_INPUT, "", header=False))
    return _table(rows, columns, True, STANDARD_INPUT, Path())


Row = tuple[str, Mapping[str, Any]]  # where it stands, and its cells by column


def _csv_rows(text: str, where: str, delimiter: str, header: bool) -> Iterator[Row]:
    """The rows of comma (semicolon, tab) separated text."""
    first = text.lstrip("\r\n").split("\n", 1)[0]
    delimiter = delimiter or max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: list[str] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            line = f"{where} line {reader.line_num}"
            if not names:
                names = [cell.strip() for cell in cells]
                if header or _is_header(names):
                    refuse_repeats(names, where)
                    continue
                names = ["path", "label"]
            if len(cells) != len(names):
                raise DataError(
                    f"{line} has {len(cells)} cell{'s' * (len(cells) != 1)} where there are "
                    f"{len(names)} columns ({', '.join(map(printable, names))}): put a cell that holds the "
                    "separator into double quotes."
                )
            yield line, dict(zip(names, cells))
    except csv.Error as error:
        raise DataError(f"{where} line {reader.line_num} is no row of a table ({error}).") from None


def _is_header(names: Sequence[str]) -> bool:
    lower = [name.lower() for name in names]
    return any(n in PATHS for n in lower) and any(n in LABELS for n in lower)


def _json_rows(text: str, where: str) -> Iterator[Row]:
    """The objects of JSON lines."""
    for number, line in enumerate(text.split("\n"), 1):
        place = f"{where} line {number}"
        if not line.strip():
            continue

        def once(pairs: list[tuple[str, Any]], place: str = place) -> dict[str, Any]:
            refuse_repeats([name for name, _ in pairs], place)
            return dict(pairs)

        try:
            row = json.loads(line, object_pairs_hook=once)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{place} is no JSON ({error}).") from None
        if not isinstance(row, dict):
            raise DataError(
                f'{place} is no JSON object such as {{"path": "a.png", "label": "cat"}}.'
            )
        yield place, row


def _table(
    rows: Sequence[Row], columns: Columns, labelled: bool, where: str, root: Path
) -> FileTable:
    """The files and classes of all rows, every one checked."""
    if not rows:
        raise DataError(
            f"{where} has no rows: a line of column names such as path,label comes first, then one an "
            "image."
        )
    names = list(dict.fromkeys(name for _, row in rows for name in row))
    path = column(names, PATHS, columns.path, "path", where)
    label = column(names, LABELS, columns.label, "label", where)
    split = column(names, SPLIT, columns.split, "split", where)
    if path is None:
        raise no_column("paths", PATHS, "path", names, where)
    if label is None and labelled and columns.labels is None:
        raise no_column("classes", LABELS, "label", names, where)
    places = [place for place, _ in rows]
    files = [root / _cell(row, path, place, "path") for place, row in rows]
    require_files(files, places)
    if label is None or not (labelled and columns.labels is None):
        labels = []
    else:
        labels = [label_of(_cell(row, label, place, "class")) for place, row in rows]
        _refuse_contradictions(files, labels, places)
    parts = None if split is None else [str(row.get(split, "")) for _, row in rows]
    return FileTable(files, labels, parts, places)


def _cell(row: Mapping[str, Any], name: str, place: str, what: str) -> str:
    """A cell as text; whole numbers are labels too."""
    value = row.get(name, "")
    if isinstance(value, int) and not isinstance(value, bool) and what == "class":
        value = str(value)
    if not isinstance(value, str):
        raise DataError(f"{place}: the {what} is {value!r}: it must be a text.")
    if not value.strip():
        raise DataError(
            f"{place}: the {what} (column '{name}') is empty: fill it, or delete the row."
        )
    return value.strip()


def require_files(files: Sequence[Path], places: Sequence[str]) -> None:
    """Refuse a table that names a file which is not there.

    Args:
        files: that it names.
        places: where it names each.

    Raises:
        DataError: for the first.
    """
    gone = [i for i, file in enumerate(files) if not os.path.isfile(file)]
    if not gone:
        return
    others = len(gone) - 1
    more = f" ({others} more {'are' if others > 1 else 'is'} not)" if others else ""
    raise DataError(
        f"{places[gone[0]]}: {readable(files[gone[0]])} is not there{more}: a path is one from the "
        "folder of the table, or absolute."
    )


def _refuse_contradictions(
    files: Sequence[Path], labels: Sequence[str], places: Sequence[str]
) -> None:
    """Refuse a table that puts one file into two classes."""
    first: dict[Path, int] = {}
    for i, file in enumerate(files):
        before = first.setdefault(file, i)
        if labels[before] != labels[i]:
            raise DataError(
                f"{places[i]}: {readable(file)} is of class {printable(labels[i])}, and of class "
                f"{printable(labels[before])} in {places[before].rsplit(' ', 2)[-2]} "
                f"{places[before].rsplit(' ', 1)[-1]}: an image has one class."
            )
