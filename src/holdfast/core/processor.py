"""The processor as a machine: what `lightning_fabric` does for one CPU in full precision, without it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")


class Processor:
    """One CPU in float32: the methods of ``Fabric`` that are used, none of which has anything to do.

    The same bits come out, and two seconds of imports are spared.
    """

    device = torch.device("cpu")

    def to_device(self, thing: T) -> T:
        """It is there already."""
        return thing

    def setup(
        self, module: nn.Module, optimizer: torch.optim.Optimizer
    ) -> tuple[nn.Module, torch.optim.Optimizer]:
        """Network and optimiser as they are."""
        return module, optimizer

    def autocast(self) -> AbstractContextManager[None]:
        """Computing as usual."""
        return nullcontext()

    def backward(self, loss: Tensor, retain_graph: bool = False) -> None:
        """Add the loss's gradient to that of every weight.

        Args:
            loss: the scalar.
            retain_graph: whether another backward pass through its graph will come.
        """
        loss.backward(retain_graph=retain_graph)


def accelerated() -> bool:
    """Whether there is a device that ``auto`` prefers to the CPU."""
    return torch.cuda.is_available() or torch.backends.mps.is_available()
