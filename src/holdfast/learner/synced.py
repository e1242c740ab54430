"""Batch norm by the statistics of the whole batch, where several processes have a share of it each."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from holdfast.core.errors import ConfigError
from holdfast.core.ranks import Ranks, Summed, current


class Synced(_BatchNorm):
    """Batch norm whose mean and variance are those of all ranks' rows; alone it is the usual one.

    mu = sum_r sum_i x_i / n, v = sum_r sum_i (x_i - mu)^2 / n, two messages a layer, and so many again
    in the backward pass. Running statistics are those of one process with the whole batch.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) normalised; N is this rank's share."""
        ranks = current()
        by_batch = self.training or self.running_mean is None
        if ranks is None or not ranks.sharing or not by_batch:
            return super().forward(input)
        self._check_input_dim(input)
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        axes = (0, *range(2, x.ndim))
        shape = (1, -1, *(1,) * (x.ndim - 2))
        count = x.new_tensor([x.numel() // x.shape[1]])
        ranks.sum([count])
        mean = Summed.apply(ranks, x.sum(axes)) / count
        away = x - mean.view(shape)
        variance = Summed.apply(ranks, away.square().sum(axes)) / count
        self._follow(mean.detach(), variance.detach(), count)
        out = away * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Move the running statistics, the variance's without bias."""
        if not self.training or self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = self.momentum
        weight = 1 / self.num_batches_tracked if share is None else share
        free = variance * count / (count - 1)
        self.running_mean.lerp_(mean.to(self.running_mean), weight)
        self.running_var.lerp_(free.to(self.running_var), weight)


class Synced1d(Synced, nn.BatchNorm1d):
    """Of (N, C) or (N, C, L)."""


class Synced2d(Synced, nn.BatchNorm2d):
    """Of (N, C, H, W)."""


class Synced3d(Synced, nn.BatchNorm3d):
    """Of (N, C, D, H, W)."""


KINDS = {nn.BatchNorm1d: Synced1d, nn.BatchNorm2d: Synced2d, nn.BatchNorm3d: Synced3d}


def sync_norms(network: nn.Module) -> nn.Module:
    """A network whose batch norms are `Synced`, in place; weights, buffers and their names stay.

    Raises:
        ConfigError: for a batch norm of another kind.
    """
    for name, module in network.named_modules():
        if not isinstance(module, _BatchNorm) or isinstance(module, Synced):
            continue
        if type(module) not in KINDS:
            raise ConfigError(
                f"--sync-norm knows BatchNorm1d, 2d and 3d, and {name} is a {type(module).__name__}: "
                "leave the flag out, or give the network another norm."
            )
        module.__class__ = KINDS[type(module)]
    return network


def average_statistics(network: nn.Module, ranks: Ranks) -> None:
    """Running statistics that each rank has of its own rows become their mean over the ranks."""
    norms = [
        m for m in network.modules() if isinstance(m, _BatchNorm) and not isinstance(m, Synced)
    ]
    pairs = [(norm.running_mean, norm.running_var) for norm in norms if norm.training]
    ranks.mean(buffer for pair in pairs for buffer in pair if buffer is not None)


def where(network: nn.Module, device: torch.device) -> str:
    """The device on which a network learns, or how many, and what then is not as on one."""
    ranks = current()
    if ranks is None:
        return str(device)
    apart = any(isinstance(m, _BatchNorm) and not isinstance(m, Synced) for m in network.modules())
    return f"{ranks.size} devices ({device.type}{', batch norm by device' * apart})"
