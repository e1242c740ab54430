"""A classifier that was trained elsewhere: its backbone, its own answers, and the names of its classes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from holdfast.core.errors import ConfigError
from holdfast.learner.backbone import make_backbone
from holdfast.learner.network import Backbone
from holdfast.learner.preparation import Preparation
from holdfast.learner.pretrained import library
from holdfast.learner.weights import digest

NESTED = ("state_dict", "model", "model_state_dict", "net")  # where a file may keep its weights
COUNTED = ("num_batches_tracked",)  # buffers that no answer depends on


@dataclass(frozen=True)
class Classifier:
    """What is taken over of a classifier.

    Attributes:
        backbone: by which a learner makes the same network: a name, a folder, or `Backbone.written`.
        weights: of the backbone where they are not those that its name brings; else None.
        labels: the names of its classes.
        logits: its own answer to images in [0, 1], given what the backbone says of them.
        side: of the square images that it wants.
    """

    backbone: str
    weights: Mapping[str, Tensor] | None
    labels: list[str]
    logits: Callable[[Tensor, Tensor], Tensor]
    side: int


def read_classifier(
    path: Path, backbone: str = "", labels: Path | None = None, head: str = ""
) -> Classifier:
    """A folder of ``transformers``, or a file of weights of torch with what else must be known.

    Args:
        path: of the folder or file; of a file, only tensors are read and nothing is run.
        backbone: of a file, by name.
        labels: of a file: the names of the classes, a line each.
        head: of a file, how the names of the last layer's weights begin; found by shape if empty.

    Raises:
        ConfigError: for something that is no such classifier, naming what is missing.
    """
    if path.is_dir():
        return from_transformers(path)
    if not path.is_file():
        raise ConfigError(
            f"there is no {path}: give a folder of transformers or a file of weights."
        )
    if not backbone or labels is None:
        raise ConfigError(
            f"{path} holds weights alone: name its network with --backbone, and the file with the names "
            "of its classes, a line each, with --labels."
        )
    return from_weights(path, backbone, _names(labels), head)


def from_transformers(path: Path) -> Classifier:
    """An image classifier that ``transformers`` saved, with its preprocessor.

    Raises:
        ConfigError: if it is none, or came without its head.
    """
    transformers = library(f"the classifier '{path}'")
    try:
        config = json.loads((path / "config.json").read_text())
        model, info = transformers.AutoModelForImageClassification.from_pretrained(
            str(path), use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
        processor = transformers.AutoImageProcessor.from_pretrained(
            str(path), trust_remote_code=False
        )
        prepare = Preparation.read(processor.to_dict())
    except Exception as error:  # whatever a file or a model's code may raise
        reason = " ".join(str(error).split()).rstrip(".")[:300]
        raise ConfigError(
            f"'{path}' is no image classifier that can be read ({reason}): give a folder that "
            "transformers saved, with safetensors weights and a preprocessor_config.json."
        ) from None
    if info["missing_keys"]:
        raise ConfigError(
            f"'{path}' comes without the weights {min(info['missing_keys'])}: it is a backbone, and no "
            "classifier that was trained."
        )
    names = [
        str(config.get("id2label", {}).get(str(k), f"LABEL_{k}")) for k in range(model.num_labels)
    ]
    _distinct(names, path)
    model = model.eval().requires_grad_(False)

    def logits(x: Tensor, features: Tensor) -> Tensor:
        return model(pixel_values=prepare(x)).logits

    return Classifier(str(path), None, names, logits, prepare.wanted[0] or 224)


def from_weights(path: Path, backbone: str, names: Sequence[str], head: str = "") -> Classifier:
    """A file of torch: a last layer, alone or with the weights of the backbone.

    Raises:
        ConfigError: if the head is not found, or the other weights are not those of the backbone.
    """
    state = _tensors(path)
    network = make_backbone(backbone, (3, 32, 32))
    weight, bias = _head(state, len(names), network.features, head, path)
    rest = {n: t for n, t in state.items() if n not in (weight, bias) and not n.endswith(COUNTED)}
    weights = _placed(rest, network, backbone, path) if rest else None
    w, b = state[weight].float(), state[bias].float() if bias else None

    def logits(x: Tensor, features: Tensor) -> Tensor:
        return functional.linear(features.float(), w, b)

    return Classifier(backbone, weights, list(names), logits, network.size or 224)


def take_weights(backbone: Backbone, weights: Mapping[str, Tensor]) -> None:
    """Give a frozen backbone other weights, of which it is then known by."""
    before = backbone.sha256
    missing = backbone.load_state_dict(dict(weights), strict=False).missing_keys
    assert all(name.endswith(COUNTED) for name in missing), missing
    inner = getattr(backbone, "model", backbone)
    backbone.sha256 = digest(inner)
    backbone.written = backbone.written.replace(before, backbone.sha256) if before else ""


def _tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name; nothing in it is run."""
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged or strange file may raise
        reason = " ".join(str(error).split()).rstrip(".")[:200]
        raise ConfigError(f"{path} is no file of weights that can be read ({reason}).") from None
    for name in NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    items = content.items() if isinstance(content, Mapping) else ()
    tensors = {str(n).removeprefix("module."): t for n, t in items if isinstance(t, Tensor)}
    if not tensors:
        raise ConfigError(f"{path} holds no weights by name: save the network's state_dict().")
    return tensors


def _head(
    state: Mapping[str, Tensor], classes: int, features: int, head: str, path: Path
) -> tuple[str, str]:
    """The names of the last layer's weight and bias, the latter perhaps none."""
    fitting = [
        name
        for name, tensor in state.items()
        if tuple(tensor.shape) == (classes, features) and name.startswith(head)
    ]
    if len(fitting) != 1:
        many = f"{len(fitting)} weights ({', '.join(fitting[:3])})" if fitting else "no weight"
        raise ConfigError(
            f"{path} has {many} of shape ({classes}, {features}), for {classes} classes and the "
            f"{features} features of the backbone: name the last layer with --head, or check --labels "
            "and --backbone."
        )
    bias = fitting[0].removesuffix("weight") + "bias"
    return fitting[0], bias if bias in state else ""


def _placed(
    rest: Mapping[str, Tensor], network: nn.Module, backbone: str, path: Path
) -> dict[str, Tensor]:
    """The backbone's weights by its own names, whatever stands before them in the file."""
    wanted = {n: t for n, t in network.state_dict().items() if not n.endswith(COUNTED)}
    shortest = min(wanted, key=len)
    for inside in ("", "model.", "network."):  # what holds a network of another library
        end = shortest.removeprefix(inside)
        for start in sorted({n[: len(n) - len(end)] for n in rest if n.endswith(end)}, key=len):
            placed = {inside + n.removeprefix(start): t for n, t in rest.items()}
            if {n: t.shape for n, t in placed.items()} == {n: t.shape for n, t in wanted.items()}:
                return placed
    raise ConfigError(
        f"{path} holds {len(rest)} weights beside the head that are not those of '{backbone}' (such as "
        f"{min(rest)}): name the network they are of with --backbone module:attribute, or save the "
        "head alone if its backbone was not trained."
    )


def _names(path: Path) -> list[str]:
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the labels {path} cannot be read ({error}).") from None
    names = [name for name in names if name]
    _distinct(names, path)
    return names


def _distinct(names: Sequence[str], path: Path) -> None:
    twice = next((name for name in names if list(names).count(name) > 1), None)
    if twice is not None or len(names) < 2:
        what = f"names '{twice}' twice" if twice else f"names {len(names)} classes"
        raise ConfigError(
            f"{path} {what}: a classifier has two or more classes of different names."
        )


def softmax(logits: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """Its own probabilities."""
    return torch.softmax(logits.float(), 1)
