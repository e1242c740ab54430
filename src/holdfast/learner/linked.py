"""Linked weights: a large frozen backbone that model folders share, known by its name and its hash."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from holdfast.core.errors import ConfigError, HoldfastError, StoreError
from holdfast.core.registry import closed
from holdfast.learner.backbone import make_backbone
from holdfast.learner.network import Backbone

INSIDE = "backbone."  # how the names of a learner's weights begin that are its backbone's
NETWORKS = ("learner", "past", "before")  # of a state


def link_name(text: str, backbone: Backbone) -> str:
    """The name by which a stored model finds its backbone again; a folder by its whole path.

    Args:
        text: as the backbone was named.
        backbone: made by it.

    Raises:
        ConfigError: for a backbone that is trained, or has no weights to be known by.
    """
    if not backbone.frozen or not backbone.sha256 or not backbone.written:
        raise ConfigError(
            f"--link-backbone is for a frozen pretrained backbone, and '{text}' is trained or has no "
            "weights of its own: leave the flag out, so that the model folder holds them."
        )
    folder = Path(text).expanduser()
    return str(folder.resolve()) if folder.is_dir() else text


def without_backbone(state: Mapping[str, Any]) -> dict[str, Any]:
    """A learner's state without the weights of its backbone."""
    cut = lambda weights: {n: t for n, t in weights.items() if not n.startswith(INSIDE)}
    return dict(state) | {n: cut(state[n]) for n in NETWORKS if state.get(n) is not None}


def with_backbone(state: Mapping[str, Any], weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """A learner's state with the weights of its backbone."""
    return dict(state) | {n: weights | state[n] for n in NETWORKS if state.get(n) is not None}


def linked_weights(name: str, shape: tuple[int, ...], sha256: str) -> dict[str, Tensor]:
    """The weights of a backbone by its name, as a learner's state names them; nothing is fetched or run.

    Args:
        name: ``lite0``, a folder, the hub's owner/name (from the cache of the hub), or ``onnx:FILE``.
        shape: of one input.
        sha256: that they must have.

    Raises:
        StoreError: if they are not there, or are others.
    """
    try:
        with closed():
            backbone = make_backbone(_folder(name), shape)
    except HoldfastError as error:
        reason = str(error).rstrip(".")
        raise StoreError(
            f"the model links its backbone '{name}', which is not there ({reason}): put it back, or go "
            "back to a version that holds its weights."
        ) from None
    if backbone.sha256 != sha256:
        raise StoreError(
            f"the weights of '{name}' are not those the model was made with (sha256 "
            f"{backbone.sha256[:12]}, not {sha256[:12]}): put the former weights back, or make the model "
            "anew with the new ones."
        )
    return {INSIDE + name: tensor for name, tensor in backbone.state_dict().items()}


def _folder(name: str) -> str:
    """Where the hub's cache has a model; other names as they are."""
    if "/" not in name or ":" in name or name[:1] in "/.~" or Path(name).is_dir():
        return name
    from huggingface_hub import snapshot_download

    try:
        return snapshot_download(name, local_files_only=True)
    except Exception as error:  # whatever the hub's library may raise
        raise ConfigError(f"the hub's cache has no {name}: {type(error).__name__}") from None
