"""What is measured."""

from holdfast.metrics.accuracy import Accuracy, accuracies, right_task
from holdfast.metrics.calibration import (
    adaptive_ece,
    brier,
    calibration_figures,
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
from holdfast.metrics.openset import (
    auroc,
    average_precision,
    fpr_at_known95,
    fpr_at_unknown95,
    openset_figures,
    oscr,
)

__all__ = [
    "Accuracy",
    "accuracies",
    "adaptive_ece",
    "auroc",
    "average_precision",
    "brier",
    "calibration_figures",
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
    "openset_figures",
    "oscr",
    "right_task",
]
