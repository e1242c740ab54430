"""What subspaces add to a step of SGD, and what the end of a task costs them.

python benchmarks/subspaces.py [--width 20] [--inputs 32] [--repeats 5]
"""

import argparse
import time
from collections.abc import Callable

import torch
from measure import in_turn

from holdfast import Rows
from holdfast.anchor import GPM, OWM, CoSO, RandomSubspace, Rule
from holdfast.anchor.rule import edited
from holdfast.core.step import Step
from holdfast.learner import Learner
from holdfast.stream.task import Task

STEPS = 10  # in one measurement, so that what comes every ten steps counts


def stepping(learner: Learner, step: Step, rules: list[Rule]) -> Callable[[], None]:
    """Steps of SGD under rules, the gradients being there."""
    optimizer = torch.optim.SGD(learner.parameters(), 1e-6, 0.9)

    def work() -> None:
        kept = {p: p.grad for p in learner.parameters()}
        for _ in range(STEPS):
            with edited(rules, learner, step):
                optimizer.step()
            for p, g in kept.items():
                p.grad = g

    return work


def main() -> None:
    parser = argparse.ArgumentParser()
    for flag, default in (("width", 20), ("inputs", 32), ("repeats", 5)):
        parser.add_argument(f"--{flag}", type=int, default=default)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    learner = Learner((3, 32, 32), "resnet18", asked.width, classes=2)
    for p in learner.parameters():
        p.grad = torch.randn_like(p)
    y = torch.zeros(asked.inputs, dtype=torch.long)
    rows = Rows(torch.rand(asked.inputs, 3, 32, 32), y, y, y)
    step = Step({"batch": rows}, learner, task=1, learner=learner, lr=0.1)
    cases: dict[str, Rule | None] = {
        "SGD alone": None, "gpm": GPM(inputs=asked.inputs), "owm": OWM(batch=8),
        "coso, every step": CoSO(every=1), "coso, every 10": CoSO(every=10),
        "random subspace": RandomSubspace(0.1),
    }  # fmt: skip
    ends = []
    for rule in cases.values():
        started = time.process_time()
        if rule is not None:
            with edited([rule], learner, step):
                pass
            started = time.process_time()
            rule.consolidate(learner, Task(0, (0,), rows, rows))
        ends.append(time.process_time() - started)
    steps = [stepping(learner, step, [] if r is None else [r]) for r in cases.values()]
    seconds = in_turn(*steps, repeats=asked.repeats)
    size = sum(p.numel() for p in learner.parameters())
    print(
        f"{size:,} weights, {asked.inputs} rows; CPU milliseconds of a step, and seconds of an end"
    )
    for name, spent, end in zip(cases, seconds, ends, strict=True):
        print(f"  {name:18} {1000 * spent / STEPS:10.1f} {spent / seconds[0]:7.1f} x  {end:8.1f} s")


if __name__ == "__main__":
    main()
