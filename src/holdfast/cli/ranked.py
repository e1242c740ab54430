"""``holdfast run --devices N``: what the processes do that it starts."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.cli.interrupt import ended_by_sigterm
from holdfast.cli.terminal import Terminal
from holdfast.core.ranks import Ranks
from holdfast.core.registry import import_named
from holdfast.train.runner import Run


def follow(work: Run, ranks: Ranks) -> int:
    """Learn with the first of several processes, which alone writes and prints."""
    complete, state = ranks.from_first((False, None))
    if complete:
        return 0
    if state is not None:
        work.restore(state)
    for _ in work.events():
        if work.result.status == "complete" or ranks.from_first(False):
            break
    return 0


def run_rank(say: object, arguments: list[str], imports: Sequence[str]) -> int:
    """The command on one of several processes that it has started itself."""
    for name in imports:
        import_named(name)
    from holdfast.cli.run import run_command

    with ended_by_sigterm():
        return run_command(arguments, Terminal(highlight=False))
