"""The learner: backbone h, projector g onto the unit sphere, and a head that grows with the classes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from holdfast.core.errors import ConfigError
from holdfast.core.filed import dense, pieces
from holdfast.core.numerics import in_float64, log_clip, to_float
from holdfast.core.output import OF_STAGES, Output
from holdfast.core.settings import NORMALISATIONS
from holdfast.learner.backbone import make_backbone
from holdfast.learner.effective import note_gradients
from holdfast.learner.heads import make_head
from holdfast.learner.holding import Holding
from holdfast.learner.stages import Columns, require_stages, shown_of
from holdfast.learner.states import TaskStates, empty_states

LARGE = 2**24  # numbers; more pixels are not turned into floats at once
ROUNDING = {torch.float32: 1e-6, torch.float64: 1e-13}  # a smaller share of a value is no variation


class Learner(Holding):
    """Normalisation, backbone, projector and head in one module.

    Args:
        shape: of one input, (C, H, W) or (D,).
        name: of the backbone (``auto`` chooses by the shape).
        width: of the backbone; 0 is the backbone's own default.
        dim: d, width of the embedding; 0 has no projector, and the embedding is the features at length 1.
        classes: width of the head at the start.
        tune_layers: last layers of a pretrained backbone that are trained.
        head: ``linear``, ``cosine`` or ``grassmann``, see `holdfast.learner.heads`.

    Attributes:
        states: what of it is another for each task; None where it is one network for all.
    """

    mean: Tensor
    std: Tensor
    states: TaskStates | None
    shown: tuple[str, ...] = ()  # columns of stages that outputs have: see `show_stages`
    mirror: bool = False  # whether the column `mirrored` asks mirror images

    def __init__(
        self,
        shape: tuple[int, ...],
        name: str = "auto",
        width: int = 0,
        dim: int = 128,
        classes: int = 0,
        tune_layers: int = 0,
        head: str = "linear",
    ):
        super().__init__()
        self.shape = shape
        self.backbone = make_backbone(name, shape, width, tune_layers)
        f = self.backbone.features
        layers = (nn.Linear(f, f), nn.ReLU(inplace=True), nn.Linear(f, dim)) if dim else ()
        self.projector = nn.Sequential(*layers)
        self.head = make_head(head, f, classes)
        self.register_module("states", None)
        note_gradients(self)
        exact = torch.float64 if len(shape) == 1 else torch.float32
        self.register_buffer("mean", torch.zeros(shape[0], dtype=exact))
        self.register_buffer("std", torch.ones(shape[0], dtype=exact))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Learner:
        """Move or convert; a device without float64 takes the normalisation in float32."""
        if fn(torch.empty(0)).device.type == "mps":
            self.mean, self.std = self.mean.float(), self.std.float()
        return super()._apply(fn, recurse)

    def normalise_by(self, x: Tensor, by: str = "data") -> None:
        """Fix each channel's mean and deviation from these inputs, (N, C, H, W) or (N, D).

        Pixels may be uint8, as they rest: many of them are summed some rows at a time, in float64.
        Moments of others have the precision of the inputs. A feature that is constant in them (up to
        rounding) takes the mean deviation of the others. Where all are, as in a single row, the
        mean would be that row: only its size is kept, one number. Nothing is done before a backbone
        that normalises its inputs itself.

        Args:
            x: the inputs.
            by: ``data``, or a name of `NORMALISATIONS`, whose constants are taken in place of theirs.

        Raises:
            ConfigError: for constants of images with another number of channels.
        """
        if self.backbone.normalises:
            return
        if by in NORMALISATIONS:
            self._normalise_as(by)
            return
        large = x.dtype == torch.uint8 and x.numel() > LARGE
        x = x if large else to_float(dense(x))
        axes = (0, *range(2, x.ndim))
        if x.ndim == 2:
            mean, std = _moments(x)
            varied = std > ROUNDING.get(x.dtype, 1e-6) * x.abs().amax(0)
            if not varied.any():
                scale = _safe_scale(x.abs().max())
                mean, size = torch.zeros_like(mean), (x / scale).square().mean().sqrt() * scale
                std = torch.full_like(std, float(size) or 1.0)
            else:
                std = torch.where(varied, std, std[varied].mean())
        elif large:
            mean, std = _pixel_moments(x)
        else:
            mean, std = x.mean(axes), x.std(axes, correction=0)
        self.mean.copy_(mean)
        self.std.copy_(std if x.ndim == 2 else std.clamp_min(1e-3))

    def _normalise_as(self, name: str) -> None:
        """By constants."""
        mean, std = NORMALISATIONS[name]
        if len(self.shape) != 3 or self.shape[0] != len(mean):
            raise ConfigError(
                f"--normalise {name} is for images of {len(mean)} channels, and an input here is "
                f"{' x '.join(map(str, self.shape))}: use --normalise data."
            )
        self.mean.copy_(torch.tensor(mean))
        self.std.copy_(torch.tensor(std))

    def forward(self, x: Float[Tensor, "n ..."]) -> Output:
        """Inputs in [0, 1] (or feature vectors, `log_clip` in) to features, embedding and logits.

        Feature vectors in float64 are standardised in float64, then as precise as the weights. Rows
        (N, f) where inputs are images are what a frozen backbone gave before.
        """
        kind = self.head.weight.dtype
        features, shown = self._seen(x)
        rows = features.to(kind)
        hidden = self.projector[:-1](rows) if len(self.projector) else None
        projected = rows if hidden is None else self.projector[-1](hidden)
        wide = torch.promote_types(projected.dtype, torch.float32)
        embedding = functional.normalize(projected.to(wide), dim=1)
        return Output(features, embedding, self.head(rows), hidden, **shown)

    def _seen(self, x: Tensor) -> tuple[Tensor, Columns]:
        """Features of inputs, and what is to be shown of the stages."""
        if self.embedded(x):
            return x, {}
        prepared = self._prepared(x)
        if not self.shown:
            return self.backbone(prepared), {}
        return shown_of(self.backbone, prepared, self.shown, self.mirror)

    def show_stages(self, columns: Sequence[str] = ("stages",)) -> None:
        """Let outputs have columns of the backbone's stages, and no others; nothing else changes.

        Args:
            columns: of `Output`: ``stages``, ``pyramid``, ``moments``, ``mirrored``; empty for none.

        Raises:
            ConfigError: for a backbone without stages.
        """
        if columns:
            require_stages(self.backbone)
        self.shown = tuple(name for name in OF_STAGES if name in columns)

    def embedded(self, x: Float[Tensor, "n ..."]) -> bool:
        """Whether rows are features of the frozen backbone in place of images."""
        return (
            self.backbone.frozen
            and x.ndim == 2
            and len(self.shape) > 1
            and x.shape[1] == self.backbone.features
        )

    @property
    def square(self) -> dict[str, Any]:
        """``fit`` and ``resize`` of images: as the backbone wants them at its own size, else nothing."""
        if len(self.shape) != 3 or self.backbone.size != self.shape[1]:
            return {}
        return {"fit": self.backbone.fit, "resize": self.backbone.resize}

    def _prepared(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Inputs as the backbone takes them."""
        if self.backbone.normalises:
            return x if self.backbone.exact else x.to(self.head.weight.dtype)
        per_channel = (1, -1) + (1,) * (x.ndim - 2)
        kind = torch.promote_types(x.dtype, torch.float32)
        mean, std = (value.to(kind).view(per_channel) for value in (self.mean, self.std))
        x = (x - mean) / std
        x = log_clip(x) if x.ndim == 2 else x
        return x.to(self.head.weight.dtype)

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **settings: Any) -> Any:
        """As any module's; the states of tasks are those of the dict."""
        states = empty_states(state_dict)
        self.states = None if states is None else states.to(self.mean.device)
        return super().load_state_dict(state_dict, *args, **settings)

    def freeze(self, mode: Literal["eval", "batch"] = "eval") -> Learner:
        """A copy that cannot change: the past network of docs/theory.md, section 1.

        Args:
            mode: ``eval`` normalises by running statistics; ``batch`` by those of the batch it
                sees, as a network left in training mode would, without updating any
                (docs/theory.md, section 4).
        """
        past = copy.deepcopy(self).requires_grad_(False).eval()
        if mode == "batch":
            frozen = self.backbone.tuned == ()  # and so shared with its copies
            seen = [past.projector, past.head] if frozen else [past]
            for module in (inner for part in seen for inner in part.modules()):
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.running_mean = module.running_var = module.num_batches_tracked = None
                    module.track_running_stats = False  # so that its state is loaded without any
        return past


def _moments(x: Float[Tensor, "n d"]) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
    """Mean and deviation of each column, also where its squares are beyond the range of the type."""
    scale = _safe_scale(x.abs().amax(0))
    x = x / scale
    return x.mean(0) * scale, x.std(0, correction=0) * scale


def _pixel_moments(x: UInt8[Tensor, "n c h w"]) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
    """Mean and deviation of each channel in [0, 1], of sums that are exact."""
    total = torch.zeros(2, x.shape[1], dtype=torch.float64)
    for piece in pieces(x, 2**18):
        values = in_float64(piece).cpu()
        total += torch.stack([values.sum((0, 2, 3)), values.square().sum((0, 2, 3))])
    mean, square = total / (x.numel() // x.shape[1])
    return mean / 255, (square - mean**2).clamp_min(0).sqrt() / 255


def _safe_scale(size: Float[Tensor, ...]) -> Float[Tensor, ...]:
    """1, or the power of two near a size whose square is too large or too small for its type."""
    root = torch.finfo(size.dtype).max ** 0.5
    strange = (size > 1e-3 * root) | ((size > 0) & (size < 1e3 / root))
    return torch.where(strange, size.log2().floor().exp2(), torch.ones_like(size))
