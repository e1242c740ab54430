"""Augment: the views of a batch, every sample with its own draw, made on the batch's device."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Generator, Tensor

from holdfast.core.constants import constant
from holdfast.core.errors import ConfigError
from holdfast.core.numerics import to_float
from holdfast.core.rows import Rows

_LUMA = (0.299, 0.587, 0.114)
_TURN = (  # a quarter turn of the chroma plane of YIQ, red towards yellow, seen from RGB
    (-0.167740, -0.329310, 0.497049),
    (0.328113, -0.035467, -0.292646),
    (-1.249546, 1.046339, 0.203207),
)


@dataclass(frozen=True)
class _Draw:
    """What chance decided for each sample; greyscale is a saturation of 0, no blur a sigma of 0."""

    box: Float[Tensor, "n 4"]  # what is kept: top, left, height and width in pixels
    flip: Bool[Tensor, " n"]
    colour: Float[Tensor, "n 4"]  # brightness, contrast and saturation as factors, hue in turns
    sigma: Float[Tensor, " n"]  # pixels

    def of(self, share: slice) -> _Draw:
        """What was decided for some samples."""
        return _Draw(self.box[share], self.flip[share], self.colour[share], self.sigma[share])


@dataclass(frozen=True)
class Augment:
    """One set of views: called on a batch, it gives a new view of every sample.

    Per image, in this order: crop, flip and shift as one bilinear sampling (without a crop exact
    copies of pixels); brightness, contrast, saturation, hue and greyscale as one affine map of the
    colours; blur; noise; one clamp to [0, 1]. Images of other than 3 channels take brightness and
    contrast only; feature vectors take ``noise`` only.

    The draws follow torchvision, except that the colour steps keep this order, values are clamped
    once (at the end), hue rotates the chroma plane of YIQ about the grey axis (linear, luma stays)
    instead of shifting the H of HSV, and crops are not rounded to pixels.

    Attributes:
        crop: least and greatest share of the area a random crop keeps; (1, 1) is no crop.
        pad: greatest random shift along each axis in whole pixels; zeros come in.
        flip: mirror left and right, with probability a half.
        jitter: greatest change of brightness, contrast, saturation (factors about 1), hue (turns).
        jitter_p: probability of the jitter.
        grey_p: probability of greyscale.
        blur_p: probability of a Gaussian blur, sigma 0.1 to 2 pixels, a tenth of the side wide.
        noise: standard deviation of Gaussian noise, in units of the values.

    Raises:
        ConfigError: a number lies outside its range.
    """

    crop: tuple[float, float] = (0.2, 1.0)
    pad: int = 0
    flip: bool = True
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1)
    jitter_p: float = 0.8
    grey_p: float = 0.2
    blur_p: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        shares = (*self.jitter, 2 * self.jitter[3], self.jitter_p, self.grey_p, self.blur_p)
        for rule, holds in {
            "crop with 0 < least <= greatest <= 1": 0 < self.crop[0] <= self.crop[1] <= 1,
            "jitter and chances in [0, 1], hue in [0, 0.5]": all(0 <= s <= 1 for s in shares),
            "pad and noise of at least 0": self.pad >= 0 and 0 <= self.noise < math.inf,
        }.items():
            if not holds:
                raise ConfigError(f"augmentation needs {rule}, unlike {self}.")

    @torch.no_grad()
    def __call__(self, x: Shaped[Tensor, "n ..."], generator: Generator) -> Float[Tensor, "n ..."]:
        """A view of every sample: float32 in [0, 1], channels last; of features, not clamped.

        Args:
            x: (N, C, H, W) images, uint8 or float in [0, 1], or (N, D) features, on any device.
            generator: all of chance; one on the CPU gives the same draws to every device.
        """
        return self._views(x, slice(None), generator)

    @torch.no_grad()
    def some(
        self, x: Shaped[Tensor, "n ..."], share: slice, generator: Generator
    ) -> Float[Tensor, "m ..."]:
        """The views that a call gives some of the samples; chance is drawn for all.

        Args:
            x: all samples, as for a call.
            share: which are wanted.
            generator: as for a call.
        """
        if type(self).__call__ is not Augment.__call__:
            return self(x, generator)[share]
        return self._views(x, share, generator)

    def _views(self, x: Shaped[Tensor, "n ..."], share: slice, g: Generator) -> Tensor:
        some = x[share]
        some = self._image(x, share, g) if x.ndim == 4 else to_float(some)
        if self.noise:
            noise = torch.randn(x.shape, generator=g, device=g.device)[share]
            some = some + self.noise * noise.to(some)
        if x.ndim != 4:
            return some
        return some.clamp(0, 1).contiguous(memory_format=torch.channels_last)

    def _image(
        self, x: Shaped[Tensor, "n c h w"], share: slice, g: Generator
    ) -> Float[Tensor, "m c h w"]:
        draw = self._draw(len(x), x.shape[2], x.shape[3], g, x.device).of(share)
        x = x[share]
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 would cost a pixel's last bit
            if self.crop == (1, 1):
                x = to_float(_move(x, draw)).float()
            else:
                x = _resample(to_float(x).float(), draw, "zeros" if self.pad else "border")
            if self.grey_p or (self.jitter_p and any(self.jitter)):
                x = _recolour(x, draw)
            return _blur(x, draw.sigma) if self.blur_p else x

    def _draw(self, n: int, height: int, width: int, g: Generator, device: torch.device) -> _Draw:
        """All of chance, from one table of numbers: a changed setting leaves the other draws."""
        u = torch.rand(n, 33, generator=g, device=g.device).to(device)
        # Of ten crops the first that fits; if none does, an eleventh in the shape of the image.
        share = self.crop[0] + (self.crop[1] - self.crop[0]) * u[:, 13:23, None]
        stretch = (4 / 3) ** (u[:, 23:] - 0.5)
        whole = constant((height, width), u)
        sizes = (share * height * width).sqrt() * torch.stack([1 / stretch, stretch], 2)
        sizes = torch.cat([sizes, share[:, :1].sqrt() * whole], 1)
        kept = sizes[torch.arange(n, device=device), (sizes <= whole).all(2).byte().argmax(1)]
        shift = (u[:, 2:4] * (2 * self.pad + 1)).floor() - self.pad
        box = torch.cat([u[:, :2] * (whole - kept) + shift, kept], 1)
        jitter = constant(self.jitter, u) * (2 * u[:, 6:10] - 1) * (u[:, 5:6] < self.jitter_p)
        colour = jitter + constant((1, 1, 1, 0), u)
        colour[:, 2] *= u[:, 10] >= self.grey_p
        sigma = (0.1 + 1.9 * u[:, 12]) * (u[:, 11] < self.blur_p)
        return _Draw(box, (u[:, 4] < 0.5) & self.flip, colour, sigma)


CONTRASTIVE = Augment()
CONTRASTIVE_TINY = Augment(crop=(0.1, 1.0), blur_p=0.5)
PLAIN = Augment(crop=(1.0, 1.0), pad=4, jitter=(0.0, 0.0, 0.0, 0.0), grey_p=0.0)
DIGITS = Augment(crop=(0.7, 1.0), flip=False, jitter=(0.2, 0.2, 0.0, 0.0), grey_p=0.0)
NONE = Augment(crop=(1.0, 1.0), flip=False, jitter=(0.0, 0.0, 0.0, 0.0), grey_p=0.0)


def views(augment: Augment, rows: Rows, count: int, generator: Generator) -> Rows:
    """The table ``count`` times over, each row a view of its own: i and i + N are one sample."""
    if count < 1:
        raise ConfigError(f"the number of views must be at least 1, not {count}.")
    table = rows.repeat(count)
    return table.with_x(augment(table.x, generator))


def _move(x: Shaped[Tensor, "n c h w"], draw: _Draw) -> Shaped[Tensor, "n c h w"]:
    """Flip and shift by whole pixels: one gather, in the type the pixels rest in."""
    n, channels, height, width = x.shape
    top, left = draw.box[:, :2].round().long().split(1, dim=1)
    down, right = (torch.arange(size, device=x.device) for size in (height, width))
    right = torch.where(draw.flip[:, None], width - 1 - right, right) + left
    down, right = (down + top)[:, :, None], right[:, None, :]
    inside = (down >= 0) & (down < height) & (right >= 0) & (right < width)
    index = down.clamp(0, height - 1) * width + right.clamp(0, width - 1)
    moved = x.flatten(2).gather(2, index.flatten(1)[:, None].expand(n, channels, -1))
    return moved.view(x.shape) * inside[:, None]


def _resample(x: Float[Tensor, "n c h w"], draw: _Draw, outside: str) -> Float[Tensor, "n c h w"]:
    """Crop, flip and shift: every pixel of the view read bilinearly at its place, in [-1, 1]."""
    height, width = x.shape[2:]
    top, left, h, w = (2 * draw.box / constant((height, width) * 2, draw.box)).split(1, dim=1)
    down, right = ((torch.arange(size, device=x.device) + 0.5) / size for size in (height, width))
    right = torch.where(draw.flip[:, None], 1 - right, right)
    grid = x.new_empty(len(x), height, width, 2)
    grid[..., 0] = (left - 1 + w * right)[:, None, :]
    grid[..., 1] = (top - 1 + h * down)[:, :, None]
    return F.grid_sample(x, grid, padding_mode=outside, align_corners=False)


def _recolour(x: Float[Tensor, "n c h w"], draw: _Draw) -> Float[Tensor, "n c h w"]:
    """Brightness b, contrast c, saturation s and hue t as one affine map per image.

    x -> b c (L + s cos(t) (I - L) + s sin(t) Q) x + b (1 - c) mean(luma), with the luma weights in
    every row of L and the quarter turn Q.
    """
    bright, contrast, saturation, hue = draw.colour.T[..., None, None]
    gain, lift = bright * contrast, bright * (1 - contrast)
    if x.shape[1] != 3:
        return torch.addcmul(lift[..., None] * x.mean((1, 2, 3), keepdim=True), x, gain[..., None])
    luma, quarter, eye = constant(_LUMA, x), constant(_TURN, x), torch.eye(3, device=x.device)
    turn = 2 * math.pi * hue
    mix = luma + saturation * (turn.cos() * (eye - luma) + turn.sin() * quarter)
    # a product with a vector would sum in an order that depends on the number of images
    mean = (x.mean((2, 3)) * luma).sum(1)[:, None, None]
    return torch.baddbmm(lift * mean, gain * mix, x.flatten(2)).view(x.shape)


def _blur(x: Float[Tensor, "n c h w"], sigma: Float[Tensor, " n"]) -> Float[Tensor, "n c h w"]:
    """Gaussian blur, the border mirrored; where sigma is 0, exactly ``x``."""
    reach = min(max(1, min(x.shape[2:]) // 20), min(x.shape[2:]) - 1)
    offset = torch.arange(-reach, reach + 1, device=x.device) / sigma.clamp(min=1e-3)[:, None]
    weight = (-0.5 * offset**2).softmax(1)[..., None, None, None]
    for axis, edge in ((3, (reach, reach, 0, 0)), (2, (0, 0, reach, reach))):
        wide, size = F.pad(x, edge, mode="reflect"), x.shape[axis]
        x = wide.narrow(axis, 0, size) * weight[:, 0]
        for i in range(1, 2 * reach + 1):
            x.addcmul_(wide.narrow(axis, i, size), weight[:, i])
    return x
