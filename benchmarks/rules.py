"""What rules add to a step of SGD: the proximal step, and a rule that overrides no hook.

python benchmarks/rules.py [--width 64] [--repeats 9]
"""

import argparse
from collections.abc import Callable, Sequence

import torch
from measure import in_turn

from holdfast import Rows
from holdfast.anchor import Proximal, Rule, Unit, WeightAligning
from holdfast.anchor.rule import edited
from holdfast.core.allocator import keep_freed_memory
from holdfast.core.step import Step
from holdfast.learner import Learner
from holdfast.stream.task import Task


def stepping(learner: Learner, step: Step, rules: Sequence[Rule]) -> Callable[[], None]:
    """A step of SGD under rules, the gradients being there."""
    optimizer = torch.optim.SGD(learner.parameters(), 1e-4, 0.9, weight_decay=1e-4)

    def work() -> None:
        with edited(rules, learner, step):
            optimizer.step()

    return work


def main() -> None:
    parser = argparse.ArgumentParser()
    for flag, default in (("width", 64), ("repeats", 9)):
        parser.add_argument(f"--{flag}", type=int, default=default)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    torch.manual_seed(0)
    learner = Learner((3, 32, 32), "resnet18", asked.width, classes=2)
    learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for p in learner.parameters():
        p.grad = torch.randn_like(p)
    y = torch.zeros(2, dtype=torch.long)
    rows = Rows(torch.zeros(2, 3, 32, 32), y, y, y)
    step = Step({"batch": rows}, learner, task=1, learner=learner, lr=0.1)
    near, far = Proximal(Unit(), 0.1), Proximal(Unit(), 0.1, per_task=True)
    for _ in range(5):
        for rule in (near, far):
            rule.consolidate(learner, Task(0, (0,), rows, rows))
    cases = {
        "SGD alone": [], "a rule that overrides nothing": [Rule()], "weight aligning": [WeightAligning()],
        "proximal, one centre": [near], "proximal, five centres": [far],
    }  # fmt: skip
    seconds = in_turn(*(stepping(learner, step, r) for r in cases.values()), repeats=asked.repeats)
    size = sum(p.numel() for p in learner.parameters())
    print(f"{size:,} weights; CPU milliseconds of a step, and how many steps of SGD that is")
    for name, spent in zip(cases, seconds, strict=True):
        print(f"  {name:34} {1000 * spent:10.1f} {spent / seconds[0]:7.2f}  (asked: at most 3)")


if __name__ == "__main__":
    main()
