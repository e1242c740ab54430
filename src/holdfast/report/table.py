"""A run in words and small tables, for a terminal of any width."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from holdfast.memory.meter import Holdings
from holdfast.metrics.accuracy import Accuracy
from holdfast.result import Result

ACCENT = "cyan"


def summary(result: Result, folder: str | Path | None = None) -> Group:
    """The matrices, the figures, the further readouts and the memory of a run, for `Console.print`.

    Args:
        result: of a run that is complete or was stopped.
        folder: where the run is kept, named at the end.
    """
    parts: list[RenderableType] = [heading(result), Text()]
    if finished(result):
        parts += [Matrices(result), Text(), _figures(result), Text()]
    others = [name for name in result.readings if name != result.readout]
    if others and finished(result):
        parts += [_readouts(result, others), Text()]
    if result.tasks:
        parts.append(Text(f"kept: {kept(result.holdings)}"))
    if folder is not None:
        parts.append(Text(f"folder: {plain(str(folder))}", overflow="fold"))
    return Group(*parts)


def heading(result: Result) -> Text:
    """What ran, under which protocol, read by which readout, and how far it came."""
    done, tasks = finished(result), len(result.class_il.sizes)
    seconds = sum(note.seconds for note in result.tasks)
    where = f" on {result.data['stream']}" if "stream" in result.data else ""
    count = f"{done} of {tasks}" if done < tasks else f"{tasks}"
    lines = [
        f"{result.recipe}{where}",
        f"protocol {result.protocol}, readout {result.readout}",
        f"{count} task{'s' * (tasks != 1)}, {result.status}, {clock(seconds)}",
    ]
    first, *rest = map(plain, lines)
    return Text.assemble((first, f"bold {ACCENT}"), "\n", (rest[0], "bold"), "\n", rest[1])


class Matrices:
    """Both accuracy matrices, or as much of them as the width allows.

    In order of preference: both with one decimal; Class-IL with one decimal, then without, and
    Task-IL as one column; one row a task with the accuracy when it was learned and now.
    """

    def __init__(self, result: Result):
        self.names, self.done = task_names(result), finished(result)
        self.readings = {
            "Class-IL": so_far(result.class_il, self.done),
            "Task-IL": so_far(result.task_il, self.done),
        }

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The first layout that fits."""
        room = options.max_width
        yield Text("Accuracy in percent on each task (column), after learning the task of the row;")
        yield Text("'all' is the accuracy over everything seen by then.")
        cells = {name: _cells(a, 1) for name, a in self.readings.items()}
        last = ["all", *(row[-1] for row in cells["Task-IL"])]
        fine, coarse = cells["Class-IL"], _cells(self.readings["Class-IL"], 0)
        if (label := room - _width(fine) - _width(cells["Task-IL"]) - 3) >= self._least(16):
            sides = [
                self._matrix("Class-IL", fine, label),
                self._matrix("Task-IL", cells["Task-IL"]),
            ]
            grid = Table.grid(padding=(0, 3, 0, 0))
            grid.add_row(*sides)
            yield grid
        elif (label := room - _width(fine) - 11) >= self._least(12):
            yield self._matrix("Class-IL", fine, label, last)
        elif (label := room - _width(coarse) - 11) >= self._least(0):
            yield self._matrix("Class-IL, rounded", coarse, label, last)
        else:
            yield self._by_task(room)

    def _least(self, room: int) -> int:
        """The least width of the row labels: the number, and the names as far as ``room`` goes."""
        longest = max(cell_len(label(task, self.names, 1000)) for task in range(self.done))
        return max(5, min(room, longest))

    def _matrix(
        self, title: str, cells: list[list[str]], room: int | None = None, last: Sequence[str] = ()
    ) -> Group:
        """One matrix under its title; row labels if there is room, Task-IL's last column if given."""
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
        if room is not None:
            table.add_column("after", no_wrap=True)
        for number in range(1, self.done + 1):
            table.add_column(str(number), justify="right", no_wrap=True)
        table.add_column("all", justify="right", style="bold", no_wrap=True)
        if last:
            table.add_column("  Task-IL", justify="right", no_wrap=True)
        for task, row in enumerate(cells):
            front = [] if room is None else [Text(label(task, self.names, min(room, 32)))]
            table.add_row(*front, *row, *last[task + 1 : task + 2])
        return Group(Text(title, style=f"bold {ACCENT}"), table)

    def _by_task(self, room: int) -> Table:
        """One row a task, for streams whose matrix is wider than the terminal."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("task", no_wrap=True)
        for name in ("learned", "now", "all", "Task-IL now"):
            table.add_column(name, justify="right", no_wrap=True, style="bold" * (name == "all"))
        a, b = self.readings["Class-IL"], self.readings["Task-IL"]
        for j in range(self.done):
            values = (a.matrix[j, j], a.matrix[-1, j], a.after(j), b.matrix[-1, j])
            name = label(j, self.names, max(4, min(32, room - 34)))
            table.add_row(Text(name), *(percent(float(v)) for v in values))
        return table


def _cells(accuracy: Accuracy, digits: int) -> list[list[str]]:
    """The rows of a matrix in percent, empty above the diagonal, each with its 'all' at the end."""
    rows = []
    for i, row in enumerate(accuracy.matrix.tolist()):
        shown = [percent(v, digits) if j <= i else "" for j, v in enumerate(row)]
        rows.append([*shown, percent(accuracy.after(i), digits)])
    return rows


def _width(cells: list[list[str]]) -> int:
    """Columns of the terminal that a matrix takes, a space before each number."""
    heads = [*map(str, range(1, len(cells) + 1)), "all"]
    return sum(1 + max(map(len, column)) for column in zip(heads, *cells))


def _figures(result: Result) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    for name in ("final", "average", "forgetting", "backward transfer"):
        table.add_column(name, justify="right")
    for name, accuracy in (("Class-IL", result.class_il), ("Task-IL", result.task_il)):
        values = map(percent, figures(so_far(accuracy, finished(result))))
        table.add_row(Text(name, style=ACCENT), *values)
    return table


def _readouts(result: Result, names: Sequence[str]) -> Table:
    """The further readouts of the same network, each with the protocol it ran under."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("also read by")
    table.add_column("protocol")
    for name in ("Class-IL", "average", "forgetting", "Task-IL"):
        table.add_column(name, justify="right")
    for name in names:
        reading, done = result.readings[name], finished(result)
        final, average, forgetting, _ = figures(so_far(reading.class_il, done))
        values = (final, average, forgetting, figures(so_far(reading.task_il, done))[0])
        table.add_row(Text(plain(name)), Text(plain(reading.protocol)), *map(percent, values))
    return table


def finished(result: Result) -> int:
    """How many tasks were learned and tested: the leading rows that are filled."""
    rows = result.class_il.matrix.tolist()
    filled = [all(v == v for v in row[: i + 1]) for i, row in enumerate(rows)]
    return [*filled, False].index(False)


def so_far(accuracy: Accuracy, done: int) -> Accuracy:
    """The accuracies as if the stream had ended after ``done`` tasks."""
    return Accuracy(accuracy.matrix[:done, :done], accuracy.sizes[:done])


def figures(accuracy: Accuracy) -> tuple[float | None, ...]:
    """Final and average accuracy, forgetting, and backward transfer; None where undefined."""
    if not len(accuracy.sizes):
        return None, None, None, None
    return accuracy.final, accuracy.average, accuracy.forgetting, accuracy.backward_transfer


def task_names(result: Result) -> list[list[str]]:
    """The names of each task's classes; those of tasks still to come where the data tell them."""
    names, tasks = result.data.get("classes"), result.data.get("tasks")
    if isinstance(names, (list, tuple)) and isinstance(tasks, (list, tuple)):
        return [[plain(str(names[c])) for c in classes] for classes in tasks]
    noted = [[plain(name) for name in note.classes] for note in result.tasks]
    return noted + [[]] * (len(result.class_il.sizes) - len(noted))


def label(task: int, names: Sequence[Sequence[str]], room: int) -> str:
    """A task by its number and as many of its class names as fit.

    >>> label(1, [["cat"], ["deer", "dog", "frog"]], 14)
    '2 deer, +2'
    """
    number = str(task + 1)
    return f"{number} {shorten(names[task], room - len(number) - 1)}".rstrip()


def shorten(names: Sequence[str], room: int) -> str:
    """As many names as fit, then how many more there are.

    >>> shorten(["airplane", "cat", "deer"], 16), shorten(["airplane", "cat", "deer"], 9)
    ('airplane, +2', 'airp…, +2')
    """
    for shown in range(len(names), 0, -1):
        more = f", +{len(names) - shown}" if shown < len(names) else ""
        text = ", ".join(names[:shown]) + more
        if cell_len(text) <= room:
            return text
    more = f", +{len(names) - 1}" if len(names) > 1 else ""
    left = room - len(more) - 1
    return set_cell_size(names[0], left).rstrip() + "…" + more if names and left > 0 else ""


def plain(text: str, encoding: str = "utf-8") -> str:
    """Text on one line, without control characters, that the encoding can say.

    >>> plain("a\\x1b[1m\\tb")
    'a?[1m b'
    """
    text = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return text.encode(encoding, "replace").decode(encoding)


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction in percent, ``-`` when it is undefined."""
    return (
        "-" if value is None or value != value else f"{round(100 * value, digits) + 0.0:.{digits}f}"
    )


def clock(seconds: float) -> str:
    """A duration a person would say.

    >>> clock(12.34), clock(200), clock(3725), clock(200000)
    ('12.3 s', '3 min 20 s', '1 h 02 min', '2 d 07 h')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def size(count: int) -> str:
    """A number of bytes.

    >>> size(900), size(133120), size(1236000)
    ('900 bytes', '130 KiB', '1.2 MiB')
    """
    amount, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1000:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.1f} {unit}" if amount < 10 and unit != "bytes" else f"{amount:.0f} {unit}"


def kept(held: Holdings) -> str:
    """The memory meter in words; the past network is named apart, for it is a model and not data."""
    images = f"{held.images:,} image{'s' * (held.images != 1)}"
    data = f"{images}, {held.floats:,} statistics ({size(held.bytes)})"
    if not held.past_floats:
        return f"{data}; no past network"
    return (
        f"{data}; past network {held.past_floats:,} weights ({size(held.past_bytes)}), named apart"
    )
