"""How a pretrained model wants its images: resized, cropped, normalised, on the images' device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from holdfast.stream.fit import Fit

MODES: dict[int, Literal["nearest-exact", "bilinear", "bicubic"]] = {
    0: "nearest-exact", 1: "bicubic", 2: "bilinear", 3: "bicubic",
}  # fmt: skip  # by Pillow's numbers; Lanczos, which torch has not, by bicubic


@dataclass(frozen=True)
class Preparation:
    """What a model's preprocessor does to pixels in [0, 1]: resize, crop the centre, normalise.

    Images that have the size which comes out are prepared already, and only normalised.

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
        """From the content of a ``preprocessor_config.json``, defaults filled in; also timm's."""
        if "data_config" in config:
            config = _of_timm(config["data_config"])
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

    @property
    def target(self) -> tuple[int, ...]:
        """(height, width) that comes out; () where it depends on the image."""
        return self.crop or (self.size if len(self.size) == 2 else ())

    @property
    def wanted(self) -> tuple[int | None, int, Fit]:
        """Side, shorter side before the crop, and fit of images that keep their shape until they are
        squares (see `Backbone`); no side where what comes out is no square.
        """
        if len(set(self.target)) != 1:
            return None, 0, "squash"
        side = self.target[0]
        if not self.crop and len(self.size) == 2:
            return side, 0, "squash"
        return side, max(side, min(self.size, default=side)), "crop"

    def __call__(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h2 w2"]:
        """Prepared images."""
        if tuple(x.shape[2:]) != self.target:
            x = self._resized(x)
        mean, std = (x.new_tensor(value).view(1, -1, 1, 1) for value in (self.mean, self.std))
        return (x - mean) / std

    def _resized(self, x: Tensor) -> Tensor:
        """At the size, and cropped."""
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
        return x


def _of_timm(config: Mapping[str, Any]) -> dict[str, Any]:
    """What ``timm`` says of its images, in the words of ``transformers``."""
    height, width = (int(side) for side in tuple(config["input_size"])[1:])
    share, names = float(config.get("crop_pct") or 1), {"nearest": 0, "bilinear": 2}
    size: dict[str, int] = {"shortest_edge": int(min(height, width) / share)}
    if config.get("crop_mode") == "squash":
        size = {"height": int(height / share), "width": int(width / share)}
    return {
        "size": size,
        "do_center_crop": True,
        "crop_size": {"height": height, "width": width},
        "image_mean": config["mean"],
        "image_std": config["std"],
        "resample": names.get(str(config.get("interpolation", "bicubic")), 3),
    }


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
