"""How classes are decided."""

from holdfast.readout.drift import DriftMap, fit_drift
from holdfast.readout.gaussian import SharedGaussian
from holdfast.readout.head import Head
from holdfast.readout.nearest import NearestMean, NearestPrototype
from holdfast.readout.probe import LinearProbe, fit_softmax
from holdfast.readout.readout import Lesson, LinearReadout, Readout

__all__ = [
    "DriftMap",
    "Head",
    "Lesson",
    "LinearProbe",
    "LinearReadout",
    "NearestMean",
    "NearestPrototype",
    "Readout",
    "SharedGaussian",
    "fit_drift",
    "fit_softmax",
]
