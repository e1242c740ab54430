"""What a run shows while it goes on: bars on a terminal, plain lines in a log, or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Literal

from rich.cells import cell_len, set_cell_size
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from holdfast.report.table import ACCENT, clock, percent, shorten, task_names
from holdfast.train.events import Epoch, Event, TaskDone

Mode = Literal["bar", "lines", "quiet"]


def progress_mode(console: Console, quiet: bool = False) -> Mode:
    """``bar`` where a person looks on, ``lines`` where the output is kept, ``quiet`` on request."""
    if quiet:
        return "quiet"
    return "bar" if console.is_interactive and console.file.isatty() else "lines"


class Watch:
    """A watcher for `run`: call it with every event, best inside a ``with`` block.

    Args:
        mode: ``bar``, ``lines`` or ``quiet``.
        console: where to.
        epochs: how many each task will take, in order.
    """

    def __init__(self, mode: Mode, console: Console, epochs: Sequence[int]):
        self.mode, self.console, self.epochs = mode, console, list(epochs)
        self.bars = Bars(console, self.epochs) if mode == "bar" else None
        self.seen, self.finished, self.current = 0, 0.0, 0.0

    def __enter__(self) -> Watch:
        """Show the bars."""
        if self.bars is not None:
            self.bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bars away; the lines of the finished tasks stay."""
        if self.bars is not None:
            self.bars.stop()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if self.mode == "quiet":
            return
        if self.bars is not None:
            self.bars.start()
        if isinstance(event, Epoch):
            self._epoch(event)
        else:
            self._done(event)

    def left(self, task: int, epoch: int) -> float:
        """Seconds from the end of an epoch to the end of the run.

        What the run took so far, tests included, over the epochs seen, for each that is to come.
        """
        coming = max(0, sum(self.epochs[task:]) - epoch - 1)
        return (self.finished + self.current) / max(1, self.seen) * coming

    def _epoch(self, event: Epoch) -> None:
        self.seen, self.current = self.seen + 1, self.current + event.seconds
        left = self.left(event.task, event.epoch)
        if self.bars is not None:
            self.bars.epoch(event, sum(self.epochs[: event.task]) + event.epoch + 1, left)
        elif spoken(event.epoch, event.epochs):
            place = f"task {event.task + 1}/{event.tasks}  epoch {event.epoch + 1}/{event.epochs}"
            rate = f"{short(event.rate)} images/s"
            self._say(Text(f"{place}  {losses(event.records)}  {rate}  {rough(left)} left"))

    def _done(self, event: TaskDone) -> None:
        """One line that stays for a task that has ended."""
        result, task = event.result, event.task
        seconds, tasks = result.tasks[task].seconds, len(result.class_il.sizes)
        self.finished, self.current = self.finished + seconds, 0.0
        names = [shorten(classes, 26) for classes in task_names(result)]
        name = set_cell_size(names[task], max(map(cell_len, names)))
        class_il, task_il = result.class_il.after(task), result.task_il.after(task)
        line = Text.assemble(
            (f"task {task + 1}/{tasks}  ", f"bold {ACCENT}" if self.bars is not None else ""),
            f"{name}  class-il {percent(class_il):>5}  task-il {percent(task_il):>5}  ",
            f"{clock(seconds):>8}",
        )
        self._say(line)
        if self.bars is not None:
            self.bars.done(task, tasks, self.epochs)

    def _say(self, line: Text) -> None:
        """Print a line, unbroken in a log; letters that the encoding lacks become question marks."""
        encoding = self.console.encoding
        line.plain = line.plain.encode(encoding, "replace").decode(encoding)
        self.console.print(line, soft_wrap=self.bars is None)


class Note(ProgressColumn):
    """What stands beside a bar: a rate, or the time gone and the time left, which runs."""

    def render(self, task: Task) -> Text:
        """The note of a bar."""
        if "left" not in task.fields:
            return Text(task.fields["note"], style="dim")
        gone, left = task.elapsed or 0.0, task.fields["left"]
        if left is None:
            return Text(rough(gone), style="dim")
        left = max(0.0, left - (gone - task.fields["since"]))
        return Text(f"{rough(gone)}, about {rough(left)} left", style="dim")


class Bars(Progress):
    """A bar for the run and one for the task's epochs, and the parts of the loss below them."""

    def __init__(self, console: Console, epochs: Sequence[int]):
        self.loss = Text()
        bar = BarColumn(24, complete_style=ACCENT, finished_style=ACCENT)
        columns = (TextColumn("{task.description}"), bar, Note())
        super().__init__(*columns, console=console, transient=True, refresh_per_second=4)
        first = f"task 1/{len(epochs)}", f"epoch 0/{epochs[0] if epochs else 0}"
        self.whole = self.add_task(first[0], total=sum(epochs), left=None, since=0.0)
        self.part = self.add_task(first[1], total=epochs[0] if epochs else 0, note="")

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bars, and the parts of the loss on a line of their own."""
        yield self.make_tasks_table(self.tasks)
        yield self.loss

    def epoch(self, event: Epoch, place: int, left: float) -> None:
        """An epoch has ended: the one at ``place`` in the run."""
        since = self.tasks[0].elapsed or 0.0
        name = f"task {event.task + 1}/{event.tasks}"
        self.update(self.whole, description=name, completed=place, left=left, since=since)
        name, note = f"epoch {event.epoch + 1}/{event.epochs}", f"{short(event.rate)} images/s"
        done = event.epoch + 1
        self.update(self.part, description=name, completed=done, total=event.epochs, note=note)
        self.loss = Text(losses(event.records), "dim", no_wrap=True, overflow="ellipsis")

    def done(self, task: int, tasks: int, epochs: Sequence[int]) -> None:
        """A task has ended: the bars stand at the start of the next one, or go."""
        if task + 1 == tasks:
            self.stop()
            return
        total = epochs[task + 1] if task + 1 < len(epochs) else 0
        self.update(self.whole, description=f"task {task + 2}/{tasks}")
        self.update(self.part, description=f"epoch 0/{total}", completed=0, total=total, note="")


def spoken(epoch: int, epochs: int) -> bool:
    """Whether a log gets a line for an epoch: the first, the last, and every tenth part.

    >>> [epoch + 1 for epoch in range(25) if spoken(epoch, 25)]
    [1, 3, 6, 9, 12, 15, 18, 21, 24, 25]
    """
    return epoch in (0, epochs - 1) or (epoch + 1) % -(-epochs // 10) == 0


def losses(records: Mapping[str, float]) -> str:
    """The loss and its parts.

    >>> losses({"focal": 1.234, "distil": 0.00123, "loss": 12.3456})
    'loss 12.3  focal 1.23  distil 1.2e-03'
    """
    names = sorted(records, key=lambda name: name != "loss")
    return "  ".join(f"{name} {short(records[name])}" for name in names)


def short(value: float) -> str:
    """A number in about three digits.

    >>> [short(v) for v in (12345.6, 12.345, 0.1234, 0.0, 1e-5)]
    ['12,346', '12.3', '0.123', '0', '1.0e-05']
    """
    if abs(value) >= 100 or not value:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.01 else f"{value:.1e}"


def rough(seconds: float) -> str:
    """A duration without parts of a second."""
    return f"{seconds:.0f} s" if seconds < 59.5 else clock(seconds)
