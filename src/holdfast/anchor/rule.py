"""Rule: an anchor that edits the step instead of adding to the loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from holdfast.core.step import Step
from holdfast.learner.effective import EffectiveMoves

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task

Named = dict[str, Tensor]  # one tensor a parameter, by the parameter's name


class Rule(nn.Module):
    """Edits what the optimiser is given, or what it has done; both default to the identity.

    A guarantee belongs on the update: under momentum, Adam or weight decay an edited gradient
    still leaks into the protected directions. A hook that is not overridden costs nothing.

    Names are those of the learner's parameters. Of a parametrised weight `observe` sees the effective one
    (`holdfast.learner.effective`); a rule that edits steps is refused beside such weights.

    Attributes:
        reads: what of the learner it depends on, as for a `Term`.
        asks: what of the learner a term must teach, so that the rule means something.
        needs_split: whether `split` is called: a step then takes two backward passes.
        with_terms: whether `gradient` is given the weights that terms bring themselves too, as ``term.0``.
    """

    reads: tuple[str, ...] = ("weights",)
    asks: tuple[str, ...] = ()
    needs_split: bool = False
    with_terms: bool = False

    def begin(self, learner: Learner, task: Task) -> None:
        """Prepare for a task; called before its first step."""

    def split(self, task: Named, anchors: Named, step: Step) -> tuple[Named, Named]:
        """What stands for the two gradients, whose sum comes before every `gradient`.

        Both have the same names, of the learner's weights alone; where a loss does not reach, as the
        anchors do nowhere in the first task, its gradient is 0. Nothing is changed in place.

        Args:
            task: of the task's loss.
            anchors: of what the anchors add to it.
            step: the step.
        """
        return task, anchors

    def gradient(self, gradient: Named, step: Step) -> Named:
        """What the optimiser is given, from the gradients by parameter name."""
        return gradient

    def observe(self, gradient: Named, move: Named, step: Step) -> None:
        """Look at the loss's own gradient and at the optimiser's own move; no rule has edited either
        of them, but where a rule edits the gradient the move is what the optimiser made of that.
        """

    def update(self, delta: Named, step: Step) -> Named:
        """What the weights move by, from the optimiser's own moves by parameter name."""
        return delta

    def settle(self, weights: Named, step: Step) -> None:
        """Change the weights in place, where the optimiser and every `update` have left them.

        It needs no copy of what it does not change, as a guarantee on the weights themselves.

        Args:
            weights: those that the step moved, by parameter name.
            step: the step.
        """

    def adjust(self, learner: Learner, task: Task) -> None:
        """Change the learner when a task ends, before anything is measured on it."""

    def consolidate(self, learner: Learner, task: Task, past: Learner | None = None) -> None:
        """Keep what the next tasks will need; called once when a task ends, after every `adjust`.

        Args:
            learner: as it stays.
            task: the one that ended.
            past: the network before the task, in eval mode; None in the first.
        """


class WeightAligning(Rule):
    """When a task ends, its new classes' rows of the head are scaled by mean ||w_old|| / mean ||w_new||.

    A head trained on new data alone gives them longer rows, and so the larger scores (docs/theory.md,
    section 10). The bias is left alone, and so are the rows of classes that came before.

    Source: Zhao et al., *Maintaining discrimination and fairness in class incremental learning*, 2020
    """

    asks = ("logits",)

    def __init__(self):
        super().__init__()
        self.known: tuple[int, ...] = ()

    @torch.no_grad()
    def adjust(self, learner: Learner, task: Task) -> None:
        """Scale, if there are old and new classes; remember which are old from now on."""
        new = [c for c in task.classes if c not in self.known]
        if self.known and new:
            norms = learner.head.weight.norm(dim=1)
            ratio = norms[list(self.known)].mean() / norms[new].mean().clamp_min(1e-12)
            learner.head.weight[new] *= ratio
        self.known = (*self.known, *new)

    def get_extra_state(self) -> tuple[int, ...]:
        """The classes that came before."""
        return self.known

    def set_extra_state(self, state: tuple[int, ...]) -> None:
        """Take over the classes."""
        self.known = tuple(state)


@contextmanager
def edited(
    rules: Sequence[Rule],
    learner: nn.Module,
    step: Step,
    apart: tuple[Named, Named] | None = None,
    brought: Sequence[nn.Parameter] = (),
) -> Iterator[None]:
    """Run an optimiser step inside, with the rules applied before it and after it.

    Weights and gradients are copied only where a rule looks at a step or edits it.

    Args:
        rules: in their order.
        learner: whose weights have their gradients.
        step: the step.
        apart: the gradients of the task's loss and of the anchors, of which those are the sums.
        brought: the weights that terms bring themselves, for rules ``with_terms``.
    """
    edits_gradient, observes, edits_update, settles = (
        [rule for rule in rules if _overrides(rule, hook)]
        for hook in ("gradient", "observe", "update", "settle")
    )
    if not (edits_gradient or observes or edits_update or settles or apart):
        yield
        return
    moving = {n: p for n, p in learner.named_parameters() if p.grad is not None}
    gradient = {name: p.grad for name, p in moving.items() if p.grad is not None}
    raw = {name: g.detach().clone() for name, g in gradient.items()} if observes else {}
    if apart is not None:
        gradient = _joined(rules, *apart, step)
    _edit(edits_gradient, moving, gradient, step, brought)
    if not (observes or edits_update):
        yield
        _settle(settles, moving, step)
        return
    shown = EffectiveMoves(learner) if observes else None
    before = {name: p.detach().clone() for name, p in moving.items()}
    yield
    with torch.no_grad():
        delta = {name: p - before[name] for name, p in moving.items()}
        if shown is not None:
            seen = shown.gradients(raw), shown.moves(delta)
            for rule in observes:
                rule.observe(*seen, step)
        _update(edits_update, moving, before, delta, step)
    _settle(settles, moving, step)


def _edit(
    rules: Sequence[Rule],
    moving: Mapping[str, nn.Parameter],
    gradient: Named,
    step: Step,
    brought: Sequence[nn.Parameter],
) -> None:
    """Let rules edit what the optimiser is given."""
    asked = brought if any(rule.with_terms for rule in rules) else ()
    terms = {f"term.{i}": p for i, p in enumerate(asked) if p.grad is not None}
    besides = {name: p.grad for name, p in terms.items() if p.grad is not None}
    for rule in rules:
        if rule.with_terms:
            both = rule.gradient(gradient | besides, step)
            gradient, besides = (
                {name: both[name] for name in each} for each in (gradient, besides)
            )
        else:
            gradient = rule.gradient(gradient, step)
    for name, p in (*moving.items(), *terms.items()):
        p.grad = gradient[name] if name in gradient else besides[name]


def _update(
    rules: Sequence[Rule],
    moving: Mapping[str, nn.Parameter],
    before: Named,
    delta: Named,
    step: Step,
) -> None:
    """Let rules edit what the weights moved by."""
    for rule in rules:
        delta = rule.update(delta, step)
    # what no rule edited keeps its bits, and what may not move those it had
    for name, p in moving.items() if rules else ():
        start, move = before[name], delta[name]
        p.copy_(torch.where(move == p - start, p, start + move))


@torch.no_grad()
def _joined(rules: Sequence[Rule], task: Named, anchors: Named, step: Step) -> Named:
    """The sum of the two gradients, after every rule that wants them apart."""
    for rule in rules:
        if rule.needs_split:
            task, anchors = rule.split(task, anchors, step)
    return {name: g + anchors[name] for name, g in task.items()}


def _settle(rules: Sequence[Rule], moving: Mapping[str, nn.Parameter], step: Step) -> None:
    """Let rules change the weights in place."""
    weights = {name: p.detach() for name, p in moving.items()} if rules else {}
    for rule in rules:
        rule.settle(weights, step)


def _overrides(rule: Rule, hook: str) -> bool:
    """Whether a rule has a hook of its own, by its class or as an attribute."""
    return getattr(getattr(rule, hook), "__func__", None) is not getattr(Rule, hook)
