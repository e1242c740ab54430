"""What a diagonal Fisher costs: vectorised gradients of every image against one image at a time.

Both make the same diagonal of the same network in this process, in turn, and are compared; the
figure is the ratio of their times. Peak memory is the process's own, after each.

    python benchmarks/fisher.py [--width 64] [--images 64] [--alone 16] [--kind empirical_fisher]
"""

import argparse
import resource
import time

import torch

from holdfast import Rows, Task
from holdfast.anchor import Curvature
from holdfast.curvature.layout import Layout
from holdfast.curvature.persample import evaluating, inputs_of
from holdfast.learner import Learner


def made_up_task(images: int) -> Task:
    """Two classes of noise: the cost does not depend on what is in the pictures."""
    chance = torch.Generator().manual_seed(0)
    x = torch.randint(256, (images, 3, 32, 32), dtype=torch.uint8, generator=chance)
    y = torch.arange(images) % 2
    rows = Rows(x, y, torch.zeros_like(y), torch.arange(images))
    return Task(0, (0, 1), rows, rows)


def alone(learner: Learner, task: Task, layout: Layout, curvature: Curvature) -> torch.Tensor:
    """The same diagonal, a backward pass for each image and output factor."""
    weights = [p for name, p in learner.named_parameters() if name in layout.shapes]
    total = torch.zeros(layout.size)
    with evaluating(learner):
        factors = curvature.output_factors(learner, task).at(slice(None))
        for x, rows in zip(inputs_of(learner, task.train.x), factors, strict=True):
            logits = learner(x[None]).logits[0]
            for v in rows:
                g = torch.autograd.grad(logits @ v, weights, retain_graph=True)
                total += torch.cat([t.flatten() for t in g]).square()
    return total


def peak() -> float:
    """MiB, the most this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    for flag, default in (("width", 64), ("images", 64), ("alone", 16)):
        parser.add_argument(f"--{flag}", type=int, default=default)
    parser.add_argument("--kind", default="empirical_fisher")
    given = parser.parse_args()
    torch.manual_seed(0)
    learner = Learner((3, 32, 32), "resnet18", given.width, classes=2)
    curvature, few = Curvature(given.kind), made_up_task(given.alone)
    layout = curvature.layout(learner)
    print(f"{layout.size:,} weights, {given.kind}, {torch.get_num_threads()} threads")
    before = peak()
    started = time.perf_counter()
    one = alone(learner, few, layout, curvature)
    slow = (time.perf_counter() - started) / given.alone
    print(f"  one at a time {1000 * slow:8.1f} ms an image, peak +{peak() - before:,.0f} MiB")
    same = curvature.measure(learner, few, layout).tensors()["diagonal"]  # also warms up
    print(f"  largest relative difference {float(((one - same).abs() / one.max()).max()):.1e}")
    before, task = peak(), made_up_task(given.images)
    started = time.perf_counter()
    curvature.measure(learner, task, layout)
    fast = (time.perf_counter() - started) / given.images
    print(f"  vectorised    {1000 * fast:8.1f} ms an image, peak +{peak() - before:,.0f} MiB more")
    print(f"  ratio {slow / fast:.2f} (asked: 8)")


if __name__ == "__main__":
    main()
