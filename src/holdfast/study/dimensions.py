"""How many directions a task needs: training in random subspaces of growing dimension."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from holdfast.anchor.random_subspace import RandomSubspace
from holdfast.anchor.rule import Rule
from holdfast.core.errors import ConfigError
from holdfast.core.settings import Network, Training
from holdfast.loss.classify import CrossEntropy
from holdfast.recipes.method import Method
from holdfast.store import atomic_write, make_folder
from holdfast.stream.source import digits
from holdfast.stream.split import class_incremental
from holdfast.stream.task import Stream
from holdfast.study.finding import Finding, above, near, save
from holdfast.train.continual import Continual
from holdfast.train.setup import Setup

SMALL = Setup(Training(epochs=10, batch=32, lr=0.05), Network(width=8))
GRID = (30, 100, 300, 1000, 3000)
ABOUT = "How many random directions the digits need"


@dataclass(frozen=True)
class Dimensions:
    """What was reached in random subspaces.

    Attributes:
        weights: D, how many numbers training moves.
        full: accuracy of training all of them.
        dims: d of the subspaces, growing.
        accuracy: by d and then by seed, the accuracies reached.
        share: of the full accuracy, that is asked.
    """

    weights: int
    full: float
    dims: tuple[int, ...]
    accuracy: tuple[tuple[float, ...], ...]
    share: float

    def least(self, seed: int | None = None) -> int | None:
        """d_int: the least d whose accuracy is the share of the full one; None if there is none.

        Args:
            seed: place of the one that is looked at; None takes their mean.

        >>> reached = Dimensions(1000, 0.9, (10, 100), ((0.5, 0.9), (0.85, 0.9)), 0.9)
        >>> reached.least(), reached.least(0), reached.least(1)
        (100, 100, 10)
        """
        for d, values in zip(self.dims, self.accuracy, strict=True):
            value = sum(values) / len(values) if seed is None else values[seed]
            if value >= self.share * self.full:
                return d
        return None


def intrinsic_dimension(
    stream: Stream,
    dims: Sequence[int] = GRID,
    seeds: Sequence[int] = (0, 1),
    share: float = 0.9,
    setup: Setup = SMALL,
) -> Dimensions:
    """Train the first task of a stream in random subspaces (`RandomSubspace`), and once with all weights.

    The rate in d of D dimensions is sqrt(D / d) times that of all weights, as gradients are as much
    shorter there. Accuracy is the head's on the task's test rows.

    Args:
        stream: whose first task is learned, anew each time.
        dims: how many directions.
        seeds: of the subspaces.
        share: of the full accuracy, that is asked.
        setup: of every run; its seed gives all the same network at the start.

    Raises:
        ConfigError: without a dimension or a seed, or for more dimensions than weights.

    Source: Li et al., *Measuring the intrinsic dimension of objective landscapes*, ICLR 2018; the share of
        90 % is not verified against the source
    """
    if not dims or not seeds:
        raise ConfigError("the intrinsic dimension needs a dimension and a seed at least.")
    full, weights = reached(stream, setup, [])
    lr, rows = setup.training.lr, []
    for d in sorted(set(dims)):
        training = replace(setup.training, lr=lr * (weights / d) ** 0.5)
        faster = replace(setup, training=training)
        rows.append(tuple(reached(stream, faster, [RandomSubspace(d, seed)])[0] for seed in seeds))
    return Dimensions(weights, full, tuple(sorted(set(dims))), tuple(rows), share)


def reached(stream: Stream, setup: Setup, rules: Sequence[Rule]) -> tuple[float, int]:
    """Test accuracy of a first task learned under some rules, and how many weights it moved."""
    method = Method(CrossEntropy("seen"), list(rules))
    core = Continual(method, stream.shape, replace(setup, readout="head"))
    core.learn(stream[0])
    test = stream[0].test
    right = core.scores(test.x).argmax(1).cpu() == test.y
    moved = sum(p.numel() for p in core.learner.parameters() if p.grad is not None)
    return float(right.double().mean()), moved


def intrinsic(out: Path | None = None, seed: int = 0) -> list[Finding]:
    """How many random directions of the weights a small network needs to learn the digits.

    Args:
        out: a folder for intrinsic.json and intrinsic-dimensions.json; it is made if need be.
        seed: of the network and the order.

    Raises:
        ConfigError: if the folder cannot be made.
    """
    if out is not None:
        make_folder(out, exist_ok=True)
    stream = class_incremental(digits(), 1)
    setup = replace(SMALL, seed=seed)
    result = intrinsic_dimension(stream, GRID, setup=setup)
    least, every = result.least(), [result.least(i) for i in range(2)]
    places = [GRID.index(d) for d in every if d is not None]
    apart = float(abs(places[0] - places[1])) if len(places) == 2 else float("inf")
    whole = reached(stream, setup, [RandomSubspace(result.weights)])[0]
    findings = [
        above(ABOUT, f"accuracy with all {result.weights:,} weights", result.full, 0.9),
        near(ABOUT, "the same in a subspace of all dimensions", whole, result.full, 0.02),
        above(ABOUT, f"accuracy in {GRID[-1]} dimensions", _mean(result.accuracy[-1]), 0.5),
        Finding(
            ABOUT, "least d of the grid with 90 % of it", float(least or "nan"),
            f"under a tenth of {result.weights:,}", least is not None and least < result.weights / 10,
        ),
        Finding(ABOUT, "steps of the grid between two seeds", apart, "at most 1", apart <= 1),
    ]  # fmt: skip
    if out is not None:
        atomic_write(out / "intrinsic.json", lambda to: save(findings, to))
        atomic_write(
            out / "intrinsic-dimensions.json",
            lambda to: to.write_text(json.dumps(asdict(result), indent=2) + "\n"),
        )
    return findings


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
