"""The equivalence in a picture: how the second steps part, and divergences against their forms."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from holdfast.report.grid import DPI, INK, MUTED

BLUE, ORANGE = "#14506f", "#c2642d"


@dataclass
class Curves:
    """What is drawn.

    Attributes:
        etas: step sizes.
        deep, flat: distance of the two second steps, with a hidden layer and without.
        predicted: eta^2 |(H - weight F) g|.
        lengths: of moves from w0.
        forms: by divergence, its value over its quadratic form.
    """

    etas: list[float]
    deep: list[float] = field(default_factory=list)
    flat: list[float] = field(default_factory=list)
    predicted: list[float] = field(default_factory=list)
    lengths: list[float] = field(default_factory=list)
    forms: dict[str, list[float]] = field(default_factory=dict)


def draw(curves: Curves, path: str | Path) -> None:
    """Write a PNG of both panels."""
    figure = Figure(figsize=(10, 4.4), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    left.loglog(curves.etas, curves.predicted, color=MUTED, lw=5, alpha=0.35, label="predicted")
    left.loglog(curves.etas, curves.deep, "o-", color=BLUE, ms=4, label="a hidden layer: slope 2")
    left.loglog(
        curves.etas, curves.flat, "s-", color=ORANGE, ms=4, label="softmax regression: slope 3"
    )
    _words(left, "Two steps held by weights and by answers", "step size eta", "distance between")
    names = {"forward_kl": "KL / (½ dᵀF d)", "jensen_shannon": "JS / (⅛ dᵀF d)"}
    for (name, ratios), colour in zip(curves.forms.items(), (BLUE, ORANGE)):
        right.semilogx(curves.lengths, ratios, "o-", color=colour, ms=4, label=names[name])
    right.axhline(1, color=MUTED, lw=1)
    _words(right, "A divergence against its quadratic form", "distance from w0", "ratio")
    figure.savefig(path, format="png", facecolor="white")


def _words(ax: Axes, title: str, x: str, y: str) -> None:
    ax.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK)
    ax.set_xlabel(x, color=MUTED)
    ax.set_ylabel(y, color=MUTED)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(colors=MUTED, which="both")
    ax.legend(frameon=False, labelcolor=INK)
