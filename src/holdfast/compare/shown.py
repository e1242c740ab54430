"""Numbers of a comparison as texts: one way for the terminal, files and the page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from holdfast.compare.comparison import Comparison, Row, Table
from holdfast.compare.contrast import Contrast
from holdfast.compare.figures import FIGURES
from holdfast.compare.paired import EXACT

NONE = "–"
FURTHER = (
    "average", "average_by_classes", "forgetting", "learned", "intransigence", "task_il", "right_task",
    "right_class", "calibration_error",
)  # fmt: skip
COSTS = ("images", "bytes", "past_bytes", "seconds")
TRUST = (
    "calibration_floor", "adaptive_calibration_error", "calibration_error_old", "calibration_error_new",
    "nll", "brier", "auroc", "average_precision", "fpr_at_known95", "fpr_at_unknown95", "oscr",
)  # fmt: skip


def number(value: float, digits: int = 1, sign: bool = False) -> str:
    """A number with a real minus; a dash for one that is none.

    >>> number(-1.25), number(3.0, sign=True), number(float("nan"))
    ('−1.2', '+3.0', '–')
    """
    if not math.isfinite(value):
        return NONE
    value = round(value, digits) + 0.0
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "\u2212")


def amount(count: float) -> str:
    """Bytes as a person would say them; 0 for none.

    >>> amount(0), amount(133120), amount(1.5e9)
    ('0', '130 KiB', '1.4 GiB')
    """
    if not math.isfinite(count):
        return NONE
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    place = 0
    while count >= 1000 and place < len(units) - 1:
        count, place = count / 1024, place + 1
    if not count:
        return "0"
    return f"{count:.{int(count < 10 and place > 0)}f} {units[place]}"


def chance(p: float) -> str:
    """A p, never as 0.

    >>> chance(0.0312), chance(1e-5), chance(float("nan"))
    ('0.031', '< 0.001', '–')
    """
    if not math.isfinite(p):
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def with_interval(mean: float, half: float, sign: bool = False) -> str:
    """A mean and the half of its interval."""
    return (
        f"{number(mean, sign=sign)} ± {number(half)}"
        if math.isfinite(half)
        else number(mean, sign=sign)
    )


def difference(contrast: Contrast | None) -> str:
    """A paired difference with its interval."""
    if contrast is None:
        return NONE
    estimate = contrast.estimate
    return with_interval(estimate.mean, estimate.half_width(), sign=True)


def heads(comparison: Comparison) -> list[str]:
    """The columns of the table of differences."""
    about = FIGURES[comparison.metric]
    unit = about.unit.replace("%", "points")
    return [
        "method", "n", f"{about.title}{', ' * bool(about.unit)}{about.unit}", f"difference, {unit}",
        "p", "sign-flip p", "visible", "verdict",
    ]  # fmt: skip


def line(row: Row) -> list[str]:
    """A method in the table of differences."""
    contrast = row.contrast
    first = [
        row.name,
        f"{row.estimate.n}",
        with_interval(row.estimate.mean, row.estimate.half_width()),
    ]
    if contrast is None:
        return [*first, "baseline", "", "", "", ""]
    p = contrast.p_holm if math.isfinite(contrast.p_holm) else contrast.estimate.p
    flip = contrast.flip_holm if math.isfinite(contrast.flip_holm) else contrast.p_flip
    return [
        *first, difference(contrast), chance(p), chance(flip), number(contrast.estimate.detectable),
        contrast.verdict,
    ]  # fmt: skip


def known(table: Table, names: Sequence[str]) -> list[str]:
    """Those of some figures that a method of a table has, and that say something of their own."""
    has = lambda name: any(math.isfinite(row.figures[name]) for row in table.rows)
    even = all(
        row.figures["average_by_classes"] == row.figures["average"] for row in table.rows
    )  # as where all tasks bring as many classes
    return [name for name in names if has(name) and not (name == "average_by_classes" and even)]


def further_heads(names: Sequence[str]) -> list[str]:
    """The columns of a table of further figures."""
    titles = {"bytes": "stored", "past_bytes": "network"}
    return ["method", *(titles.get(name, FIGURES[name].title) for name in names)]


def further(row: Row, names: Sequence[str]) -> list[str]:
    """A method's other figures, what it stored, and what it took."""
    return [row.name, *(figure(name, row.figures[name]) for name in names)]


def figure(name: str, value: float) -> str:
    """A figure as it is shown.

    >>> figure("final", 0.5), figure("nll", 1.234), figure("bytes", 2048.0), figure("images", 2000.0)
    ('50.0', '1.23', '2.0 KiB', '2,000')
    """
    if name in ("bytes", "past_bytes"):
        return amount(value)
    if name == "images":
        return f"{value:,.0f}"
    return number(FIGURES[name].scale * value, FIGURES[name].digits)


def title(table: Table) -> str:
    """What all runs of a table have alike."""
    return "; ".join(f"{name} {value}" for name, value in table.place.items())


def legend(comparison: Comparison, table: Table) -> list[str]:
    """How to read a table: its weighting, its tests, their floors, and what it cannot show."""
    pairs = [row.contrast for row in table.rows if row.contrast is not None]
    words = {"mean_images": "their test images", "mean_tasks": "the same for each"}
    lines = [
        f"Tasks are weighed by {words[comparison.weighting]} ({comparison.weighting}); forgetting is "
        f"{comparison.forgetting}; ± is the 95 % t interval over blocks (seed, order)."
    ]
    if pairs:
        lines.append(
            f"Differences to {table.baseline} are paired by block; both p are Holm's over "
            f"{len(table.contrasts)} contrast{'s' * (len(table.contrasts) != 1)}; 'visible': a smaller "
            "true difference would not be seen with these runs (power 0.8)."
        )
        lines += _floors(pairs)
    lines += _trust(table)
    lines += _tuned(table.rows)
    return [*lines, *table.notes]


def _floors(pairs: Sequence[Contrast]) -> list[str]:
    """What sign flips can say at best, and what crossed blocks do to them."""
    least, lines = min(pair.estimate.n for pair in pairs), []
    if least < 6:
        lines.append(
            f"Signs flipped over {least} block{'s' * (least != 1)} cannot give a p below "
            f"{chance(max(pair.floor for pair in pairs))}."
        )
    if any(not pair.exact for pair in pairs):
        lines.append(f"Beyond {EXACT} blocks the signs are drawn at random, from a fixed seed.")
    crossed = [pair.parts for pair in pairs if pair.parts is not None]
    if crossed:
        orders = sum(p.share(p.order) for p in crossed) / len(crossed)
        seeds = sum(p.share(p.seed) for p in crossed) / len(crossed)
        below = sum(bool(p.negative) for p in crossed)
        words = f" ({below} had a part below 0, set to 0)" if below else ""
        lines.append(
            f"Seeds and orders are crossed: intervals allow for both. Of the differences' variance "
            f"{100 * seeds:.0f} % goes with the seed and {100 * orders:.0f} % with the order, on "
            f"average{words}; the sign flips take blocks for independent, so prefer the interval."
        )
    few = [
        n for p in crossed for n, count in (("orders", p.orders), ("seeds", p.seeds)) if count == 2
    ]
    if few:
        lines.append(
            f"Two {few[0]} say little of how much {few[0]} matter, which makes some intervals long: run "
            "more of them, or pairs of seed and order."
        )
    return lines


def _trust(table: Table) -> list[str]:
    """How to read the figures of probabilities and of the unknown, where there are any."""
    names, lines = known(table, TRUST), []
    if "nll" in names:
        lines.append(
            "'floor' is the calibration error (ECE) that a calibrated model would show with so many rows; "
            "'old' and 'new' are classes of earlier tasks and of the last; Brier is in [0, 2]."
        )
    if "auroc" in names:
        share = [row.figures["unknown_share"] for row in table.rows]
        lines.append(
            "Unknown are classes of later tasks, on average over the tasks before the last; a score that "
            f"tells nothing has AUROC 50 and AUPR {number(100 * max(share))}."
        )
    if known(table, ("intransigence",)):
        lines.append("Intransigence is to the joint run of the same seed and order.")
    return lines


def _tuned(rows: Sequence[Row]) -> list[str]:
    """With how many trials each method was tuned, as far as the runs say."""
    known = [f"{row.name} {row.trials}" for row in rows if row.trials is not None]
    if not known:
        return ["Trials of tuning: the runs do not say."]
    return [f"Trials of tuning: {', '.join(known)}; the others do not say."]
