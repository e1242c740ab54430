import io
import re

import pytest
import torch
from rich.console import Console

from holdfast.learner import Learner
from holdfast.memory.meter import Holdings
from holdfast.metrics.accuracy import Accuracy
from holdfast.report.progress import Watch, progress_mode, spoken
from holdfast.train.events import Epoch, TaskDone
from holdfast.train.result import Reading, Result, TaskNote

NAMES = ["cat", "deer", "猫", "[b]$x_1$"]
LEARNER = Learner((4,), "mlp", 8, 4)


class Screen(io.StringIO):
    def isatty(self):
        return True


def result():
    sizes = torch.tensor([10, 10])
    class_il = Accuracy(torch.tensor([[0.9, torch.nan], [0.5, 0.726]]), sizes)
    task_il = Accuracy(torch.tensor([[1.0, torch.nan], [0.8, 0.9]]), sizes)
    notes = [TaskNote(NAMES[2 * t : 2 * t + 2], 20, 3, 12.34, 0, Holdings()) for t in range(2)]
    data = {"classes": NAMES, "tasks": [[0, 1], [2, 3]]}
    return Result(
        "fnc2", "strict", "head", {"head": Reading("strict", class_il, task_il)}, notes, data
    )


def epoch(task, place, epochs, seconds=2.0):
    parts = {"focal": 1.234, "distil": 0.0567, "loss": 1.29}
    return Epoch(task, 2, place, epochs, parts, 0.1, 1234.5, seconds)


def events(epochs=(4, 2), start=0):
    for task in range(start, 2):
        for place in range(epochs[task]):
            yield epoch(task, place, epochs[task])
        yield TaskDone(task, LEARNER, result())


def watched(mode, file, epochs=(4, 2), **options):
    console = Console(file=file, width=80, **options)
    with Watch(mode, console, epochs) as watch:
        for event in events(epochs):
            watch(event)
    return file.getvalue()


def test_lines_have_the_numbers_and_no_control_characters():
    text = watched("lines", io.StringIO())
    assert all(c.isprintable() or c == "\n" for c in text)
    assert "task 1/2  cat, deer     class-il  90.0  task-il 100.0    12.3 s\n" in text
    assert "task 2/2  猫, [b]$x_1$  class-il  61.3  task-il  85.0    12.3 s\n" in text
    first = "task 1/2  epoch 1/4  loss 1.29  focal 1.23  distil 0.0567  1,234 images/s"
    assert text.splitlines()[0] == f"{first}  10 s left"
    assert len(text.splitlines()) == 4 + 1 + 2 + 1


def test_lines_stay_plain_on_a_colour_terminal():
    assert "\x1b" not in watched("lines", Screen(), force_terminal=True)


@pytest.mark.parametrize("epochs", [1, 3, 10, 11, 25, 100, 101, 999])
def test_a_log_gets_about_ten_lines_a_task(epochs):
    told = [place for place in range(epochs) if spoken(place, epochs)]
    assert min(epochs, 7) <= len(told) <= 11
    assert {0, epochs - 1} <= set(told)


def test_the_time_left_counts_the_epochs_of_every_task():
    watch = Watch("lines", Console(file=io.StringIO()), [4, 2])
    watch(epoch(0, 0, 4, seconds=3.0))
    assert watch.left(0, 0) == pytest.approx(3.0 * 5)
    for place in (1, 2, 3):
        watch(epoch(0, place, 4, seconds=1.0))
    assert watch.left(0, 3) == pytest.approx(6.0 / 4 * 2)
    watch(TaskDone(0, LEARNER, result()))  # it took 12.34 s with its tests
    watch(epoch(1, 0, 2, seconds=1.0))
    assert watch.left(1, 0) == pytest.approx(13.34 / 5)
    watch(epoch(1, 1, 2, seconds=1.0))
    assert watch.left(1, 1) == 0


def test_a_run_that_goes_on_from_a_later_task_is_timed_by_what_it_does():
    watch = Watch("lines", Console(file=io.StringIO()), [100, 2])
    watch(epoch(1, 0, 2, seconds=5.0))
    assert watch.left(1, 0) == pytest.approx(5.0)


def test_quiet_says_nothing():
    assert watched("quiet", io.StringIO()) == ""


def test_bars_leave_a_line_a_task_and_give_the_cursor_back():
    text = watched("bar", Screen(), force_terminal=True, color_system=None)
    seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert "cat, deer     class-il  90.0  task-il 100.0    12.3 s" in seen
    assert "猫, [b]$x_1$  class-il  61.3  task-il  85.0    12.3 s" in seen
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert "━" not in seen.splitlines()[-1]


def test_bars_show_task_epoch_loss_rate_and_time():
    screen = Screen()
    watch = Watch("bar", Console(file=screen, width=80, force_terminal=True), [4, 2])
    with watch:
        watch(epoch(0, 2, 4))
        assert watch.bars is not None
        watch.bars.refresh()
    seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    for part in (
        "task 1/2",
        "epoch 3/4",
        "loss 1.29",
        "focal 1.23",
        "1,234 images/s",
        "about 6 s left",
    ):
        assert part in seen


def test_bars_go_when_a_run_fails():
    screen = Screen()
    watch = Watch("bar", Console(file=screen, width=80, force_terminal=True), [4, 2])

    def interrupted():
        with watch:
            watch(epoch(0, 0, 4))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert screen.getvalue().rindex("\x1b[?25h") > screen.getvalue().rindex("\x1b[?25l")


def test_names_the_encoding_cannot_say_do_not_stop_a_run():
    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, encoding="ascii"), width=80)
    with Watch("lines", console, [4, 2]) as watch:
        for event in events():
            watch(event)
    assert b"task 2/2  ?, [b]$x_1$" in raw.getvalue()


def test_the_mode_follows_the_output(monkeypatch):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert progress_mode(Console(file=Screen())) == "bar"
    assert progress_mode(Console(file=io.StringIO())) == "lines"
    assert progress_mode(Console(file=io.StringIO(), force_terminal=True)) == "lines"
    assert progress_mode(Console(file=Screen()), quiet=True) == "quiet"
    monkeypatch.setenv("TERM", "dumb")
    assert progress_mode(Console(file=Screen())) == "lines"
