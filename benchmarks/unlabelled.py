"""How well scores without labels pick an anchor's weight, on rotated digits: the regret of each.

Domains come one after the other. For each weight of the distillation a run is made, and each score is asked
of its head on two targets: the inputs of old domains, which a strict method no longer has, and those of the
newest, which it has. The labelled rows are the newest domain's training rows. The regret is what is lost
of the mean accuracy on the test rows of old domains against the best weight, in points; `random` is the
mean over weights.

    python benchmarks/unlabelled.py [--seeds 3] [--epochs 4] [--per-class 40] [--domains rotated:0,45,90]
"""

import argparse
import statistics

import torch

from holdfast import recipes
from holdfast.learner import outputs
from holdfast.metrics import domain_odds, unlabelled
from holdfast.stream import cat, digits, limit, make_domains
from holdfast.train.runner import Run
from holdfast.train.setup import Setup

WEIGHTS = (0.0, 0.1, 1.0, 10.0, 100.0)


def nearest_mean(x: torch.Tensor, y: torch.Tensor):
    """The readout of circular validation."""
    classes = y.unique()
    means = torch.stack([x[y == c].mean(0) for c in classes])
    return lambda z: classes[torch.cdist(z, means).argmin(1)]


def scores(learner, target, source) -> dict[str, float]:
    """Every score of a learner on unlabelled rows, with labelled ones beside them."""
    there, here = outputs(learner, target), outputs(learner, source)
    p, y = there.logits.softmax(1), source.y
    weight = domain_odds(here.features, there.features, 1e-2)
    loss = torch.nn.functional.cross_entropy(here.logits, y, reduction="none")
    answers = p.argmax(1)
    return {
        "entropy": unlabelled.entropy(p),
        "information": unlabelled.information(p),
        "density": unlabelled.density(p),
        "weighted": unlabelled.weighted(here.logits.argmax(1) == y, weight),
        "dev": unlabelled.dev(loss, weight),
        "circular": unlabelled.circular(nearest_mean, there.features, answers, here.features, y),
        "rows": unlabelled.effective_rows(weight) / len(weight),
    }


def of_seed(asked: argparse.Namespace, seed: int) -> tuple[dict, list[float], list[float]]:
    """By target and score the regret; accuracies on old domains; and shares of rows that weights leave."""
    source = limit(digits(), asked.per_class, 20, seed)
    stream = make_domains(source, asked.domains)
    accuracies, table, rows = [], [], []
    for weight in WEIGHTS:
        method = recipes.make("lwf_strict", weight=weight, features=weight, decide="head")
        setup = Setup.of("lwf_strict", "quick", seed=seed, epochs=asked.epochs)
        run = Run(method, stream, setup)
        for _ in run.events():
            pass
        old = cat([task.test for task in stream.tasks[:-1]])
        right = outputs(run.learner, old).logits.argmax(1) == old.y
        accuracies.append(float(right.double().mean()))
        targets = {"old inputs": old, "new inputs": stream.tasks[-1].test}
        newest = stream.tasks[-1].train
        each = {name: scores(run.learner, some, newest) for name, some in targets.items()}
        rows.append(each["old inputs"]["rows"])
        table.append(each)
    regrets = {
        (target, name): unlabelled.regret([row[target][name] for row in table], accuracies, high)
        for target in table[0]
        for name, high in unlabelled.HIGH.items()
    }
    return regrets, accuracies, rows


def main() -> None:
    parser = argparse.ArgumentParser()
    for flag, default in (("seeds", 3), ("epochs", 4), ("per-class", 40)):
        parser.add_argument(f"--{flag}", type=int, default=default)
    parser.add_argument("--domains", default="rotated:0,45,90")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    runs = [of_seed(asked, seed) for seed in range(asked.seeds)]
    mean = lambda column: 100 * statistics.mean(column)
    print(f"digits, {asked.domains}, {asked.seeds} seeds; accuracy on old domains by weight:")
    for k, weight in enumerate(WEIGHTS):
        print(f"  {weight:6g} {mean([run[1][k] for run in runs]):6.1f}")
    left = min(share for run in runs for share in run[2])
    print(f"weights of importance leave {100 * left:.0f} % of the rows or more")
    print(f"regret in points; random {mean([max(a) - statistics.mean(a) for _, a, _ in runs]):.1f}")
    print(f"  {'score':12} {'old inputs':>10} {'new inputs':>10}")
    for name in unlabelled.HIGH:
        pair = [mean([run[0][t, name] for run in runs]) for t in ("old inputs", "new inputs")]
        print(f"  {name:12} {pair[0]:10.1f} {pair[1]:10.1f}")


if __name__ == "__main__":
    main()
