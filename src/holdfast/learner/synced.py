"""Batch norm by the statistics of the whole batch, where several processes have a share of it each."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from holdfast.core.errors import ConfigError
from holdfast.core.ranks import Ranks, current


class Synced(_BatchNorm):
    """Batch norm whose mean and variance are those of all ranks' rows; alone it is the usual one.

    Each rank r has n_r values of a channel, with mean m_r and variance v_r; of all n

        m = sum_r n_r m_r / n,   v = sum_r n_r (v_r + (m_r - m)^2) / n,

    so that one message a layer brings what the forward pass needs, and one what the backward pass does
    (`_Normalised`). Running statistics are those of one process with the whole batch.

    Source: Chan, Golub, LeVeque, 1983, for the sums
    """

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) normalised; N is this rank's share."""
        ranks = current()
        by_batch = self.training or self.running_mean is None
        if ranks is None or not ranks.sharing or not by_batch:
            return super().forward(input)
        self._check_input_dim(input)
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        positions = x.numel() // (len(x) * x.shape[1])
        counts = x.new_tensor([positions * rows for rows in ranks.shares(ranks.sharing)])
        mean, variance = _moments(ranks, x, counts)
        self._follow(mean, variance, positions * ranks.sharing)
        out = _Normalised.apply(
            ranks, x, mean, variance, self.weight, self.bias, self.eps, positions * ranks.sharing
        )
        return out.to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, count: int) -> None:
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


@torch.no_grad()
def _moments(
    ranks: Ranks, x: Float[Tensor, "n c ..."], counts: Float[Tensor, " r"]
) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
    """Mean and variance of each channel over all ranks' rows, in one message."""
    mine = torch.stack(torch.batch_norm_update_stats(x, None, None, 0.0))
    means, variances = torch.stack(ranks.all(mine)).unbind(1)  # (R, C) each
    share = (counts / counts.sum())[:, None]
    mean = (share * means).sum(0)
    return mean, (share * (variances + (means - mean).square())).sum(0)


class _Normalised(torch.autograd.Function):
    """y = w (x - m) / sqrt(v + eps) + b, where m and v are functions of all ranks' x.

    With h = (x - m) / sqrt(v + eps) and sums over all n values of a channel, of every rank,

        dx = w / sqrt(v + eps) (dy - sum(dy) / n - h sum(dy h) / n):

    one message, of the two sums. Weights get the sums over this rank's rows.
    """

    @staticmethod
    def forward(
        ctx: Any,
        ranks: Ranks,
        x: Tensor,
        mean: Tensor,
        variance: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
        count: int,
    ) -> Tensor:
        """Of this rank's rows."""
        ctx.save_for_backward(x, mean, variance, weight)
        ctx.ranks, ctx.eps, ctx.count, ctx.shifts = ranks, eps, count, bias is not None
        return functional.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        """Of this rank's rows, and of weight and bias."""
        x, mean, variance, weight = ctx.saved_tensors
        scale = torch.ones_like(mean) if weight is None else weight
        dx, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, x, scale, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )  # with mean and variance fixed: w / sqrt(v + eps) dy, sum(dy h) and sum(dy)
        sums = torch.stack([of_weight, of_bias])
        ctx.ranks.sum([sums])
        shape = (1, -1, *(1,) * (x.ndim - 2))
        root = (variance + ctx.eps).rsqrt()
        along, level = (scale * root / ctx.count * sums).view(2, *shape)
        away = (x - mean.view(shape)).mul_(along * root.view(shape)).add_(level)
        return (
            None,
            dx.sub_(away),
            None,
            None,
            *_of(weight, of_weight, ctx.shifts, of_bias),
            None,
            None,
        )


def _of(
    weight: Tensor | None, of_weight: Tensor, shifts: bool, of_bias: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of weight and bias, of those that there are."""
    return None if weight is None else of_weight, of_bias if shifts else None


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
