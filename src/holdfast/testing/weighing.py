"""The laws of row weights: ones say nothing, and what weighs rows counts one of weight w as w rows."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from holdfast.core.rows import WEIGHT, Rows
from holdfast.core.step import Part, Step
from holdfast.loss.term import Term
from holdfast.stream.task import Task
from holdfast.testing.bench import Bench
from holdfast.testing.compare import expect


def weighs_rows(term: Term, bench: Bench, name: str) -> None:
    """A term's value with weights of one is that without, to the bit; if it weighs, w rows are a weight w.

    Args:
        term: one that has begun the second task of the bench.
        bench: whose step it is asked.
        name: of the term.
    """
    bench.learner.eval()  # batch norm would see the rows that are repeated

    def ask(change: Callable[[Rows], Rows]) -> Tensor:
        step = bench.step(None, term.views, term.extra_rows)
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            return copy.deepcopy(term)(_changed(step, change)).detach()

    plain, ones = ask(lambda rows: rows), ask(lambda rows: weighed(rows, torch.ones(len(rows))))
    same = torch.equal(plain, ones)
    expect(
        same, f"{name} says {ones.item()} of rows that weigh 1, and {plain.item()} without weights."
    )
    if term.weighs and term.views == 1:
        by_weight = ask(lambda rows: weighed(rows, _whole(rows).float()))
        repeated = ask(lambda rows: rows[torch.arange(len(rows)).repeat_interleave(_whole(rows))])
        expect(
            bool((by_weight - repeated).abs() <= 1e-5 * (1 + repeated.abs())),
            f"{name} says {by_weight.item()} of rows with weights, and {repeated.item()} of as many "
            "equal rows.",
        )
    bench.learner.train()


def weighed_task(task: Task) -> Task:
    """A task whose training rows all weigh 1."""
    return replace(task, train=weighed(task.train, torch.ones(len(task.train))))


def weighed(rows: Rows, weight: Tensor) -> Rows:
    """Rows with a weight each."""
    return replace(rows, extra={**rows.extra, WEIGHT: weight})


def _whole(rows: Rows) -> Tensor:
    """(N,) 1, 2, 3, 1, ..."""
    return torch.arange(len(rows)) % 3 + 1


def _changed(step: Step, change: Callable[[Rows], Rows]) -> Step:
    """The step with other rows in each part."""
    parts = step._parts
    step._parts = {n: Part(change(p.rows), p._forward, p._past) for n, p in parts.items()}
    return step
