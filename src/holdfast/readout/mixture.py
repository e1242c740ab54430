"""Mixture: several readouts asked as one, each believed by how well it foretold rows it had not learned."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from holdfast.core.errors import ConfigError
from holdfast.core.grammar import pieces
from holdfast.core.output import Output
from holdfast.readout.contexts import FitContext, portion
from holdfast.readout.forgetting import KEPT
from holdfast.readout.readout import Readout, build_readout, register
from holdfast.statistics.deviations import AGAIN

SURE = 1e-6  # least probability of a class in a loss: one mistake does not end a readout's weight


class Mixed(Readout):
    """log sum_j w_j p_j(k), p_j the probabilities of several readouts: a subclass says w.

    Args:
        members: the readouts.

    Attributes:
        members: the readouts.

    Raises:
        ConfigError: for none, or one that needs the method's prototypes.
    """

    def __init__(self, members: Sequence[Readout]):
        super().__init__()
        if not members:
            raise ConfigError("a mixture needs a readout at least.")
        self.members = nn.ModuleList(members)
        self.on = members[0].on
        self.uses_images = any(member.uses_images for member in members)
        self.needs_past = any(member.needs_past for member in members)
        self.needs_head = any(member.needs_head for member in members)
        self.reads = tuple({name for member in members for name in member.reads})
        self.weighs = all(member.weighs for member in members)

    @property
    def shares(self) -> Float[Tensor, " j"]:
        """(J,) w: here the same for all."""
        return torch.full((len(self.members),), 1 / len(self.members), dtype=torch.float64)

    @property
    def calibrated(self) -> bool:
        """Whether every readout is."""
        return all(member.calibrated for member in self._readouts)

    @property
    def _readouts(self) -> list[Readout]:
        return [member for member in self.members if isinstance(member, Readout)]

    def fit(self, context: FitContext) -> None:
        """Let each take in the task."""
        for member in self._readouts:
            member.fit(context)
        self.residuals[:] = [r for m in self._readouts for r in m.residuals]
        self.forecasts[:] = [r for m in self._readouts for r in m.forecasts]

    def forget(self, out: Output, y: Int[Tensor, " n"], slack: float = AGAIN) -> dict[str, str]:
        """Let each readout go on without rows; if one cannot, none does. See `Readout.forget`."""
        members = copy.deepcopy(self.members)
        chosen = {}
        for member in members:
            assert isinstance(member, Readout)
            names = member.forget(out, y, slack)
            chosen |= {f"{name} of {member.name}": how for name, how in names.items()}
        self.members = members
        return chosen | {"shares": KEPT}

    def scores(self, out: Output) -> Float[Tensor, "n k"]:
        """(N, K) logarithms of the mixture."""
        each = torch.stack([member.probabilities(out).double() for member in self._readouts])
        mixed = torch.einsum("j,jnk->nk", self.shares.to(each), each)
        return mixed.clamp_min(1e-30).log().float()

    def network(self, width: int) -> nn.Module | None:
        """The mixture of their networks; None if one has none, or they read different things."""
        readers = self._readouts
        alike = all(m.on == self.on and type(m).select is Readout.select for m in readers)
        networks = [member.network(width) for member in readers] if alike else [None]
        if any(network is None for network in networks):
            return None
        temperatures = [member.temperature for member in readers]
        return MixedNetwork([n for n in networks if n is not None], temperatures, self.shares)


class MixedNetwork(nn.Module):
    """log sum_j w_j softmax(s_j / T_j).

    Args:
        networks: that give scores s.
        temperatures: T.
        shares: w.
    """

    shares: Tensor

    def __init__(
        self,
        networks: Sequence[nn.Module],
        temperatures: Sequence[float],
        shares: Float[Tensor, " j"],
    ):
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.temperatures = tuple(temperatures)
        self.register_buffer("shares", shares.float().cpu().clone())

    def forward(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n k"]:
        """(N, f) to (N, K)."""
        each = zip(self.networks, self.temperatures, strict=True)
        p = torch.stack([torch.softmax(network(x) / T, 1) for network, T in each])
        return torch.einsum("j,jnk->nk", self.shares, p).clamp_min(1e-30).log()


@register("mixture")
class Mixture(Mixed):
    """Readouts mixed by weights that learn online, by optimistic mirror descent on the simplex.

    When a task comes, its rows are cut into ``portions``. Copies of the readouts learn the first and are
    asked the second, learn both and are asked the third, and so on: every row is asked before it is learned
    (test, then train). With g_j the mean of -log p_j of the true class among the rows asked, over classes
    that were known then,

        w' ~ w' exp(-rate g),   w ~ w' exp(-rate g),

    the last g being the guess of the next. Then each readout learns the task whole. Stored are the
    readouts' own numbers and 2 J; no image. A task costs the fits of all readouts ``portions`` times.

    Args:
        of: the readouts, parted by +: ``gaussian+ridge``, or ``(gaussian:on=embedding)+mean``.
        rate: of the descent.
        portions: of a task, at least 2.
        seed: of the order in which rows come.

    Attributes:
        weight: (J,) w'.
        guess: (J,) the last g.

    Raises:
        ConfigError: for fewer than two portions, a rate that is not positive, or no readout.

    Source: Rakhlin and Sridharan, *Online learning with predictable sequences*, 2013; as named in arXiv
        2302.04552 (form from memory, not verified against the source); docs/theory.md, section 18
    """

    label = "mixture"
    weight: Tensor
    guess: Tensor

    def __init__(
        self, of: str = "gaussian+ridge+mean", rate: float = 1.0, portions: int = 4, seed: int = 0
    ):
        texts = [piece.strip() for _, piece in pieces(of, "+") if piece.strip()]
        super().__init__([build_readout(_bare(text)) for text in texts])
        if portions < 2 or not rate > 0:
            raise ConfigError(
                f"a mixture needs at least 2 portions and a positive rate, not {portions} and {rate}."
            )
        self.of, self.rate, self.portions, self.seed = of, rate, portions, seed
        even = torch.full((len(texts),), 1 / len(texts), dtype=torch.float64)
        self.register_buffer("weight", even)
        self.register_buffer("guess", torch.zeros_like(even))

    @property
    def shares(self) -> Float[Tensor, " j"]:
        """(J,) w ~ w' exp(-rate g)."""
        return mirror_step(self.weight, self.guess, self.rate)

    def fit(self, context: FitContext) -> None:
        """Test, then train, portion by portion on copies; then each learns the task."""
        y = context.task.train.y
        generator = torch.Generator().manual_seed(self.seed + context.task.index)
        order = torch.randperm(len(y), generator=generator).to(y.device)
        ends = [len(y) * p // self.portions for p in range(self.portions + 1)]
        for start, end in pairwise(ends[1:]):
            known = _covering(y[order], start)  # a class of the task has a row at least
            if known >= end:
                continue
            learned, asked = portion(context, order[:known]), order[known:end]
            losses = [self._loss(m, learned, context, asked) for m in self._readouts]
            self.learn(torch.tensor(losses, dtype=torch.float64))
        super().fit(context)

    def learn(self, losses: Float[Tensor, " j"]) -> None:
        """One round of mirror descent.

        Args:
            losses: g.
        """
        losses = losses.to(self.weight)
        self.weight, self.guess = mirror_step(self.weight, losses, self.rate), losses

    def _loss(
        self, member: Readout, learned: FitContext, context: FitContext, asked: Int[Tensor, " m"]
    ) -> float:
        twin = copy.deepcopy(member)
        twin.fit(learned)
        p = twin.probabilities(context.out.rows(asked)).double()
        truth = p.gather(1, context.task.train.y[asked].to(p.device)[:, None])
        return float(-truth.clamp_min(SURE).log().mean())


def mirror_step(
    weight: Float[Tensor, " j"], gradient: Float[Tensor, " j"], rate: float
) -> Float[Tensor, " j"]:
    """W exp(-rate g) / its sum: mirror descent on the simplex with the entropy.

    >>> mirror_step(torch.tensor([0.5, 0.5]), torch.tensor([0.0, 1.0]), 0.0).tolist()
    [0.5, 0.5]
    """
    return torch.softmax(weight.clamp_min(1e-300).log() - rate * gradient, 0)


def _bare(text: str) -> str:
    """Without parentheses around all of it."""
    return text[1:-1] if text.startswith("(") and text.endswith(")") else text


def _covering(y: Int[Tensor, " n"], start: int) -> int:
    """How many of the first rows are learned so that each class is: at least ``start``."""
    last = max(int((y == c).nonzero()[0, 0]) for c in y.unique().tolist())
    return max(start, last + 1)
