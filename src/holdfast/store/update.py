"""Update: one more version of a stored model, learned from new data alone, that can stop and go on."""

from __future__ import annotations

import copy
import hashlib
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from holdfast.core.errors import ConfigError
from holdfast.statistics.beside import Beside
from holdfast.store.manifest import Manifest
from holdfast.store.model import ModelFolder
from holdfast.train.blueprint import Blueprint
from holdfast.train.continual import Continual
from holdfast.train.events import Epoch
from holdfast.train.identity import FORMAT, refuse_other
from holdfast.train.needs import TRIES, learned_for
from holdfast.train.result import peak_memory


class Update:
    """A task for the model in a folder, to be made and used with the folder's lock held.

    Args:
        folder: of the model.
        x: (N, C, H, W) uint8 pixels or (N, D) float features.
        labels: one an input.
        blueprint: of a new model; of one that exists only its training counts.
        device: auto, cpu, cuda or mps.
        resume: go on with the update that was stopped.
        core: the learner of the version in use, or of a new model, where the caller has it; it learns.
        base: the version that it was loaded from.
        beside: rows of the same data that are known by their statistics alone; None for none.

    Attributes:
        core: what learns.
        base: the version it starts from; None for a new model.
        resumed: epochs that were done before.
        published: whether the version in use is what was to be resumed: nothing is left to do.

    Raises:
        ConfigError: if an update was stopped and is not resumed, or was begun with other data.
        StoreError: for a damaged model or checkpoint.
    """

    def __init__(
        self,
        folder: ModelFolder,
        x: Shaped[Tensor, "n ..."],
        labels: Sequence[str],
        blueprint: Blueprint,
        device: str = "auto",
        resume: bool = False,
        core: Continual | None = None,
        base: Manifest | None = None,
        beside: Beside | None = None,
    ):
        self.folder, self.x, self.labels, self.resumed = folder, x, list(labels), 0
        self.base: Manifest | None = None
        if folder.exists:
            self.core, self.base = (core, base) if core and base else folder.load(device=device)
            former = Blueprint.from_data(self.base.blueprint)
            setup = replace(former.setup, training=blueprint.setup.training)
            levels = former.levels or blueprint.levels
            blueprint = replace(former, setup=setup, levels=levels)
            self.core.train_as(setup.training)
        else:
            self.core = core or blueprint.build(device)
        self.core.beside = beside
        self.blueprint, self.start = blueprint, self.core.progress.task
        self.identity = {
            "format": FORMAT,
            "version": self.base.version if self.base else 0,
            "images": beside.mark if beside else fingerprint(x, labels),
            "model": blueprint.to_data(),
        }
        self._settle()
        last = self.base.update.get("fingerprint") if self.base else None
        self.published = resume and last == self.identity["images"] and not self._waiting
        self._take_up(resume)

    @property
    def _waiting(self) -> bool:
        """Whether an update was stopped."""
        return self.folder.checkpoint.path.exists()

    def _settle(self) -> None:
        """Drop the checkpoint of an update that was published before it could be removed."""
        if not self._waiting or self.base is None:
            return
        stopped = self.folder.checkpoint.read()["identity"]
        last = (self.base.parent, self.base.update.get("fingerprint"))
        if (stopped["version"], stopped["images"]) == last:
            self.folder.checkpoint.remove()

    def _take_up(self, resume: bool) -> None:
        if self._waiting and not resume:
            raise ConfigError(
                f"an update of {self.folder.path} was stopped before its end: add --resume to go on "
                "with it, or --anew to drop it."
            )
        state = self.folder.checkpoint.read()
        if state is not None:
            refuse_other(self.identity, state["identity"])
            self.core.restore(state["core"])
            self.resumed = self.core.progress.epochs

    @property
    def learned(self) -> bool:
        """Whether nothing is left but to publish."""
        return self.core.progress.task > self.start

    def learn(self) -> Iterator[Epoch]:
        """Learn the task, epoch by epoch.

        Raises:
            DivergedError: when a loss term stops being finite; the version in use stays as it is.
        """
        if not self.learned:
            yield from self.core.epochs(self.core.arrive(self.x, self.labels))

    def keep(self, must: bool = False) -> None:
        """Write where the update stands, if it must be or costs little (`Checkpoint`)."""
        self.folder.path.mkdir(parents=True, exist_ok=True)
        state = lambda: {"identity": self.identity, "core": self.core.state()}
        self.folder.checkpoint.offer(state, must)

    def publish(self, notes: dict[str, Any]) -> Manifest:
        """Make it the version in use; the checkpoint is not needed any more."""
        notes = notes | {"fingerprint": self.identity["images"]}
        manifest = self.folder.publish(self.core, self.blueprint, notes)
        self.folder.checkpoint.remove()
        shutil.rmtree(self.folder.features, ignore_errors=True)
        return manifest

    def residual(self) -> float | None:
        """Share of the features' drift that the map of the old statistics left; None without a map."""
        residuals = self.core.readouts[self.core.readout].residuals
        return residuals[-1] if residuals and self.start else None

    def forecast(self) -> float | None:
        """Share of the movement of classes left out that a map of the others left; None without one."""
        forecasts = self.core.readouts[self.core.readout].forecasts
        return forecasts[-1] if forecasts and self.start else None

    def estimate(self) -> tuple[float, int]:
        """Seconds and bytes that learning will take, by batches that a copy learns.

        The median of `TRIES` steps after a first one, for every step that is left, and one pass of all
        images to fit the readouts on.
        """
        training = self.core.setup.training
        frozen = self.learned or not self.core.method.trains(self.start)
        if frozen or self.core.arrive(self.x, self.labels).few:
            return 0.0, peak_memory(self.core.fabric.device)
        few = torch.linspace(0, len(self.x) - 1, min(training.batch, len(self.x))).long()
        trial = copy.deepcopy(self.core)
        trial.progress, trial.pending = replace(trial.progress, epochs=0, begun=""), None
        task = trial.arrive(self.x[few], [self.labels[i] for i in few.tolist()])
        step = median(learned_for(trial, task, TRIES + 1)[0][1:])
        begun = time.perf_counter()
        trial.out(self.x[few])
        one_pass = (time.perf_counter() - begun) * len(self.x) / len(few)
        left = training.epochs_of(self.start) - self.resumed
        seconds = step * -(-len(self.x) // training.batch) * left + one_pass
        return seconds, peak_memory(self.core.fabric.device)


def fingerprint(x: Tensor, labels: Sequence[str]) -> str:
    """SHA-256 over inputs and labels: equal data, equal strings."""
    total = hashlib.sha256(f"{tuple(x.shape)}{x.dtype}{list(labels)}".encode())
    total.update(x.contiguous().numpy().tobytes())
    return total.hexdigest()
