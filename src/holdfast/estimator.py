"""HoldfastClassifier: continual learning behind scikit-learn's fit, partial_fit and predict."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from holdfast.core.errors import ConfigError, DataError
from holdfast.recipes.frozen import asks_training, usual_recipe
from holdfast.recipes.method import Method
from holdfast.stream.arrays import inputs
from holdfast.stream.labels import labels_of, one_kind, plain, union
from holdfast.stream.levels import Levels
from holdfast.stream.pixels import unpacked
from holdfast.train.blueprint import Blueprint
from holdfast.train.continual import Continual
from holdfast.train.setup import Setup

Images = Sequence[Image.Image]


class HoldfastClassifier(ClassifierMixin, BaseEstimator):
    """A classifier that is given new classes as they come, and keeps no old data.

    Each call of `partial_fit` is a task: new classes, old ones again, or both; one class alone; one
    sample. How many classes there will be is never asked. ``X`` may be images, (N, C, H, W),
    (N, H, W, C) or (N, H, W), uint8 or float in [0, 1], or a list of PIL images of one size; or
    feature vectors (N, D) of any scale, standardised by the first task. A call that fails leaves
    the classifier as it was.

        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> model = HoldfastClassifier(random_state=0)
        >>> for new in (y < 2, y == 2):
        ...     model = model.partial_fit(X[new], y[new])
        >>> model.classes_.tolist(), model.holdings_.images
        ([0, 1, 2], 0)

    Args:
        recipe: name of a recipe, perhaps with settings (``fnc2:tau=0.5``), or a `Method` of your own.
            auto takes frozen, whose statistics no order of the data changes, for feature vectors and
            pretrained backbones; and fnc2_strict, which trains a network, for images, and where a
            parameter says how to train or to store.
        parameters: of a named recipe, over those of the preset (``quick`` for vectors and images of up
            to 16 pixels, else ``desk``, as on the command line).
        epochs: passes over the data of a task; None takes the preset's for the recipe.
        first_epochs: the same for the first task; None takes the preset's, or ``epochs`` if given.
        batch: samples of a step; None takes the preset's. For recipes that train a head, a table of
            hundreds of rows is learned better in batches of 16.
        lr: peak learning rate; None takes the preset's.
        protocol: what may be stored: strict (no sample), auxiliary, buffer, joint, or auto for the
            recipe's own.
        images: how many samples auxiliary or buffer may store.
        readout: how classes are decided, as for ``holdfast run --readout``.
        backbone: auto (by the shape of the inputs), resnet18, convnet, mlp, or a pretrained model.
        width: of the backbone; 0 is its own default.
        tune_layers: last layers of a pretrained backbone that are trained.
        augment: set of random views by name, or auto.
        device: auto, cpu, cuda or mps.
        random_state: a seed, a generator, or None for another result each time.

    Attributes:
        classes_: labels so far, sorted, with those declared by ``classes``.
        n_features_in_: numbers in one input.
        shape_in_: shape of one input, (C, H, W) or (D,).
        holdings_: what is stored of the data: samples, numbers, bytes.
        continual_: the learner behind it, with network, readouts and a note a task.
    """

    def __init__(
        self,
        recipe: str | Method = "auto",
        *,
        parameters: Mapping[str, Any] | None = None,
        epochs: int | None = None,
        first_epochs: int | None = None,
        batch: int | None = None,
        lr: float | None = None,
        protocol: str = "strict",
        images: int = 0,
        readout: str = "auto",
        backbone: str = "auto",
        width: int = 0,
        tune_layers: int = 0,
        augment: str = "auto",
        device: str = "auto",
        random_state: Any = None,
    ):
        self.recipe = recipe
        self.parameters = parameters
        self.epochs = epochs
        self.first_epochs = first_epochs
        self.batch = batch
        self.lr = lr
        self.protocol = protocol
        self.images = images
        self.readout = readout
        self.backbone = backbone
        self.width = width
        self.tune_layers = tune_layers
        self.augment = augment
        self.device = device
        self.random_state = random_state

    def fit(self, X: ArrayLike | Tensor | Images, y: ArrayLike) -> HoldfastClassifier:
        """Forget everything and learn one task.

        Raises:
            ValueError: for inputs, labels or parameters that cannot be used.
            DivergedError: when the loss stops being finite.
        """
        return self._whole(X, y, None, fresh=True)

    def partial_fit(
        self,
        X: ArrayLike | Tensor | Images,
        y: ArrayLike,
        classes: ArrayLike | None = None,
    ) -> HoldfastClassifier:
        """Learn the next task from its data alone, for as long and as fast as the parameters say now.

        Args:
            X: N inputs, of the same shape as in the first task.
            y: (N,) integer or string labels.
            classes: labels that may come, never needed; those that have not come have probability
                0, and labels that are not among them may come in a later call all the same.

        Raises:
            ValueError: for inputs, labels or parameters that cannot be used.
            DivergedError: when the loss stops being finite.
        """
        return self._whole(X, y, classes, fresh=not hasattr(self, "continual_"))

    def predict(self, X: ArrayLike | Tensor | Images) -> np.ndarray:
        """(N,) labels."""
        scores, order = self._scores(X)
        return self.classes_[order[scores.argmax(1)]]

    def predict_proba(self, X: ArrayLike | Tensor | Images) -> np.ndarray:
        """(N, K) softmax of the scores by the fitted temperature, a column a class; rows sum to 1."""
        scores, order = self._scores(X)
        table = np.zeros((len(scores), len(self.classes_)))
        readout = self.continual_.readouts[self.continual_.readout]
        table[:, order] = readout.probabilities_of(torch.from_numpy(scores).double()).cpu().numpy()
        return table

    def score(
        self, X: ArrayLike | Tensor | Images, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """Accuracy; a label that was never learned counts as missed."""
        check_is_fitted(self, "continual_")
        y = labels_of(y)
        one_kind(self.classes_, y)
        return float(super().score(X, y, sample_weight))

    def _whole(self, X: Any, y: Any, declared: Any, fresh: bool) -> HoldfastClassifier:
        """Learn, or be as before."""
        before = dict(vars(self))
        try:
            return self._learn(X, y, declared, fresh)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    def _learn(self, X: Any, y: Any, declared: Any, fresh: bool) -> HoldfastClassifier:
        (x, levels), y = self._inputs(X, fresh), labels_of(y)
        if len(x) != len(y):
            raise DataError(f"X has {len(x)} rows and y has {len(y)}: they must match.")
        known = np.empty(0, y.dtype) if fresh else self.classes_
        one_kind(known, y)
        if declared is not None:
            declared = labels_of(declared)
            one_kind(declared, y)
            strange = sorted(set(y.tolist()) - set(declared.tolist()))
            if strange:
                raise DataError(f"label {strange[0]!r} is in y but not in classes: add it there.")
            known = union(known, declared)
        shape = tuple(x.shape[1:])
        if fresh:
            core = self._core(shape, 0 if declared is None else len(declared))
        else:
            core = copy.deepcopy(self.continual_)
            setup = Setup.of(core.method, "auto", shape, **self._training())
            core.train_as(setup.training)
        core.learn(core.arrive(x, plain(y)))
        self.continual_, self.shape_in_, self._levels = core, shape, levels
        self.n_features_in_ = int(np.prod(shape))
        self.classes_ = union(known, y)
        self.holdings_ = core.holdings
        return self

    def _core(self, shape: tuple[int, ...], classes: int) -> Continual:
        """The learner that the parameters ask for."""
        recipe = self.recipe
        if recipe == "auto":
            recipe = usual_recipe(shape, self.backbone, asks_training(self))
        if isinstance(recipe, Method):
            if self.parameters:
                raise ConfigError(
                    "parameters belong to a recipe by name: set them in the Method itself."
                )
            setup = Setup.of(recipe, "auto", shape, **self._settings())
            return Continual(recipe, shape, setup, classes)
        blueprint = Blueprint.of(
            str(recipe), shape, "auto", dict(self.parameters or {}), **self._settings()
        )
        return Continual(blueprint.method(), shape, blueprint.setup, classes)

    def _settings(self) -> dict[str, Any]:
        """The parameters that say how learning goes; None leaves the preset's."""
        names = (
            "protocol",
            "images",
            "readout",
            "backbone",
            "width",
            "tune_layers",
            "augment",
            "device",
        )
        seed = int(check_random_state(self.random_state).randint(2**31))
        return {name: getattr(self, name) for name in names} | self._training() | {"seed": seed}

    def _training(self) -> dict[str, Any]:
        names = ("epochs", "first_epochs", "batch", "lr")
        return {name: getattr(self, name) for name in names}

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

    def _scores(self, X: ArrayLike | Tensor | Images) -> tuple[np.ndarray, np.ndarray]:
        """(N, K) scores of the classes seen, in order of arrival, and each one's place in classes_."""
        check_is_fitted(self, "continual_")
        x, _ = self._inputs(X, fresh=False)
        scores = self.continual_.scores(x).cpu().numpy()
        place = {label: k for k, label in enumerate(plain(self.classes_))}
        return scores, np.array([place[label] for label in self.continual_.labels])
