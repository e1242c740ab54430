"""What is kept of a class: counts, means, scatters, and the maps by which they follow a network."""

from holdfast.statistics.class_statistics import Statistics
from holdfast.statistics.covariance import (
    ClassCovariance,
    Covariance,
    SharedCovariance,
    draw_rows,
    oracle_shrinkage,
)
from holdfast.statistics.drift import DriftRule, fit_drift
from holdfast.statistics.gaussian_source import GaussianSource
from holdfast.statistics.kinds import ScatterKind
from holdfast.statistics.maps import Drift, DriftMap, RowSpaceMap, Translation
from holdfast.statistics.network_map import NetworkMap
from holdfast.statistics.prototype_bank import PrototypeBank, build_frame
from holdfast.statistics.roots import FactorScatter
from holdfast.statistics.scatter import Scatter
from holdfast.statistics.spectrum import Spectrum, class_spectrum
from holdfast.statistics.tracker import Tracker
from holdfast.statistics.weighed import add_weighed

__all__ = [
    "ClassCovariance",
    "Covariance",
    "Drift",
    "DriftMap",
    "DriftRule",
    "FactorScatter",
    "GaussianSource",
    "NetworkMap",
    "PrototypeBank",
    "RowSpaceMap",
    "Scatter",
    "ScatterKind",
    "SharedCovariance",
    "Spectrum",
    "Statistics",
    "Tracker",
    "Translation",
    "add_weighed",
    "build_frame",
    "class_spectrum",
    "draw_rows",
    "fit_drift",
    "oracle_shrinkage",
]
