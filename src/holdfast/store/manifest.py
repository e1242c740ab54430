"""Manifest and index of a model folder: small JSON files, bounded and checked before they are used."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from holdfast.core.errors import StoreError

FORMAT = 1  # of model folders; raised when a file of an earlier one cannot be read as it stands
LARGEST = 16 * 2**20  # bytes of a JSON file
STATE = "state.safetensors"


@dataclass(frozen=True)
class Manifest:
    """What one version of a model is.

    Attributes:
        model: identity of the model folder it belongs to.
        version, parent: its number, and that of the version it was learned from (0: none).
        created: time of publishing, UTC.
        blueprint: recipe and every argument.
        classes: for each class, in order of arrival: ``name``, and ``version`` that brought it.
        input: ``shape``, and ``mean`` and ``std`` by which inputs are normalised, a channel each.
        stored: what is stored about data: ``images``, ``floats``, ``bytes``, and of the past network.
        update: how it was learned: data, images, files skipped, seconds, drift, golden set.
        libraries: versions of what wrote it.
        files: ``sha256`` and ``bytes`` of each file.
        format: of the folder.
    """

    model: str
    version: int
    parent: int
    created: str
    blueprint: dict[str, Any]
    classes: list[dict[str, Any]]
    input: dict[str, Any]
    stored: dict[str, Any]
    update: dict[str, Any]
    libraries: dict[str, Any]
    files: dict[str, dict[str, Any]]
    format: int = FORMAT

    def to_text(self) -> str:
        """The content of manifest.json."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, path: Path, sha256: str) -> Manifest:
        """A manifest whose hash is known.

        Raises:
            StoreError: for a damaged or strange file, naming it.
        """
        data = read_json(path, sha256)
        unknown = data.keys() - {f.name for f in cls.__dataclass_fields__.values()}
        if unknown or not isinstance(data.get("files"), dict) or set(data["files"]) != {STATE}:
            raise StoreError(f"{path} names other files or fields than a model of format 1 has.")
        try:
            return cls(**data)
        except TypeError as error:
            raise StoreError(f"{path} lacks what a manifest has ({error}).") from None


def classes_of(
    labels: Iterable[Any], parent: Manifest | None, version: int, renamed: Mapping[Any, Any]
) -> list[dict[str, Any]]:
    """The classes of a manifest: each with the version that brought it, by whatever name.

    Args:
        labels: in order of arrival.
        parent: of the version before, if any.
        version: this one.
        renamed: former names of labels.
    """
    before = {e["name"]: e["version"] for e in (parent.classes if parent else ())}
    return [{"name": n, "version": before.get(renamed.get(n, n), version)} for n in labels]


@dataclass
class Index:
    """Which versions a model folder has, and which is in use.

    Attributes:
        model: identity of the folder.
        current: the version in use.
        manifests: sha256 of each version's manifest, by its number.
        events: what was done, in order: ``at``, ``did``, ``version``.
    """

    model: str
    current: int = 0
    manifests: dict[str, str] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)

    def to_text(self) -> str:
        """The content of current.json, with a digest of itself."""
        content = {"format": FORMAT} | asdict(self)
        return json.dumps(content | {"sha256": _self_digest(content)}, indent=2) + "\n"

    @classmethod
    def read(cls, path: Path) -> Index:
        """The index of a folder (StoreError for a damaged one)."""
        data = read_json(path)
        if data.pop("sha256", None) != _self_digest(data):
            raise StoreError(f"{path} is damaged: its content is not what was written.")
        data.pop("format")
        try:
            index = cls(**data)
            versions = {int(v) for v in index.manifests}
        except (TypeError, ValueError, AttributeError) as error:
            raise StoreError(f"{path} is no index of a model ({error}).") from None
        empty = not versions and index.current == 0  # made, and nothing published yet
        if not empty and (index.current not in versions or min(versions) < 1):
            raise StoreError(f"{path} points to a version {index.current} that it does not list.")
        if plain_bytes(path, LARGEST) != index.to_text().encode():
            raise StoreError(f"{path} is damaged: it is not the text that was written.")
        return index


def read_json(path: Path, sha256: str | None = None) -> dict[str, Any]:
    """A JSON object from a plain file of bounded size, with this hash if one is given.

    Raises:
        StoreError: for anything else, naming the file.
    """
    raw = plain_bytes(path, LARGEST)
    if sha256 is not None and hashlib.sha256(raw).hexdigest() != sha256:
        raise StoreError(f"{path} is damaged: it is not the file that was written.")
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path} is damaged: it is no JSON ({str(error)[:80]}).") from None
    if not isinstance(data, dict) or not isinstance(data.get("format"), int):
        raise StoreError(f"{path} is no file of holdfast: it states no format.")
    if data["format"] != FORMAT:
        newer = data["format"] > FORMAT
        hint = "update holdfast to read it" if newer else "no version of holdfast wrote that"
        raise StoreError(f"{path} has format {data['format']}, and this reads {FORMAT}: {hint}.")
    return data


def plain_bytes(path: Path, largest: int) -> bytes:
    """The bytes of a plain file, no link, of a bounded size (StoreError otherwise)."""
    check_plain(path, largest)
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror}).") from None


def check_plain(path: Path, largest: int | None = None) -> None:
    """Refuse what is missing, a link, a device or larger than allowed (StoreError naming the file)."""
    try:
        data = os.lstat(path)
    except OSError as error:
        raise StoreError(f"{path} is missing ({error.strerror}).") from None
    if not stat.S_ISREG(data.st_mode):
        raise StoreError(f"{path} is no plain file, and links are not followed.")
    if largest is not None and data.st_size > largest:
        raise StoreError(f"{path} has {data.st_size:,} bytes, more than the {largest:,} allowed.")


def refuse_links(root: Path, *places: Path) -> None:
    """Refuse links below a folder, on the way to places in it, for reading and for writing.

    The folder itself, and what is above it, may be reached through links: that is the user's choice.
    Everything inside is the model's own, and could otherwise be led anywhere.

    Raises:
        StoreError: naming the first link.
    """
    for place in places:
        inside = place.relative_to(root).parts
        for depth in range(1, len(inside) + 1):
            part = root.joinpath(*inside[:depth])
            if part.is_symlink():
                raise StoreError(
                    f"{part} is a link and no plain file or folder: links in a model are not followed, put "
                    "what it leads to in its place."
                )


def _self_digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
