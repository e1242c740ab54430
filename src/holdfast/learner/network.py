"""What every backbone is."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from holdfast.stream.fit import Fit


class Backbone(nn.Module):
    """Any network that maps (N, ...) to (N, features).

    One of which nothing is trained stays in eval mode, and its copies are itself: it cannot change.

    Attributes:
        features: f, the width of what it gives.
        normalises: whether it takes inputs as they are, in [0, 1], and normalises them itself.
        tuned: the modules that are trained; None is all of it, () none.
        steady: whether it stays in eval mode while it is trained.
        size: the side of the square images that it wants; None takes any.
        fit: how an image of another shape becomes such a square (`holdfast.stream.decode`).
        resize: what the shorter side becomes before the centre is cropped; 0 is ``size``.
        sha256: of the weights it was loaded with; none if it starts at random.
        exact: whether features come out in the precision in which inputs came in.
        licence: of these weights, where it is known.
        written: the network but for its weights, as JSON text; none for one that its name describes.
    """

    features: int
    normalises: bool = False
    tuned: tuple[nn.Module, ...] | None = None
    steady: bool = False
    size: int | None = None
    fit: Fit = "squash"
    resize: int = 0
    sha256: str = ""
    exact: bool = False
    licence: str = ""
    written: str = ""

    def stage_modules(self) -> tuple[nn.Module, ...]:
        """The modules whose outputs, pooled over places, are its stages, first to last; () has none."""
        return ()

    @property
    def frozen(self) -> bool:
        """Whether no weight of it will ever change."""
        return self.tuned == ()

    def train(self, mode: bool = True) -> Backbone:
        """As any module's; of one that is tuned in part, only that part changes its mode."""
        super().train(mode and self.tuned is None and not self.steady)
        for module in self.tuned or ():
            module.train(mode)
        self.training = mode
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Backbone:
        return self if self.frozen else self.unshared(memo)

    def unshared(self, memo: dict[int, Any] | None = None) -> Backbone:
        """A copy that shares no weights, also of a frozen one.

        Args:
            memo: of ``copy.deepcopy``.
        """
        memo = {} if memo is None else memo
        copied = self.__class__.__new__(self.__class__)
        memo[id(self)] = copied
        copied.__dict__.update(copy.deepcopy(vars(self), memo))
        return copied
