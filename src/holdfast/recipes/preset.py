"""Preset: sizes and settings that belong together, with where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from holdfast.core.settings import Network, Training


@dataclass(frozen=True)
class Preset:
    """Defaults of a run; every one of them can be overridden by its own flag.

    Attributes:
        name: as the command line calls it.
        provenance: where the numbers come from.
        tasks: the stream is cut into.
        classes_per_task: of an uneven cut, in place of tasks.
        per_class, test_per_class: images used of each class; 0 is all.
        training, network: as in the settings of a run.
        augment: set of views for recipes of two views; others take the suited one.
        recipes: parameters by recipe.
        trainings: settings of the training that a recipe has for itself.
    """

    name: str
    provenance: str
    tasks: int = 5
    per_class: int = 0
    test_per_class: int = 0
    training: Training = Training()
    network: Network = Network()
    augment: str = "auto"
    recipes: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    trainings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    classes_per_task: tuple[int, ...] = ()

    def cuts(
        self,
        classes: int,
        tasks: int = 0,
        classes_per_task: tuple[int, ...] | None = None,
        scenario: str = "class",
    ) -> tuple[int, tuple[int, ...] | None]:
        """How classes are cut: into so many tasks, or so many classes a task.

        Args:
            classes: K, of the data.
            tasks: asked for; 0 leaves it to the preset.
            classes_per_task: asked for; None leaves it to the preset.
            scenario: of the stream; where every task has all classes, the preset cuts none.
        """
        if not tasks and classes_per_task is None and self.classes_per_task and scenario == "class":
            classes_per_task = self.classes_per_task
        return tasks or min(self.tasks, classes), classes_per_task

    def parameters_of(self, recipe: str) -> Mapping[str, object]:
        """The parameters of a recipe that it sets."""
        return self.recipes.get(recipe, {})

    def limits(self, train: int | None = None, test: int | None = None) -> tuple[int, int]:
        """Images used of each class to train and to test on: those given, or its own; 0 is all."""
        return (
            self.per_class if train is None else train,
            self.test_per_class if test is None else test,
        )

    def training_of(self, recipe: str) -> Training:
        """The training of a recipe."""
        return replace(self.training, **self.trainings.get(recipe, {}))
