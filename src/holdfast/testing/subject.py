"""What the laws of a recipe are asked of: the recipe, and one watched run of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from holdfast.recipes.catalogue import make
from holdfast.recipes.method import Method
from holdfast.stream.task import Stream
from holdfast.testing.compare import expect, global_chance_untouched
from holdfast.testing.watched import QUICK, Watched, readings_finite
from holdfast.train.runner import Run
from holdfast.train.setup import Setup


class Subject:
    """A recipe under test, and one watched run of it that the laws share.

    Args:
        recipe: its text (``lwf:T=4``), a function that returns a method, or a method.
        setup: how it is run; further readouts are added to it.
        stream: of 3 tasks, on which it is watched; by default `small_stream`.
    """

    def __init__(
        self,
        recipe: str | Callable[[], Method] | Method,
        setup: Setup = QUICK,
        stream: Stream | None = None,
    ):
        self.recipe = recipe
        self.method = method = self.build()
        self.name = recipe if isinstance(recipe, str) else method.name
        self.setup, self.stream = setup, stream
        further = ("mean", "gaussian", *(("prototype",) if method.frame else ()))
        with global_chance_untouched(f"a run of {self.name}"):
            self.watched = Watched(self.build(), stream, replace(setup, also=further))

    def build(self) -> Method:
        """The method, made anew where it can be."""
        if isinstance(self.recipe, Method):
            return self.recipe
        return make(self.recipe) if isinstance(self.recipe, str) else self.recipe()

    def expect(self, holds: bool, sentence: str) -> None:
        """Fail in the recipe's name unless something holds."""
        expect(holds, f"{self.name}: {sentence}.")

    def complete(self, run: Run, what: str) -> None:
        """Fail unless a run came to its end with finite numbers."""
        done = run.result.status == "complete"
        self.expect(done and readings_finite(run), f"{what} must be learned with finite numbers")
