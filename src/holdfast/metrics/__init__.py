"""What is measured."""

from holdfast.metrics.accuracy import Accuracy, accuracies
from holdfast.metrics.calibration import expected_calibration_error, fit_temperature

__all__ = ["Accuracy", "accuracies", "expected_calibration_error", "fit_temperature"]
