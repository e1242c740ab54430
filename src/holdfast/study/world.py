"""A world small enough for every derivative to be exact: an old task learned to a stationary point."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call, grad, hessian
from torch.nn import functional

from holdfast.core.output import Output
from holdfast.core.rng import make_generator
from holdfast.core.rows import Rows
from holdfast.core.step import Step
from holdfast.curvature.layout import Layout, layout_of
from holdfast.curvature.persample import weights_of
from holdfast.learner.backbone import Backbone
from holdfast.learner.learner import Learner
from holdfast.loss import CrossEntropy
from holdfast.loss.term import Objective
from holdfast.stream import make_stream, open_source
from holdfast.stream.task import Task

OLD, NEW, INPUTS, HIDDEN = (0, 1, 2, 3), (4, 5), 4, 3
PARTS = ("backbone", "head")


class Smooth(Backbone):
    """One tanh layer: differentiable as often as Taylor's theorem asks."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.features = width
        self.layer = nn.Linear(inputs, width)

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n f"]:
        """Vectors to the hidden layer."""
        return torch.tanh(self.layer(x))


class Through(Backbone):
    """No layer at all: the head is then a linear model."""

    def __init__(self, inputs: int):
        super().__init__()
        self.features = inputs

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n f"]:
        """The vectors themselves."""
        return x


@dataclass(frozen=True, eq=False)
class World:
    """The old task, the network that learned it, and the new task.

    Attributes:
        past: at w0, a stationary point of the summed old loss, with a head for the old classes.
        learner: the same weights, with a head that has grown for the new classes.
        old, new: the tasks D and epsilon.
    """

    past: Learner
    learner: Learner
    old: Task
    new: Task

    @property
    def layout(self) -> Layout:
        """The weights of the past network."""
        return layout_of(self.past, PARTS)

    @property
    def grown(self) -> Layout:
        """The weights of the learner."""
        return layout_of(self.learner, PARTS)

    def step(self, learner: nn.Module) -> Step:
        """One update of the new task, with the old inputs as a part of their own."""
        rows = {"batch": self.new.train, "given": self.old.train}
        ask: Callable[[Tensor], Output] = self.past
        return Step(
            rows, learner, ask, 1, NEW, OLD + NEW, known=OLD,
            learner=learner, size=len(self.new.train),  # type: ignore[arg-type]
        )  # fmt: skip

    def slope(self, objectives: Sequence[Objective], learner: Learner) -> Float[Tensor, " p"]:
        """Gradient of the sum of some objectives in the learner's weights."""
        step, named = self.step(learner), dict(learner.named_parameters())
        weights = [named[name] for name in self.grown.shapes]
        loss = sum((objective(step) for objective in objectives), start=step.zero)
        if not loss.requires_grad:
            return torch.zeros(self.grown.size).double()
        gradients = torch.autograd.grad(loss, weights, materialize_grads=True)
        return self.grown.flat(dict(zip(self.grown.shapes, gradients, strict=True)))

    def descend(self, anchors: Sequence[Objective], eta: float, steps: int) -> Float[Tensor, " p"]:
        """How far some gradient steps on the new task's loss and anchors lead.

        The path is summed by itself: beside the weights, short steps would be lost to rounding.
        """
        learner = copy.deepcopy(self.learner)
        start = self.grown.flat(weights_of(learner))
        path = torch.zeros_like(start)
        for _ in range(steps):
            path = path - eta * self.slope([CrossEntropy("seen"), *anchors], learner)
            move(learner, start + path, self.grown)
        return path


def move(learner: Learner, w: Float[Tensor, " p"], layout: Layout) -> None:
    """Set the weights of a layout."""
    named = dict(learner.named_parameters())
    with torch.no_grad():
        for name, value in layout.split(w).items():
            named[name].copy_(value)


def logits_at(
    learner: Learner, layout: Layout, x: Tensor
) -> Callable[[Float[Tensor, " p"]], Tensor]:
    """W -> the head's logits on x."""
    others = weights_of(learner)
    return lambda w: functional_call(learner, others | layout.split(w), (x,)).logits


def build(seed: int = 0, linear: bool = False) -> World:
    """Images of digits in four principal components, with labels drawn from a network like the learner.

    Real labels are so clear that a network's best weights are infinite, and no point is stationary.
    Labels drawn from smooth answers leave the old loss a minimum at finite weights, near those they
    were drawn from; the old task (digits 0 to 7, four classes) is learned to it by Newton's
    method, in double precision. The new task (8 and 9) brings two more classes.

    Args:
        seed: of weights and labels.
        linear: a softmax regression in place of the network with a hidden layer.
    """
    stream = make_stream(open_source("digits"), classes_per_task=[8, 2])
    tables = [_flat(stream[t].train) for t in (0, 1)]
    mean = tables[0].x.mean(0)
    axes = torch.linalg.svd(tables[0].x - mean, full_matrices=False)[2][:INPUTS].T
    scale = ((tables[0].x - mean) @ axes).std(0)
    old, new = (replace(t, x=(t.x - mean) @ axes / scale) for t in tables)
    chance = make_generator(torch.device("cpu"), seed, "study")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        width = INPUTS if linear else HIDDEN
        learner = Learner((INPUTS,), "mlp", width, dim=8, classes=len(OLD))
        learner.backbone = Through(INPUTS) if linear else Smooth(INPUTS, HIDDEN)
        learner = learner.double().eval()
        old = replace(old, y=answers(learner, old.x, chance))
        new = replace(new, y=new.y - 8 + len(OLD))
        task = Task(0, OLD, old, old)
        settle(learner, task)
        past = copy.deepcopy(learner)
        learner.head.grow(len(OLD + NEW))
    return World(past, learner.double(), task, Task(1, NEW, new, new))


@torch.no_grad()
def answers(learner: Learner, x: Tensor, chance: torch.Generator) -> Int[Tensor, " n"]:
    """Labels drawn from the learner's softmax, made clear enough first to be learned back.

    Orthogonal rows keep its units apart; the hidden ones bend, and the logits have deviation 2.
    """
    if isinstance(learner.backbone, Smooth):
        nn.init.orthogonal_(learner.backbone.layer.weight, 1.5)
    nn.init.orthogonal_(learner.head.weight)
    learner.head.weight.mul_(2 / learner(x).logits.std())
    return torch.multinomial(learner(x).logits.softmax(1), 1, generator=chance)[:, 0]


def _flat(rows: Rows) -> Rows:
    return replace(rows, x=rows.x.flatten(1).double() / 255)


def settle(learner: Learner, task: Task) -> None:
    """Learn the task to a stationary point of its summed loss, by damped Newton steps.

    A step counts if it lowers the loss or halves the slope, and lowers the damping for the next;
    else it is tried again with more, until no damping helps: then the slope is 0 but for rounding.
    """
    layout = layout_of(learner, PARTS)
    logits, y = logits_at(learner, layout, task.train.x), task.train.y

    def loss(w: Tensor) -> Tensor:
        return functional.cross_entropy(logits(w), y, reduction="sum")

    w, damping = layout.flat(weights_of(learner)), 1.0
    value, slope, H = loss(w), grad(loss)(w), hessian(loss)(w)
    while damping < 1e4 and float(slope.norm()) > 1e-11:
        new = w - torch.linalg.solve(H + damping * torch.eye(len(w)).to(H), slope)
        if bool(loss(new) < value) or bool(2 * grad(loss)(new).norm() < slope.norm()):
            w, damping = new, max(damping / 10, 1e-9)
            value, slope, H = loss(w), grad(loss)(w), hessian(loss)(w)
        else:
            damping = damping * 10
    move(learner, w, layout)
