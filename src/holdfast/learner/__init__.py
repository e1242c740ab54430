"""What is trained: backbone, projector, head, and the fixed prototypes."""

from holdfast.learner.backbone import MLP, ConvNet, ResNet18, backbone
from holdfast.learner.learner import GrowingHead, Learner, Output, outputs
from holdfast.learner.network import Backbone
from holdfast.learner.pretrained import Pretrained
from holdfast.learner.prototype import Frame, simplex_etf

__all__ = [
    "MLP",
    "Backbone",
    "ConvNet",
    "Frame",
    "GrowingHead",
    "Learner",
    "Output",
    "Pretrained",
    "ResNet18",
    "backbone",
    "outputs",
    "simplex_etf",
]
