"""Settings that belong to no method: how long it is trained, which network, which machine."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

from holdfast.core.errors import ConfigError, unknown

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from holdfast.core.processor import Processor


PresetName = Literal[
    "auto", "quick", "desk", "paper", "cifar100-10x10", "cifar100-20x5", "cifar100-50+10x5",
    "tiny-imagenet-10x20", "tiny-imagenet-20x10", "imagenet100-10x10",
]  # fmt: skip


@dataclass(frozen=True)
class Training:
    """How long and how fast a task is learned.

    The learning rate rises linearly over the warm-up and then falls by half a cosine, in every task
    anew (`holdfast.train.schedule`).

    Args:
        epochs: passes over a task's images.
        first_epochs: the same for the first task; 0 takes epochs.
        batch: images in a batch, each seen in all its views.
        lr: peak learning rate.
        momentum: of SGD.
        weight_decay: of SGD, on every weight.
        warmup: epochs of linear warm-up in each task, at most a quarter of the task's epochs.
        lr_schedule: cosine falls to 0 after the warm-up, a step after every update; supcon is that of
            the public contrastive code, one value an epoch and a thousandth of the peak at the end.

    Raises:
        ConfigError: for a number that is out of range or not finite, or an unknown schedule.
    """

    epochs: int = 20
    first_epochs: int = 0
    batch: int = 128
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    warmup: float = 1.0
    lr_schedule: Literal["cosine", "supcon"] = "cosine"

    def __post_init__(self):
        require(self, epochs=1, batch=1, first_epochs=0, warmup=0, momentum=0, weight_decay=0)
        require(self, lr=-math.inf)
        if not self.lr > 0:
            raise ConfigError(f"--lr must be positive and finite, not {self.lr}.")
        require_choice(self, "lr_schedule", ("cosine", "supcon"))

    def epochs_of(self, task: int) -> int:
        """Epochs of a task."""
        return (self.first_epochs or self.epochs) if task == 0 else self.epochs


def flag(name: str) -> str:
    """A setting as the command line spells it.

    >>> flag("tune_layers")
    '--tune-layers'
    """
    return f"--{name.replace('_', '-')}"


def require(settings: Any, **least: float) -> None:
    """Refuse settings below a bound, infinite ones, and ones of another type (ConfigError)."""
    kinds = {field.name: field.type for field in fields(settings)}
    for name, bound in least.items():
        value: Any = getattr(settings, name)
        whole = kinds[name] in (int, "int")
        if isinstance(value, bool) or not isinstance(value, Integral if whole else Real):
            kind = "a whole number" if whole else "a number"
            raise ConfigError(f"{flag(name)} must be {kind}, not {value!r}.")
        if not bound <= float(value) < math.inf:
            raise ConfigError(f"{flag(name)} must be at least {bound} and finite, not {value}.")


def require_choice(settings: Any, name: str, choices: Sequence[str]) -> None:
    """Refuse a setting that is none of the choices (ConfigError)."""
    if getattr(settings, name) not in choices:
        raise unknown(flag(name), str(getattr(settings, name)), choices)


@dataclass(frozen=True)
class Network:
    """The network.

    Args:
        backbone: see ``holdfast backbones``; auto chooses by the inputs' shape. Or a pretrained
            vision model of Hugging Face transformers: a folder, or the hub's owner/name. Or
            package.module:name of your own.
        width: of the backbone; 0 is its own default (64 for resnet18, as published). A pretrained
            one has its own.
        tune_layers: how many of the last layers of a pretrained backbone are trained; 0 freezes it.
        past_mode: batch-norm of the past network: eval by running statistics, batch by
            those of the batch, as in the public Co2L code.
        normalise: inputs of a network that is trained: data by mean and deviation of each channel over
            the first task, or the constants in use for cifar10, cifar100 or tiny-imagenet.
    """

    backbone: str = "auto"
    width: int = 0
    past_mode: Literal["eval", "batch"] = "eval"
    tune_layers: int = 0
    normalise: Literal["data", "cifar10", "cifar100", "tiny-imagenet"] = "data"

    def __post_init__(self):
        require(self, width=0, tune_layers=0)
        require_choice(self, "normalise", ("data", *NORMALISATIONS))
        if not isinstance(self.backbone, str):
            raise ConfigError(f"--backbone must be a name, not {self.backbone!r}: use auto.")


# mean and deviation of each channel of pixels in [0, 1], as the public code of the field has them
NORMALISATIONS = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "cifar100": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    "tiny-imagenet": ((0.4802, 0.4480, 0.3975), (0.2770, 0.2691, 0.2821)),
}
DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True)
class Machine:
    """Where and how it computes.

    Args:
        device: auto, cpu, cuda or mps.
        precision: of the forward pass: 32-true or bf16-mixed.
        devices: processes that learn together, each on a device of its own (on a CPU: on its share of
            the cores); every figure is that of one, up to rounding and batch norm.
        sync_norm: batch norm by the statistics of all devices' rows, so that it too is that of one.
    """

    device: str = "auto"
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    devices: int = 1
    sync_norm: bool = False

    def __post_init__(self):
        require(self, devices=1)

    def require_devices(self, size: int) -> None:
        """Refuse more processes on this machine than it has devices for (ConfigError).

        Args:
            size: how many of the processes run on this machine.
        """
        from holdfast.core.processor import accelerated

        there, what = os.cpu_count() or 1, "cores"
        if self.device != "cpu" and accelerated():
            there, what = torch_devices(), "devices"
        if size > there:
            raise ConfigError(
                f"--devices {size} are more than the {there} {what} of this machine: give {there} at "
                "most, or start it on several machines with torchrun."
            )

    def _require_ranks(self) -> None:
        """Refuse another number of devices than processes have come together (ConfigError)."""
        from holdfast.core.ranks import current

        ranks = current()
        size = 1 if ranks is None else ranks.size
        if self.devices != size:
            raise ConfigError(
                f"devices={self.devices} needs as many processes, and this is one of {size}: use "
                "holdfast.run(...), holdfast run --devices, or torchrun with as many."
            )

    def fabric(self) -> Fabric | Processor:
        """What moves and steps on this machine: Fabric, or on a CPU in full precision the `Processor`.

        Raises:
            ConfigError: if it has no such device.
        """
        self._require_ranks()
        if self.device not in DEVICES:
            raise ConfigError(f"--device {self.device} is unknown: use {', '.join(DEVICES)}.")
        if self.precision == "32-true" and self.device in ("cpu", "auto"):
            from holdfast.core.processor import Processor, accelerated

            if self.device == "cpu" or not accelerated():
                return Processor()
        from lightning_fabric import Fabric  # costs three seconds
        from lightning_fabric.utilities.exceptions import MisconfigurationException

        try:
            here = torch_place()
            one = 1 if here is None else [here]
            # else it repeats the precision, whatever is to be printed
            logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
            return Fabric(accelerator=self.device, devices=one, precision=self.precision)
        except (ValueError, RuntimeError, ImportError, MisconfigurationException) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise ConfigError(
                f"--device {self.device} cannot be used ({reason}): use --device cpu or auto."
            ) from None


def torch_devices() -> int:
    """How many accelerators there are."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 1


def torch_place() -> int | None:
    """The number of the CUDA device of this one of several processes; None where it learns alone."""
    import torch

    from holdfast.core.ranks import current

    ranks = current()
    return ranks.device.index if ranks is not None and torch.cuda.is_available() else None
