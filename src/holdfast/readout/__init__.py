"""How classes are decided."""

from holdfast.readout.anacp import ContrastiveProjection
from holdfast.readout.by_state import ByState
from holdfast.readout.class_gaussian import ClassGaussian
from holdfast.readout.contexts import ChangedContext, FitContext
from holdfast.readout.decision import Decision
from holdfast.readout.domain_heads import DomainHeads, mixed_by_entropy
from holdfast.readout.fecam import FeCAM
from holdfast.readout.first_features import FirstFeatures
from holdfast.readout.gaussian import Gaussian, SharedGaussian
from holdfast.readout.klda import KernelEnsemble, KernelGaussian
from holdfast.readout.laplacian import Transduced, neighbour_graph, transduce
from holdfast.readout.linear import Head, LinearProbe, LinearReadout, PseudoHead
from holdfast.readout.mixture import Mixed, Mixture, mirror_step
from holdfast.readout.nearest import NearestMean, NearestPrototype
from holdfast.readout.newton import newton_unlearned
from holdfast.readout.readout import (
    READOUTS,
    Readout,
    build_readout,
    readout_class,
    register,
)
from holdfast.readout.ridge import RandomFeatureRidge, Ridge
from holdfast.readout.select import Select
from holdfast.readout.streaming import Streaming
from holdfast.readout.subspace import Subspace
from holdfast.statistics.softmax import fit_softmax, separate

__all__ = [
    "READOUTS",
    "ByState",
    "ChangedContext",
    "ClassGaussian",
    "ContrastiveProjection",
    "Decision",
    "DomainHeads",
    "FeCAM",
    "FirstFeatures",
    "FitContext",
    "Gaussian",
    "Head",
    "KernelEnsemble",
    "KernelGaussian",
    "LinearProbe",
    "LinearReadout",
    "Mixed",
    "Mixture",
    "NearestMean",
    "NearestPrototype",
    "PseudoHead",
    "RandomFeatureRidge",
    "Readout",
    "Ridge",
    "Select",
    "SharedGaussian",
    "Streaming",
    "Subspace",
    "Transduced",
    "build_readout",
    "fit_softmax",
    "mirror_step",
    "mixed_by_entropy",
    "neighbour_graph",
    "newton_unlearned",
    "readout_class",
    "register",
    "separate",
    "transduce",
]
