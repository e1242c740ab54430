"""How much each weight mattered: curvatures of a likelihood, and what stands in for them."""

from holdfast.curvature.curvature import Curvature, Importance, Unit
from holdfast.curvature.likelihood import FrameSoftmax, HeadSoftmax, Likelihood
from holdfast.curvature.matrix import Diagonal, Full, Kronecker, LowRank, Matrix

__all__ = [
    "Curvature",
    "Diagonal",
    "FrameSoftmax",
    "Full",
    "HeadSoftmax",
    "Importance",
    "Kronecker",
    "Likelihood",
    "LowRank",
    "Matrix",
    "Unit",
]
