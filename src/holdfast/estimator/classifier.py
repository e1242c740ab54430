"""HoldfastClassifier: continual learning behind scikit-learn's fit, partial_fit and predict."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state

from holdfast.core.errors import ConfigError, DataError
from holdfast.estimator.answering import Answering, Inputs
from holdfast.estimator.persistence import Persistent
from holdfast.recipes.frozen import asks_training, usual_recipe
from holdfast.recipes.method import Method
from holdfast.stream.labels import labels_of, one_kind, plain, union
from holdfast.stream.levels import Levels
from holdfast.train.blueprint import Blueprint
from holdfast.train.continual import Continual
from holdfast.train.events import Epoch
from holdfast.train.setup import Setup


class HoldfastClassifier(Answering, Persistent):
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
        progress: called after each epoch of training with "epochs", how many are done, and of how many.

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
        progress: Callable[[str, int, int], object] | None = None,
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
        self.progress = progress

    def fit(self, X: Inputs, y: ArrayLike) -> HoldfastClassifier:
        """Forget everything and learn one task.

        Raises:
            ValueError: for inputs, labels or parameters that cannot be used.
            DivergedError: when the loss stops being finite.
        """
        return self._whole(X, y, None, fresh=True)

    def partial_fit(
        self,
        X: Inputs,
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
        blueprint = None if fresh else self._blueprint
        if fresh:
            core, blueprint = self._core(shape, 0 if declared is None else len(declared))
        else:
            core = copy.deepcopy(self.continual_)
            setup = Setup.of(core.method, "auto", shape, **self._training())
            core.train_as(setup.training)
        core.learn(core.arrive(x, plain(y)), self._watch)
        self._take(core, blueprint, levels, union(known, y))
        return self

    def _take(
        self, core: Continual, blueprint: Blueprint | None, levels: Levels | None, classes: Any
    ) -> None:
        """Be what has learned."""
        self.continual_, self._blueprint, self._levels = core, blueprint, levels
        self.shape_in_ = tuple(core.learner.shape)
        self.n_features_in_ = int(np.prod(self.shape_in_))
        self.classes_ = classes
        self.holdings_ = core.holdings

    def _watch(self, epoch: Epoch) -> None:
        if self.progress is not None:
            self.progress("epochs", epoch.epoch + 1, epoch.epochs)

    def _core(self, shape: tuple[int, ...], classes: int) -> tuple[Continual, Blueprint | None]:
        """The learner that the parameters ask for, and how it would be made again."""
        recipe = self.recipe
        if recipe == "auto":
            recipe = usual_recipe(shape, self.backbone or "auto", asks_training(self))
        if isinstance(recipe, Method):
            if self.parameters:
                raise ConfigError(
                    "parameters belong to a recipe by name: set them in the Method itself."
                )
            setup = Setup.of(recipe, "auto", shape, **self._settings())
            return Continual(recipe, shape, setup, classes), None
        blueprint = Blueprint.of(
            str(recipe), shape, "auto", dict(self.parameters or {}), **self._settings()
        )
        return Continual(blueprint.method(), shape, blueprint.setup, classes), blueprint

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
