"""SharpnessAware: a loss at the worst weights nearby, so that flat minima are sought."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

from holdfast.core.errors import ConfigError
from holdfast.core.ranks import current
from holdfast.core.step import Step
from holdfast.loss.term import Objective

LEAST = 1e-12  # a gradient's norm is at least so long


class SharpnessAware(Objective):
    """L(w + e) in place of L(w), with e = rho g / ||g|| and g = dL/dw; no gradient flows through e.

    It is L(w) + (L(w + e) - L(w)): the second part is logged as ``sharpness``. The step is asked twice, the
    second time with views, draws and answers of the past network as before. Batch norm's running
    statistics, and whatever terms keep in buffers, move with the first pass alone. Of several processes all
    climb the mean gradient. Only the learner's weights are moved, not those that terms own. Anchors that
    stand beside this loss stay at w, and so do curvatures, which are measured when a task ends. What
    this flattens is the new task; whether it helps the old ones is to be measured.

    Args:
        of: the loss L, an objective.
        rho: length of the step uphill, at least 0.

    Raises:
        ConfigError: for another rho, or a step without its learner.

    Source: Foret et al., Sharpness-aware minimization, ICLR 2021; [V] as in the code of Shin et al.,
        ICLR 2024
    """

    def __init__(self, of: Objective, rho: float = 0.05):
        super().__init__()
        if not rho >= 0:
            raise ConfigError(f"SAM's step uphill, rho, must be at least 0, not {rho}.")
        self.of, self.rho = of, rho

    def forward(self, step: Step) -> Tensor:
        """The loss at the weights uphill."""
        chance = _Chance(step.zero.device)
        value = self.of(step)
        if not (value.requires_grad and self.rho):
            step.record("sharpness", step.zero)
            return value
        uphill = self._uphill(value, step)
        twin = step.anew()
        with chance.again():
            steep = asked_with(step, uphill, self.of, twin)
        step.record("sharpness", steep - value)
        return steep

    def foresee(self, step: Step) -> None:
        """That of the loss."""
        self.of.foresee(step)

    def _uphill(self, value: Tensor, step: Step) -> dict[str, Tensor]:
        """W + e by the weights' names."""
        weights = trainable(step)
        gradients = torch.autograd.grad(
            value, list(weights.values()), retain_graph=True, allow_unused=True
        )
        pairs = {n: g.detach() for n, g in zip(weights, gradients) if g is not None}
        ranks = current()
        if ranks is not None:
            ranks.mean(pairs.values())
        if not pairs:
            return {}
        norm = torch.stack([g.float().norm() for g in pairs.values()]).norm().clamp_min(LEAST)
        return {n: weights[n] + (self.rho / norm).to(g.dtype) * g for n, g in pairs.items()}


class _Asked(nn.Module):
    """A learner and an objective as one module, so that the tensors of both can be replaced at once."""

    def __init__(self, learner: nn.Module, of: Objective):
        super().__init__()
        self.learner, self.of = learner, of

    def forward(self, step: Step) -> Tensor:
        """The objective's value."""
        return self.of(step)


class _Chance:
    """The place of the global generators, to which one can come back."""

    def __init__(self, device: torch.device):
        self.devices = [device] if device.type == "cuda" else []
        self.place = torch.get_rng_state()
        self.places = [torch.cuda.get_rng_state(d) for d in self.devices]

    @contextmanager
    def again(self) -> Iterator[None]:
        """Inside, chance is as it was; after it, as it is now."""
        with torch.random.fork_rng(self.devices):
            torch.set_rng_state(self.place)
            for device, place in zip(self.devices, self.places, strict=True):
                torch.cuda.set_rng_state(place, device)
            yield


def trainable(step: Step) -> dict[str, nn.Parameter]:
    """The learner's weights that are trained, by name.

    Raises:
        ConfigError: if the step was made without its learner.
    """
    if step.learner is None:
        raise ConfigError("SAM moves the learner's weights: make the step with learner=...")
    return {n: w for n, w in step.learner.named_parameters() if w.requires_grad and w.numel()}


def asked_with(step: Step, weights: Mapping[str, Tensor], of: Objective, twin: Step) -> Tensor:
    """What an objective says of a twin of a step under other weights; buffers stay as they are.

    Args:
        step: whose learner it is.
        weights: in place of the learner's, by name; the others stay.
        of: the objective.
        twin: `Step.anew` of the step, or another of which nothing was asked.
    """
    assert step.learner is not None
    module = _Asked(step.learner, of)
    buffers = {n: b.clone() for n, b in module.named_buffers()}
    moved = {f"learner.{name}": w for name, w in weights.items()}
    return functional_call(module, moved | buffers, (twin,))
