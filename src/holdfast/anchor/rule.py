"""Rule: an anchor that edits the step instead of adding to the loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from holdfast.step import Step

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task

Named = dict[str, Tensor]  # one tensor a parameter, by the parameter's name


class Rule(nn.Module):
    """Edits what the optimiser is given, or what it has done; both default to the identity.

    A guarantee belongs on the update: under momentum, Adam or weight decay an edited gradient
    still leaks into the protected directions.

    Attributes:
        needs_head: whether it asks what the head says, and so needs one that is trained.
    """

    needs_head: bool = False

    def gradient(self, gradient: Named, step: Step) -> Named:
        """What the optimiser is given, from the gradients by parameter name."""
        return gradient

    def update(self, delta: Named, step: Step) -> Named:
        """What the weights move by, from the optimiser's own moves by parameter name."""
        return delta

    def consolidate(self, learner: Learner, task: Task) -> None:
        """Keep what the next tasks will need; called once when a task ends."""


class WeightAligning(Rule):
    """When a task ends, its new classes' rows of the head are scaled by mean ||w_old|| / mean ||w_new||.

    A head trained on new data alone gives them longer rows, and so the larger scores (THEORY 10).
    The bias is left alone, and so are the rows of classes that came before.

    Source: Zhao et al., *Maintaining discrimination and fairness in class incremental learning*, 2020
    """

    def __init__(self):
        super().__init__()
        self.known: tuple[int, ...] = ()

    @torch.no_grad()
    def consolidate(self, learner: Learner, task: Task) -> None:
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
def edited(rules: Sequence[Rule], learner: nn.Module, step: Step) -> Iterator[None]:
    """Run an optimiser step inside, with the rules applied before it and after it."""
    if not rules:
        yield
        return
    moving = {n: p for n, p in learner.named_parameters() if p.grad is not None}
    gradient = {name: p.grad for name, p in moving.items() if p.grad is not None}
    for rule in rules:
        gradient = rule.gradient(gradient, step)
    for name, p in moving.items():
        p.grad = gradient[name]
    before = {name: p.detach().clone() for name, p in moving.items()}
    yield
    with torch.no_grad():
        delta = {name: p - before[name] for name, p in moving.items()}
        for rule in rules:
            delta = rule.update(delta, step)
        for name, p in moving.items():  # what no rule edited keeps its bits
            p.add_(delta[name] - (p - before[name]))
