"""The command line: finds the command, and turns errors into one sentence and an exit code."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version

from rich.console import Console

from holdfast.commands import model
from holdfast.commands.export import export
from holdfast.commands.learn import learn
from holdfast.commands.run import recipes as recipes_command
from holdfast.commands.run import run as run_command
from holdfast.commands.stop import plain
from holdfast.commands.study import study
from holdfast.errors import HoldfastError, unknown

USAGE = """\
holdfast: teach a network new classes from the new data alone, and see what it kept.

  holdfast run RECIPE [flags]     learn a stream of tasks
  holdfast run RECIPE --help      every flag with its default and meaning
  holdfast recipes                the methods, a line each
  holdfast study equivalence      weight anchors against distillation: the theory, measured

  holdfast learn MODEL --data FOLDER      make a model, or teach it new classes
  holdfast predict MODEL IMAGES...        the class of images
  holdfast evaluate MODEL --data FOLDER   accuracy by class
  holdfast inspect | history | rollback | export MODEL

  holdfast --version

First result: holdfast run fnc2 --stream digits"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command: 0 if it succeeded, 2 for what the user can put right, 130 for Ctrl-C, and 3 for a
    model that was learned but not published.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a class name may not fit the terminal's encoding
    complaints = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        return dispatch(arguments)
    except HoldfastError as error:
        complaints.print(f"[bold red]error:[/] {plain(str(error))}")
        return 2
    except OSError as error:
        complaints.print(f"[bold red]error:[/] {plain(str(error))}")
        return 2
    except KeyboardInterrupt as stopped:
        complaints.print(plain(str(stopped)) or "stopped.")
        return 130


def dispatch(arguments: list[str]) -> int:
    """Find the command and hand it the rest."""
    console = Console(highlight=False)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        console.print(USAGE, markup=False)
        return 0
    if arguments[0] in ("-V", "--version"):
        console.print(f"holdfast {version('holdfast')}")
        return 0
    if arguments[0] not in COMMANDS:
        raise unknown("command", arguments[0], COMMANDS)
    return COMMANDS[arguments[0]](arguments[1:], console)


COMMANDS: dict[str, Callable[[list[str], Console], int]] = {
    "run": run_command,
    "recipes": recipes_command,
    "study": study,
    "learn": learn,
    "predict": model.predict,
    "evaluate": model.evaluate,
    "inspect": model.inspect,
    "history": model.history,
    "rollback": model.rollback,
    "export": export,
}


if __name__ == "__main__":
    sys.exit(main())
