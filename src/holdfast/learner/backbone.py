"""Backbones h: inputs -> R^f. Each says its width f as ``features``."""

from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn

from holdfast.errors import ConfigError, unknown
from holdfast.learner.network import Backbone
from holdfast.learner.pretrained import Pretrained


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
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H/stride, W/stride)."""
        return self.relu(self.body(x) + self.shortcut(x))


class ResNet18(Backbone):
    """ResNet-18 with the CIFAR stem: 3x3 convolution, stride 1, no max-pool (THEORY 12).

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

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n f"]:
        """Vectors to the last hidden layer."""
        return self.layers(x)


WIDTHS = {"resnet18": 64, "convnet": 32, "mlp": 256}


def backbone(name: str, shape: tuple[int, ...], width: int = 0, tune_layers: int = 0) -> Backbone:
    """A backbone by name for inputs of a shape; ``auto`` chooses by the shape, width 0 by the name.

    A folder, or a name with a ``/``, is a pretrained one (`Pretrained`), to which width is nothing.

    Raises:
        ConfigError: for an unknown name, or one that does not take inputs of this shape.
    """
    if name == "auto":
        name = "mlp" if len(shape) == 1 else "convnet" if max(shape[1:]) <= 16 else "resnet18"
    pretrained = name not in WIDTHS and ("/" in name or name[:1] == "{" or Path(name).is_dir())
    if name not in WIDTHS and not pretrained:
        raise unknown("backbone", name, [*WIDTHS, "auto"])
    if (name == "mlp") != (len(shape) == 1):
        raise ConfigError(
            f"backbone '{name}' does not take inputs of shape {shape}: use --backbone auto."
        )
    if pretrained:
        return Pretrained(name, shape[0], tune_layers)
    if tune_layers:
        raise ConfigError(
            f"--tune-layers {tune_layers} is for a pretrained backbone; '{name}' is trained whole."
        )
    width = width or WIDTHS[name]
    if name == "mlp":
        return MLP(shape[0], width)
    return (ResNet18 if name == "resnet18" else ConvNet)(width, shape[0])
