"""The card of a run's network, or of one of several runs of one method: figures with their certainty."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.compare.cell import Cell
from holdfast.compare.comparison import Row, compare
from holdfast.compare.figures import FIGURES, figures_of
from holdfast.compare.shown import amount, figure, number, with_interval
from holdfast.core.errors import ConfigError
from holdfast.report.card import Card, CardFigure
from holdfast.report.wilson import wilson
from holdfast.stream.hub import NAMES

SHARES = ("final", "task_il")  # shares of test rows: known as well as their number allows
OVER_RUNS = ("final", "task_il", "average", "forgetting", "calibration_error", "nll", "auroc")
WORDS = {
    "final": "Class-IL accuracy (all classes)", "task_il": "Task-IL accuracy (within the right task)",
    "average": "average incremental accuracy", "forgetting": "forgetting (max_before)",
    "calibration_error": "expected calibration error", "nll": "negative log-likelihood",
    "auroc": "AUROC for classes of later tasks",
}  # fmt: skip
CODE = """
from safetensors.torch import load_file

weights = load_file("learner.safetensors")  # of the network; what a readout keeps is not among them
# holdfast.train.runner.Run(method, stream, setup).learner, of the settings above, takes them
"""


def card_of_runs(
    cells: Sequence[Cell], name: str = "", license: str | None = None, notes: Sequence[str] = ()
) -> Card:
    """The card for the network of the first run; further runs of the method say how sure its figures are.

    Args:
        cells: runs of one method that differ in seed and order alone.
        name: of the model; by default that of the first run's folder.
        license: as the hub names it; none is claimed.
        notes: further limits.

    Raises:
        ConfigError: for no run, or runs of several methods.
    """
    rows = [row for one in compare(cells).tables for row in one.rows]
    if len(rows) != 1:
        raise ConfigError(
            f"a card is of one method, and these runs are of {len(rows)}: "
            f"{', '.join(row.name for row in rows[:4])}; give the runs of one."
        )
    first = cells[0]
    about, network = first.data["data"], first.data["config"]["setup"]["network"]
    classes, tasks = [str(c) for c in about["classes"]], about["tasks"]
    stream = str(about["stream"])
    return Card(
        name or first.path.name,
        f"A network that learned {len(classes)} classes of {stream} in {len(tasks)} tasks by "
        f"{first.recipe} ({first.protocol}), each from the data of its task.",
        {
            "What it was trained on": _data(first, classes),
            "Protocol and what is stored": _stored(first),
            "Settings": _settings(first, network),
        },
        list(_figures(rows[0], first)),
        f"the test rows of {stream}, {int(first.sizes.sum()):,} of them, by the readout {first.readout}; "
        "the last model is reported",
        stream,
        {"python": CODE},
        [*_limits(rows[0], first), *notes],
        [NAMES[stream]] if stream in NAMES else [stream] if "/" in stream else [],
        [first.recipe, first.protocol.partition("(")[0]],
        license,
    )  # fmt: skip


def _data(cell: Cell, classes: Sequence[str]) -> dict[str, str]:
    about = cell.data["data"]
    facts = {
        "data": f"{about['stream']}, content {str(about.get('content') or about['fingerprint'])[:16]}",
        "scenario": f"{about['scenario']}-incremental, {len(about['tasks'])} tasks",
    }
    for k, task in enumerate(about["tasks"]):
        names: list[str] = [classes[int(c)] for c in task if int(c) < len(classes)]
        facts[f"task {k + 1}"] = ", ".join(names[:20]) + f" and {len(names) - 20} more" * (
            len(names) > 20
        )
    return facts


def _stored(cell: Cell) -> dict[str, str]:
    past = cell.stored["past_bytes"]
    return {
        "protocol": cell.protocol,
        "stored of the data": f"{cell.stored['images']:,.0f} images; "
        f"{amount(cell.stored['bytes']) if cell.stored['bytes'] else 'no number'} in all",
        "past network kept while learning": amount(past) if past else "none",
    }


def _settings(cell: Cell, network: Mapping[str, Any]) -> dict[str, str]:
    environment = cell.data.get("environment", {}).get("versions", {})
    training = cell.data["config"]["setup"]["training"]
    trials = "the run does not say" if cell.trials is None else f"{cell.trials} trials"
    chosen = cell.data["config"].get("recipe", {}).items()
    return {
        "recipe": " ".join([cell.recipe, *(f"{n}={v}" for n, v in chosen)]),
        "training": ", ".join(f"{name} {value}" for name, value in training.items()),
        "network": ", ".join(f"{name} {value}" for name, value in network.items()),
        "seed and order": f"seed {cell.seed}, order {cell.order_name}",
        "tuned with": trials,
        "versions": ", ".join(f"{name} {value}" for name, value in environment.items()),
    }  # fmt: skip


def _figures(row: Row, first: Cell) -> list[CardFigure]:
    """Over the runs with t intervals; of one run with the interval that its test rows allow."""
    output, alone = [], figures_of(first)
    for name in OVER_RUNS:
        value, about = alone[name], FIGURES[name]
        if not math.isfinite(value):
            continue
        certainty = ""
        if name in SHARES:
            rows = int(first.sizes.sum())
            low, high = wilson(round(value * rows), rows)
            certainty = f"{100 * low:.1f} to {100 * high:.1f} by its {rows:,} test rows (95 %)"
        if row.estimate.n > 1:
            over = compare(list(row.lane.cells.values()), metric=name).tables[0].rows[0].estimate
            words = f"{with_interval(over.mean, over.half_width())} over {over.n} runs (95 % t interval)"
            certainty = "; ".join([certainty, words]) if certainty else words
        unit = " %" if about.unit == "%" else f" {about.unit}" if about.unit else ""
        shown = f"{figure(name, value)}{unit}"
        result = value if name in SHARES else None
        output.append(CardFigure(WORDS[name], shown, certainty or "one run", result))
    return output


def _limits(row: Row, cell: Cell) -> list[str]:
    lines = [
        "It knows the classes above and no others; how well it tells others is its AUROC, where given.",
        f"Figures are of one order of the classes ({cell.order_name}) and this split; accuracy on old "
        "classes is lower than on those learned last, by the forgetting given.",
    ]
    if row.estimate.n < 2:
        lines.append("One run: what another seed or order would have given is not known.")
    elif row.estimate.n < 5:
        lines.append(
            f"{row.estimate.n} runs are few: intervals over them are wide for that reason."
        )
    if cell.trials is None:
        lines.append("Nothing says whether its settings were tuned, or on which data.")
    error = figures_of(cell)["calibration_error"]
    if math.isfinite(error):
        lines.append(f"Its probabilities are off by {number(100 * error)} points on average (ECE).")
    return lines
