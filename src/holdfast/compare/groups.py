"""Cells sorted into tables: what may stand in one row, and what may stand in one table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from holdfast.compare.cell import Cell
from holdfast.core.added import PARAMETER, part_texts
from holdfast.core.errors import ConfigError, unknown

PLACES = ("data", "split", "backbone", "protocol")


@dataclass(frozen=True)
class Lane:
    """The runs of one method in one table.

    Attributes:
        name: of the method, with the settings by which it differs from others of its recipe.
        cells: by (seed, order).
    """

    name: str
    cells: Mapping[tuple[int, str], Cell]

    @property
    def orders(self) -> set[str]:
        """The orders it ran with."""
        return {order for _, order in self.cells}


@dataclass(frozen=True)
class Group:
    """Methods that may stand in one table.

    Attributes:
        place: what all their runs have alike, by name.
        lanes: a method each.
        notes: what should be known of how it was put together.
    """

    place: Mapping[str, str]
    lanes: Sequence[Lane]
    notes: list[str] = field(default_factory=list)


def grouped(cells: Sequence[Cell], across: Sequence[str] = ()) -> list[Group]:
    """Cells by what they must have alike, and within that by method.

    Args:
        cells: of any runs.
        across: of ``data``, ``split``, ``backbone`` and ``protocol``, what may differ within a table;
            it is then part of the name of each method.

    Raises:
        ConfigError: for an unknown name, or two runs of one method and block with other figures.
    """
    for name in across:
        if name not in PLACES:
            raise unknown("name for --across", name, PLACES)
    tables: dict[str, list[Cell]] = {}
    for cell in cells:
        tables.setdefault(_key(_alike(cell, across)), []).append(cell)
    output = []
    for table in tables.values():
        names = _names(table, across)
        lanes: dict[str, list[Cell]] = {}
        for cell in table:
            lanes.setdefault(names[id(cell)], []).append(cell)
        built = [_lane(name, lane) for name, lane in lanes.items()]
        parts, place = _by_orders(built), _alike(table[0], across)
        for part in parts:
            notes = ["The methods of other orders stand in another table."] * (len(parts) > 1)
            output.append(Group(place, part, notes + _repeated(lanes, part)))
    return output


def why_apart(groups: Sequence[Group]) -> list[str]:
    """In what tables differ, a sentence; none for one table."""
    if len(groups) < 2:
        return []
    differing = [
        name for name in PLACES if len({group.place.get(name) for group in groups}) > 1
    ]  # fmt: skip
    words = " and ".join(differing) if differing else "order of the classes"
    ways = [name for name in differing if name in ("protocol", "backbone")]
    hint = f" (--across {','.join(ways)} puts them into one, and says so in each row)" * bool(ways)
    return [f"{len(groups)} tables, because the runs differ in {words}{hint}."]


def _alike(cell: Cell, across: Sequence[str]) -> dict[str, str]:
    return {name: cell.place[name] for name in PLACES if name not in across}


def _key(data: Any) -> str:
    return json.dumps(data, sort_keys=True, default=str)


def _names(cells: Sequence[Cell], across: Sequence[str]) -> dict[int, str]:
    """The name of each cell's row in a table: equal for equal methods, different for different ones."""
    output: dict[int, str] = {}
    readouts = {cell.recipe: set[str]() for cell in cells}
    for cell in cells:
        readouts[cell.recipe].add(cell.readout)
    for recipe in readouts:
        mine = [cell for cell in cells if cell.recipe == recipe]
        flat = _completed(mine)
        differing = _differing(list(flat.values()))
        taken: dict[str, str] = {}
        for cell in mine:
            words = [
                f"{name}={flat[id(cell)].get(name)}" for name in differing if name != PARAMETER
            ]
            words += [f"+ {part}" for part in part_texts(str(flat[id(cell)].get(PARAMETER) or ""))]
            words += [f"[{cell.readout}]"] * (len(readouts[recipe]) > 1)
            words += [f"({cell.place[name]})" for name in across]
            name, method = " ".join([recipe, *words]), _key(cell.method)
            number = 2
            while taken.setdefault(name, method) != method:  # no setting a person named tells them
                name, number = f"{' '.join([recipe, *words])} #{number}", number + 1
            output[id(cell)] = name
    return output


def _completed(cells: Sequence[Cell]) -> dict[int, Mapping[str, Any]]:
    """The settings of each cell, with those that came after a run from runs that are the same method."""
    known: dict[str, dict[str, Any]] = {}
    for cell in cells:
        known.setdefault(_key(cell.method), {}).update(cell.parameters)
    return {id(cell): known[_key(cell.method)] | dict(cell.parameters) for cell in cells}


def _differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings that are not the same in all."""
    names = list(dict.fromkeys(name for one in settings for name in one))
    return [name for name in names if len({_key(one.get(name)) for one in settings}) > 1]


def _lane(name: str, cells: Sequence[Cell]) -> Lane:
    """The runs of a method by block; a run that is there twice counts once (ConfigError if they differ)."""
    lane: dict[tuple[int, str], Cell] = {}
    for cell in sorted(cells, key=lambda c: (c.seed, c.order_name)):
        other = lane.setdefault(cell.block, cell)
        if (other.class_il.shape != cell.class_il.shape) or not (
            abs(other.class_il - cell.class_il)[~_nan(cell)] <= 1e-9
        ).all():
            raise ConfigError(
                f"{other.path} and {cell.path} are both {name} with seed {cell.seed} and order "
                f"{cell.order_name}, and their figures differ: leave one of them out."
            )
    return Lane(name, lane)


def _nan(cell: Cell) -> Any:
    return cell.class_il != cell.class_il


def _repeated(lanes: Mapping[str, Sequence[Cell]], part: Sequence[Lane]) -> list[str]:
    """A note for methods of which a block was there more than once."""
    names = [lane.name for lane in part if len(lanes[lane.name]) > len(lane.cells)]
    return [
        f"Runs that are there twice, with the same figures, count once: {', '.join(names)}."
    ] * bool(names)


def _by_orders(lanes: Sequence[Lane]) -> list[list[Lane]]:
    """Methods that are tied by shared orders; those without any in common never meet."""
    parts: list[tuple[set[str], list[Lane]]] = []
    for lane in lanes:
        tied = [part for part in parts if part[0] & lane.orders]
        rest = [part for part in parts if not part[0] & lane.orders]
        orders = lane.orders.union(*(part[0] for part in tied))
        parts = [*rest, (orders, [member for part in tied for member in part[1]] + [lane])]
    return [part[1] for part in parts]


def method_named(name: str, names: Iterable[str]) -> str:
    """A method of a table by its name, without what brackets add to it if that leaves one.

    Raises:
        ConfigError: for a name of none, or of several.

    >>> method_named("lwf", ["lwf [head] (strict)", "lwf_wa (strict)", "lwf + sam (strict)"])
    'lwf [head] (strict)'
    """
    names = list(names)
    ways = [other for other in names if other.startswith((f"{name} (", f"{name} ["))]
    if name not in names and len(ways) != 1:
        raise unknown("method of these runs", name, ways or names)
    return name if name in names else ways[0]
