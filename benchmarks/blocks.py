"""What the tables over blocks share: groups of recipes, run block by block, then compared in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from holdfast.compare import Grid, compare, read_runs, run_grid
from holdfast.compare.formats import terminal

Groups = Mapping[str, tuple[Sequence[str], Mapping[str, Sequence[Any]]]]
READ_TWICE = {
    "protocol": ["auxiliary"],
    "images": [200],
}  # strict, and a probe on 200 stored images
READ = (  # every strict way
    "gaussian:mirrored:prior=0.25,gaussian:mirrored,gaussian:moments:prior=0.25,"
    "gaussian:pyramid,gaussian:stages,gaussian"
)


def chosen(groups: Groups, names: str | None) -> Groups:
    """The groups of these names, with commas between; all where there are none."""
    return {name: groups[name] for name in names.split(",")} if names else groups


def run_blocks(
    groups: Groups,
    stream: str,
    out: Path,
    blocks: int,
    workers: int,
    settings: Mapping[str, Sequence[Any]],
    **how: Any,
) -> None:
    """Run what is missing at the preset desk, block by block, and print the table of all.

    Args:
        groups: recipes and their settings by the name of a folder.
        stream: NAME=PATH.
        out: the folder.
        blocks: pairs of seed and order.
        workers: processes at a time; 0 takes as many as there are cores for.
        settings: of all groups.
        how: further arguments of the grids.
    """
    for count in range(1, blocks + 1):
        for name, (recipes, own) in groups.items():
            both = {**settings, **own}
            grid = Grid(recipes, [stream], pairs=count, settings=both, preset="desk", **how)
            sweep = run_grid(grid, out / name, workers=workers, watch=report)
            for outcome in sweep.failed:
                print(f"failed: {outcome.error}", flush=True)
    cells, notes = read_runs([out], readout="all")
    Console(width=110).print(terminal(compare(cells, across=("protocol",), notes=notes)))


def report(sweep, job, outcome) -> None:
    """A line for each run that has ended."""
    if outcome is not None:
        print(f"{sweep.ended}/{len(sweep.jobs)} {job.name}", flush=True)
