"""Memory-free readouts: one training a recipe and seed, read in many ways.

python benchmarks/strict.py [--stream digits] [--recipes finetune,lwf,fnc2_strict] [--seeds 5] [--warm]
    [--scenario rotated] [--readouts gaussian,fecam] [--images 200] [--validation 0.2] [--data PATH]
    [--epochs 12] [--first-epochs 25] [--lr 0.03] [--set alpha=constant:1]

A run trains under auxiliary(K), whose images never reach the representation: the same network is
read by every strict readout, by the probe on K images, and by a probe on all training data. The last
is a diagnostic outside any protocol: what the representation still knows, not what a method may use.
The recipe ``untrained`` is a control: the network as it was drawn, read like the others.
"""

import argparse
import inspect
import math
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

from holdfast import Protocol, Setup, Stream, Task, Training, recipes
from holdfast.cli.arriving import cut, open_data
from holdfast.cli.options import StreamOptions
from holdfast.core.allocator import keep_freed_memory
from holdfast.core.rows import cat
from holdfast.learner import outputs
from holdfast.memory import NoMemory
from holdfast.memory.meter import measure
from holdfast.metrics import accuracies
from holdfast.readout import FitContext, LinearProbe
from holdfast.recipes.presets import Preset, find_preset
from holdfast.stream.pixel_store import PixelStore
from holdfast.train.runner import Run

READOUTS = (
    "mean,mean:drift=ridge,stale-gaussian,gaussian,gaussian:drift=translation,gaussian:drift=low_rank,"
    "gaussian:drift=learned,gaussian:hidden,gaussian:embedding,ridge,random-ridge,pseudo-head,"
    "class-gaussian:structure=diagonal,class-gaussian:structure=low_rank,class-gaussian,fecam"
)
RECIPES = "untrained,finetune,lwf,lwf_strict,co2l,fnc2,fnc2_strict"
ALL, HEAD, UNTRAINED = "all-data probe", "head", "untrained"

Figures = dict[str, list[float]]


def warm_cut(classes: int) -> list[int]:
    """Half of the classes first, or one more so that pairs are left.

    >>> warm_cut(10), warm_cut(8)
    ([6, 2, 2], [4, 2, 2])
    """
    pairs = classes // 4
    return [classes - 2 * pairs] + [2] * pairs


def stream_of(given: argparse.Namespace, chosen: Preset) -> Stream:
    options = {"stream": given.stream, "data": given.data, "scenario": given.scenario}
    sizes = {"per_class": chosen.per_class, "test_per_class": chosen.test_per_class}
    plain = StreamOptions(**options, **sizes, validation=given.validation, tasks=given.tasks)
    data = open_data(plain, PixelStore(Path("pixels"), "memory"))
    if not given.warm:
        return cut(data, plain, chosen)
    cuts = ",".join(map(str, warm_cut(len(data.names))))
    warm = StreamOptions(**options, **sizes, validation=given.validation, classes_per_task=cuts)
    return cut(data, warm, chosen)


def setting(text: str) -> tuple[str, object]:
    """A parameter of those recipes that have it.

    >>> setting("alpha=linear"), setting("features=3")
    (('alpha', 'linear'), ('features', 3.0))
    """
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        return name, value


def all_data_probe(work: Run) -> float:
    """Accuracy of a probe on every training row of every task: outside the protocol."""
    tasks = work.stream.tasks
    rows = cat([task.train for task in tasks])
    everything = Task(0, work.stream.seen(len(tasks) - 1), rows, rows[:1])
    probe, right, total = LinearProbe(), 0.0, 0
    probe.fit(FitContext(work.learner, everything, NoMemory(), everything.classes))
    for task in tasks:
        scores = probe.scores(outputs(work.learner, task.test))
        right += accuracies(scores, task.test.y, task.classes)[0] * len(task.test)
        total += len(task.test)
    return right / total


def learn(
    recipe: str, seed: int, stream: Stream, chosen: Preset, given: argparse.Namespace
) -> tuple[dict[str, float], dict[str, int]]:
    """Final Class-IL by readout in percent, and the numbers each keeps."""
    trained = recipe if recipe != UNTRAINED else "finetune"
    asked = {
        k: v for k, v in given.set if k in inspect.signature(recipes.RECIPES[trained]).parameters
    }
    method = recipes.make(trained, **chosen.recipes.get(trained, {}) | asked)
    lengths = {"epochs": given.epochs, "first_epochs": given.first_epochs, "lr": given.lr}
    training = replace(chosen.training_of(recipe), **{k: v for k, v in lengths.items() if v})
    if recipe == UNTRAINED:  # a step so small that only batch norm's running statistics move
        training = Training(epochs=1, batch=training.batch, lr=1e-12)
    names = given.readouts.split(",")
    if method.protocol.kind == "strict":
        protocol, also = Protocol("auxiliary", given.images), names
        also = [HEAD, *also] if method.trains_head else also
    else:
        protocol, also = None, []
    setup = Setup(training, chosen.network, protocol=protocol, also=tuple(also), seed=seed)
    work = Run(method, stream, setup)
    for _ in work.events():
        pass
    found = {name: 100 * r.class_il.final for name, r in work.result.readings.items()}
    floats = {name: measure({"r": r}, None).floats for name, r in work.continual.readouts.items()}
    return found | {ALL: 100 * all_data_probe(work)}, floats


def cell(values: list[float]) -> str:
    """Mean and standard deviation over seeds.

    >>> cell([1.0, 3.0]), cell([])
    ('2.0 ± 1.4', '')
    """
    if not values or math.isnan(values[0]):
        return ""
    mean = f"{statistics.mean(values):.1f}"
    return f"{mean} ± {statistics.stdev(values):.1f}" if len(values) > 1 else mean


def table(found: dict[str, Figures], floats: dict[str, int], images: int) -> str:
    """Markdown: a line a readout, a column a recipe."""
    columns = list(found)
    names = list(dict.fromkeys(name for figures in found.values() for name in figures))
    names = sorted(names, key=lambda n: (n == ALL, n == "probe"))
    lines = [
        "| readout | images | numbers | " + " | ".join(f"`{c}`" for c in columns) + " |",
        "|---|---|---|" + "---|" * len(columns),
    ]
    for name in names:
        label = "all-data probe (diagnostic)" if name == ALL else f"`{name}`"
        kept = {ALL: "all", "probe": str(images)}.get(name, "0")
        cells = " | ".join(cell(found[c].get(name, [])) for c in columns)
        stored = f"{floats[name]:,}" if name in floats else ""
        lines.append(f"| {label} | {kept} | {stored} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--stream", default="digits")
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--preset", default="auto")
    parser.add_argument("--scenario", default="class")
    parser.add_argument("--tasks", type=int, default=0)
    parser.add_argument("--warm", action="store_true")
    parser.add_argument("--recipes", default=RECIPES)
    parser.add_argument("--readouts", default=READOUTS)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--first-epochs", type=int, default=0)
    parser.add_argument("--lr", type=float, default=0.0)
    parser.add_argument("--set", type=setting, action="append", default=[], metavar="alpha=linear")
    parser.add_argument("--validation", type=float, default=0.0)
    given = parser.parse_args()
    keep_freed_memory()
    chosen = find_preset(
        given.preset, None if given.data or given.stream != "digits" else (1, 8, 8), given.stream
    )
    stream, floats, found = stream_of(given, chosen), {}, {}
    started = time.perf_counter()
    for recipe in given.recipes.split(","):
        for seed in range(given.seeds):
            figures, kept = learn(recipe, seed, stream, chosen, given)
            floats |= kept
            best = max(figures, key=lambda name: figures[name] * (name not in (ALL, "probe")))
            print(f"{recipe} {seed}: {best} {figures[best]:.1f}", file=sys.stderr, flush=True)
            for name, value in figures.items():
                found.setdefault(recipe, {}).setdefault(name, []).append(value)
    sizes = [len(task.classes) for task in stream]
    print(
        f"{stream.name}, {stream.scenario}-incremental, classes a task {sizes}, preset {chosen.name}, "
        f"{given.seeds} seeds, {'validation part' if given.validation else 'test set'}; "
        f"final Class-IL in percent; {time.perf_counter() - started:.0f} s\n"
    )
    print(table(found, floats, given.images))


if __name__ == "__main__":
    main()
