"""How answers of ``holdfast predict`` are written: as a table, JSON lines, CSV or parquet."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from holdfast.core.text import json_text, printable

Row = Mapping[str, Any]
COLUMNS = ("image", "class", "probability", "unknown", "error", "version")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what makes a spreadsheet take a cell for a formula


@runtime_checkable
class Writer(Protocol):
    """Writes rows as they come, and ends what it wrote."""

    def write(self, rows: Sequence[Row]) -> None:
        """Write some, and let them be seen."""
        ...

    def close(self) -> None:
        """Write what comes after the last."""
        ...


class JsonAnswers:
    """A JSON object a line.

    Args:
        stream: of text.
        top: ignored; rows have it.
    """

    def __init__(self, stream: Any, top: int):
        self.stream = stream

    def write(self, rows: Sequence[Row]) -> None:
        """Write some, and let them be seen."""
        self.stream.writelines(json_text(row) + "\n" for row in rows)
        self.stream.flush()

    def close(self) -> None:
        """Nothing comes after the last."""


class CsvAnswers:
    """Comma separated values after a line of names.

    Args:
        stream: of text.
        top: so many classes have columns.
    """

    def __init__(self, stream: Any, top: int):
        self.stream, self.top = stream, top
        self.csv = csv.writer(stream, lineterminator="\n")
        more = [f"{name}_{k}" for k in range(2, top + 1) for name in ("class", "probability")]
        self.csv.writerow([*COLUMNS, *more])

    def write(self, rows: Sequence[Row]) -> None:
        """Write some, and let them be seen."""
        for row in rows:
            cells = [row.get(name) for name in COLUMNS]
            for other in row.get("top", ())[1:]:
                cells += [other["class"], other["probability"]]
            cells += [None] * (len(COLUMNS) + 2 * max(self.top - 1, 0) - len(cells))
            self.csv.writerow([csv_cell(cell) for cell in cells])
        self.stream.flush()

    def close(self) -> None:
        """Nothing comes after the last."""


def csv_cell(value: Any) -> Any:
    """A value for a cell of CSV that neither a spreadsheet nor a terminal takes for an order.

    A text that a spreadsheet would calculate gets an apostrophe in front, its own mark of a text;
    control characters become escapes.

    >>> [csv_cell(value) for value in ("cat", "=1+1", "-a.png", -0.5, True, None)]
    ['cat', "'=1+1", "'-a.png", -0.5, 'true', '']
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return value
    return ("'" if value.startswith(FORMULA) else "") + printable(value)


class ParquetAnswers:
    """A parquet file with the columns of CSV, and ``top`` as a list.

    Args:
        path: of the file.
        top: whether rows have it.
    """

    def __init__(self, path: Path, top: int):
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = (pa.string(), pa.string(), pa.float64(), pa.bool_(), pa.string(), pa.int64())
        fields: list[Any] = list(zip(COLUMNS, kinds))
        if top:
            pair = pa.struct([("class", pa.string()), ("probability", pa.float64())])
            fields.append(("top", pa.list_(pair)))
        self.schema = pa.schema(fields)
        self.file = pq.ParquetWriter(path, self.schema)
        self.waiting: list[Row] = []

    def write(self, rows: Sequence[Row]) -> None:
        """Write some, in groups of a thousand."""
        self.waiting += rows
        if len(self.waiting) >= 1000:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self.waiting:
            self.file.write_table(pa.Table.from_pylist(list(self.waiting), schema=self.schema))
        self.waiting = []

    def close(self) -> None:
        """Write the rest, and what makes it a file."""
        self._flush()
        self.file.close()


class TableAnswers:
    """Columns of text whose widths are those of the first rows, and grow if they must.

    Args:
        console: that prints them.
    """

    def __init__(self, console: Console):
        self.console, self.widths = console, [len("image"), len("class")]
        self.begun = False

    def write(self, rows: Sequence[Row]) -> None:
        """Print some."""
        lines = [self._cells(row) for row in rows]
        for cells in (line for row, line in zip(rows, lines) if "error" not in row):
            self.widths = [max(w, cell_len(c)) for w, c in zip(self.widths, cells)]
        if rows and not self.begun:
            self.begun = True
            self._print(["image", "class", "probability"])
        for row, cells in zip(rows, lines):
            self._print(cells, "yellow" if "error" in row else "")

    def _cells(self, row: Row) -> list[str]:
        """Name, class, probability, and what else there is to say."""
        name = printable(row["image"])
        if "error" in row:
            return [name, f"not read: {printable(row['error'])}"]
        cells = [name, printable(row["class"]), f"{row['probability']:.3f}"]
        others = [f"{printable(o['class'])} {o['probability']:.3f}" for o in row.get("top", ())[1:]]
        note = ["unknown"] if row["unknown"] else []
        if "set" in row:
            note.append("{" + ", ".join(map(printable, row["set"])) + "}")
        return [*cells, "  ".join(["; ".join(others)] * bool(others) + note)]

    def _print(self, cells: Sequence[str], style: str = "") -> None:
        padded = [c + " " * max(w - cell_len(c), 0) for w, c in zip(self.widths, cells)]
        line = "  ".join([*padded, *cells[len(padded) :]]).rstrip()
        self.console.print(Text(line, style), soft_wrap=True)

    def close(self) -> None:
        """Nothing comes after the last."""
