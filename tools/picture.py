"""Draw docs/images/digits.png: what three recipes still know of the digits, task by task."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

from holdfast import Setup, recipes, run, stream
from holdfast.recipes.presets import find_preset

PLACE = Path(__file__).parents[1] / "docs" / "images" / "digits.png"
LINES = {
    "joint": ("#7a7a7a", "joint: all images, again and again"),
    "fnc2_strict": ("#00796b", "fnc2_strict: no image kept"),
    "finetune": ("#c0392b", "finetune: no image kept"),
}


def curves() -> dict[str, list[float]]:
    """Accuracy in percent over everything seen, after each of the five tasks, by recipe."""
    digits = stream.make_stream(stream.digits(), tasks=5)
    preset = find_preset("quick")
    results = {
        name: run(recipes.make(name, preset), digits, Setup.of(name, preset)) for name in LINES
    }
    return {
        name: [100 * result.class_il.after(task) for task in range(5)]
        for name, result in results.items()
    }


def draw(values: dict[str, list[float]], place: Path) -> None:
    """A line a recipe, named at its end."""
    figure, axes = plt.subplots(figsize=(7.2, 3.1), dpi=110, layout="constrained")
    for name, line in values.items():
        colour, words = LINES[name]
        axes.plot(range(1, 6), line, color=colour, marker="o", linewidth=2, markersize=5)
        axes.annotate(
            f"{words}, {line[-1]:.0f}", (5, line[-1]), (8, -3 if name == "fnc2_strict" else 0),
            textcoords="offset points", color=colour, va="center", fontsize=9,
        )  # fmt: skip
    axes.set_xlim(0.9, 7.7)
    axes.set_ylim(0, 104)
    axes.set_xticks(range(1, 6), ["0, 1", "2, 3", "4, 5", "6, 7", "8, 9"])
    axes.set_xlabel("classes of the task just learned", loc="left", fontsize=9)
    axes.set_ylabel("percent right, of all\nclasses seen so far", fontsize=9)
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines["bottom"].set_bounds(0.9, 5.1)
    axes.hlines(range(20, 101, 20), 0.9, 5.1, color="#dddddd", linewidth=0.8, zorder=0)
    place.parent.mkdir(exist_ok=True)
    figure.savefig(place)


if __name__ == "__main__":
    draw(curves(), PLACE)
