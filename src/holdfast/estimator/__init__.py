"""HoldfastClassifier: continual learning behind scikit-learn's fit, partial_fit and predict."""

from holdfast.estimator.classifier import HoldfastClassifier

__all__ = ["HoldfastClassifier"]
