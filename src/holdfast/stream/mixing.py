"""Mixing: rows of a batch as convex mixtures of two, and what each was mixed of."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from holdfast.core.errors import ConfigError, unknown
from holdfast.core.rows import WEIGHT, Rows

Within = Literal["new", "batch"]
PARTNER, SHARE = "y2", "lam"  # columns of mixed rows: the second class, and the first one's share


@dataclass(frozen=True)
class Mixing:
    """How rows are mixed: x~ = l x + (1 - l) x2, with one l ~ Beta(alpha, alpha) a batch.

    Attributes:
        alpha: > 0; 1 makes every l as likely, a small one leaves rows nearly as they were.
        kept: share of the rows that stay as they are (l = 1), drawn without replacement.
        within: ``new``: rows that came with the task are mixed among themselves, and the others stay as
            they are; ``batch``: all with all.

    Raises:
        ConfigError: for a number out of its range, or another set of rows.

    Source: Zhang et al., *mixup: beyond empirical risk minimization*, ICLR 2018
    """

    alpha: float = 1.0
    kept: float = 0.0
    within: Within = "new"

    def __post_init__(self):
        if not (self.alpha > 0 and math.isfinite(self.alpha)):
            raise ConfigError(f"a mixing needs a positive alpha, not alpha={self.alpha}.")
        if not 0 <= self.kept <= 1:
            raise ConfigError(f"the kept share of a mixing lies in [0, 1], not kept={self.kept}.")
        if self.within not in get_args(Within):
            raise unknown("set of rows to mix within", self.within, get_args(Within))

    def draw(
        self, new: Bool[Tensor, " n"], generator: Generator
    ) -> tuple[Int[Tensor, " n"], Float[Tensor, " n"]]:
        """Each row's partner and its own share l. The host waits for nothing.

        Args:
            new: which rows came with the task.
            generator: all of chance.

        Returns:
            (N,) places of partners, themselves where l = 1, and (N,) shares.
        """
        n, device = len(new), new.device
        pair = torch.rand(2, generator=generator, device=generator.device).to(device)
        u = torch.rand(2, n, generator=generator, device=generator.device).to(device)
        mixed = torch.ones_like(new) if self.within == "batch" else new
        place, count = torch.arange(n, device=device), mixed.sum()
        order = (~mixed).byte().argsort(stable=True)  # those that are mixed come first
        inside = place < count
        shuffled, lots = (v.masked_fill(~mixed, 2.0).argsort() for v in u)
        partner = torch.empty_like(place).scatter(0, order, torch.where(inside, shuffled, order))
        stays = ~inside | (place < (self.kept * count).round())
        stays = torch.empty_like(stays).scatter(0, lots, stays)
        share = torch.where(stays, torch.ones_like(pair[0]), symmetric_beta(pair, self.alpha))
        return torch.where(stays, place, partner), share


def symmetric_beta(u: Float[Tensor, 2], alpha: float) -> Float[Tensor, ""]:
    """A draw of Beta(alpha, alpha) from two uniform ones, without rejection.

    1/2 + sign(c) / (2 sqrt(1 + w / ((1 - w) c^2))), w = u_0^(1/alpha), c = cos 2 pi u_1: a t variable with
    2 alpha degrees of freedom in polar form, brought into [0, 1].

    Args:
        u: (2,) in [0, 1).
        alpha: > 0.

    Source: Bailey, *Polar generation of random variates with the t-distribution*, 1994; not verified
        against the source, but against quantiles

    >>> symmetric_beta(torch.tensor([0.25, 0.0]), 1.0), symmetric_beta(torch.tensor([0.25, 0.5]), 1.0)
    (tensor(0.9330), tensor(0.0670))
    """
    w, c = u[0] ** (1 / alpha), torch.cos(2 * math.pi * u[1])
    return 0.5 + c.sign() / (2 * (1 + w / ((1 - w) * c**2)).sqrt())


def mixed_table(rows: Rows, partner: Int[Tensor, " n"], share: Float[Tensor, " n"]) -> Rows:
    """The rows with the columns ``y2``, the partner's class, and ``lam``, their own share; weights mix.

    Args:
        rows: those that are mixed; their inputs are not looked at.
        partner: of each its place.
        share: of each its own.
    """
    extra = {**rows.extra, PARTNER: rows.y[partner], SHARE: share}
    if WEIGHT in extra:
        weight = extra[WEIGHT]
        extra[WEIGHT] = weight[partner].lerp(weight, share.to(weight))  # of equal ones exactly that
    return replace(rows, extra=extra)


def mixtures(
    x: Float[Tensor, "n ..."],
    partner: Int[Tensor, " n"],
    share: Float[Tensor, " n"],
    some: slice = slice(None),
) -> Float[Tensor, "m ..."]:
    """Of some rows l x + (1 - l) x2.

    Args:
        x: inputs of all rows, as views.
        partner: of each its place.
        share: of each its own.
        some: which are wanted.

    >>> mixtures(torch.tensor([[0.0], [4.0]]), torch.tensor([1, 0]), torch.tensor([0.25, 1.0]))
    tensor([[3.],
            [4.]])
    """
    of = share[some].to(x.dtype).view(-1, *(1,) * (x.ndim - 1))
    return of * x[some] + (1 - of) * x[partner[some]]
