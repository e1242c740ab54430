"""How classes are decided."""

from holdfast.readout.anacp import ContrastiveProjection
from holdfast.readout.decision import Decision
from holdfast.readout.fecam import FeCAM
from holdfast.readout.gaussian import ClassGaussian, Gaussian, SharedGaussian
from holdfast.readout.klda import KernelGaussian
from holdfast.readout.linear import Head, LinearProbe, LinearReadout, PseudoHead
from holdfast.readout.nearest import NearestMean, NearestPrototype
from holdfast.readout.readout import (
    READOUTS,
    FitContext,
    Readout,
    build_readout,
    readout_class,
    register,
)
from holdfast.readout.ridge import RandomFeatureRidge, Ridge
from holdfast.readout.select import Select
from holdfast.readout.solver import fit_softmax, separate
from holdfast.readout.streaming import Streaming

__all__ = [
    "READOUTS",
    "ClassGaussian",
    "ContrastiveProjection",
    "Decision",
    "FeCAM",
    "FitContext",
    "Gaussian",
    "Head",
    "KernelGaussian",
    "LinearProbe",
    "LinearReadout",
    "NearestMean",
    "NearestPrototype",
    "PseudoHead",
    "RandomFeatureRidge",
    "Readout",
    "Ridge",
    "Select",
    "SharedGaussian",
    "Streaming",
    "build_readout",
    "fit_softmax",
    "readout_class",
    "register",
    "separate",
]
