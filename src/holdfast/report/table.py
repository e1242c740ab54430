"""A run in words and small tables, for a terminal of any width."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from holdfast.memory.meter import Holdings
from holdfast.metrics.accuracy import Accuracy
from holdfast.report.belief import belief_lines
from holdfast.train.result import Result

ACCENT = "cyan"


def summary(result: Result, folder: str | Path | None = None) -> Group:
    """All that a run, complete or stopped, says of itself; ``folder`` is where it is kept."""
    parts: list[RenderableType] = [_heading(result), Text()]
    if finished(result.class_il):
        parts += [Matrices(result), Text(), _figures(result), Text()]
        others = [name for name in result.readings if name != result.readout]
        parts += [_readouts(result, others), Text()] if others else []
        parts += [Text(line) for line in belief_lines(result)]
    if result.tasks:
        parts.append(Text(f"kept: {kept(result.holdings)}".replace("; ", ";\n      ")))
    if folder is not None:
        parts.append(Text(f"folder: {plain(str(folder))}", overflow="fold"))
    return Group(*parts)


def _heading(result: Result) -> Text:
    """What ran, under which protocol, read by which readout, and how far it came."""
    done, tasks = finished(result.class_il), len(result.class_il.sizes)
    where = f" on {result.data['stream']}" if "stream" in result.data else ""
    count = f"{done} of {tasks}" if done < tasks else f"{tasks}"
    seconds = clock(sum(note.seconds for note in result.tasks))
    return Text.assemble(
        (plain(f"{result.recipe}{where}"), f"bold {ACCENT}"),
        ("\n" + plain(f"protocol {result.protocol}, readout {result.readout}"), "bold"),
        "\n" + plain(f"{count} task{'s' * (tasks != 1)}, {result.status}, {seconds}"),
    )


class Matrices:
    """Both accuracy matrices, or as much of them as the width allows.

    At best both; else Class-IL with Task-IL as one column, at need without decimals; else a row a
    task with its accuracy when it was learned and now.
    """

    def __init__(self, result: Result):
        self.names, self.done = task_names(result), finished(result.class_il)
        self.class_il, self.task_il = so_far(result.class_il), so_far(result.task_il)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The first layout that fits, with at least the stated width for the row labels."""
        yield Text("Accuracy in percent on each task (column), after learning the task of the row;")
        yield Text("'all' is the accuracy over everything seen by then.")
        a, b, room = self.class_il, self.task_il, options.max_width
        fine, coarse, other = _cells(a, 1), _cells(a, 0), _cells(b, 1)
        last = ["all", *(row[-1] for row in other)]
        longest = max(cell_len(label(task, self.names, 1000)) for task in range(self.done))
        if (left := room - _width(fine) - _width(other) - 3) >= max(5, min(16, longest)):
            grid = Table.grid(padding=(0, 3, 0, 0))
            grid.add_row(self._matrix("Class-IL", fine, left), self._matrix("Task-IL", other))
            yield grid
        elif (left := room - _width(fine) - 11) >= max(5, min(12, longest)):
            yield self._matrix("Class-IL", fine, left, last)
        elif (left := room - _width(coarse) - 11) >= 5:
            yield self._matrix("Class-IL, rounded", coarse, left, last)
        else:
            yield self._by_task(room)

    def _matrix(
        self, title: str, cells: list[list[str]], room: int | None = None, last: Sequence[str] = ()
    ) -> Group:
        """One matrix under its title; row labels if there is room, Task-IL's last column if given."""
        table = _table(1, [] if room is None else ["after"], map(str, range(1, self.done + 1)))
        table.add_column("all", justify="right", style="bold")
        if last:
            table.add_column("  Task-IL", justify="right")
        for task, row in enumerate(cells):
            front = [] if room is None else [Text(label(task, self.names, min(room, 32)))]
            table.add_row(*front, *row, *last[task + 1 : task + 2])
        return Group(Text(title, style=f"bold {ACCENT}"), table)

    def _by_task(self, room: int) -> Table:
        """One row a task, for streams whose matrix is wider than the terminal."""
        table = _table(2, ["task"], ["learned", "now", "all", "Task-IL now"])
        a, b = self.class_il, self.task_il
        for j in range(self.done):
            values = (a.matrix[j, j], a.matrix[-1, j], a.after(j), b.matrix[-1, j])
            name = label(j, self.names, max(4, min(32, room - 34)))
            table.add_row(Text(name), *(percent(float(v)) for v in values))
        return table


def _table(gap: int, words: Iterable[str] = (), numbers: Iterable[str] = ()) -> Table:
    """An empty table without lines; numbers stand at the right of their columns."""
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="dim")
    for name in words:
        table.add_column(name)
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _cells(accuracy: Accuracy, digits: int) -> list[list[str]]:
    """The rows of a matrix in percent, empty above the diagonal, each with its 'all' at the end."""
    rows = [[*row, accuracy.after(i)] for i, row in enumerate(accuracy.matrix.tolist())]
    return [["" if v != v else percent(v, digits) for v in row] for row in rows]


def _width(cells: list[list[str]]) -> int:
    """Columns of the terminal that a matrix takes, a space before each number."""
    heads = [*map(str, range(1, len(cells) + 1)), "all"]
    return sum(1 + max(map(len, column)) for column in zip(heads, *cells))


def _figures(result: Result) -> Table:
    done, tasks = finished(result.class_il), len(result.class_il.sizes)
    unit = "percent" if done == tasks else f"percent, after {done} of {tasks} tasks"
    table = _table(3, [unit], ["final", "average", "forgetting", "backward transfer"])
    table.add_row(Text("Class-IL", style=ACCENT), *map(percent, figures(result.class_il)))
    table.add_row(Text("Task-IL", style=ACCENT), *map(percent, figures(result.task_il)))
    return table


def _readouts(result: Result, names: Sequence[str]) -> Table:
    """The further readouts of the same network, each with the protocol it ran under."""
    table = _table(
        3, ["also read by", "protocol"], ["Class-IL", "average", "forgetting", "Task-IL"]
    )
    for name in names:
        reading = result.readings[name]
        values = (*figures(reading.class_il)[:3], figures(reading.task_il)[0])
        front = Text(plain(name), overflow="fold"), Text(plain(reading.protocol))
        table.add_row(*front, *map(percent, values))
    return table


def finished(accuracy: Accuracy) -> int:
    """How many tasks were learned and tested: the leading rows that are filled."""
    filled = [not any(v != v for v in r[: i + 1]) for i, r in enumerate(accuracy.matrix.tolist())]
    return [*filled, False].index(False)


def so_far(accuracy: Accuracy) -> Accuracy:
    """The accuracies as if the stream had ended with the last task that was learned."""
    done = finished(accuracy)
    return Accuracy(accuracy.matrix[:done, :done], accuracy.sizes[:done])


def figures(accuracy: Accuracy) -> tuple[float | None, ...]:
    """Final and average accuracy, forgetting, and backward transfer so far; None where undefined."""
    known = so_far(accuracy)
    if not len(known.sizes):
        return None, None, None, None
    return known.final, known.average, known.forgetting, known.backward_transfer


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
    '2: deer, +2'
    """
    shown = shorten(names[task], room - len(f"{task + 1}: "))
    return f"{task + 1}: {shown}" if shown else f"{task + 1}"


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


def plain(text: str) -> str:
    r"""Text on one line, without control characters.

    >>> plain("a\x1b[1m\tb")
    'a?[1m b'
    """
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction in percent, ``-`` when it is undefined."""
    if value is None or value != value:
        return "-"
    return f"{round(100 * value, digits) + 0.0:.{digits}f}"


def clock(seconds: float) -> str:
    """A duration a person would say.

    >>> clock(12.34), clock(200), clock(3725)
    ('12.3 s', '3 min 20 s', '1 h 02 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(count: int) -> str:
    """A number of bytes.

    >>> size(900), size(133120), size(1236000)
    ('900 bytes', '130 KiB', '1.2 MiB')
    """
    amount, units = float(count), ("bytes", "KiB", "MiB", "GiB", "TiB")
    while amount >= 1000 and len(units) > 1:
        amount, units = amount / 1024, units[1:]
    return f"{amount:.{int(amount < 10 and units[0] != 'bytes')}f} {units[0]}"


def kept(holdings: Holdings) -> str:
    """The memory meter in words; the past network is named apart, for it is a model and not data."""
    images = f"{holdings.images:,} image{'s' * (holdings.images != 1)}"
    weights = f"{holdings.past_floats:,} weights ({size(holdings.past_bytes)}), named apart"
    past = f"past network {weights}" if holdings.past_floats else "no past network"
    return f"{images}, {holdings.floats:,} statistics ({size(holdings.bytes)}); {past}"
