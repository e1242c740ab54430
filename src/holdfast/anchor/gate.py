"""Gate: the task's gradient passes, weight by weight, where the anchors agree with its sign."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.anchor.rule import Named, Rule
from holdfast.core.errors import ConfigError
from holdfast.core.rng import make_generator
from holdfast.core.step import Step

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task


def passing(a: Float[Tensor, ...], b: Float[Tensor, ...]) -> Float[Tensor, ...]:
    """P = 1/2 (1 + sign(a) (a + b) / (|a| + |b|)): 1 where the signs agree, else |a| / (|a| + |b|).

    The published denominator has 1e-8 more, which is not small beside gradients; here b = 0 is exactly 1.

    Args:
        a: gradients of the task's loss.
        b: of the anchors, of the same shape.

    >>> passing(torch.tensor([1.0, 1.0, -3.0]), torch.tensor([5.0, -1.0, 1.0])).tolist()
    [1.0, 0.5, 0.75]
    """
    both = (a.abs() + b.abs()).clamp_min(torch.finfo(a.dtype).tiny)
    p = (1 + a.sign() * (a + b) / both) / 2
    return torch.where(a.sign() * b.sign() < 0, p, torch.ones_like(p))


class Gate(Rule):
    """Each number a of the task's gradient is kept with probability P(a, b), b the anchors' gradient there.

    a <- a (1 - l + l k), k = 1 with probability `passing`, else 0. What the anchors would rather move
    the other way is dropped now and then; in the mean a becomes P a. The anchors' own gradient is then
    added with a factor; the published method adds none of it.

    Args:
        l: how far the gate closes: 1 drops, 0 does nothing.
        add: factor on the anchors' gradient: 1 leaves them as they are, 0 is published.

    Raises:
        ConfigError: for l outside 0..1 or a negative factor.

    Source: the gradient dropout of Wu et al., *R-AMT*: read in the authors' code, wuw2019/R-AMT,
        code/trainers/masktuning.py, where it gates masks of a frozen network
    """

    needs_split = True

    def __init__(self, l: float = 1.0, add: float = 1.0):  # noqa: E741 - its name in the paper
        super().__init__()
        if not (0 <= l <= 1 and add >= 0):
            raise ConfigError(f"a gate has l between 0 and 1 and add from 0 on, not {l} and {add}.")
        self.l, self.add = l, add
        self.salt, self.place, self.steps = 0, (-1, -1), 0

    def begin(self, learner: Learner, task: Task) -> None:
        """Draw what the task's chance starts from: the same in all processes."""
        self.salt = int(torch.randint(2**62, ()))

    def split(self, task: Named, anchors: Named, step: Step) -> tuple[Named, Named]:
        """The task's gradient behind the gate, and the anchors' one times its factor."""
        generator = self._chance(step)
        return (
            {name: self._gated(a, anchors[name], generator) for name, a in task.items()},
            {name: self.add * b for name, b in anchors.items()},
        )

    def _gated(self, a: Tensor, b: Tensor, generator: torch.Generator) -> Tensor:
        drawn = torch.rand(a.shape, dtype=a.dtype, device=a.device, generator=generator)
        keep = (drawn < passing(a, b)).to(a)
        return a * (1 - self.l + self.l * keep)

    def _chance(self, step: Step) -> torch.Generator:
        """Of a step; counted within an epoch, at whose end a run may stop and go on."""
        place = (step.task, step.epoch)
        self.steps = self.steps + 1 if place == self.place else 0
        self.place = place
        return make_generator(step.zero.device, self.salt, "gate", *place, self.steps)

    def get_extra_state(self) -> int:
        """What the task's chance starts from."""
        return self.salt

    def set_extra_state(self, state: int) -> None:
        """Take it over."""
        self.salt, self.place = state, (-1, -1)
