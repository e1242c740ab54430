"""Columns: where in a table the images, their classes and their parts stand; and how a source is named."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from holdfast.core.errors import DataError
from holdfast.core.grammar import arguments
from holdfast.core.text import printable
from holdfast.stream.image_files import TEST, TRAIN
from holdfast.stream.walk import readable

PATHS = (
    "path", "image", "file", "filename", "file_name", "image_path", "filepath", "images", "img",
    "picture", "photo",
)  # fmt: skip
LABELS = ("label", "labels", "fine_label", "class", "target", "class_name")
FEATURES = ("features", "feature", "embedding", "embeddings", "vector", "x")
SPLIT = ("split",)
SETTINGS = re.compile(r":(?=\w+=)")

Side = Literal["train", "test"]


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a table; those that are empty are known by their usual names.

    Args:
        path: of the images.
        label: of the classes.
        split: of the parts, train and test.
        features: of vectors.
        labels: a file with the labels, in place of a column.
    """

    path: str = ""
    label: str = ""
    split: str = ""
    features: str = ""
    labels: Path | None = None


def bare(source: str | Path) -> tuple[str, str]:
    """A source without its settings, and the text of these; a path that exists has none."""
    text = str(source)
    cut = SETTINGS.search(text)
    if cut is None or Path(text).expanduser().exists():
        return text, ""
    return text[: cut.start()], text[cut.end() :]


def asked(source: str | Path, labels: Path | None = None) -> tuple[str, Columns]:
    """A source without its settings, and the columns that these name.

    >>> asked("a:b.csv:path=photo:label=what")
    ('a:b.csv', Columns(path='photo', label='what', split='', features='', labels=None))

    Args:
        source: a path or a name, perhaps with settings; a path that exists has none.
        labels: a file with the labels, where another flag named it.

    Raises:
        ConfigError: for a setting that no table has.
    """
    text, rest = bare(source)
    columns = Columns(**arguments(Columns, rest, f"table {readable(text)}"))
    return text, columns if labels is None else replace(columns, labels=labels)


def column(
    names: Sequence[str], usual: Iterable[str], wanted: str, what: str, where: str
) -> str | None:
    """The column that was asked for, or that a usual name gives; None if there is none of these.

    Args:
        names: of the table's columns.
        usual: names that are tried in turn, whatever their case.
        wanted: the name that was asked for; empty tries the usual ones.
        what: the setting that names it.
        where: the table, for the error.

    Raises:
        DataError: if the one that was asked for is not there.
    """
    if wanted:
        if wanted in names:
            return wanted
        raise DataError(
            f"{where} has no column '{wanted}', which {what}={wanted} asks for: its columns are "
            f"{listed_names(names)}."
        )
    lower: dict[str, str] = {}
    for name in names:
        lower.setdefault(name.strip().lower(), name)
    return next((lower[name] for name in usual if name in lower), None)


def no_column(
    kind: str, usual: Iterable[str], what: str, names: Sequence[str], where: str
) -> DataError:
    """The error for a table without a column that it needs.

    Args:
        kind: of the column, in words.
        usual: names by which it would be known.
        what: the setting that names another.
        names: of the table's columns.
        where: the table.
    """
    return DataError(
        f"{where} has no column of {kind}: its columns are {listed_names(names)}; name one "
        f"{', '.join(usual)}, or give FILE:{what}=COLUMN."
    )


def listed_names(names: Sequence[str]) -> str:
    """Column names for a sentence, not too many."""
    shown = ", ".join(printable(name) for name in names[:20]) or "none"
    return shown + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def refuse_repeats(names: Sequence[str], where: str) -> None:
    """Refuse a table of which two columns have one name (DataError)."""
    for name in names:
        if name and names.count(name) > 1:
            raise DataError(
                f"{where} has {names.count(name)} columns named '{printable(name)}': give each a name of "
                "its own."
            )


def part_rows(
    split: Sequence[str], places: Sequence[str], part: Side, where: str
) -> tuple[list[int], list[str]]:
    """The rows of one part, and notes: as of folders, test is the first of test, val, ... there is.

    Args:
        split: the part of each row.
        places: where each row is, for an error.
        part: train or test; where no row is of the test part, train is both.
        where: the table.

    Raises:
        DataError: for a row of no part, or a table without rows to train on.
    """
    lower = [value.strip().lower() for value in split]
    for value, place in zip(lower, places):
        if value not in (*TRAIN, *TEST):
            raise DataError(
                f"{place}: the split is '{printable(value)}': it must be one of "
                f"{', '.join((*TRAIN, *TEST))}."
            )
    present = set(lower)
    test = next((name for name in TEST if name in present), None)
    if not present & set(TRAIN) and part == "train":
        raise DataError(f"{where} has no rows to train on: their split would be train.")
    wanted: Collection[str] = TRAIN if part == "train" or test is None else (test,)
    rows = [i for i, value in enumerate(lower) if value in wanted]
    spare = sorted(present - set(TRAIN) - {test})
    notes = [f"the rows are those of split {'train' if wanted is TRAIN else test} of {where}"]
    if spare:
        notes.append(f"rows of split {', '.join(spare)} are not used beside {test}")
    return rows, notes
