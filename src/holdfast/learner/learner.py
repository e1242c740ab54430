"""The learner: backbone h, projector g onto the unit sphere, and a head that grows with the classes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from holdfast.learner.backbone import backbone
from holdfast.stream.augment import to_float
from holdfast.stream.rows import Rows


class Output(NamedTuple):
    """What a learner says of N inputs.

    Attributes:
        features: (N, f) h(x).
        embedding: (N, d) z = g(h(x)) / ||g(h(x))||.
        logits: (N, K) of the head, one column a class seen so far.
        hidden: (N, f) of the projector's hidden layer, where the learner has one.
    """

    features: Float[Tensor, "n f"]
    embedding: Float[Tensor, "n d"]
    logits: Float[Tensor, "n k"]
    hidden: Float[Tensor, "n h"] | None = None

    def rows(self, index: Int[Tensor, " m"] | Bool[Tensor, " n"]) -> Output:
        """The chosen rows of all columns."""
        hidden = None if self.hidden is None else self.hidden[index]
        return Output(*(column[index] for column in self[:3]), hidden=hidden)


class GrowingHead(nn.Module):
    """A linear classifier whose rows of old classes stay when new ones are added."""

    def __init__(self, features: int, classes: int = 0):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(0, features))
        self.bias = nn.Parameter(torch.empty(0))
        self.grow(classes)

    def grow(self, classes: int) -> None:
        """Make room for ``classes`` in all; never fewer than now."""
        missing = classes - len(self.bias)
        if missing > 0:
            fresh = nn.Linear(self.weight.shape[1], missing).to(self.weight.device)
            self.weight = nn.Parameter(torch.cat([self.weight.data, fresh.weight.data]))
            self.bias = nn.Parameter(torch.cat([self.bias.data, fresh.bias.data]))

    def forward(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n k"]:
        """Features to logits."""
        return functional.linear(features, self.weight, self.bias)


def reined(x: Float[Tensor, "n d"], limit: float = 5.0) -> Float[Tensor, "n d"]:
    """Values up to ``limit``; beyond it sign(x) (limit + log(1 + |x| - limit)): monotone and smooth.

    The first task fixes each feature's scale; in a later one it may lie hundreds of deviations away.

    >>> reined(torch.tensor([[-1.0, 5.0, 404.0]]))
    tensor([[-1.0000,  5.0000, 10.9915]])
    """
    excess = (x.abs() - limit).clamp_min(0)
    return torch.where(excess > 0, x.sign() * (limit + excess.log1p()), x)


class Learner(nn.Module):
    """Normalisation, backbone, projector and head in one module.

    Args:
        shape: of one input, (C, H, W) or (D,).
        name: of the backbone (``auto`` chooses by the shape).
        width: of the backbone; 0 is the backbone's own default.
        dim: d, width of the embedding.
        classes: width of the head at the start.
        tune_layers: last layers of a pretrained backbone that are trained.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        name: str = "auto",
        width: int = 0,
        dim: int = 128,
        classes: int = 0,
        tune_layers: int = 0,
    ):
        super().__init__()
        self.shape = shape
        self.backbone = backbone(name, shape, width, tune_layers)
        f = self.backbone.features
        self.projector = nn.Sequential(nn.Linear(f, f), nn.ReLU(inplace=True), nn.Linear(f, dim))
        self.head = GrowingHead(f, classes)
        self.register_buffer("mean", torch.zeros(shape[0]))
        self.register_buffer("std", torch.ones(shape[0]))

    def normalise_by(self, x: Tensor) -> None:
        """Fix each channel's mean and deviation from these inputs, (N, C, H, W) or (N, D).

        A feature that is constant in them takes the mean deviation of the others. Where all are,
        as in a single row, the mean would be that row: only its size is kept, one number. Nothing
        is done before a backbone that normalises its inputs itself.
        """
        if self.backbone.normalises:
            return
        axes = (0, *range(2, x.ndim))
        mean, std = x.mean(axes), x.std(axes, correction=0)
        if x.ndim == 2:
            varied = std > 1e-6 * x.abs().amax(0)
            if not varied.any():
                mean, size = torch.zeros_like(mean), float(x.square().mean().sqrt())
                std = torch.full_like(std, size or 1.0)
            else:
                std = torch.where(varied, std, std[varied].mean())
        self.mean.copy_(mean)
        self.std.copy_(std if x.ndim == 2 else std.clamp_min(1e-3))

    def forward(self, x: Float[Tensor, "n ..."]) -> Output:
        """Inputs in [0, 1] (or feature vectors, `reined` in) to features, embedding and logits."""
        per_channel = (1, -1) + (1,) * (x.ndim - 2)
        x = (x - self.mean.view(per_channel)) / self.std.view(per_channel)
        x = reined(x) if x.ndim == 2 else x
        features = self.backbone(x)
        hidden = self.projector[:-1](features)
        projected = self.projector[-1](hidden)
        wide = torch.promote_types(projected.dtype, torch.float32)
        embedding = functional.normalize(projected.to(wide), dim=1)
        return Output(features, embedding, self.head(features), hidden)

    def freeze(self, mode: Literal["eval", "batch"] = "eval") -> Learner:
        """A copy that cannot change: the past network of THEORY 1.

        Args:
            mode: ``eval`` normalises by running statistics; ``batch`` by those of the batch it
                sees, as a network left in training mode would (THEORY 4), without updating any.
        """
        past = copy.deepcopy(self).requires_grad_(False).eval()
        if mode == "batch":
            frozen = self.backbone.tuned == ()  # and so shared with its copies
            seen = [past.projector, past.head] if frozen else [past]
            for module in (inner for part in seen for inner in part.modules()):
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.running_mean = module.running_var = module.num_batches_tracked = None
        return past


@torch.no_grad()
def outputs(learner: Learner, rows: Rows, batch: int = 1024) -> Output:
    """What the learner says of rows as they rest: in eval mode, without views, batch by batch."""
    mode = learner.training
    learner.eval()
    said = gathered(learner, rows, batch)
    learner.train(mode)
    return said


@torch.no_grad()
def gathered(forward: Callable[[Tensor], Output], rows: Rows, batch: int = 1024) -> Output:
    """What a network says of rows as they rest, in the mode it is in, batch by batch."""
    pieces = [forward(to_float(piece.x)) for piece in rows.batches(batch)]
    columns = (torch.cat([p.float() for p in column]) for column in zip(*(o[:3] for o in pieces)))
    hidden = [o.hidden.float() for o in pieces if o.hidden is not None]
    return Output(*columns, hidden=torch.cat(hidden) if hidden else None)
