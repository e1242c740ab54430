"""How much each weight mattered: curvatures of a likelihood, and what stands in for them."""

from holdfast.curvature.curvature import CURVATURES, Curvature
from holdfast.curvature.eigenvalues import max_eigenvalue
from holdfast.curvature.importance import Importance, Unit
from holdfast.curvature.likelihood import FrameSoftmax, HeadSoftmax, Likelihood
from holdfast.curvature.matrix import Diagonal, Full, Kronecker, LowRank, Matrix

__all__ = [
    "CURVATURES",
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
    "max_eigenvalue",
]
