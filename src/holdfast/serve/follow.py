"""Follower: the version of a stored model that is in use, always whole."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

import torch

from holdfast.core.errors import HoldfastError
from holdfast.serve.predictor import Predictor
from holdfast.store.manifest import Manifest
from holdfast.store.model import ModelFolder
from holdfast.train.blueprint import Blueprint

LOG = logging.getLogger("holdfast.serve")
AGAIN = 30.0  # seconds after which a version that could not be loaded is tried again


@dataclass(frozen=True)
class Served:
    """One version, loaded; it never changes.

    Attributes:
        predictor: of this version.
        manifest: what it is.
        key: model, version and hash of the manifest: what tells it from any other.
    """

    predictor: Predictor
    manifest: Manifest
    key: tuple[str, int, str]

    @property
    def version(self) -> int:
        """Its number."""
        return self.manifest.version


class Follower:
    """Loads the version in use, and again when another one is put in use.

    A thread looks at ``current.json`` every ``every`` seconds. Until another version is loaded and
    has answered once, the present one answers; it stays if the other one is damaged.

    Args:
        folder: of the model.
        device: auto, cpu, cuda or mps.
        readout: which decides; None takes the model's own.
        batch: inputs at a time.
        every: seconds between two looks.

    Attributes:
        served: the version that answers. Take it once a request.
        problem: why a newer version is not used; None if there is none.

    Raises:
        StoreError: if the version in use cannot be loaded at the start.
        ConfigError: for a readout or a device that is not there.
    """

    def __init__(
        self,
        folder: ModelFolder,
        device: str = "auto",
        readout: str | None = None,
        batch: int = 64,
        every: float = 1.0,
    ):
        self.folder, self.device, self.readout, self.batch = folder, device, readout, batch
        self.every, self.problem = every, None
        self._stamp, self._tried = self._look(), time.monotonic()
        self.served: Served = self._load(self._key())
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="holdfast-follower", daemon=True)

    def start(self) -> Follower:
        """Begin to follow."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Follow no more."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def renew(self) -> None:
        """Load the version in use if it is another one; whatever goes wrong leaves the present one."""
        stamp = self._look()
        due = self.problem is not None and time.monotonic() - self._tried > AGAIN
        if stamp == self._stamp and not due:
            return
        self._tried = time.monotonic()
        try:
            key = self._key()
            if key != self.served.key:
                self.served = self._load(key)
                LOG.info("version %d of %s is in use now", self.served.version, self.folder.path)
            self._stamp, self.problem = stamp, None
        except Exception as error:  # a damaged file may fail in any way, and the server goes on
            sentence = str(error) if isinstance(error, HoldfastError | OSError) else repr(error)
            self._stamp, self.problem = stamp, sentence
            LOG.warning("version %d stays in use: %s", self.served.version, sentence)

    def _run(self) -> None:
        while not self._stopped.wait(self.every):
            self.renew()

    def _look(self) -> tuple[int, int, int] | None:
        """What changes when another version is put in use; costs one look at the folder."""
        try:
            status = (self.folder.path / "current.json").stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _key(self) -> tuple[str, int, str]:
        index = self.folder.index()
        return index.model, index.current, index.manifests.get(str(index.current), "")

    def _load(self, key: tuple[str, int, str]) -> Served:
        """A version that has answered once, so that what it solves lazily is solved."""
        core, manifest = self.folder.load(key[1] or None, self.device)
        levels = Blueprint.from_data(manifest.blueprint).levels
        predictor = Predictor(core, self.readout, self.batch, levels)
        shape = core.learner.shape
        predictor(torch.zeros(1, *shape, dtype=torch.uint8 if len(shape) == 3 else torch.float64))
        return Served(predictor, manifest, key)
