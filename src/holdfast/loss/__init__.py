"""What the new task asks: terms to minimise, and the pure functions under them."""

from holdfast.loss.classify import CrossEntropy
from holdfast.loss.coding import CodingRate, coding_rate
from holdfast.loss.collapse import AntiCollapse, anti_collapse
from holdfast.loss.contrast import focal_collapse, sup_con
from holdfast.loss.contrast_pulls import Pulls
from holdfast.loss.contrast_terms import FocalCollapse, SupCon
from holdfast.loss.early_learning import EarlyLearning, agreement_penalty
from holdfast.loss.mixed import Mixup, mixup_loss, without_rival
from holdfast.loss.mutual import ConditionalInformation, divergence_from_class
from holdfast.loss.nested import NestedDropout, accuracy_by_width, best_width
from holdfast.loss.orthogonal_conv import OrthogonalConvolutions, orthogonality
from holdfast.loss.rotations import Rotations
from holdfast.loss.schedule import (
    SCHEDULES,
    Constant,
    Cosine,
    Delayed,
    Linear,
    Schedule,
    Switch,
    make_schedule,
)
from holdfast.loss.self_taught import SelfTaught
from holdfast.loss.singular import EvenSpectrum, uneven_spectrum
from holdfast.loss.stablemax import StableMax
from holdfast.loss.term import READABLE, Objective, Scaled, Sum, Term
from holdfast.loss.uniform import Uniformity, uniformity

__all__ = [
    "READABLE",
    "SCHEDULES",
    "AntiCollapse",
    "CodingRate",
    "ConditionalInformation",
    "Constant",
    "Cosine",
    "CrossEntropy",
    "Delayed",
    "EarlyLearning",
    "EvenSpectrum",
    "FocalCollapse",
    "Linear",
    "Mixup",
    "NestedDropout",
    "Objective",
    "OrthogonalConvolutions",
    "Pulls",
    "Rotations",
    "Scaled",
    "Schedule",
    "SelfTaught",
    "StableMax",
    "Sum",
    "SupCon",
    "Switch",
    "Term",
    "Uniformity",
    "accuracy_by_width",
    "agreement_penalty",
    "anti_collapse",
    "best_width",
    "coding_rate",
    "divergence_from_class",
    "focal_collapse",
    "make_schedule",
    "mixup_loss",
    "orthogonality",
    "sup_con",
    "uneven_spectrum",
    "uniformity",
    "without_rival",
]
