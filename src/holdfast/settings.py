"""Settings of a run that belong to no method: how long, which network, which machine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from lightning_fabric import Fabric
from lightning_fabric.utilities.exceptions import MisconfigurationException

from holdfast.errors import ConfigError


@dataclass(frozen=True)
class Training:
    """How long and how fast a task is learned.

    Args:
        epochs: passes over a task's images.
        first_epochs: the same for the first task; 0 takes epochs.
        batch: images in a batch, each seen in all its views.
        lr: peak learning rate.
        momentum: of SGD.
        weight_decay: of SGD, on every weight.
        warmup: epochs of linear warm-up in each task, at most a quarter of the task's epochs.
    """

    epochs: int = 20
    first_epochs: int = 0
    batch: int = 128
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    warmup: float = 1.0

    def __post_init__(self):
        least = {
            "epochs": 1,
            "batch": 1,
            "first_epochs": 0,
            "warmup": 0,
            "momentum": 0,
            "weight_decay": 0,
        }
        for name, bound in least.items():
            if not getattr(self, name) >= bound:
                given = getattr(self, name)
                raise ConfigError(
                    f"--{name.replace('_', '-')} must be at least {bound}, not {given}."
                )
        if not 0 < self.lr < math.inf:
            raise ConfigError(f"--lr must be positive, not {self.lr}.")

    def epochs_of(self, task: int) -> int:
        """Epochs of a task."""
        return (self.first_epochs or self.epochs) if task == 0 else self.epochs

    def lr_at(self, progress: float, epochs: int) -> float:
        """Learning rate after ``progress`` epochs of a task: linear warm-up, then half a cosine to 0.

        >>> t = Training(lr=1.0, warmup=2)
        >>> [round(t.lr_at(p, 10), 3) for p in (1, 2, 6, 10)]
        [0.5, 1.0, 0.5, 0.0]
        """
        warm = min(self.warmup, epochs / 4)
        if progress < warm:
            return self.lr * progress / warm
        return self.lr * 0.5 * (1 + math.cos(math.pi * (progress - warm) / (epochs - warm)))


@dataclass(frozen=True)
class Model:
    """The network.

    Args:
        backbone: auto, resnet18, convnet or mlp; auto chooses by the inputs' shape. Or a pretrained
            vision model of Hugging Face transformers: a folder, or the hub's owner/name.
        width: of the backbone; 0 is its own default (64 for resnet18, as published). A pretrained
            one has its own.
        tune_layers: how many of the last layers of a pretrained backbone are trained; 0 freezes it.
        past_mode: batch-norm of the past network: eval by running statistics, batch by
            those of the batch, as in the public Co2L code.
    """

    backbone: str = "auto"
    width: int = 0
    past_mode: Literal["eval", "batch"] = "eval"
    tune_layers: int = 0

    def __post_init__(self):
        for name in ("width", "tune_layers"):
            if getattr(self, name) < 0:
                given = getattr(self, name)
                raise ConfigError(f"--{name.replace('_', '-')} must be at least 0, not {given}.")


@dataclass(frozen=True)
class Machine:
    """Where and how it computes.

    Args:
        device: auto, cpu, cuda or mps.
        precision: of the forward pass: 32-true or bf16-mixed.
    """

    device: str = "auto"
    precision: Literal["32-true", "bf16-mixed"] = "32-true"

    def fabric(self) -> Fabric:
        """Fabric on this machine (ConfigError if it has no such device)."""
        try:
            return Fabric(accelerator=self.device, devices=1, precision=self.precision)
        except (ValueError, RuntimeError, MisconfigurationException) as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(
                f"--device {self.device} cannot be used ({reason.rstrip('.')}): use --device cpu or auto."
            ) from None
