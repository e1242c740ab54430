"""Pruning: versions of a model deleted, the index first, so that none is ever named that is not whole."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from holdfast.core.errors import StoreError
from holdfast.store.atomic import atomic_write, sync
from holdfast.store.model import ModelFolder
from holdfast.store.notes import now


def beyond(folder: ModelFolder, keep: int) -> list[int]:
    """The versions that are not among the last ``keep``, nor in use, nor the one that rollback goes to.

    Args:
        folder: of the model.
        keep: how many of the newest stay.

    Raises:
        StoreError: for a damaged index or manifest.
    """
    index, current = folder.index(), folder.manifest()
    versions = sorted(map(int, index.manifests))
    stay = {current.version, current.parent, *versions[max(len(versions) - keep, 0) :]}
    return [version for version in versions if version not in stay]


def holders(folder: ModelFolder, name: str) -> list[int]:
    """The versions that have a class, by this name or one that was renamed to it or joined with it.

    Raises:
        StoreError: for a damaged index or manifest.
    """
    manifests = [folder.manifest(v) for v in sorted(map(int, folder.index().manifests))]
    names, before = {name}, 0
    while len(names) > before:  # a name may have been given several times over
        before = len(names)
        for update in (manifest.update for manifest in manifests):
            names |= {old for new, old in update.get("renamed", {}).items() if new in names}
            names |= {old for old, new in update.get("joined", {}).items() if new in names}
    return [m.version for m in manifests if names & {str(entry["name"]) for entry in m.classes}]


def delete_versions(folder: ModelFolder, versions: Iterable[int]) -> int:
    """Delete versions; to be called with the lock held.

    They leave the index first and the disk then: a kill between the two leaves folders that no index
    names, which the next call removes.

    Args:
        folder: of the model.
        versions: that go; the one in use does not.

    Returns:
        Bytes that were freed, left-overs of a kill included.

    Raises:
        StoreError: for the version in use, a folder that is a link, or one that cannot be removed.
    """
    index, gone = folder.index(), sorted(set(versions))
    if index.current in gone:
        raise StoreError(f"version {index.current} of {folder.path} is in use: it is not deleted.")
    place = folder.path / "versions"
    for path in (place, *(place / f"{version:04d}" for version in gone)):
        _require_folder(path)
    if gone:
        index.manifests = {v: sha for v, sha in index.manifests.items() if int(v) not in gone}
        did = f"deleted version{'s' * (len(gone) > 1)} {', '.join(map(str, gone))}"
        index.events.append({"at": now(), "did": did, "version": index.current})
        atomic_write(folder.path / "current.json", lambda to: to.write_text(index.to_text()))
    return _sweep(place, {int(version) for version in index.manifests})


def _sweep(place: Path, listed: set[int]) -> int:
    """Remove the folders of versions that are not listed; the bytes they had."""
    freed = 0
    try:
        for path in sorted(place.iterdir()):
            name = path.name.removeprefix(".").removesuffix(".part")
            if name.isdecimal() and (path.suffix == ".part" or int(name) not in listed):
                _require_folder(path)
                freed += sum(os.lstat(file).st_size for file in path.rglob("*"))
                shutil.rmtree(path)
        sync(place)
    except OSError as error:
        raise StoreError(
            f"{error.filename or place} cannot be removed ({error.strerror or error}): no index names it "
            "any more, and the same command removes it once that is put right."
        ) from None
    return freed


def _require_folder(path: Path) -> None:
    """Refuse what is no folder itself (StoreError): links are not followed."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror}).") from None
    if not stat.S_ISDIR(mode):
        raise StoreError(f"{path} is no folder of its own, and links are not followed.")
