"""What the new task asks: terms to minimise, and the pure functions under them."""

from holdfast.loss.classify import CrossEntropy
from holdfast.loss.coding import CodingRate, coding_rate
from holdfast.loss.collapse import AntiCollapse, anti_collapse
from holdfast.loss.contrast import focal_collapse, sup_con
from holdfast.loss.contrast_pulls import Pulls
from holdfast.loss.contrast_terms import FocalCollapse, SupCon
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
from holdfast.loss.stablemax import StableMax
from holdfast.loss.term import READABLE, Objective, Scaled, Sum, Term
from holdfast.loss.uniform import Uniformity, uniformity

__all__ = [
    "READABLE",
    "SCHEDULES",
    "AntiCollapse",
    "CodingRate",
    "Constant",
    "Cosine",
    "CrossEntropy",
    "Delayed",
    "FocalCollapse",
    "Linear",
    "Objective",
    "Pulls",
    "Rotations",
    "Scaled",
    "Schedule",
    "StableMax",
    "Sum",
    "SupCon",
    "Switch",
    "Term",
    "Uniformity",
    "anti_collapse",
    "coding_rate",
    "focal_collapse",
    "make_schedule",
    "sup_con",
    "uniformity",
]
