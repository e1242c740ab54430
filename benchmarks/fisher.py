"""What a diagonal Fisher costs: vectorised gradients of every image against one image at a time.

Both make the same diagonal of the same network in this process, in turn, and are compared; the
figure is the ratio of their times. Peak memory is the process's own, after each. Then the exact Fisher of
many classes: layers by pairs of positions against gradients of every factor.

    python benchmarks/fisher.py [--width 64] [--images 64] [--alone 16] [--kind empirical_fisher]
    python benchmarks/fisher.py --roots 9 99 [--width 64] [--images 16]
"""

import argparse
import resource
import time

import torch
from measure import in_turn, row

from holdfast import Rows, Task
from holdfast.anchor import Curvature
from holdfast.curvature import backward, diagonal
from holdfast.curvature.diagonal import squared_gradients
from holdfast.curvature.fisher import OutputFactors
from holdfast.curvature.layers import convolution
from holdfast.curvature.layout import Layout
from holdfast.curvature.pairs import PairSums
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


def by_positions(width: int, images: int, roots: int) -> None:
    """The squares of a last-stage convolution, and of a whole network of a quarter of the width."""
    generator = torch.Generator().manual_seed(0)
    conv = torch.nn.Conv2d(8 * width, 8 * width, 3, padding=1, bias=False)
    patches = torch.randn(images, 72 * width, 16, generator=generator)
    g = torch.randn(roots, images, 8 * width, 4, 4, generator=generator)

    def pairs() -> torch.Tensor:
        sums = PairSums(conv)
        sums.add(g)
        return sums.squares(patches)["weight"]

    def every() -> torch.Tensor:  # a factor at a time, for their gradients take the most memory
        each = [convolution(conv, patches, one[None])["weight"] for one in g]
        return torch.stack(each).sum(0)

    learner = Learner((3, 32, 32), "resnet18", max(1, width // 4), classes=roots + 1).eval()
    layout, x = Curvature().layout(learner), made_up_task(images).train.x
    factors = OutputFactors(torch.randn(images, roots + 1, generator=generator).softmax(1))
    rule = backward.by_pairs

    def whole(on: bool) -> torch.Tensor | None:
        backward.by_pairs = diagonal.by_pairs = rule if on else lambda *_: False
        return squared_gradients(learner, layout, lambda out: out.logits, x, factors)

    a, b = every(), pairs()
    print(f"  {roots} factors, {images} images; differ by {float((a - b).norm() / a.norm()):.0e}")
    row("last-stage layer", *in_turn(every, pairs, repeats=3), "s", 2.7 if roots < 50 else 16.8)
    row("whole Fisher", *in_turn(lambda: whole(False), lambda: whole(True), repeats=1), "s", 1)


def peak() -> float:
    """MiB, the most this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    for flag, default in (("width", 64), ("images", 64), ("alone", 16)):
        parser.add_argument(f"--{flag}", type=int, default=default)
    parser.add_argument("--kind", default="empirical_fisher")
    parser.add_argument("--roots", type=int, nargs="*", default=[])
    given = parser.parse_args()
    torch.manual_seed(0)
    for roots in given.roots:
        by_positions(given.width, given.images, roots)
    if given.roots:
        return
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
