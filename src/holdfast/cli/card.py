"""``holdfast card RUN... | MODEL``: a model card as the Hugging Face hub has them, by the weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from holdfast.cli.options import File, Positional, Text
from holdfast.cli.output_file import refuse_taken, write_file
from holdfast.cli.reading import read
from holdfast.compare.run_card import card_of_runs
from holdfast.compare.runs import read_runs
from holdfast.core.errors import ConfigError
from holdfast.release.model_card import card_of_model
from holdfast.report.card import Card, card_text
from holdfast.store.model import ModelFolder


@dataclass(frozen=True)
class CardOptions:
    """Write README.md beside weights: data, protocol, figures with their certainty, how to load, limits.

    Args:
        paths: the folder of a model; or of a run, perhaps with further runs of the same method, whose
            figures say how sure the first one's are.
        out: the file; by default README.md in the first folder.
        name: of the model; by default that of the folder.
        license: as the hub names it, such as apache-2.0; without it none is claimed.
        version: of a model; 0 is the one in use.
        overwrite: replace the file.
    """

    paths: Positional[tuple[Path, ...]]
    out: File = None
    name: Text = None
    license: Text = None
    version: int = 0
    overwrite: bool = False


def card_command(arguments: list[str], console: Console) -> int:
    """Read the flags, and write the card."""
    options = read(CardOptions, arguments, "holdfast card")
    if not options.paths:
        raise ConfigError("holdfast card needs the folder of a run or of a model.")
    out = options.out or options.paths[0] / "README.md"
    refuse_taken(out, options.overwrite)
    text = card_text(_card(options))
    write_file(out, lambda to: to.write_text(text, "utf-8"))
    console.print(f"written: {out}", markup=False, soft_wrap=True)
    return 0


def _card(options: CardOptions) -> Card:
    first = options.paths[0]
    if (first / "current.json").exists():
        if len(options.paths) > 1:
            raise ConfigError(f"{first} is a model: a card is of one, so name no other folder.")
        manifest = ModelFolder(first).manifest(options.version or None)
        return card_of_model(manifest, options.name or first.resolve().name, options.license)
    if options.version:
        raise ConfigError(f"--version is of a model, and {first} is none.")
    if not (first / "result.json").exists():
        raise ConfigError(f"{first} is the folder of neither a run nor a model.")
    cells, notes = read_runs(options.paths)
    cells.sort(key=lambda cell: cell.path != first.resolve())
    return card_of_runs(cells, options.name or "", options.license, notes)
