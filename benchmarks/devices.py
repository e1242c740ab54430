"""Two processes with half a batch each against one with the whole, with the same number of threads in all.

The work of one is one process with two threads; two are two processes (gloo) with a thread each. CPU
seconds of all processes say what the messages and the loss that both compute cost; they hold on a busy
machine, where wall seconds, which also hold waiting, say little. That the figures are equal is
`holdfast.testing.check_devices` (1e-10 in float64, every recipe).

    python benchmarks/devices.py [--width 16] [--images 512] [--batch 128] [--recipes finetune,fnc2]
"""

import argparse
import time

import torch
from overhead import made_up_stream

from holdfast import Machine, Network, Setup, Stream, Training, recipes
from holdfast.core.ranks import current
from holdfast.train.devices import on_devices
from holdfast.train.events import Epoch
from holdfast.train.runner import Run

ASKED = 0.85


def seconds(say: object, recipe: str, stream: Stream, setup: Setup) -> tuple[float, float]:
    """CPU and wall seconds of the second task's last epoch, those of all processes added up."""
    work, ranks = Run(recipes.make(recipe), stream, setup), current()
    last = torch.zeros(2, dtype=torch.float64)
    cpu, wall = time.process_time(), time.perf_counter()
    for event in work.events():
        if isinstance(event, Epoch):
            last = torch.tensor([time.process_time() - cpu, time.perf_counter() - wall]).double()
        cpu, wall = time.process_time(), time.perf_counter()
    if ranks is not None:
        ranks.sum([last])
        last[1] /= ranks.size
    return float(last[0]), float(last[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("width", 16), ("images", 512), ("batch", 128)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--recipes", default="finetune,fnc2")
    asked = parser.parse_args()
    stream = made_up_stream(asked.images)
    torch.set_num_threads(2)
    print(f"one process with 2 threads, two with 1 each; asked: {ASKED} of the speed")
    for recipe in asked.recipes.split(","):
        for sync in (False, True):
            setup = Setup(Training(epochs=2, batch=asked.batch), Network(width=asked.width))
            one = seconds(
                None, recipe, stream, Setup(setup.training, setup.network, Machine("cpu"))
            )
            machine = Machine("cpu", devices=2, sync_norm=sync)
            split = Setup(setup.training, setup.network, machine)
            two = on_devices(machine, seconds, recipe, stream, split)
            norm = "norm of all rows" if sync else "norm by process"
            print(
                f"  {recipe:12} {norm:17} CPU {one[0]:7.2f} s against {two[0]:7.2f}: "
                f"{one[0] / two[0]:.2f};  wall {one[1]:6.2f} against {two[1]:6.2f}: {one[1] / two[1]:.2f}"
            )


if __name__ == "__main__":
    main()
