"""What is measured."""

from holdfast.metrics.accuracy import Accuracy, accuracies

__all__ = ["Accuracy", "accuracies"]
