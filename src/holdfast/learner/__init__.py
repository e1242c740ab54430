"""What is trained: backbone, projector, head, and the fixed prototypes."""

from holdfast.core.output import Output, outputs
from holdfast.learner.backbone import BACKBONES, MLP, ConvNet, ResNet18, make_backbone, register
from holdfast.learner.heads import CosineHead, GrassmannHead, GrowingHead, make_head
from holdfast.learner.identity import Identity
from holdfast.learner.learner import Learner
from holdfast.learner.lite0 import Lite0
from holdfast.learner.network import Backbone
from holdfast.learner.pretrained import Pretrained
from holdfast.learner.prototype import Frame, simplex_etf

__all__ = [
    "BACKBONES",
    "MLP",
    "Backbone",
    "ConvNet",
    "CosineHead",
    "Frame",
    "GrassmannHead",
    "GrowingHead",
    "Identity",
    "Learner",
    "Lite0",
    "Output",
    "Pretrained",
    "ResNet18",
    "make_backbone",
    "make_head",
    "outputs",
    "register",
    "simplex_etf",
]
