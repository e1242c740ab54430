"""What is measured."""

from holdfast.metrics.accuracy import Accuracy, accuracies, right_task
from holdfast.metrics.calibration import (
    adaptive_ece,
    brier,
    ece_floor,
    expected_calibration_error,
    fit_temperature,
    nll,
)
from holdfast.metrics.conformal import (
    class_thresholds,
    conformal_sets,
    conformal_threshold,
    coverage,
    mean_size,
    next_alpha,
)
from holdfast.metrics.openset import auroc, fpr_at_known95, fpr_at_unknown95

__all__ = [
    "Accuracy",
    "accuracies",
    "adaptive_ece",
    "auroc",
    "brier",
    "class_thresholds",
    "conformal_sets",
    "conformal_threshold",
    "coverage",
    "ece_floor",
    "expected_calibration_error",
    "fit_temperature",
    "fpr_at_known95",
    "fpr_at_unknown95",
    "mean_size",
    "next_alpha",
    "nll",
    "right_task",
]
