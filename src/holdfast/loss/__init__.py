"""What the new task asks: terms to minimise, and the pure functions under them."""

from holdfast.loss.classify import CrossEntropy
from holdfast.loss.contrast import focal_collapse, sup_con
from holdfast.loss.contrast_pulls import Pulls
from holdfast.loss.contrast_terms import FocalCollapse, SupCon
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
from holdfast.loss.term import READABLE, Objective, Scaled, Sum, Term
from holdfast.loss.uniform import Uniformity, uniformity

__all__ = [
    "READABLE",
    "SCHEDULES",
    "Constant",
    "Cosine",
    "CrossEntropy",
    "Delayed",
    "FocalCollapse",
    "Linear",
    "Objective",
    "Pulls",
    "Scaled",
    "Schedule",
    "Sum",
    "SupCon",
    "Switch",
    "Term",
    "Uniformity",
    "focal_collapse",
    "make_schedule",
    "sup_con",
    "uniformity",
]
