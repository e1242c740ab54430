"""The laws of parameters that a term owns: the optimiser moves them, and a state has them whole."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor

from holdfast.loss.term import Term
from holdfast.recipes.method import Method
from holdfast.stream.task import Stream
from holdfast.testing.bench import Bench
from holdfast.testing.compare import copies, difference, expect, through_disk, weights
from holdfast.testing.streams import CLASSES, small_stream
from holdfast.testing.watched import QUICK, learned
from holdfast.train.continual import Continual


def keeps_its_parameters(term: Term, ready: Term, bench: Bench, name: str) -> None:
    """A state taken while they are trained gives them to a fresh object; pickles and copies have them.

    Args:
        term: before it has learned anything.
        ready: a copy that has begun the second task of the bench.
        bench: whose step it is asked.
        name: of the term.
    """
    parameters = [p for p in ready.parameters() if p.requires_grad]
    if not parameters:
        return
    step = bench.step(None, ready.views, ready.extra_rows)
    slopes = torch.autograd.grad(_value(ready, step), parameters, allow_unused=True)
    expect(any(slope is not None for slope in slopes), f"{name} trains none of its parameters.")
    with torch.no_grad():
        for p in parameters:
            p.add_(torch.linspace(-0.1, 0.1, p.numel()).to(p).view_as(p))
    expected = _value(ready, step).detach()
    fresh = copy.deepcopy(term)
    fresh.load_state_dict(through_disk(dict(ready.state_dict()), name))
    for words, twin in [("its state in a fresh copy", fresh), *copies(ready, name)]:
        value = _value(twin, step).detach()
        expect(
            torch.equal(value, expected),
            f"{name} with trained parameters says {value.item()} after {words}, and {expected.item()} "
            "before.",
        )


def moves_its_parameters(method: Method, name: str, stream: Stream | None = None) -> None:
    """In a run each of them moves from one epoch to the next, wherever it has any.

    Args:
        method: with the term.
        name: of the term.
        stream: on which; by default `small_stream`.
    """
    stream = small_stream() if stream is None else stream
    core = Continual(method, stream.shape, QUICK, CLASSES)
    for task in stream:
        before: list[Tensor] = []
        for _ in core.epochs(task):
            now = [p.detach().clone() for p in core.method.trainable if p.requires_grad]
            words = f"of task {task.index + 1}"
            expect(
                not before or len(before) == len(now),
                f"{name} has other parameters within the steps {words}.",
            )
            still = [a for a, b in zip(before, now) if torch.equal(a, b)]
            expect(not still, f"{name} has a parameter that an epoch {words} does not move.")
            before = now


def asking_changes_nothing(method: Method, name: str) -> None:
    """With the weight 0 the last anchor leaves the run as it is without it, to the bit.

    Args:
        method: with the term as its last anchor.
        name: of the term.
    """
    *others, term = method.anchors
    assert isinstance(term, Term)
    without, beside = (
        weights(learned(replace(method, anchors=anchors), small_stream()).learner)
        for anchors in (others, [*others, 0.0 * term])
    )
    place = difference(without, beside)
    expect(not place, f"a run with {name} at the weight 0 is another one, at {place}.")


def _value(term: Term, step: object) -> Tensor:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return term(step)
