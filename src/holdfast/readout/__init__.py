"""How classes are decided."""

from holdfast.readout.drift import Drift, DriftMap, Translation, fit_drift
from holdfast.readout.gaussian import ClassGaussian, Gaussian, SharedGaussian
from holdfast.readout.head import Head
from holdfast.readout.nearest import NearestMean, NearestPrototype
from holdfast.readout.probe import LinearProbe, fit_softmax
from holdfast.readout.pseudo import PseudoHead
from holdfast.readout.readout import Lesson, LinearReadout, Readout
from holdfast.readout.registry import READOUTS, kind, readout
from holdfast.readout.ridge import RandomFeatureRidge, Ridge
from holdfast.readout.scatter import Scatter
from holdfast.readout.statistics import Statistics
from holdfast.readout.streaming import Streaming

__all__ = [
    "READOUTS",
    "ClassGaussian",
    "Drift",
    "DriftMap",
    "Gaussian",
    "Head",
    "Lesson",
    "LinearProbe",
    "LinearReadout",
    "NearestMean",
    "NearestPrototype",
    "PseudoHead",
    "RandomFeatureRidge",
    "Readout",
    "Ridge",
    "Scatter",
    "SharedGaussian",
    "Statistics",
    "Streaming",
    "Translation",
    "fit_drift",
    "fit_softmax",
    "kind",
    "readout",
]
