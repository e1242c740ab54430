"""What the engine costs: a run against a bare PyTorch loop that does the same work.

The bare loops have the same network, views, draws and losses written inline: no Fabric, no parts, no log.
Both run in this process, in turn, several times; the figure is the median ratio of their CPU seconds
for the last epoch of the second task, where the past network takes part. Other work on the machine takes
caches away and makes CPU seconds longer, never shorter: the ratio of the best turns is printed beside it.

    python benchmarks/overhead.py [--width 16] [--images 1024] [--batch 128] [--repeats 5]
    python benchmarks/overhead.py --width 4 --images 256 --batch 32  # tiny
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from holdfast import Network, Rows, Setup, Stream, Task, Training, recipes
from holdfast.core.allocator import keep_freed_memory
from holdfast.learner import Learner, Output, simplex_etf
from holdfast.stream import suited, views
from holdfast.train.events import Epoch
from holdfast.train.runner import Run

CONTRASTS = ("fnc2", "fnc2_strict")
BUFFER = 200  # images, of derpp
RECIPES = {  # by their names here, and the target
    "finetune": "finetune",
    "lwf": "lwf",
    "fnc2": "fnc2",
    "fnc2_strict": "fnc2_strict:gpm=0:rotations=0",
    "online_ewc": "online_ewc",
    "proximal": "online_ewc:step=proximal",
    "derpp": "derpp",
}


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
    """Images a CPU second of the last epoch."""
    setup = Setup(Training(epochs=2, batch=batch, lr=0.01), Network(width=width))
    work = Run(recipes.make(RECIPES[recipe]), stream, setup)
    ends = [time.process_time() for event in work.events() if isinstance(event, Epoch)]
    return len(stream[1].train) / (ends[-1] - ends[-2])


def bare(recipe: str, stream: Stream, width: int, batch: int) -> float:
    """The same of an epoch written out."""
    task, count = stream[1], 2 if recipe in CONTRASTS else 1
    learner = Learner(stream.shape, width=width, classes=4)
    learner = learner.to(memory_format=torch.channels_last).train()
    generator = torch.Generator().manual_seed(0)
    augment, loss_of = suited(stream.shape, count), Bare(recipe, learner, stream, generator)
    weights = [p for p in learner.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(weights, lr=0.01, momentum=0.9, weight_decay=1e-4)
    seconds = 0.0
    for _ in range(2):
        started = time.process_time()
        for index in torch.randperm(len(task.train), generator=generator).split(batch):
            plain = task.train[index]
            loss = loss_of(views(augment, plain, count, generator), plain)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss_of.pulled(0.01)
        seconds = time.process_time() - started
    return len(task.train) / seconds


class Bare:
    """The loss of a step of a recipe, and what it keeps."""

    def __init__(self, recipe: str, learner: Learner, stream: Stream, generator: torch.Generator):
        self.recipe, self.learner, self.generator = recipe, learner, generator
        self.past = learner.freeze()
        self.frame, self.augment = simplex_etf(129, 128), suited(stream.shape, 1)
        named = [p for p in learner.parameters() if p.requires_grad]
        self.centre = [p.detach().clone() for p in named]
        self.fisher = [torch.rand_like(p) for p in named]
        self.buffer = stream[0].train[torch.arange(BUFFER) % len(stream[0].train)]
        self.logits = torch.randn(BUFFER, 4)

    def __call__(self, rows: Rows, plain: Rows) -> Tensor:
        """Of a batch of views, of these rows at rest."""
        out = self.learner(rows.x)
        work: dict[str, Callable[[Rows, Rows, Output], Tensor]] = {
            "lwf": self.lwf, "fnc2": self.contrast, "fnc2_strict": self.contrast,
            "online_ewc": self.penalty, "derpp": self.rehearsed,
        }  # fmt: skip
        own = work.get(self.recipe)
        return (
            functional.cross_entropy(out.logits, rows.y) if own is None else own(rows, plain, out)
        )

    def lwf(self, rows: Rows, plain: Rows, out: Output) -> Tensor:
        """New logits learn, old ones stay."""
        with torch.no_grad():
            old = functional.softmax(self.past(rows.x).logits[:, :2] / 2, 1)
        now = functional.log_softmax(out.logits[:, :2] / 2, 1)
        kept = 4 * functional.kl_div(now, old, reduction="batchmean")
        return functional.cross_entropy(out.logits[:, 2:], rows.y - 2) + kept

    def contrast(self, rows: Rows, plain: Rows, out: Output) -> Tensor:
        """FNC2 and HSD, and features that stay."""
        with torch.no_grad():
            old = self.past(rows.x)
        loss = inline_fnc2(out.embedding, rows.y, self.frame)
        loss = loss + inline_hsd(out.embedding, old.embedding, self.frame)
        if self.recipe == "fnc2_strict":
            loss = loss + (out.features - old.features).square().sum(1).mean()
        return loss

    def penalty(self, rows: Rows, plain: Rows, out: Output) -> Tensor:
        """A quadratic around the old weights."""
        weights = [p for p in self.learner.parameters() if p.requires_grad]
        parts = zip(weights, self.centre, self.fisher, strict=True)
        pull = sum((f * (w - c).square()).sum() for w, c, f in parts)
        return functional.cross_entropy(out.logits, rows.y) + 1e-4 * pull

    def rehearsed(self, rows: Rows, plain: Rows, out: Output) -> Tensor:
        """DER++: two draws, and a reservoir that notes the new logits."""
        loss = functional.cross_entropy(out.logits, rows.y)
        for draw in range(2):
            index = torch.randint(BUFFER, (len(rows),), generator=self.generator)
            some = views(self.augment, self.buffer[index], 1, self.generator)
            answer = self.learner(some.x).logits
            if draw == 0:
                loss = loss + 0.1 * (answer - self.logits[index]).square().sum(1).mean()
            else:
                loss = loss + 0.5 * functional.cross_entropy(answer, some.y)
        place = torch.randint(BUFFER, (len(plain) // 8 + 1,), generator=self.generator)
        self.buffer.x[place] = plain.x[: len(place)]
        self.buffer.y[place] = plain.y[: len(place)]
        self.logits[place] = out.logits.detach()[: len(place)]
        return loss

    def pulled(self, lr: float) -> None:
        """After the update: the exact step of the quadratic, for ``proximal``."""
        if self.recipe != "proximal":
            return
        weights = [p for p in self.learner.parameters() if p.requires_grad]
        with torch.no_grad():
            for w, c, f in zip(weights, self.centre, self.fisher, strict=True):
                w.addcmul_(f, c, value=lr).div_(1 + lr * f)


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
    parser.add_argument("--recipes", nargs="*", default=list(RECIPES), choices=list(RECIPES))
    asked = parser.parse_args()
    keep_freed_memory()
    stream, size = made_up_stream(asked.images), (asked.width, asked.batch)
    print(
        f"width {asked.width}, batch {asked.batch}, {torch.get_num_threads()} threads, images/CPU s:"
    )
    for recipe in asked.recipes:
        turns = []
        for turn in range(asked.repeats):
            ways = (engine, bare) if turn % 2 else (bare, engine)
            rates = {way: way(recipe, stream, *size) for way in ways}
            turns.append((rates[engine], rates[bare]))
        ours, plain = zip(*turns, strict=True)
        ratio = statistics.median(a / b for a, b in zip(ours, plain, strict=True))
        a, b = statistics.median(ours), statistics.median(plain)
        best = max(ours) / max(plain)
        print(
            f"  {recipe:12} engine {a:7.0f}   bare loop {b:7.0f}   ratio {ratio:.2f}   best {best:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
