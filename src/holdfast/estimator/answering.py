"""Answering: what a classifier says of inputs once it has learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from holdfast.core.errors import ConfigError, DataError
from holdfast.serve.predictor import Predictor, require_share
from holdfast.stream.arrays import inputs
from holdfast.stream.labels import labels_of, one_kind, plain
from holdfast.stream.levels import Levels
from holdfast.stream.pixels import unpacked
from holdfast.train.continual import Continual

Images = Sequence[Image.Image]
Inputs = ArrayLike | Tensor | Images


class Answering(ClassifierMixin):
    """The half of `HoldfastClassifier` that is asked; the other half learns.

    Attributes:
        classes_: labels so far, sorted.
        continual_: the learner behind it.
        shape_in_: shape of one input, (C, H, W) or (D,).
    """

    classes_: np.ndarray
    continual_: Continual
    shape_in_: tuple[int, ...]

    def predict(self, X: Inputs) -> np.ndarray:
        """(N,) labels."""
        scores, order = self._scores(X)
        return self.classes_[order[scores.argmax(1)]]

    def predict_proba(self, X: Inputs) -> np.ndarray:
        """(N, K) softmax of the scores by the fitted temperature, a column a class; rows sum to 1."""
        scores, order = self._scores(X)
        table = np.zeros((len(scores), len(self.classes_)))
        readout = self.continual_.readouts[self.continual_.readout]
        table[:, order] = readout.probabilities_of(torch.from_numpy(scores).double()).cpu().numpy()
        return table

    def top_k(self, X: Inputs, k: int = 5) -> tuple[np.ndarray, np.ndarray]:
        """(N, k) labels of the likeliest classes, the likeliest first, and their probabilities.

        Args:
            X: N inputs.
            k: how many; at most as many as there are classes.

        Raises:
            ConfigError: for a k below 1.
        """
        if k < 1:
            raise ConfigError(f"k must be at least 1, not {k}.")
        p = self.predict_proba(X)
        order = np.argsort(-p, axis=1, kind="stable")[:, :k]
        return self.classes_[order], np.take_along_axis(p, order, 1)

    def unknown(self, X: Inputs, false_alarms: float = 0.05) -> np.ndarray:
        """(N,) whether each input is too far from every class.

        Args:
            X: N inputs.
            false_alarms: share of inputs of known classes that may be called unknown, as rows that
                were held out say (docs/theory.md, section 9).

        Raises:
            ConfigError: for a share that is none, or a readout that cannot tell.
        """
        check_is_fitted(self, "continual_")
        require_share(false_alarms)
        answers = Predictor(self.continual_)(self._inputs(X, fresh=False)[0], false_alarms)
        if answers.unknown is None:
            raise ConfigError(
                f"the readout {self.continual_.readout} cannot tell what is unknown: use select, gaussian "
                "or another of statistics."
            )
        return answers.unknown.numpy()

    def score(self, X: Inputs, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy; a label that was never learned counts as missed."""
        check_is_fitted(self, "continual_")
        y = labels_of(y)
        one_kind(self.classes_, y)
        return float(super().score(X, y, sample_weight))

    def _scores(self, X: Inputs) -> tuple[np.ndarray, np.ndarray]:
        """(N, K) scores of the classes seen, in order of arrival, and each one's place in classes_."""
        check_is_fitted(self, "continual_")
        x, _ = self._inputs(X, fresh=False)
        scores = self.continual_.scores(x).cpu().numpy()
        place = {label: k for k, label in enumerate(plain(self.classes_))}
        return scores, np.array([place[label] for label in self.continual_.labels])

    def _inputs(self, X: Any, fresh: bool) -> tuple[Tensor, Levels | None]:
        """Inputs as they rest, uint8 pixels or float features; and the range of deep greys."""
        X, levels = unpacked(X, None if fresh else getattr(self, "_levels", None))
        if not isinstance(X, Tensor) and getattr(X, "ndim", 2) not in (3, 4):
            X = validate_data(self, X, reset=fresh, dtype="numeric")
        elif fresh:
            vars(self).pop("feature_names_in_", None)  # of a table that was learned before
        x = torch.from_numpy(inputs(X, "X"))
        if not fresh and tuple(x.shape[1:]) != self.shape_in_:
            raise DataError(
                f"X has inputs of shape {tuple(x.shape[1:])}, but the first task's had "
                f"{self.shape_in_}: all must have one shape."
            )
        return x, levels
