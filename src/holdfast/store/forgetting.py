"""Forgetting: a learner without some of the images of its classes, and the certificate of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from holdfast.core.errors import ConfigError, DataError
from holdfast.readout.again import decide_by
from holdfast.readout.forgetting import rest_of
from holdfast.readout.streaming import Streaming
from holdfast.store.manifest import Manifest
from holdfast.store.removal import SAME
from holdfast.store.surgery import place_of, require_still, trained_on
from holdfast.train.continual import Continual

LEFT = 2  # images that a class keeps at least: of one alone nothing is known but its place
GONE = "cannot be forgotten"


@dataclass(frozen=True)
class Forgotten:
    """What was taken out of a learner.

    Attributes:
        images: how many of each class.
        left: how many each of these classes has still.
        trained: weights that were trained on these classes and remember them.
        readouts: for each, the kind of scatter it keeps.
        chosen: for each, what had been chosen with the images, and how it stands now.
        hashes: of the images, see `content_hash`.
    """

    images: dict[str, int]
    left: dict[str, int]
    trained: list[str]
    readouts: dict[str, str]
    chosen: dict[str, dict[str, str]]
    hashes: list[str] = field(default_factory=list)

    @property
    def exact(self) -> str:
        """``model`` if no weight saw the images, ``readout`` if some did."""
        return "readout" if self.trained else "model"


def forget_images(
    core: Continual,
    x: Shaped[Tensor, "n ..."],
    labels: Sequence[str],
    readout_only: bool = False,
    choose_anew: bool = False,
) -> Forgotten:
    """Make a learner one that never learned some images; its classes stay.

    What can be checked is checked: the number of images, that each class keeps two, and that no image lies
    further out than what is stored of its class. An image that was never learned and looks like
    those that were is taken out all the same: statistics know no single image.

    Args:
        core: the learner; it is changed.
        x: the images or vectors, as they were learned.
        labels: the class of each.
        readout_only: accept that weights were trained on these classes, and remember them.
        choose_anew: choose what was chosen with the images by draws of what is left (`decide_by`), in
            place of leaving it as it is.

    Raises:
        ConfigError: for a class it does not have, one that would keep fewer than two images, weights that
            remember, or a readout that gives no rows back.
        DataError: for no image, or images that were not learned.
    """
    if not len(x):
        raise DataError("there is no image to forget: bring those that were learned.")
    counts = Counter(labels)
    y = torch.tensor([place_of(core, name) for name in labels])
    streaming = require_still(core, f"{len(x)} images {GONE}")
    trained = list(dict.fromkeys(part for name in counts for part in trained_on(core, name)))
    if trained and not readout_only:
        raise ConfigError(
            f"{len(x)} images {GONE} by the whole model: {' and '.join(trained)} trained on their classes "
            "remember them whatever is removed. --readout-only takes them out of the readout and says so; "
            "only a model made without them never saw them."
        )
    left = _left(next(iter(streaming.values())), core, counts)
    out, chosen = core.out(x), {}
    for name, readout in streaming.items():
        if not choose_anew:
            chosen[name] = readout.forget(out, y, SAME)
            continue
        rest = rest_of(readout.tracker, name, readout.read(out), y, SAME)
        chosen[name] = decide_by(readout, rest)
    kinds = {name: readout.structure for name, readout in streaming.items()}
    return Forgotten(dict(counts), left, trained, kinds, chosen)


def _left(readout: Streaming, core: Continual, counts: Mapping[str, int]) -> dict[str, int]:
    """How many images each class keeps.

    Raises:
        ConfigError: for fewer than two.
        DataError: for more images than were learned.
    """
    left = {}
    for name, count in counts.items():
        known = int(readout.known.count[place_of(core, name)])
        left[name] = known - count
        if left[name] < 0:
            raise DataError(
                f"'{name}' was learned from {known} images, and {count} were brought to be forgotten: "
                "bring only images that were learned."
            )
        if left[name] < LEFT:
            raise ConfigError(
                f"'{name}' was learned from {known} images, and {left[name]} would be left: a class keeps "
                f"at least {LEFT}. To forget all of it use holdfast remove."
            )
    return left


def content_hash(x: Tensor, model: str) -> str:
    """SHA-256 of one input as it was read, with the identity of the model.

    The identity keeps lists of two models from being compared; who has both the image and the model
    can still tell whether it stands in the list.
    """
    text = f"{model} {tuple(x.shape)} {x.dtype}".encode()
    return hashlib.sha256(text + x.contiguous().cpu().numpy().tobytes()).hexdigest()


def refuse_forgotten(history: Iterable[Manifest], hashes: Sequence[str]) -> None:
    """Refuse images that were forgotten already and not learned since.

    Args:
        history: of a model, the version in use first, then the one it came from, and so on.
        hashes: of the images.

    Raises:
        DataError: naming the version that forgot them.
    """
    for manifest in history:
        if "fingerprint" in manifest.update:  # it learned, perhaps these images again
            return
        before = Counter(manifest.update.get("forgotten", {}).get("hashes", ()))
        twice = sum((Counter(hashes) & before).values())
        if twice:
            raise DataError(
                f"{twice} of these images were forgotten already by version {manifest.version}: leave them "
                "out, or the class would lose what it has of others."
            )


def certificate(forgotten: Forgotten, holders: Sequence[int]) -> dict[str, Any]:
    """What was forgotten, as plain data.

    Args:
        forgotten: by a learner.
        holders: earlier versions that have these classes, perhaps with the images.
    """
    return {
        "images": forgotten.images,
        "left": forgotten.left,
        "exact": forgotten.exact,
        "trained_on_it": forgotten.trained,
        "readouts": forgotten.readouts,
        "chosen_with_them": forgotten.chosen,
        "versions_that_may_hold_them": list(holders),
        "hashes": forgotten.hashes,
    }
