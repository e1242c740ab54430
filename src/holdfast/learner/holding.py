"""Holding: parts of a learner that stay as they are while a task is learned."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from holdfast.learner.adapt import NORMS, Norms
from holdfast.learner.network import Backbone

Same = TypeVar("Same", bound="Holding")


class Holding(nn.Module):
    """A module with a backbone, which can keep that or its norms as they are.

    Attributes:
        backbone: the one that is held.
    """

    backbone: Backbone
    _frozen_here: tuple[nn.Parameter, ...] = ()  # weights that `hold_backbone` froze
    _norms_here: tuple[nn.Parameter, ...] = ()  # scales and shifts that `hold_norms` froze
    _steady_norms: bool = False

    def hold_backbone(self, hold: bool = True) -> None:
        """Keep the backbone as it is, its batch statistics too, or let it go again.

        What was frozen before, as the lower layers of a pretrained one, stays frozen.
        """
        if hold and not self._frozen_here:
            self._frozen_here = tuple(p for p in self.backbone.parameters() if p.requires_grad)
            for p in self._frozen_here:
                p.requires_grad_(False)
                p.grad = None
        elif not hold:
            for p in self._frozen_here:
                p.requires_grad_(True)
            self._frozen_here = ()
        self.train(self.training)

    def hold_norms(self, what: Norms = "statistics") -> None:
        """Keep the running statistics of batch norm as they are, or let them go again.

        Args:
            what: ``statistics``; ``all`` keeps scale and shift of every norm too; ``none`` lets go.
        """
        for p in self._norms_here:
            p.requires_grad_(True)
        norms = [m for m in self.modules() if isinstance(m, NORMS)] if what == "all" else []
        self._norms_here = tuple(p for m in norms for p in m.parameters() if p.requires_grad)
        for p in self._norms_here:
            p.requires_grad_(False)
            p.grad = None
        self._steady_norms = what != "none"
        self.train(self.training)

    def train(self: Same, mode: bool = True) -> Same:
        """As any module's; a backbone or norms that are held stay in eval mode."""
        super().train(mode)
        if self._frozen_here:
            self.backbone.eval()
        if self._steady_norms:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self
