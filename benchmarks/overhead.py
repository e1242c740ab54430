"""What the engine costs: images/s of a run against a bare PyTorch loop that does the same work.

The bare loop has the same network, views and losses written inline: no Fabric, no parts, no log.
Both run in this process, in turn, several times; the figure is the ratio of their medians.

    python benchmarks/overhead.py [--width 16] [--images 1024] [--batch 128] [--repeats 5]
"""

import argparse
import statistics
import time

import torch
from torch.nn import functional

from holdfast import Network, Rows, Setup, Stream, Task, Training, recipes
from holdfast.core.allocator import keep_freed_memory
from holdfast.learner import Learner, simplex_etf
from holdfast.stream import suited, views
from holdfast.train.events import Epoch
from holdfast.train.runner import Run


def made_up_stream(images: int) -> Stream:
    """Two tasks of two classes of noise: the cost does not depend on what is in the pictures."""
    generator = torch.Generator().manual_seed(0)
    tasks = []
    for t in range(2):
        x = torch.randint(0, 256, (images, 3, 32, 32), dtype=torch.uint8, generator=generator)
        y = 2 * t + torch.arange(images) % 2
        rows = Rows(x, y, torch.full_like(y, t), torch.arange(images) + t * images)
        tasks.append(Task(t, (2 * t, 2 * t + 1), rows, rows[:8]))
    return Stream("noise", tuple(tasks), tuple("abcd"), (0, 1, 2, 3))


def engine(recipe: str, stream: Stream, width: int, batch: int) -> float:
    """Images/s of the last epoch of the second task, where the past network takes part."""
    setup = Setup(Training(epochs=2, batch=batch), Network(width=width))
    work = Run(recipes.make(recipe), stream, setup)
    return [event.rate for event in work.events() if isinstance(event, Epoch)][-1]


def bare(recipe: str, stream: Stream, width: int, batch: int) -> float:
    """Images/s of one epoch of the second task, written out."""
    contrast, task = recipe == "fnc2", stream[1]
    learner = (
        Learner(stream.shape, width=width, classes=4).to(memory_format=torch.channels_last).train()
    )
    past = learner.freeze()
    frame, generator = simplex_etf(129, 128), torch.Generator().manual_seed(0)
    augment = suited(stream.shape, 2 if contrast else 1)
    optimizer = torch.optim.SGD(learner.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    rates = []
    for _ in range(2):
        started = time.perf_counter()
        for index in torch.randperm(len(task.train), generator=generator).split(batch):
            rows = views(augment, task.train[index], 2 if contrast else 1, generator)
            out = learner(rows.x)
            if contrast:
                with torch.no_grad():
                    old = past(rows.x).embedding
                loss = inline_fnc2(out.embedding, rows.y, frame) + inline_hsd(
                    out.embedding, old, frame
                )
            else:
                loss = functional.cross_entropy(out.logits, rows.y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        rates.append(len(task.train) / (time.perf_counter() - started))
    return rates[-1]


def inline_fnc2(z, y, q, tau=0.1):
    """THEORY 3 with gamma 1 and a closed denominator, written inline."""
    mine = torch.eye(len(z), dtype=torch.bool)
    pairs, own = z @ z.T / tau, (z * q[y]).sum(1, keepdim=True) / tau
    log_d = torch.cat([pairs.masked_fill(mine, -torch.inf), z @ q[:2].T / tau, own], 1).logsumexp(
        1, True
    )
    positive = (y[:, None] == y) & ~mine
    c, r = pairs - log_d, own - log_d
    soft = ((1 - c.exp()).clamp(0, 1) * c * positive).sum(1)
    hard = ((1 - r.exp()).clamp(0, 1) * r)[:, 0]
    return -((soft + hard) / (positive.sum(1) + 1)).mean()


def inline_hsd(z, old, q):
    """THEORY 4 with alpha 1/2, written inline."""
    off = ~torch.eye(len(z), dtype=torch.bool)
    now, then = ((t @ t.T)[off].view(len(z), -1) for t in (z, old))
    ird = -(torch.softmax(then / 0.01, 1) * torch.log_softmax(now / 0.2, 1)).sum(1).mean()
    hard = -(torch.softmax(old @ q[:4].T / 0.1, 1) * torch.log_softmax(z @ q[:4].T / 0.2, 1)).sum(1)
    return 0.5 * ird + 0.5 * hard.mean()


def main() -> None:
    parser = argparse.ArgumentParser()
    for flag, default in (("width", 16), ("images", 1024), ("batch", 128), ("repeats", 5)):
        parser.add_argument(f"--{flag}", type=int, default=default)
    given = parser.parse_args()
    keep_freed_memory()
    stream = made_up_stream(given.images)
    print(f"width {given.width}, batch {given.batch}, {torch.get_num_threads()} threads, images/s:")
    for recipe in ("finetune", "fnc2"):
        size = (given.width, given.batch)
        turns = [
            (engine(recipe, stream, *size), bare(recipe, stream, *size))
            for _ in range(given.repeats)
        ]
        ours, plain = zip(*turns, strict=True)
        ratio = statistics.median(a / b for a, b in zip(ours, plain, strict=True))
        a, b = statistics.median(ours), statistics.median(plain)
        print(
            f"  {recipe:9} engine {a:7.0f}   bare loop {b:7.0f}   median ratio {ratio:.2f} (asked: 0.90)"
        )


if __name__ == "__main__":
    main()
