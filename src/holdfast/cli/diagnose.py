"""``holdfast diagnose RUN``: what its network is like inside, from what the folder keeps."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from rich.console import Console

from holdfast.cli.arriving import cut, open_data
from holdfast.cli.options import File, Positional
from holdfast.cli.reading import read
from holdfast.cli.stream_options import StreamOptions
from holdfast.cli.terminal import Terminal, shown
from holdfast.core.errors import ConfigError, StoreError
from holdfast.core.text import json_text
from holdfast.diagnose.afterwards import diagnose_folder, stored
from holdfast.diagnose.report import Diagnosis
from holdfast.diagnose.stored import read_result
from holdfast.diagnose.table import shown as as_table
from holdfast.recipes.presets import find_preset
from holdfast.stream import PixelStore, Stream


@dataclass(frozen=True)
class Diagnose:
    """Look inside the network of a run: collapse, old classes against new, what it still knows, drift.

    A diagnosis made along with the run (holdfast run --diagnose) is shown as it is. Otherwise the last
    network is looked at, which is the one that a run keeps. Figures that need old images are marked:
    they are a diagnosis, never a score of the method.

    Args:
        run: folder of a run.
        against: folder of a run on the same stream that was free to learn, such as finetune: says
            whether there is too little anchor or too much.
        per_class: watched test rows of each class; 0 is 100, fewer where classes are many.
        again: look again, though the folder holds a diagnosis.
        every: all figures, with the reason of each that is missing.
        data: where the run's data are now, if they have moved.
        json: the content of diagnostics.json on standard output.
    """

    run: Positional[Path]
    against: File = None
    per_class: int = 0
    again: bool = False
    every: bool = False
    data: File = None
    json: bool = False


def diagnose_command(arguments: list[str], console: Console) -> int:
    """Read the flags, look, and print."""
    options = read(Diagnose, arguments, "holdfast diagnose")
    result = read_result(options.run)
    console = Terminal(stderr=True, highlight=False) if options.json else console
    anew = options.again or options.against is not None or options.per_class > 0
    diagnosis, notes = None if anew else stored(options.run), []
    if diagnosis is None:
        stream = stream_of(options.run, result, options.data)
        diagnosis, notes = diagnose_folder(options.run, stream, options.per_class, options.against)
    title = f"{result['recipe']} on {result['data'].get('stream', 'its stream')}"
    report(diagnosis, notes, title, options, console)
    return 0


def report(
    diagnosis: Diagnosis, notes: list[str], title: str, options: Diagnose, console: Console
) -> None:
    """Print a diagnosis; as one object with --json."""
    if options.json:
        content: dict[str, Any] = {"folder": str(options.run)} | diagnosis.to_data()
        print(json_text(content | {"notes": notes}, indent=2))  # noqa: T201
        return
    console.print(as_table(diagnosis, options.every, str(shown(title))))
    for note in notes:
        console.print(shown(note), style="dim", soft_wrap=False)
    console.print(f"diagnosis took {diagnosis.seconds:.1f} s", style="dim")


def stream_of(folder: Path, result: Any, data: Path | None) -> Stream:
    """The stream that a run learned, from what its result says of it.

    Raises:
        ConfigError: for a run from Python, whose data are not named.
        StoreError: for settings that this version does not know.
        DataError: if the data cannot be read.
    """
    options = result["config"].get("stream")
    if not isinstance(options, dict):
        raise ConfigError(
            f"the run in {folder} was made from Python, and does not say where its data are: use "
            "holdfast.diagnose.afterwards.diagnose_folder(folder, stream)."
        )
    known = {f.name for f in fields(StreamOptions)}
    if not options.keys() <= known:
        raise StoreError(
            f"the run in {folder} names its data by {min(options.keys() - known)}, which this version does "
            "not know: update holdfast."
        )
    values: dict[str, Any] = dict(options) | ({"data": data} if data is not None else {})
    if values.get("data"):
        values["data"] = Path(values["data"])
    if not values.get("tasks") and not values.get("classes_per_task"):
        values["tasks"] = len(result["data"]["tasks"])
    chosen = StreamOptions(**values)
    store = PixelStore(folder.parent / "pixels")
    return cut(open_data(chosen, store), chosen, find_preset("quick"))
