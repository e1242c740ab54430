"""What the new task asks: terms to minimise, and the pure functions under them."""

from holdfast.loss.classify import CrossEntropy
from holdfast.loss.contrast import FocalCollapse, SupCon, focal_collapse, sup_con
from holdfast.loss.schedule import Constant, Cosine, Delayed, Linear, Schedule, Switch, schedule
from holdfast.loss.term import Objective, Scaled, Sum, Term
from holdfast.loss.uniform import Uniformity, uniformity

__all__ = [
    "Constant",
    "Cosine",
    "CrossEntropy",
    "Delayed",
    "FocalCollapse",
    "Linear",
    "Objective",
    "Scaled",
    "Schedule",
    "Sum",
    "SupCon",
    "Switch",
    "Term",
    "Uniformity",
    "focal_collapse",
    "schedule",
    "sup_con",
    "uniformity",
]
