"""A network of one's own as a backbone."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from holdfast.core.errors import ConfigError
from holdfast.learner.network import Backbone
from holdfast.learner.weights import digest


class Wrapped(Backbone):
    """A network of one's own as a backbone; its width is found by asking it.

    One in which nothing can be trained is frozen, and takes images in [0, 1] as they are. ``size``,
    ``fit`` and ``resize`` are those of the network, if it has them (see `Backbone`). Its stages are the
    modules in its attribute ``stages``, if it has one: a list, an ``nn.ModuleList`` or ``nn.Sequential``.

    Args:
        network: maps (N, ...) inputs to (N, f).
        shape: of one input.
        name: for the error.

    Raises:
        ConfigError: if it does not.
    """

    def __init__(self, network: nn.Module, shape: tuple[int, ...], name: str):
        super().__init__()
        self.network = network
        device = next((p.device for p in network.parameters()), torch.device("cpu"))
        mode = network.training
        try:
            with torch.no_grad():
                out = network.eval()(torch.zeros(2, *shape, device=device))
            if not isinstance(out, torch.Tensor):
                raise ValueError(f"it gives {type(out).__name__}, not a tensor")
            if not out.is_meta and not out.isfinite().all():
                raise ValueError("it gives numbers that are not finite")
            if out.ndim != 2 or len(out) != 2:
                raise ValueError(f"it gives {tuple(out.shape)} for two inputs, not (2, f)")
        except Exception as error:  # a network from outside may fail in any way
            reason = str(error).splitlines()[0].rstrip(".")
            raise ConfigError(
                f"backbone '{name}' does not map inputs of shape {shape} to features ({reason})."
            ) from error
        network.train(mode)
        self.features = out.shape[1]
        for name in ("size", "fit", "resize"):
            if hasattr(network, name):
                setattr(self, name, getattr(network, name))
        if not any(p.requires_grad for p in network.parameters()):
            self.freeze()

    def freeze(self) -> None:
        """Train nothing of it; images come in [0, 1], as a pretrained network's own code takes them."""
        self.requires_grad_(False)
        self.tuned, self.normalises = (), True
        weights = [*self.network.parameters(), *self.network.buffers()]
        if weights and not any(tensor.is_meta for tensor in weights):
            self.sha256 = digest(self.network)
        self.train(self.training)

    def stage_modules(self) -> tuple[nn.Module, ...]:
        """What the network says are its stages."""
        stages = getattr(self.network, "stages", ())
        usual = isinstance(stages, (tuple, list, nn.ModuleList, nn.Sequential))
        return tuple(m for m in stages if isinstance(m, nn.Module)) if usual else ()

    def forward(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n f"]:
        """Inputs to features."""
        return self.network(x)
