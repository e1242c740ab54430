"""Suggested pretrained backbones: what is published of each; what could not be confirmed is left out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Suggestion:
    """A pretrained network by the name that ``--backbone`` takes.

    Attributes:
        name: of the package's own, or the hub's owner/name.
        family: of networks.
        licence: of the weights; none if not confirmed.
        size: side of an image.
        width: f, of its features; 0 if not confirmed.
        megabytes: of float32 weights: 4 bytes for each of the published number of parameters, all of
            them; 0 if not confirmed.
        accuracy: published, on ImageNet-1k, in percent; 0 if not confirmed.
        measure: what that is: ``linear`` is a linear classifier on frozen features, ``top-1`` the
            network's own head.
    """

    name: str
    family: str
    licence: str = ""
    size: int = 224
    width: int = 0
    megabytes: int = 0
    accuracy: float = 0.0
    measure: str = ""


# sources: the models' cards and READMEs (tensorflow/tpu, facebookresearch/dinov2 and dinov3)
SUGGESTIONS = (
    Suggestion("lite0", "EfficientNet-Lite", "Apache-2.0", 224, 1280, 19, 75.1, "top-1"),
    Suggestion("facebook/dinov2-small", "DINOv2", "Apache-2.0", 224, 384, 84, 81.1, "linear"),
    Suggestion("facebook/dinov2-base", "DINOv2", "Apache-2.0", 224, 768, 344, 84.5, "linear"),
    Suggestion("facebook/dinov2-large", "DINOv2", "Apache-2.0", 224, 1024, 1200, 86.3, "linear"),
    Suggestion("facebook/dinov3-vits16-pretrain-lvd1689m", "DINOv3", "DINOv3", 224, 384, 84),
    Suggestion("facebook/dinov3-vitb16-pretrain-lvd1689m", "DINOv3", "DINOv3", 224, 768, 344),
    Suggestion("openai/clip-vit-base-patch32", "CLIP", width=768),
    Suggestion("google/siglip-base-patch16-224", "SigLIP", width=768),
    Suggestion("facebook/convnext-tiny-224", "ConvNeXt", width=768),
    Suggestion("google/efficientnet-b0", "EfficientNet", width=1280),
)
