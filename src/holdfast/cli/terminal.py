"""The terminal: a console through which no name or message can send anything but letters."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from holdfast.core.text import printable


class Terminal(Console):
    """A rich console that escapes control characters in everything it renders.

    Names that stand in a line or a cell go through `shown` besides, because a newline in them is
    not told from one between lines here.
    """

    def on_broken_pipe(self) -> None:
        """Whoever read the output has gone, as after ``| head``: `main` ends without a word."""
        raise BrokenPipeError

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The pieces of what is printed; styles and cursor are the console's own."""
        for segment in super().render(renderable, options):
            safe = segment.text if segment.control else printable(segment.text, keep="\n")
            yield segment if safe == segment.text else Segment(safe, segment.style)


def shown(name: object, style: str = "") -> Text:
    """A user's text for a line or a cell of a table: no markup, no control characters."""
    return Text(printable(name), style)
