"""One answer by class Gaussians: factors kept since the fit against factors made for each answer.

python benchmarks/gaussians.py [--width 512] [--classes 100] [--repeats 3]
"""

import argparse

import torch
from measure import in_turn, row

from holdfast import Rows, Task
from holdfast.core.output import Output
from holdfast.learner import Learner
from holdfast.memory import NoMemory
from holdfast.readout import ClassGaussian
from holdfast.readout.readout import FitContext


def main() -> None:
    parser = argparse.ArgumentParser()
    for flag, default in (("width", 512), ("classes", 100), ("repeats", 3)):
        parser.add_argument(f"--{flag}", type=int, default=default)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    y = torch.arange(20 * asked.classes) % asked.classes
    x = torch.randn(len(y), asked.width) + torch.randn(asked.classes, asked.width)[y]
    rows = Rows(x, y, torch.zeros_like(y), torch.arange(len(y)))
    readout = ClassGaussian()
    learner = Learner((asked.width,), "identity", dim=0)
    task = Task(0, tuple(range(asked.classes)), rows, rows)
    readout.fit(FitContext(learner, task, NoMemory(), task.classes, None))
    one = Output(x[:1], x[:1], x[:1, :0])

    def again() -> torch.Tensor:
        readout.forget_decision()
        return readout.scores(one)

    assert torch.equal(again(), readout.scores(one))
    ways = (again, lambda: readout.scores(one))
    title = f"one row, f {asked.width}, {asked.classes} classes"
    row(title, *in_turn(*ways, repeats=asked.repeats), "s", 30)


if __name__ == "__main__":
    main()
