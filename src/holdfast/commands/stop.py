"""Ctrl-C: once stops at the next safe point, twice at once."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Sequence
from types import FrameType, TracebackType

from rich.console import Console


class Stopped(KeyboardInterrupt):
    """The user stopped a command; the message says how to go on."""


class Stop:
    """Inside a ``with`` block, Ctrl-C is noted; a second one stops at once, as it did before.

    Attributes:
        asked: whether the user has asked to stop.
    """

    def __init__(self, console: Console):
        self.console, self.asked = console, False

    def __enter__(self) -> Stop:
        """Take over the signal, where this is the thread that gets it."""
        try:
            self.former = signal.signal(signal.SIGINT, self._note)
        except ValueError:
            self.former = None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the signal back."""
        if self.former is not None:
            signal.signal(signal.SIGINT, self.former)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self.console.print("stopping at the end of this epoch; Ctrl-C again stops at once")


def again(command: str, flags: Sequence[str], extra: Sequence[str]) -> str:
    """The command line that goes on where a command was stopped.

    >>> again("run fnc2", ["--tau", "0.5", "--overwrite", "--out", "a b"], ["--out", "a b", "--resume"])
    "holdfast run fnc2 --tau 0.5 --out 'a b' --resume"
    """
    kept, skip = [], False
    for flag in flags:
        name = flag.partition("=")[0]
        if skip or name in ("--overwrite", "--resume", "--out"):
            skip = not skip and flag == "--out"
            continue
        kept.append(flag)
    return f"holdfast {command} {shlex.join([*kept, *extra])}"


def plain(text: str) -> str:
    """Text in which nothing is taken for markup."""
    return text.replace("[", r"\[")
