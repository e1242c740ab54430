"""Model folder: versions side by side, one of them in use, published whole or not at all.

    MODEL/current.json                      which version is in use, and every manifest's hash
    MODEL/versions/0001/manifest.json       what it is, and its files' hashes
    MODEL/versions/0001/state.safetensors   weights and statistics
    MODEL/update.safetensors                where an update stands that is not finished
    MODEL/features.cache/                   features of its images, until it is finished

No file is executed, no link inside is followed (the folder itself may be reached by one), and every
file's hash is checked before it is used.
"""

from __future__ import annotations

import shutil
import uuid
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast.core.errors import ConfigError, StoreError
from holdfast.core.settings import Machine
from holdfast.store.atomic import atomic_write, sync
from holdfast.store.checkpoint import Checkpoint
from holdfast.store.lock import locked
from holdfast.store.manifest import (
    STATE,
    Index,
    Manifest,
    check_plain,
    classes_of,
    refuse_links,
)
from holdfast.store.notes import libraries, now, stored

if TYPE_CHECKING:  # who reads the history of a model needs no learner, nor torch
    from holdfast.train.blueprint import Blueprint
    from holdfast.train.continual import Continual

NAMES = (
    "current.json",
    "versions",
    "update.safetensors",
    "features.cache",
    ".lock",
    ".lock.pid",
)  # in its folder


class ModelFolder:
    """A model on disk.

    Args:
        path: of the folder; `publish` makes it.

    Raises:
        ConfigError: if the path is something else than a model folder.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._index = self.path / "current.json"
        self.checkpoint = Checkpoint(self.path / "update.safetensors")
        self.features = self.path / "features.cache"
        refuse_links(self.path, *map(self.path.joinpath, NAMES))
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"{self.path} is a file: a model is a folder.")
        if self.path.exists() and not self.exists:
            strange = [
                p.name for p in self.path.iterdir() if p.name not in NAMES and p.suffix != ".part"
            ]
            if strange:
                raise ConfigError(
                    f"{self.path} is no model and is not empty (it holds {strange[0]}): name another."
                )

    @property
    def exists(self) -> bool:
        """Whether a version has been published (StoreError for a damaged index)."""
        if self._index.exists():
            return self.index().current > 0
        return (self.path / "versions").exists()

    def lock(self) -> AbstractContextManager[None]:
        """For those who write: one at a time (StoreError for the second, naming the first)."""
        self.path.mkdir(parents=True, exist_ok=True)
        refuse_links(self.path, *map(self.path.joinpath, NAMES))
        return locked(self.path / ".lock", str(self.path))

    def index(self) -> Index:
        """Versions and history.

        Raises:
            StoreError: if there is none, or it is damaged.
        """
        if not self._index.exists():
            raise StoreError(
                f"{self._index} is missing: {self.path} is no model, or its index was removed."
            )
        return Index.read(self._index)

    def manifest(self, version: int | None = None) -> Manifest:
        """What a version is; None takes the one in use.

        Raises:
            ConfigError: for a version that is not there.
            StoreError: for a damaged manifest.
        """
        index = self.index()
        if not index.current:
            raise StoreError(f"{self.path} holds no version yet: its first update did not finish.")
        number = index.current if version is None else version
        if str(number) not in index.manifests:
            known = ", ".join(index.manifests)
            raise ConfigError(f"{self.path} has no version {number}: its versions are {known}.")
        path = self._folder(number) / "manifest.json"
        manifest = Manifest.read(path, index.manifests[str(number)])
        if (manifest.model, manifest.version) != (index.model, number):
            raise StoreError(f"{path} belongs to another model or version.")
        return manifest

    def load(self, version: int | None = None, device: str = "auto") -> tuple[Continual, Manifest]:
        """The learner of a version, and what it is.

        Raises:
            StoreError: naming the file that is missing, damaged or does not fit.
            PluginError: for a part from outside that the user has not named.
            ConfigError: for a device that is not there.
        """
        from holdfast.store import serialize, untrusted
        from holdfast.train.blueprint import Blueprint

        manifest = self.manifest(version)
        path, listed = self._folder(manifest.version) / STATE, manifest.files[STATE]
        check_plain(path)
        size, sha256 = listed.get("bytes"), listed.get("sha256")
        if path.stat().st_size != size or serialize.sha256(path) != sha256:
            raise StoreError(f"{path} is damaged: it is not the file that was written.")
        Machine(device).fabric()  # a device that is not there is no fault of the file
        try:
            blueprint = Blueprint.from_data(manifest.blueprint)
            core = untrusted.build(blueprint, serialize.shapes(path, "learner"), device, size)
            core.restore(untrusted.whole_state(serialize.read(path), core, blueprint))
        except StoreError:
            raise
        except Exception as error:  # a file that was made to deceive may fail in any way
            raise StoreError(
                f"{path} does not fit {manifest.version:04d}/manifest.json "
                f"({type(error).__name__}: {str(error).splitlines()[0][:200]})."
            ) from error
        return core, manifest

    def publish(
        self, core: Continual, blueprint: Blueprint, update: dict[str, Any], did: str = "learned"
    ) -> Manifest:
        """Make a learner the next version and the one in use; to be called with the lock held.

        Args:
            core: the learner.
            blueprint: what it was made from.
            update: notes on how it came about; ``renamed`` maps new names of classes to old ones.
            did: what was done, for the history.

        Raises:
            StoreError: if it cannot be written; then nothing has changed.
        """
        from holdfast.store.serialize import sha256

        if not self.exists and not self._index.exists():  # so that a lost index is told from none
            atomic_write(self._index, lambda to: to.write_text(Index(uuid.uuid4().hex).to_text()))
        index = self.index()
        version = 1 + max((0, *map(int, index.manifests), *(e["version"] for e in index.events)))
        staged = self._folder(version).with_name(f".{version:04d}.part")
        refuse_links(self.path, staged)
        parent = self.manifest() if index.current else None
        try:
            manifest = self._stage(staged, core, blueprint, update, index, version, parent)
            place = self._folder(version)
            if place.exists():  # it was moved here, but a kill came before it was announced
                shutil.rmtree(place)
            staged.rename(place)
            sync(place.parent)
            index.manifests[str(version)] = sha256(place / "manifest.json")
            self._point(index, version, did)
        except OSError as error:
            raise StoreError(
                f"{self.path} cannot be written ({error.strerror or error}): "
                f"{'version ' + str(parent.version) + ' stays in use' if parent else 'nothing is left'}."
            ) from None
        finally:
            shutil.rmtree(staged, ignore_errors=True)
            if str(version) not in (self.index().manifests if self._index.exists() else {}):
                shutil.rmtree(self._folder(version), ignore_errors=True)
        return manifest

    def rollback(self, version: int | None = None) -> Manifest:
        """Put an earlier version in use; None takes the one that the current one was learned from.

        Raises:
            ConfigError: if there is no such version.
            StoreError: if it is damaged.
        """
        with self.lock():
            current = self.manifest()
            number = current.parent if version is None else version
            if number == 0:
                raise ConfigError(
                    f"version {current.version} of {self.path} was learned from none: name a version."
                )
            self.load(number, "cpu")
            self._point(self.index(), number, "rolled back")
            return self.manifest()

    def _folder(self, version: int) -> Path:
        """The folder of a version (StoreError for a link on the way to it)."""
        place = self.path / "versions" / f"{version:04d}"
        refuse_links(self.path, place)
        return place

    def _point(self, index: Index, version: int, did: str) -> None:
        index.current = version
        index.events.append({"at": now(), "did": did, "version": version})
        atomic_write(self._index, lambda to: to.write_text(index.to_text()))

    def _stage(
        self,
        staged: Path,
        core: Continual,
        blueprint: Blueprint,
        update: dict[str, Any],
        index: Index,
        version: int,
        parent: Manifest | None,
    ) -> Manifest:
        """All files of a version, in a folder that nobody reads."""
        from holdfast.store import serialize, untrusted

        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        serialize.write(staged / STATE, untrusted.stored_state(core, blueprint))
        manifest = Manifest(
            model=index.model,
            version=version,
            parent=0 if parent is None else parent.version,
            created=now(),
            blueprint=blueprint.named(core).to_data(),
            classes=classes_of(core.labels, parent, version, update.get("renamed", {})),
            input={
                "shape": list(core.learner.shape),
                "mean": core.learner.mean.tolist(),
                "std": core.learner.std.tolist(),
            },
            stored=stored(core),
            update=update,
            libraries=libraries(),
            files={
                STATE: {
                    "sha256": serialize.sha256(staged / STATE),
                    "bytes": (staged / STATE).stat().st_size,
                }
            },
        )
        atomic_write(staged / "manifest.json", lambda to: to.write_text(manifest.to_text()))
        return manifest
