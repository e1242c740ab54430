"""DomainHeads: a readout a task, all asked, and the surer one is believed more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from holdfast.core.errors import ConfigError
from holdfast.core.numerics import in_float64
from holdfast.core.output import Output
from holdfast.readout.contexts import FitContext
from holdfast.readout.readout import Readout, build_readout, register

LEAST = 1e-6  # of an entropy, in nats


def mixed_by_entropy(p: Float[Tensor, "e n k"], sharpness: float) -> Float[Tensor, "n k"]:
    """(N, K) sum_e w_e p_e, w_e ~ H(p_e)^-g over the heads e, H at least 1e-6 nats.

    Args:
        p: (E, N, K) probabilities of each head.
        sharpness: g; 0 is the mean, and a large one the head of least entropy.

    >>> p = torch.tensor([[[1.0, 0.0]], [[0.5, 0.5]]])
    >>> mixed_by_entropy(p, 0.0).tolist(), mixed_by_entropy(p, 1.0).round(decimals=3).tolist()
    ([[0.75, 0.25]], [[1.0, 0.0]])
    """
    p = in_float64(p)
    return _weighed(p, torch.special.entr(p).sum(2), sharpness)


def _weighed(
    p: Float[Tensor, "e n k"], entropy: Float[Tensor, "e n"], sharpness: float
) -> Float[Tensor, "n k"]:
    """(N, K) sum_e w_e p_e, from the entropy of each p_e."""
    shares = torch.softmax(-sharpness * entropy.clamp_min(LEAST).log(), 0)
    return (shares[:, :, None] * p).sum(0)


@register("domain-heads")
class DomainHeads(Readout):
    """A readout a task on one backbone; p = sum_e w_e p_e, where a head of less entropy has more weight.

    For domains, which have their classes alike: `mixed_by_entropy` then weighs heads by how sure each is.
    **In a stream of classes it fails**: a head of other classes is often the surer one about inputs that
    are foreign to it, so Task-IL stays and Class-IL falls (`by-state` has the same fault). The heads stay
    where they were fitted while the backbone moves. Stored are a readout's numbers a task. Not here:
    the published mean head, which is trained with the network, and its training on test rows, which
    changes the model while it is measured.

    Args:
        of: the readout of each task.
        sharpness: g.

    Raises:
        ConfigError: for a negative sharpness, or a readout of images, of the head, of states or with a
            drift map, for which the heads of earlier tasks are not there to be moved.

    Source: Zhang et al., *Domain-specific risk minimization*, KDD 2023, read in the authors' code, which
        normalises over one head more than it sums
    """

    label = "domain-heads"

    def __init__(self, of: str = "gaussian:drift=none", sharpness: float = 1.0):
        super().__init__()
        inner = build_readout(of)
        if not sharpness >= 0:
            raise ConfigError(f"domain-heads needs a sharpness of at least 0, not {sharpness}.")
        if inner.needs_head or inner.uses_images or inner.needs_states or inner.needs_past:
            raise ConfigError(
                f"domain-heads cannot keep {of} for each task: use gaussian:drift=none, ridge:drift=none "
                "or mean:drift=none."
            )
        self.of, self.sharpness, self.weighs = of, sharpness, inner.weighs
        self.reads = inner.reads
        self.heads = nn.ModuleList()
        self.classes: list[list[int]] = []  # of each head
        self.seen = 0

    def fit(self, context: FitContext) -> None:
        """A head of the task's rows alone."""
        head = build_readout(self.of)
        head.fit(context)
        self.heads.append(head)
        self.classes.append(sorted(context.task.classes))
        self.seen = context.classes

    @property
    def _readouts(self) -> Sequence[Readout]:
        return [head for head in self.heads if isinstance(head, Readout)]

    def scores(self, out: Output) -> Float[Tensor, "n k"]:
        """(N, K) logarithms of the mixture; a class is 0 to a head that never met it."""
        each = torch.zeros(
            len(self.heads), len(out.features), self.seen, device=out.features.device
        ).double()
        for place, (head, classes) in enumerate(zip(self._readouts, self.classes)):
            scores = in_float64(head.scores(out)[:, classes])
            each[place][:, classes] = torch.softmax(scores / head.temperature, 1)
        return mixed_by_entropy(each, self.sharpness).clamp_min(1e-30).log().float()

    def network(self, width: int) -> nn.Module | None:
        """The mixture of their networks; None if one has none."""
        plain = all(type(head).select is Readout.select for head in self._readouts)
        networks = [head.network(width) for head in self._readouts] if plain else [None]
        if not networks or any(network is None for network in networks):
            return None
        temperatures = [head.temperature for head in self._readouts]
        return HeadsNetwork(networks, temperatures, self.classes, self.seen, self.sharpness)

    def get_extra_state(self) -> dict[str, Any]:
        """The classes of each head."""
        return {"classes": self.classes, "seen": self.seen}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take them over, and make room for the heads."""
        self.classes = [list(map(int, one)) for one in state["classes"]]
        self.seen = int(state["seen"])
        self.heads = nn.ModuleList(build_readout(self.of) for _ in self.classes)


class HeadsNetwork(nn.Module):
    """log sum_e w_e p_e, of networks that give scores.

    Args:
        networks: a head each.
        temperatures: of each.
        classes: that each has met.
        seen: K.
        sharpness: g.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module | None],
        temperatures: Sequence[float],
        classes: Sequence[Sequence[int]],
        seen: int,
        sharpness: float,
    ):
        super().__init__()
        self.networks = nn.ModuleList(n for n in networks if n is not None)
        self.temperatures, self.sharpness = tuple(temperatures), sharpness
        strangers = torch.ones(len(self.temperatures), seen, dtype=torch.bool)
        for place, mine in enumerate(classes):
            strangers[place, list(mine)] = False
        self.register_buffer("strangers", strangers)

    def forward(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n k"]:
        """(N, f) to (N, K)."""
        each = [
            torch.log_softmax(self._among(network(x) / T, place), 1)
            for place, (network, T) in enumerate(zip(self.networks, self.temperatures))
        ]
        log_p = torch.stack(each)
        p = log_p.exp()
        return _weighed(p, (-p * log_p).sum(2), self.sharpness).clamp_min(1e-30).log()

    def _among(self, scores: Tensor, place: int) -> Tensor:
        """(N, K) scores of the classes that a head has met; the others can have none."""
        strangers = torch.as_tensor(self.strangers)
        full = nn.functional.pad(scores, (0, strangers.shape[1] - scores.shape[1]), value=-1e9)
        return full.masked_fill(strangers[place], -1e9)
