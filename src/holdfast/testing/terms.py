"""The laws of a term: a loss or an anchor that adds to it."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from holdfast.core.rows import Rows
from holdfast.core.step import Step
from holdfast.loss.classify import CrossEntropy
from holdfast.loss.term import READABLE, Objective, Term
from holdfast.memory.memory import NoMemory
from holdfast.memory.protocol import Protocol
from holdfast.memory.reservoir import Reservoir
from holdfast.recipes.method import Method
from holdfast.stream.task import Stream
from holdfast.testing.bench import Bench, gradients, same_rows
from holdfast.testing.compare import (
    copies,
    difference,
    expect,
    keeps_no_image,
    through_disk,
    weights,
)
from holdfast.testing.recipes import check_recipe
from holdfast.testing.subject import Subject
from holdfast.testing.trained import (
    asking_changes_nothing,
    keeps_its_parameters,
    moves_its_parameters,
)
from holdfast.testing.weighing import weighs_rows

LAWS_IN_A_RUN = ("resume_is_uninterrupted", "forward_budget", "figures_are_sound")
PLACES = {"logits": ("head",), "embedding": ("projector",), "hidden": ("projector.0",)}


def check_term(term: Term, run: bool = True, stream: Stream | None = None) -> None:
    """Check a term by itself on a small network, and in a run beside cross-entropy.

    By itself: it declares what it reads among what there is; its value is a finite scalar with finite
    gradients on ordinary rows, one row, one class, equal rows and many rows; it is the same when asked
    again; it moves neither of the networks nor the rows; it depends on nothing that it does not say it
    reads; it keeps no image; its state goes through a file into a fresh copy that then says the same;
    it can be pickled and copied; so do parameters that it owns; weights of one say nothing, and if it says
    that it weighs rows, one of weight w counts as w rows. In a run: it resumes, costs no further
    forward pass, and stays finite, and parameters that it owns move; with the weight 0 it changes no bit,
    whatever columns it asks for.

    Args:
        term: before it has learned anything; copies are used.
        run: whether to check it in a run as well.
        stream: of 3 tasks, for a term that is of no use on `small_stream`.

    Raises:
        AssertionError: naming the law that does not hold.
    """
    name = type(term).__name__
    strange = {*term.reads, *term.asks} - {*READABLE}
    expect(not strange, f"{name} reads {strange}, but a learner has {', '.join(READABLE)} only.")
    bench = Bench(term.dim or 16, stream)
    _values(term, name, bench)
    _declared(term, name, stream)
    _state(term, name, stream)
    bench = Bench(term.dim or 16, stream)
    keeps_its_parameters(term, prepared(term, bench), bench, name)
    weighs_rows(prepared(term, bench), bench, name)
    if run:
        check_recipe(Subject(_method(term), stream=stream), LAWS_IN_A_RUN)
        moves_its_parameters(_method(term), name, stream)
        if "stages" in term.reads:
            asking_changes_nothing(_method(term), name)


def prepared(term: Term, bench: Bench) -> Term:
    """A copy that has learned the first task of a bench and begun the second."""
    term = copy.deepcopy(term)
    before, task = bench.past, bench.stream[0]
    trainable = copy.deepcopy(before).requires_grad_(True)
    term.begin(trainable, task)
    trainable.eval()
    term.consolidate(trainable, task, None)
    term.begin(bench.learner, bench.task)
    return term


def value_of(term: Objective, step: Step) -> Tensor:
    """The value with every global generator at one place, as in a run."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return term(step)


def _values(term: Term, name: str, bench: Bench) -> None:
    term = prepared(term, bench)
    rows = bench.task.train
    one_class = rows[rows.y == rows.y[0]]
    cases: dict[str, Rows] = {
        "ordinary rows": rows[slice(None, None, 3)],
        "one row": rows[slice(0, 1)],
        "one class": one_class,
        "equal rows": same_rows(rows, 8),
        "many rows": rows[torch.arange(600) % len(rows)],
    }
    for words, case in cases.items():
        step = bench.step(case, max(term.views, 2 if len(case) == 1 else 1), term.extra_rows)
        x = step["batch"].rows.x.clone()
        nets = weights(bench.past), dict(bench.learner.named_parameters())
        copied = {n: p.detach().clone() for n, p in nets[1].items()}
        value = value_of(term, step)
        expect(
            value.ndim == 0 and bool(value.isfinite()),
            f"{name} must be a finite scalar on {words}, not {value.detach()}.",
        )
        slopes = gradients(value, bench.learner).items()
        strange = [n for n, slope in slopes if not bool(slope.isfinite().all())]
        expect(not strange, f"{name} has a gradient that is not finite on {words}: {strange[:1]}.")
        expect(torch.equal(step["batch"].rows.x, x), f"{name} changes the rows of its step.")
        moved = difference(nets[0], weights(bench.past)) or difference(copied, nets[1])
        expect(not moved, f"{name} moves a network while it is asked, at {moved}.")
    step = bench.step(None, term.views, term.extra_rows, first=True)
    first = value_of(copy.deepcopy(term), step)
    expect(not term.needs_past or float(first) == 0, f"{name} must be 0 where there is no past.")


def _declared(term: Term, name: str, stream: Stream | None) -> None:
    """What it does not say it reads may be anything."""
    if "weights" in term.reads:
        return
    bench = Bench(term.dim or 16, stream)
    term = prepared(term, bench)

    def ask() -> Tensor:
        return value_of(copy.deepcopy(term), bench.step(None, term.views, term.extra_rows)).detach()

    before = ask()
    expect(torch.equal(before, ask()), f"{name} says something else when it is asked again.")
    for column, modules in PLACES.items():
        read = {column, *(("embedding",) if column == "hidden" else ())} & {*term.reads}
        if read:
            continue
        changed = bench.learner.get_submodule(modules[0])
        if column == "embedding":
            changed = bench.learner.projector[-1]
        kept = copy.deepcopy(dict(changed.state_dict()))
        with torch.no_grad():
            for p in changed.parameters():
                p.add_(torch.linspace(0.1, 1, p.numel()).view_as(p))
        other = ask()
        changed.load_state_dict(kept)
        expect(
            torch.equal(before, other),
            f"{name} depends on the {column}, which it does not say it reads: reads = {term.reads}.",
        )


def _state(term: Term, name: str, stream: Stream | None) -> None:
    bench = Bench(term.dim or 16, stream)
    ready = prepared(term, bench)
    value_of(ready, bench.step(None, term.views, term.extra_rows))
    ready.consolidate(bench.learner.eval(), bench.task, bench.past)
    bench.learner.train()
    allowed = term.extra_rows
    kept = {f"the term {name}": ready}
    if allowed is None:
        for task in (bench.stream[0], bench.task):
            keeps_no_image(kept, task.train)
    expected = value_of(copy.deepcopy(ready), bench.step(None, term.views, allowed))
    fresh = copy.deepcopy(term)
    fresh.load_state_dict(through_disk(dict(ready.state_dict()), name))
    twins = [("its state in a fresh copy", fresh), *copies(ready, name)]
    for words, twin in twins:
        value = value_of(twin, bench.step(None, term.views, allowed))
        expect(
            torch.equal(value, expected),
            f"{name} says {value.item()} after {words}, and {expected.item()} before.",
        )


def _method(term: Term) -> Method:
    """A method of cross-entropy and the term."""
    term = copy.deepcopy(term)
    draws = term.on.startswith("memory") or term.extra_rows is not None
    size = 16 + (0 if term.extra_rows is None else len(term.extra_rows))
    return Method(
        CrossEntropy("seen"),
        [term],
        Reservoir(16, "draw", ("logits",), 2) if term.on.startswith("memory") else NoMemory(),
        protocol=Protocol("buffer", size) if draws else Protocol(),
        name=f"cross-entropy with {type(term).__name__}",
    )
