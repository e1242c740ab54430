"""Does a forecast rank drift maps, where the residual does not: against how old test rows really moved.

python benchmarks/drift.py [--recipes finetune,fnc2,fnc2_strict,lwf_strict] [--cuts 2,2,2,2,2] [--seeds 2]
    [--epochs 6] [--per-class 80] [--maps ridge,learned]

When a task ends, every map is fitted on the task's training rows. `residual` and `forecast` are what a user
sees; `truth` is the share of the movement of the test rows of all earlier classes that the map leaves, and
`means` the same of their class means: these need rows of old classes, so they are no part of any method.
"""

import argparse
import copy
import sys
import time
from pathlib import Path

import torch
from scipy.stats import spearmanr

from holdfast import Setup, TaskDone, Training, recipes
from holdfast.cli.arriving import cut, open_data
from holdfast.cli.options import StreamOptions
from holdfast.core.allocator import keep_freed_memory
from holdfast.learner import outputs
from holdfast.recipes.presets import find_preset
from holdfast.statistics import fit_drift
from holdfast.stream.pixel_store import PixelStore
from holdfast.train.runner import Run

MAPS = "ridge,sylvester,low_rank,learned,network,translation,ridge+blend=0.2,ridge+blend"
FIGURES = ("residual", "forecast", "truth", "means")


def features(learner, rows):
    return outputs(learner, rows).features.double()


def class_means(x, y):
    return torch.stack([x[y == k].mean(0) for k in y.unique().tolist()])


def left(drift, past, now):
    """Share of a movement that a map leaves."""
    return float(((now - drift(past)) ** 2).sum() / ((now - past) ** 2).sum())


def measure(past, now, tasks, t, maps):
    """The figures of each map of the step to task t."""
    train, old = tasks[t].train, [task.test for task in tasks[:t]]
    before, after = features(past, train), features(now, train)
    was = torch.cat([features(past, rows) for rows in old])
    became = torch.cat([features(now, rows) for rows in old])
    y = torch.cat([rows.y for rows in old])
    for name in maps:
        drift = fit_drift(before, after, name, train.y)
        truth = left(drift, was, became)
        means = left(drift, class_means(was, y), class_means(became, y))
        yield name, (drift.residual, drift.forecast, truth, means)


def learn(recipe, seed, stream, chosen, asked):
    """Figures by (task, map)."""
    training = Training(epochs=asked.epochs, batch=chosen.training.batch, lr=asked.lr)
    method = recipes.make(recipe, **chosen.recipes.get(recipe, {}))
    work, networks = Run(method, stream, Setup(training, chosen.network, seed=seed)), []
    for event in work.events():
        if isinstance(event, TaskDone):  # the learner moves on
            networks += [copy.deepcopy(work.learner).eval()]
    maps, figures = asked.maps.split(","), {}
    for t in range(1, len(networks)):
        measured = measure(networks[t - 1], networks[t], stream.tasks, t, maps)
        figures |= {(t, name): values for name, values in measured}
    return figures


def rank(pairs):
    """Spearman's coefficient; nan for what is not known."""
    known = [(a, b) for a, b in pairs if a is not None]
    return float(spearmanr(*zip(*known, strict=True))[0]) if len(known) > 2 else float("nan")


def report(rows, maps):
    """Means by map, then how each figure ranks."""
    print("| map | " + " | ".join(FIGURES) + " |\n|---|" + "---|" * len(FIGURES))
    for name in maps:
        mine = [f for key, f in rows.items() if key[3] == name]
        cells = []
        for place in range(len(FIGURES)):
            known = [f[place] for f in mine if f[place] is not None]
            cells.append(f"{sum(known) / len(known):.3f}" if known else "-")
        print(f"| `{name}` | " + " | ".join(cells) + " |")
    steps = sorted({key[:3] for key in rows})
    print("\n| Spearman's rank correlation with | residual | forecast |\n|---|---|---|")
    for place in (2, 3):
        within = [
            [
                rank([(rows[*step, name][i], rows[*step, name][place]) for name in maps])
                for i in (0, 1)
            ]
            for step in steps
        ]
        means = [sum(v) / len(v) for v in ([w[i] for w in within if w[i] == w[i]] for i in (0, 1))]
        across = [
            rank([(rows[*step, "ridge"][i], rows[*step, "ridge"][place]) for step in steps])
            for i in (0, 1)
        ]
        for title, values in (("maps of one step", means), ("steps, by the ridge", across)):
            cells = " | ".join(f"{v:.2f}" for v in values)
            print(f"| {FIGURES[place]}: {title} | {cells} |")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--recipes", default="finetune,fnc2,fnc2_strict,lwf_strict")
    parser.add_argument("--cuts", default="2,2,2,2,2")
    parser.add_argument("--maps", default=MAPS)
    for flag, default in (("seeds", 2), ("epochs", 6), ("per-class", 80)):
        parser.add_argument(f"--{flag}", type=int, default=default)
    parser.add_argument("--lr", type=float, default=0.02)
    asked = parser.parse_args()
    keep_freed_memory()
    chosen, rows, began = find_preset("quick", (1, 8, 8), "digits"), {}, time.process_time()
    options = StreamOptions(stream="digits", per_class=asked.per_class, classes_per_task=asked.cuts)
    stream = cut(open_data(options, PixelStore(Path("pixels"), "memory")), options, chosen)
    for recipe in asked.recipes.split(","):
        for seed in range(asked.seeds):
            for (t, name), figures in learn(recipe, seed, stream, chosen, asked).items():
                rows[recipe, seed, t, name] = figures
            print(
                f"{recipe} {seed}: {time.process_time() - began:.0f} s", file=sys.stderr, flush=True
            )
    print(f"{stream.name}, classes a task {asked.cuts}, {asked.per_class} images a class, ", end="")
    print(
        f"{asked.epochs} epochs at {asked.lr}, {asked.seeds} seeds; means over {len(rows)} maps\n"
    )
    report(rows, asked.maps.split(","))


if __name__ == "__main__":
    main()
