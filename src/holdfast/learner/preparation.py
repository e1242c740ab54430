"""How a pretrained model wants its images: resized, cropped, normalised, on the images' device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

MODES: dict[int, Literal["nearest-exact", "bilinear", "bicubic"]] = {
    0: "nearest-exact", 1: "bicubic", 2: "bilinear", 3: "bicubic",
}  # fmt: skip  # by Pillow's numbers; Lanczos, which torch has not, by bicubic


@dataclass(frozen=True)
class Preparation:
    """What a model's preprocessor does to pixels in [0, 1]: resize, crop the centre, normalise.

    Attributes:
        size: (height, width) to resize to, or a single number for the shorter side; () keeps it.
        crop: (height, width) of the centre that is kept; () keeps all.
        mean, std: of each channel.
        mode: of the interpolation, antialiased where torch can.
    """

    size: tuple[int, ...]
    crop: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mode: Literal["nearest-exact", "bilinear", "bicubic"] = "bilinear"

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> Preparation:
        """From the content of a ``preprocessor_config.json``, defaults filled in."""
        sides = _sides(config.get("size"))
        crop = _sides(config.get("crop_size")) if config.get("do_center_crop") else ()
        share = config.get("crop_pct")
        if share and len(sides) == 1 and sides[0] < 384:  # as ConvNeXt was evaluated
            sides, crop = (int(sides[0] / share),), (sides[0], sides[0])
        elif share and len(sides) == 1:
            sides = (sides[0], sides[0])
        normal = bool(config.get("do_normalize", True))
        return cls(
            size=sides if config.get("do_resize", True) else (),
            crop=crop * 2 if len(crop) == 1 else crop,
            mean=tuple(config["image_mean"]) if normal else (0.0,),
            std=tuple(config["image_std"]) if normal else (1.0,),
            mode=MODES.get(config.get("resample", 2), "bilinear"),
        )

    def __call__(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h2 w2"]:
        """Prepared images."""
        size = self.size
        if len(size) == 1:
            short = min(x.shape[2:])
            size = tuple(int(side * size[0] / short) for side in x.shape[2:])
        if size and size != tuple(x.shape[2:]):
            smooth = self.mode != "nearest-exact"
            x = functional.interpolate(x, size, mode=self.mode, antialias=smooth)
            x = x.clamp(0, 1)  # a cubic overshoots; pixels do not
        if self.crop:
            x = _centre(x, *self.crop)
        mean, std = (x.new_tensor(value).view(1, -1, 1, 1) for value in (self.mean, self.std))
        return (x - mean) / std


def _sides(size: Any) -> tuple[int, ...]:
    """(height, width), or the shorter side alone, from any of the forms in use."""
    if size is None:
        return ()
    if isinstance(size, int):
        return (size, size)
    size = {key: value for key, value in dict(size).items() if value}
    if "shortest_edge" in size:
        return (int(size["shortest_edge"]),)
    return (int(size["height"]), int(size["width"]))


def _centre(x: Tensor, height: int, width: int) -> Tensor:
    """The middle; zeros around images that are smaller."""
    spare = (height - x.shape[2], width - x.shape[3])
    if max(spare) > 0:
        down, right = (max(s, 0) for s in spare)
        x = functional.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2))
    top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
    return x[:, :, top : top + height, left : left + width]
