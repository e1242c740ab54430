"""The command line: finds the command, and turns errors into one sentence and an exit code."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version

from holdfast.cli.glance import recipes_at_a_glance
from holdfast.cli.interrupt import ended_by_sigterm, exit_code
from holdfast.core.errors import ConfigError, HoldfastError, unknown
from holdfast.core.registry import REGISTRIES, import_named

USAGE = """\
holdfast: teach a network new classes from the new data alone, and see what it kept.

  holdfast run RECIPE [flags]     learn a stream of tasks
  holdfast run RECIPE --help      every flag with its default and meaning
  holdfast grid --recipes A,B --out FOLDER   methods x streams x seeds x orders; goes on where it stopped
  holdfast tune RECIPE --out FOLDER       its parameters, chosen on held-out images of the first tasks
  holdfast compare RUNS...        who is better, by how much, how surely, and at what cost
  holdfast report RUNS... -o FILE.html    the same as a page that opens offline
  holdfast card RUN | MODEL       a model card beside the weights
  holdfast diagnose RUN           inside its network: collapse, invasion, what it still knows, drift
  holdfast study equivalence      weight anchors against distillation: the theory, measured
  holdfast study hsd              a question to a method, answered by runs: ablation, replay, schedule ...

  holdfast learn MODEL --data SOURCE      make a model, or teach it new classes
  holdfast predict MODEL IMAGES...        the class of images
  holdfast evaluate MODEL --data SOURCE   accuracy by class
  holdfast inspect | history | rollback | export | serve MODEL
  holdfast remove MODEL CLASS             a class as if it had never been learned
  holdfast forget MODEL --data SOURCE     images of its classes, as if they had never been learned
  holdfast rename | merge | split | diff | prune | import MODEL    classes and versions as data

  holdfast recipes | parts | readouts | sources | views | backbones | memories | schedules
           | divergences | curvatures | logs | studies     what there is, a line each

  --json              one object on standard output; predict writes one a line
  --import MODULE     before or after any command: parts of your own (a module, or a .py file)
  holdfast --version

First result: holdfast run fnc2 --stream digits"""

COMMANDS = {  # imported when they are asked for
    "run": "holdfast.cli.run:run_command",
    "grid": "holdfast.cli.grid:grid_command",
    "tune": "holdfast.cli.tune:tune_command",
    "compare": "holdfast.cli.compare:compare_command",
    "report": "holdfast.cli.report:report_command",
    "card": "holdfast.cli.card:card_command",
    "diagnose": "holdfast.cli.diagnose:diagnose_command",
    "study": "holdfast.cli.study:study_command",
    "learn": "holdfast.cli.learn:learn_command",
    "predict": "holdfast.cli.predict:predict_command",
    "evaluate": "holdfast.cli.predict:evaluate_command",
    "inspect": "holdfast.cli.versions:inspect_command",
    "history": "holdfast.cli.versions:history_command",
    "rollback": "holdfast.cli.versions:rollback_command",
    "export": "holdfast.cli.export:export_command",
    "remove": "holdfast.cli.remove:remove_command",
    "forget": "holdfast.cli.forget:forget_command",
    "rename": "holdfast.cli.rename:rename_command",
    "merge": "holdfast.cli.merge:merge_command",
    "split": "holdfast.cli.merge:split_command",
    "diff": "holdfast.cli.diff:diff_command",
    "prune": "holdfast.cli.prune:prune_command",
    "import": "holdfast.cli.import_model:import_command",
    "serve": "holdfast.cli.serve:serve_command",
}
ROOMS = (
    "stream",
    "learner",
    "loss",
    "curvature",
    "anchor",
    "memory",
    "readout",
    "recipes",
    "log",
    "study",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command: 0 if it succeeded, 2 for what the user can put right, 130 for Ctrl-C, 143 for
    SIGTERM, 141 for a pipe that was closed, and 3 for a model that was learned but not published.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a class name may not fit the terminal's encoding
    try:
        with ended_by_sigterm():
            try:
                return dispatch(import_asked(arguments))
            finally:
                sys.stdout.flush()
    except BrokenPipeError:  # nobody reads on, as after | head
        return leave_pipe()
    except (HoldfastError, OSError) as error:
        complain("error:", error)
        return 2
    except KeyboardInterrupt as stopped:
        complain("", str(stopped) or "stopped.")
        return exit_code(stopped)


def leave_pipe() -> int:
    """Let what is still to be written go nowhere; the exit code of a program that SIGPIPE ended."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    return 128 + signal.SIGPIPE


def complain(first: str, message: object) -> None:
    """A sentence on stderr, whatever names stand in it."""
    from rich.text import Text

    from holdfast.cli.terminal import Terminal, shown

    console = Terminal(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text.assemble((f"{first} " if first else "", "bold red"), shown(message)))


def dispatch(arguments: Sequence[str]) -> int:
    """Find the command and hand it the rest."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE)  # noqa: T201 - before anything is imported to print with
        return 0
    name, rest = arguments[0], list(arguments[1:])
    if name in ("-V", "--version"):
        print(f"holdfast {version('holdfast')}")  # noqa: T201
        return 0
    from holdfast.cli.terminal import Terminal

    console = Terminal(highlight=False)
    if name in COMMANDS:
        module, _, function = COMMANDS[name].partition(":")
        return getattr(importlib.import_module(module), function)(rest, console)
    parts = recipes_at_a_glance() if name == "recipes" else None
    for room in ROOMS if parts is None else ():  # each registers its kinds
        importlib.import_module(f"holdfast.{room}")
    if name == "backbones":
        from holdfast.cli.backbones import backbones_command

        return backbones_command(rest, console)
    if name in REGISTRIES or parts is not None:
        from holdfast.cli.listing import list_parts

        other = [word for word in rest if word not in ("-h", "--help", "--json")]
        if other:
            raise ConfigError(f"holdfast {name} takes no flag but --json, not '{other[0]}'.")
        return list_parts(name, console, "--json" in rest, parts)
    raise unknown("command", name, (*COMMANDS, *REGISTRIES))


def import_asked(arguments: Sequence[str]) -> list[str]:
    """Import what ``--import`` names, and return the other arguments.

    Raises:
        ConfigError: if it cannot be imported, or nothing is named.
    """
    rest, words = [], iter(arguments)
    for word in words:
        flag, equals, text = word.partition("=")
        if flag != "--import":
            rest.append(word)
            continue
        text = text if equals else next(words, "")
        if not text:
            raise ConfigError("--import needs the name of a module, or a .py file.")
        import_named(text)
    return rest


if __name__ == "__main__":
    sys.exit(main())
