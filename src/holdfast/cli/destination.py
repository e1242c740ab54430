"""Where answers of ``holdfast predict`` go, and in which format."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import TextIO

from rich.console import Console

from holdfast.cli.answers import (
    CsvAnswers,
    JsonAnswers,
    ParquetAnswers,
    Row,
    TableAnswers,
    Writer,
)
from holdfast.cli.asking_options import Predict
from holdfast.cli.output_file import refuse_taken
from holdfast.cli.terminal import Terminal
from holdfast.core.errors import ConfigError

ENDINGS = {
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".csv": "csv",
    ".parquet": "parquet",
    ".txt": "table",
}


class Destination:
    """Where answers go: a context that opens the file and closes it.

    Args:
        options: of the command.
        console: for a table on standard output.

    Raises:
        ConfigError: for a format that is not clear, or a file that is there already.
    """

    def __init__(self, options: Predict, console: Console):
        self.form, self.path = form_of(options), options.out
        if options.sets is not None and self.form not in ("table", "json"):
            raise ConfigError(
                f"sets are lists, and {self.form} has no column for them: use --format json."
            )
        self.top, self.console = options.top, console
        self.stream: TextIO | None = None
        self.writer: Writer | None = None
        if self.path is not None:
            refuse_taken(self.path, options.overwrite)

    def __enter__(self) -> Destination:
        """Itself; the file is made when there is something to write."""
        return self

    def write(self, rows: Sequence[Row]) -> None:
        """Write some rows, and let them be seen."""
        self._open().write(rows)

    def _open(self) -> Writer:
        """What writes, from the first row on."""
        if self.writer is not None:
            return self.writer
        if self.form == "parquet":
            assert self.path is not None
            self.writer = ParquetAnswers(self.path, self.top)
            return self.writer
        if self.path is not None:
            self.stream = self.path.open("w", encoding="utf-8", newline="")
        writer: Writer
        if self.form == "table":
            writer = TableAnswers(
                self.console if self.stream is None else Terminal(file=self.stream)
            )
        else:
            kind = {"json": JsonAnswers, "csv": CsvAnswers}[self.form]
            writer = kind(self.stream or sys.stdout, self.top)
        self.writer = writer
        return writer

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it; what was written before an error stays, but for half a parquet file."""
        if kind is not None and self.writer is None:
            return
        try:
            self._open().close()
        finally:
            if self.stream is not None:
                self.stream.close()
            if kind is not None and self.form == "parquet" and self.path is not None:
                self.path.unlink(missing_ok=True)


def form_of(options: Predict) -> str:
    """The format that was asked for, or that the name of the file means.

    Raises:
        ConfigError: if they contradict, or nothing says.
    """
    form = "json" if options.json else options.format
    if options.json and options.format not in (None, "json"):
        raise ConfigError(
            f"--json is --format json: leave one of it and --format {options.format} out."
        )
    if options.out is None:
        if form == "parquet":
            raise ConfigError("parquet is not for a terminal: name a file with --out FILE.parquet.")
        return form or "table"
    meant = form or ENDINGS.get(options.out.suffix.lower())
    if meant is None:
        raise ConfigError(
            f"the name {options.out} does not say a format: add --format table, json, csv or parquet."
        )
    return meant
