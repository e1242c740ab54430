"""Ctrl-C and SIGTERM: once stops at the next safe point, twice at once."""

from __future__ import annotations

import shlex
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """The user, or who runs the machine, stopped a command; the message says how to go on.

    Args:
        message: for stderr.
        by: the signal.
    """

    def __init__(self, message: str = "", by: int = signal.SIGINT):
        super().__init__(message)
        self.by = by


def exit_code(stopped: KeyboardInterrupt) -> int:
    """What a shell expects of a program that a signal ended: 128 and its number.

    >>> exit_code(KeyboardInterrupt()), exit_code(Stopped(by=signal.SIGTERM))
    (130, 143)
    """
    return 128 + getattr(stopped, "by", signal.SIGINT)


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Inside the block SIGTERM raises `Stopped`, as Ctrl-C raises `KeyboardInterrupt`."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(by=number)

    if threading.current_thread() is not threading.main_thread():  # signals reach that one alone
        yield
        return
    former = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if former is None else former)


class Interrupt:
    """Inside a ``with`` block, a signal is noted; a second one stops at once, as it did before.

    Args:
        console: that is told, on stderr.

    Attributes:
        asked: whether somebody has asked to stop.
    """

    def __init__(self, console: Console):
        self.console, self.asked, self.by = console, False, int(signal.SIGINT)
        self.former: dict[int, object] = {}

    def __enter__(self) -> Interrupt:
        """Take over the signals, where this is the thread that gets them."""
        if threading.current_thread() is threading.main_thread():
            self.former = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the signals back."""
        for number, handler in self.former.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # type: ignore[arg-type]

    def stop(self) -> None:
        """Stop here if somebody has asked to (`Stopped`)."""
        if self.asked:
            raise Stopped(by=self.by)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.by = number
        if self.asked:
            raise Stopped(by=number)
        self.asked = True
        self.console.print("stopping at the end of this epoch; Ctrl-C again stops at once")


def again(command: Sequence[str], flags: Sequence[str], extra: Sequence[str]) -> str:
    """The command line that goes on where a command was stopped, as a shell reads it.

    Args:
        command: its words.
        flags: that were given; what says where the results go, or whether to go on, is left out.
        extra: in place of these.

    >>> flags = ["--tau", "0.5", "--overwrite", "--out", "a b"]
    >>> again(["run", "fnc2"], flags, ["--out", "a b", "--resume"])
    "holdfast run fnc2 --tau 0.5 --out 'a b' --resume"
    """
    kept, skip = [], False
    for flag in flags:
        name = flag.partition("=")[0]
        if skip or name in ("--overwrite", "--resume", "--out"):
            skip = not skip and flag == "--out"
            continue
        kept.append(flag)
    return command_line(*command, *kept, *extra)


def command_line(*words: object) -> str:
    """A command of holdfast that can be pasted into a shell, whatever stands in its words.

    >>> command_line("rollback", "my model")
    "holdfast rollback 'my model'"
    """
    return shlex.join(["holdfast", *map(str, words)])
