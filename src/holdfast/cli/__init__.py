"""The command line: a file a command."""

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, see `holdfast.cli.entry`; nothing is imported before it is asked for."""
    from holdfast.cli.entry import main as run_main

    return run_main(arguments)
