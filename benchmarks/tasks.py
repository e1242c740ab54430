"""A long stream of features: what a task costs as tasks and classes grow, by the default readout.

Two new classes a task. Of every tenth of the stream the median CPU seconds of a task, and how much the
process grew beside what the statistics themselves take.

    python benchmarks/tasks.py [--tasks 1000] [--width 64] [--rows 20] [--recipe frozen]
"""

import argparse
import statistics
import time

import torch
from measure import status

from holdfast import Setup, recipes
from holdfast.train.continual import Continual


def main() -> None:
    parser = argparse.ArgumentParser()
    for flag, default in (("tasks", 1000), ("width", 64), ("rows", 20)):
        parser.add_argument(f"--{flag}", type=int, default=default)
    parser.add_argument("--recipe", default="frozen")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    model = Continual(recipes.make(asked.recipe), (asked.width,), Setup())
    chance, seconds = torch.Generator().manual_seed(0), []
    print(f"{asked.recipe}, f {asked.width}, 2 classes of {asked.rows} rows a task")
    print("   tasks  classes   s a task    RSS MiB")
    every = max(asked.tasks // 10, 1)
    for t in range(asked.tasks):
        means = 2 * torch.randn(2, asked.width, generator=chance)
        noise = torch.randn(asked.rows, 2, asked.width, generator=chance)
        x = (means + noise).flatten(0, 1)
        labels = [f"{t}-{k}" for _ in range(asked.rows) for k in "ab"]
        started = time.process_time()
        model.learn(model.arrive(x, labels))
        seconds.append(time.process_time() - started)
        if t + 1 in (10, 20) or (t + 1) % every == 0:
            last = statistics.median(seconds[-10:])
            print(f"  {t + 1:6} {2 * t + 2:8} {last:10.4f} {status('VmRSS'):10.0f}", flush=True)
    early, late = (statistics.median(part) for part in (seconds[5:15], seconds[-10:]))
    print(f"  task {asked.tasks} against task 10: {late / early:.2f}  (asked: at most 1.2)")


if __name__ == "__main__":
    main()
