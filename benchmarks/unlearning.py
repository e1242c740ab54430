"""What is left of rows that were forgotten: readout removal and evidence removal against training anew.

python benchmarks/unlearning.py [--what rows|class] [--seeds 10] [--epochs 12] [--forget 60]

A small network learns the digits with F (some rows of class 3, or all of it) and, as its oracle, without.
Figures are differences to the oracles of the same seeds with 95 % intervals, KLOM beside its floor (two
halves of the oracles), membership of F against test rows of its class, and steps until F is learned again.
"""

import argparse
import copy
from collections.abc import Callable
from itertools import takewhile

import torch
from torch import Tensor
from torch.nn import functional

from holdfast.anchor import GPM
from holdfast.anchor.unlearn import ForgetEvidence, unlearn_rows
from holdfast.core.errors import ConfigError
from holdfast.core.numerics import to_float
from holdfast.core.output import outputs
from holdfast.core.rows import Rows
from holdfast.learner import Learner
from holdfast.memory import NoMemory
from holdfast.metrics.unlearning import (
    klom,
    klom_floor,
    margins,
    membership,
    relearn_time,
    retrained_difference,
)
from holdfast.readout import SharedGaussian
from holdfast.readout.readout import FitContext
from holdfast.stream.source import digits
from holdfast.stream.task import Task

CLASS, CLASSES = 3, 10
Scored = Callable[[Rows], Tensor]  # rows to (N, K) scores


def trained(rows: Rows, shape: tuple[int, ...], seed: int, epochs: int) -> Learner:
    """A network that learned rows by cross-entropy over all ten classes."""
    torch.manual_seed(seed)
    learner = Learner(shape, "mlp", 64, 16, CLASSES)
    learner.normalise_by(rows.x)
    fitted(learner.train(), rows, epochs, lr=0.05)
    return learner.eval()


def fitted(learner: Learner, rows: Rows, epochs: int, lr: float) -> None:
    """Epochs of SGD."""
    moving = torch.optim.SGD(learner.parameters(), lr, 0.9)
    for _ in range(epochs):
        for batch in rows[torch.randperm(len(rows))].batches(64):
            moving.zero_grad()
            functional.cross_entropy(learner(to_float(batch.x)).logits, batch.y).backward()
            moving.step()


def gaussian(learner: Learner, rows: Rows) -> SharedGaussian:
    """The streaming readout of rows; classes that never came have the score -inf."""
    readout = SharedGaussian(shrinkage=0.1, drift="none")
    classes = tuple(sorted(rows.y.unique().tolist()))
    task = Task(0, classes, rows, rows)
    readout.fit(FitContext(learner, task, NoMemory(), tuple(range(CLASSES))))
    return readout


def table(x: Tensor, y: Tensor, first: int) -> Rows:
    x = x.flatten(1).float() / 255
    return Rows(x, y, torch.zeros_like(y), first + torch.arange(len(y)))


def by_head(learner: Learner) -> Scored:
    return lambda rows: outputs(learner, rows).logits


def by_readout(learner: Learner, readout: SharedGaussian) -> Scored:
    return lambda rows: readout.scores(outputs(learner, rows))


def relearned(learner: Learner, gone: Rows, target: float) -> float:
    """Steps of SGD on F alone until F is as right as it was."""
    learner, scores = copy.deepcopy(learner), []
    moving = torch.optim.SGD(learner.parameters(), 0.01)
    for _ in range(100):
        logits = learner(to_float(gone.x)).logits
        scores.append(float((logits.argmax(1) == gone.y).double().mean()))
        if scores[-1] >= target:
            break
        moving.zero_grad()
        functional.cross_entropy(logits, gone.y).backward()
        moving.step()
    return relearn_time(scores, target)


def without_evidence(learner: Learner, gone: Rows, kept: Rows, hold: bool) -> Learner | None:
    """A copy that lost what speaks for F's class; None, and why, where that is refused.

    With ``hold``, updates are kept out of what the retained inputs use (gpm).
    """
    learner = copy.deepcopy(learner)
    h, g = (outputs(learner, rows).features for rows in (kept, gone))
    means = {k: h[kept.y == k].mean(0) for k in kept.y.unique().tolist()}
    means[CLASS] = g.mean(0) if CLASS not in means else means[CLASS]
    if CLASS in kept.y.unique().tolist():
        print("evidence removal: refused, for the class itself is retained")
        return None
    try:
        rules = [holding(learner, kept)] if hold else []
        unlearn_rows(learner, ForgetEvidence(gone), means, steps=60, lr=0.02, rules=rules)
    except ConfigError as refused:
        print(f"evidence removal: refused, {refused}")
        return None
    return learner


def holding(learner: Learner, kept: Rows) -> GPM:
    """GPM that holds the inputs of every layer on some retained rows."""
    rule = GPM(eps=0.97, inputs=300)
    rule.moved = {name for name, p in learner.named_parameters() if p.requires_grad}
    torch.manual_seed(0)
    rule.consolidate(learner, Task(0, tuple(sorted(kept.y.unique().tolist())), kept, kept))
    return rule


def accuracy(scored: Scored, rows: Rows) -> float:
    return float((scored(rows).argmax(1) == rows.y).double().mean())


def report(name: str, arms: list[Scored], oracles: list[Scored], tables: dict[str, Rows]) -> None:
    """One way of unlearning against its oracles."""
    print(f"\n{name}")
    for what, rows in tables.items():
        each = [[accuracy(scored, rows) for scored in of] for of in (arms, oracles)]
        d = retrained_difference(*each)
        shares = [100 * sum(values) / len(values) for values in each]
        m = [
            torch.stack([margins(s(rows), rows.y).nan_to_num(-100) for s in of])
            for of in (arms, oracles)
        ]
        half = len(arms) // 2
        apart, floor = klom(m[0][:half], m[1][half:]), klom_floor(m[1])
        print(
            f"  {what:9} accuracy {shares[0]:5.1f} %, anew {shares[1]:5.1f}: {100 * d.mean:+.1f} "
            f"({100 * d.low:+.1f} to {100 * d.high:+.1f}); KLOM median {float(apart.median()):.2f}, "
            f"95 % {float(apart.quantile(0.95)):.1f}, floor {float(floor.median()):.2f} and "
            f"{float(floor.quantile(0.95)):.1f}"
        )
    for who, of in (("unlearned", arms), ("anew", oracles)):
        found = [
            membership(
                *(margins(s(tables[t]), tables[t].y).nan_to_num(-100) for t in ("F", "unseen"))
            )
            for s in of
        ]
        n = len(found)
        auc, leak, tpr = (sum(getattr(f, a) for f in found) / n for a in ("auc", "leak", "tpr"))
        print(
            f"  membership, {who}: AUC {auc:.3f}, |AUC - 1/2| {leak:.3f} (sd of chance "
            f"{found[0].sd:.3f}), TPR at FPR 1 % {100 * tpr:.1f} %"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--what", choices=("rows", "class"), default="rows")
    for flag, default in (("seeds", 10), ("epochs", 12), ("forget", 60)):
        parser.add_argument(f"--{flag}", type=int, default=default)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    source = digits()
    everything, test = table(source.x, source.y, 0), table(source.test_x, source.test_y, 10**6)
    shape = (source.x[0].numel(),)
    of_class = (everything.y == CLASS).nonzero()[:, 0]
    mask = torch.zeros(len(everything), dtype=torch.bool)
    mask[of_class if asked.what == "class" else of_class[: asked.forget]] = True
    gone, kept = everything[mask], everything[~mask]
    tables = {
        "F": gone, "unseen": test[test.y == CLASS], "retained": kept[slice(0, 400)],
        "test": test[test.y != CLASS],
    }  # fmt: skip
    before = [trained(everything, shape, s, asked.epochs) for s in range(asked.seeds)]
    anew = [trained(kept, shape, s, asked.epochs) for s in range(asked.seeds)]
    print(f"{asked.seeds} seeds; F: {len(gone)} rows of class {CLASS}, of {len(of_class)}")
    report("nothing unlearned (head)", [*map(by_head, before)], [*map(by_head, anew)], tables)
    readouts, gaps = [], []
    for learner in before:
        readout, expected = gaussian(learner, everything), gaussian(learner, kept)
        readout.forget(outputs(learner, gone), gone.y)
        readouts.append(by_readout(learner, readout))
        x = readout.read(outputs(learner, test))
        met = expected.known.met
        gaps.append(float((readout.decision(x) - expected.decision(x))[:, met].abs().max()))
    oracles = [by_readout(learner, gaussian(learner, kept)) for learner in anew]
    report("readout removal (network has seen F)", readouts, oracles, tables)
    print(f"  scores differ from a readout fitted without F on the same network by {max(gaps):.1e}")
    ways = {"nothing": before, "anew": anew}
    for words, hold in (
        ("evidence removal", False),
        ("evidence removal, retained inputs held", True),
    ):
        lost = (without_evidence(learner, gone, kept, hold) for learner in before)
        ways[words] = list(takewhile(lambda learner: learner is not None, lost))
        if len(ways[words]) == len(before):
            report(f"{words} (head)", [*map(by_head, ways[words])], [*map(by_head, anew)], tables)
    target = sum(accuracy(by_head(learner), gone) for learner in before) / len(before) - 0.01
    for words, learners in ways.items():
        steps = [relearned(learner, gone, target) for learner in learners]
        if steps:
            mean, share = sum(steps) / len(steps), 100 * target
            print(f"relearn, {words}: {mean:.1f} steps until {share:.0f} % of F are right")


if __name__ == "__main__":
    main()
