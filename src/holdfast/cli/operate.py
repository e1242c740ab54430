"""What the commands on a model's classes share: a folder at rest, images of a class, what is printed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from torch import Tensor

from holdfast.cli.interrupt import command_line
from holdfast.core.errors import ConfigError, DataError
from holdfast.core.text import json_text
from holdfast.serve.predictor import Predictor, require_fitting
from holdfast.store.lock import nothing_left
from holdfast.store.manifest import Manifest
from holdfast.store.model import ModelFolder
from holdfast.stream.folder import pictures_in
from holdfast.stream.image_files import is_image, scan
from holdfast.stream.labelled import is_table, list_labelled
from holdfast.stream.listed import Listed
from holdfast.stream.walk import readable, walk
from holdfast.train.blueprint import Blueprint
from holdfast.train.continual import Continual


@contextmanager
def at_rest(path: Path) -> Iterator[ModelFolder]:
    """A model that is there, with its lock and no update that was stopped.

    Raises:
        StoreError: if there is none, or another process updates it.
        ConfigError: if an update was stopped.
    """
    folder = ModelFolder(path)
    folder.manifest()
    with folder.lock():
        if folder.checkpoint.path.exists():
            raise ConfigError(
                f"an update of {path} was stopped before its end: go on with it "
                f"({command_line('learn', path, '--data', 'FOLDER', '--resume')}) or drop it (--anew in "
                "place of --resume) first."
            )
        yield folder


@contextmanager
def anew(path: Path) -> Iterator[ModelFolder]:
    """A folder for a model to be made, with its lock; nothing is left behind where that fails.

    Raises:
        ConfigError: if something is there.
    """
    folder = ModelFolder(path)
    if folder.exists:
        raise ConfigError(f"{path} is a model already: choose another --out.")
    with nothing_left(path), folder.lock():
        if folder.exists:
            raise ConfigError(f"{path} is a model already: choose another --out.")
        yield folder


def inputs_of(core: Continual, manifest: Manifest, path: Path | Listed, name: str) -> Tensor:
    """The inputs of a class in labelled data, or in a folder or features of that class alone.

    Args:
        core: that learned them.
        manifest: of its version.
        path: a source of labelled data (`holdfast.stream.list_labelled`); a folder of images of the
            class; a .npy file without labels; or inputs of the class, listed.
        name: of the class.

    Raises:
        DataError: if there is none, or one cannot be read.
    """
    listed = path if isinstance(path, Listed) else _of_class(path, name)
    predictor = Predictor(core, levels=Blueprint.from_data(manifest.blueprint).levels)
    require_fitting(listed, core.learner.shape)
    if listed.vectors is not None:
        return listed.vectors
    assert listed.pictures is not None
    x, _, unread = predictor.pixels(listed.pictures, listed.rows)
    if unread:
        raise DataError(
            f"{unread[0][0]} cannot be read ({unread[0][1]}): it was learned, so bring it."
        )
    return x


def _of_class(path: Path, name: str) -> Listed:
    """The inputs of a class, not read yet."""
    if path.suffix.lower() == ".npy" and not path.with_suffix(".labels.npy").exists():
        return list_labelled(path, labelled=False)
    folder = path.is_dir() and not is_table(path)
    named = path / name
    if not folder or (not named.is_dir() and _has_class(path, name)):
        listed = list_labelled(path)
        rows = [i for i, label in enumerate(listed.labels) if label == name]
        if not rows:
            raise DataError(
                f"{readable(path)} holds nothing of class '{name}': bring what it learned."
            )
        return listed.take(np.array(rows))
    root = named if named.is_dir() else path
    files = [file for file in walk(root)[0] if is_image(file)]
    if not files:
        raise DataError(f"{readable(root)} holds no image: give the folder of those of '{name}'.")
    return Listed(root, files, [], pictures_in(files), np.arange(len(files)))


def _has_class(path: Path, name: str) -> bool:
    """Whether the part to learn from of a folder with parts has a folder of a class."""
    part = scan(path).train
    return part is not None and name in part.labels


def say(data: Mapping[str, Any], lines: Sequence[str], as_json: bool, console: Console) -> None:
    """Print what was done: as one JSON object, or as sentences.

    Args:
        data: that JSON can hold; a number that is not finite becomes null.
        lines: the sentences.
        as_json: print the object.
        console: for sentences.
    """
    if as_json:
        print(json_text(finite(data), indent=2))  # noqa: T201
        return
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def finite(data: Any) -> Any:
    """Data for JSON, in which a number that is not finite is null.

    >>> finite({"share": float("nan"), "counts": (1, 2.5)})
    {'share': None, 'counts': [1, 2.5]}
    """
    if isinstance(data, Mapping):
        return {str(name): finite(value) for name, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
