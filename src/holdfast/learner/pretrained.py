"""Pretrained backbones: any vision model of Hugging Face ``transformers``, from a folder or the hub."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from holdfast.errors import ConfigError
from holdfast.learner.network import Backbone

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


class Pretrained(Backbone):
    """A vision model of ``transformers`` as backbone: frozen, or trained in its last layers.

    Frozen layers stay in eval mode and record no graph; copies of a wholly frozen one share it.
    Features are the model's pooled output, or the mean over places where it has none that was
    trained. Only safetensors weights are read, and no code that comes with a model is run.

    Args:
        name: a folder with ``config.json``, ``preprocessor_config.json`` and weights, or the hub's
            owner/name.
        channels: of the input; one channel is repeated where the model wants three.
        tune_layers: how many of the last blocks are trained, with what follows them.

    Attributes:
        sha256: of the weights as they were loaded.

    Raises:
        ConfigError: if ``transformers`` is missing, or the model cannot be used.
    """

    normalises = True

    def __init__(self, name: str, channels: int = 3, tune_layers: int = 0):
        super().__init__()
        self.model, self.prepare, untrained = load(name)
        self.pooled = not any(key.startswith("pooler") for key in untrained)
        wanted = getattr(self.model.config, "num_channels", 3)
        if channels not in (1, wanted):
            raise ConfigError(f"'{name}' takes images of {wanted} channels, not of {channels}.")
        self.repeats = wanted if channels == 1 else 1
        self.sha256 = digest(self.model)
        self.tuned = self._unfreeze(tune_layers, name)
        self.train()
        with torch.no_grad():
            self.features = self(torch.zeros(1, channels, 32, 32)).shape[1]

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n f"]:
        """Images in [0, 1], of any size, to pooled features."""
        said = self.model(
            pixel_values=self.prepare(x.expand(-1, x.shape[1] * self.repeats, -1, -1))
        )
        pooled = getattr(said, "pooler_output", None)
        if pooled is None or not self.pooled:
            last = said.last_hidden_state
            pooled = last.mean((2, 3)) if last.ndim == 4 else last.mean(1)
        return pooled.flatten(1)

    def train(self, mode: bool = True) -> Pretrained:
        """Only what is tuned changes its mode."""
        super().train(False)
        for module in self.tuned or ():
            module.train(mode)
        self.training = mode
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Pretrained:
        if not self.tuned:  # it cannot change
            return self
        made = self.__class__.__new__(self.__class__)
        memo[id(self)] = made
        made.__dict__.update(copy.deepcopy(vars(self), memo))
        return made

    def _unfreeze(self, layers: int, name: str) -> tuple[nn.Module, ...]:
        """Freeze all but the last ``layers`` blocks and the modules that follow them."""
        self.model.requires_grad_(False)
        if layers < 1:
            return ()
        blocks = [m for m in self.model.modules() if isinstance(m, nn.ModuleList) and len(m)]
        chain = max(blocks, key=_weight, default=nn.ModuleList())
        if layers > len(chain):
            raise ConfigError(f"'{name}' has {len(chain)} layers to tune, not {layers}.")
        order = list(self.model.modules())
        inside = set(chain.modules())
        last = max(place for place, module in enumerate(order) if module in inside)
        after = [m for m in order[last + 1 :] if not list(m.children()) and list(m.parameters())]
        tuned = (*chain[-layers:], *after)
        for module in tuned:
            module.requires_grad_(True)
        return tuned


def load(name: str) -> tuple[Any, Preparation, list[str]]:
    """A vision model, how its inputs are prepared, and the names of weights it came without.

    Raises:
        ConfigError: if ``transformers`` is missing, or there is no such model, or not of images.
    """
    try:
        import transformers
        from transformers.utils import logging
    except ImportError:
        raise ConfigError(
            f"the backbone '{name}' needs transformers: pip install 'holdfast[pretrained]'."
        ) from None
    logging.disable_progress_bar()
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    source = str(Path(name).expanduser()) if Path(name).expanduser().is_dir() else name
    try:
        model, info = transformers.AutoModel.from_pretrained(
            source, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
        config = transformers.AutoImageProcessor.from_pretrained(source, trust_remote_code=False)
        preparation = Preparation.read(config.to_dict())
    except Exception as error:  # whatever a hub, a file or a model's code may raise
        reason = " ".join(str(error).split()).rstrip(".")[:300]
        raise ConfigError(
            f"'{name}' cannot be used as a backbone ({reason}): give a folder or the hub's "
            "owner/name of a vision model with safetensors weights and a preprocessor_config.json."
        ) from None
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()
    model = getattr(model, "vision_model", model)  # of a model of images and texts
    if getattr(model, "main_input_name", "") != "pixel_values":
        raise ConfigError(f"'{name}' is no vision model: it takes {model.main_input_name}.")
    missing = sorted(info["missing_keys"])
    lost = [key for key in missing if not key.startswith("pooler")]
    if lost:
        raise ConfigError(f"'{name}' comes without the weights {lost[0]}: it was not saved whole.")
    return model, preparation, missing


def digest(model: nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of all weights, whatever files they came in."""
    total = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()


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


def _weight(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
