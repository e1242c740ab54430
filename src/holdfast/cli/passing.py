"""Passing: what a person sees while images go through a frozen backbone."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import Progress

from holdfast.report import progress_mode
from holdfast.report.progress import rough


class Passing:
    """How long a pass of the backbone will take, said once; on a terminal a bar as well.

    Args:
        console: where to.
        quiet: print nothing.
    """

    def __init__(self, console: Console, quiet: bool = False):
        self.mode, self.console = progress_mode(console, quiet), console
        self.started = self.first = time.perf_counter()
        self.before = -1
        self.bar: Progress | None = None

    def __call__(self, done: int, count: int) -> None:
        """Show that so many of all images are done."""
        if self.mode == "quiet":
            return
        now = time.perf_counter()
        if self.before < 0:  # the first batch took the time of making everything ready
            self.first, self.before = now, done
        elif self.bar is None and self.before < done < count and now - self.first > 1:
            left = (now - self.first) / (done - self.before) * (count - done)
            self.console.print(f"{count:,} images through the backbone: about {rough(left)}")
            self.bar = Progress(console=self.console, transient=True, disable=self.mode != "bar")
            self.bar.add_task("images", total=count)
            self.bar.start()
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=done)

    def __enter__(self) -> Passing:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.stop()
