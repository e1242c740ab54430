"""Predictor: a stored model in use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from holdfast.core.errors import ConfigError, DataError
from holdfast.metrics.accuracy import by_class
from holdfast.store.embedded import embed_listed, embeds
from holdfast.stream.folder import pictures_in
from holdfast.stream.labelled import list_labelled
from holdfast.stream.levels import Levels
from holdfast.stream.listed import LabelledImages, Listed
from holdfast.stream.pictures import Pictures, decode
from holdfast.stream.walk import Skipped, readable
from holdfast.train.continual import Continual


@dataclass(frozen=True)
class Predictions:
    """What a model predicts of N inputs.

    Attributes:
        label: (N,) index of the class with the largest score.
        probability: (N,) of that class.
        probabilities: (N, K) of every class.
        unknown: (N,) whether an input is too far from every class; None
            where the readout cannot tell.
    """

    label: Int[Tensor, " n"]
    probability: Float[Tensor, " n"]
    probabilities: Float[Tensor, "n k"]
    unknown: Bool[Tensor, " n"] | None


class Predictor:
    """Predictions of a learner, batch by batch.

    Args:
        core: the learner.
        readout: which of its readouts decides; None takes the main one.
        batch: inputs at a time.
        levels: by which images of more than 8 bits are read, as they were learned.

    Attributes:
        classes: names, in the order of the labels.
        calibrated: whether the readout's probabilities were calibrated (`Readout.calibrated`).

    Raises:
        ConfigError: for a readout that the model does not have.
    """

    def __init__(
        self,
        core: Continual,
        readout: str | None = None,
        batch: int = 256,
        levels: Levels | None = None,
    ):
        if readout not in (None, *core.readouts):
            known = ", ".join(core.readouts)
            raise ConfigError(f"this model has no readout '{readout}': it has {known}.")
        self.core, self.batch, self.levels = core, batch, levels
        self.readout = core.readouts[readout or core.readout]
        self.classes = [str(label) for label in core.labels]
        self.calibrated = self.readout.calibrated

    @torch.no_grad()
    def __call__(self, x: Shaped[Tensor, "n ..."], false_alarms: float = 0.05) -> Predictions:
        """Labels, probabilities, and whether an input is of no class it knows.

        Args:
            x: (N, C, H, W) uint8 pixels or (N, D) float features, of the model's input shape.
            false_alarms: share of known inputs that may be called unknown.

        Raises:
            ConfigError: for inputs of another shape.
        """
        learner = self.core.learner
        if tuple(x.shape[1:]) != tuple(learner.shape) and not learner.embedded(x):
            raise ConfigError(
                f"inputs have shape {tuple(x.shape[1:])}, but this model takes "
                f"{tuple(self.core.learner.shape)}."
            )
        pieces, unknown = [torch.zeros(0, len(self.classes))], []
        is_unknown = getattr(self.readout, "unknown", None)
        for piece in x.split(self.batch) if len(x) else ():
            out = self.core.out(piece)
            scores = self.readout.scores(out)
            pieces.append(self.readout.probabilities_of(scores).float().cpu())
            if is_unknown is not None:
                unknown.append(is_unknown(out, false_alarms).cpu())
        p = torch.cat(pieces)
        best = p.max(1) if len(p) else (p.new_zeros(0), torch.zeros(0, dtype=torch.long))
        return Predictions(best[1], best[0], p, torch.cat(unknown) if unknown else None)

    def read(self, files: Sequence[Path]) -> tuple[Tensor, list[int], Skipped]:
        """Image files at the model's size: see `holdfast.stream.read_images`.

        Raises:
            ConfigError: for a model of feature vectors or of images that are not RGB squares.
        """
        return self.pixels(pictures_in(files), np.arange(len(files)))

    def pixels(self, images: Pictures, rows: np.ndarray) -> tuple[Tensor, list[int], Skipped]:
        """Images of any origin as `read` reads files.

        Args:
            images: not decoded yet.
            rows: (N,) ascending numbers of those wanted.

        Returns:
            (M, 3, S, S) uint8 pixels of those that can be read, their places in ``rows``, and why the
            others cannot be, in their order.

        Raises:
            ConfigError: as of `read`.
        """
        square = self.core.learner.square
        output = decode([(images, rows)], self.size, levels=self.levels, **square)
        return output.x[0], output.rows[0].tolist(), output.skipped

    def decode(self, images: Sequence[bytes]) -> tuple[Tensor, list[int], Skipped]:
        """Encoded images at the model's size, as `read` reads files; named by their place, from 1.

        Args:
            images: each the content of an image file.

        Returns:
            (M, 3, S, S) uint8 pixels of those that can be read, their places, and why others cannot be.

        Raises:
            ConfigError: as of `read`.
        """
        every = Pictures(
            np.empty(0), None, lambda rows: ((f"image {i + 1}", images[i]) for i in rows)
        )
        return self.pixels(every, np.arange(len(images)))

    def read_folder(self, root: str | Path | Listed) -> LabelledImages:
        """The test part of labelled data, its images as `read` reads them, its vectors as they are.

        Args:
            root: a folder of class folders, or another source (`holdfast.stream.list_labelled`).

        Raises:
            ConfigError: as of `read`.
            DataError: as of `holdfast.stream.list_labelled`; for vectors of another length.
        """
        listed = root if isinstance(root, Listed) else list_labelled(root, part="test")
        require_fitting(listed, self.core.learner.shape)
        if listed.vectors is not None:
            return listed.read()
        return listed.read(self.size, levels=self.levels, **self.core.learner.square)

    def labelled(self, root: str | Path | Listed) -> LabelledImages:
        """What the model is asked with to be measured: `read_folder`, but features of images where
        its backbone is frozen, so that no more than a batch of pixels is in memory.

        Args:
            root: as for `read_folder`.

        Raises:
            ConfigError: as of `read`.
            DataError: as of `read_folder`.
        """
        listed = root if isinstance(root, Listed) else list_labelled(root, part="test")
        require_fitting(listed, self.core.learner.shape)
        if listed.vectors is None and embeds(self.core):
            return embed_listed(listed, self.core.learner, levels=self.levels)
        return self.read_folder(listed)

    @property
    def size(self) -> int:
        """Side of the images it takes (ConfigError if it takes none)."""
        shape = self.core.learner.shape
        if len(shape) != 3 or shape[0] != 3 or shape[1] != shape[2]:
            raise ConfigError(f"this model takes inputs of shape {tuple(shape)}, not image files.")
        return shape[1]

    def accuracies(self, x: Tensor, labels: Sequence[str]) -> dict[str, tuple[int, int]]:
        """For each class name among the labels: how many inputs are right, of how many.

        A class that the model does not know has none right.
        """
        predicted = [self.classes[i] for i in self(x).label.tolist()]
        return by_class(labels, [p == y for p, y in zip(predicted, labels, strict=True)])


def require_fitting(listed: Listed, shape: Sequence[int], model: str | Path = "this model") -> None:
    """Refuse vectors for a model of images, images for one of vectors, and vectors of another length.

    Args:
        listed: what is brought.
        shape: of one input of the model.
        model: what to call it.

    Raises:
        DataError: if they do not fit.
    """
    if listed.vectors is None:
        if len(shape) == 1:
            raise DataError(
                f"{readable(listed.where)} holds images, and {readable(model)} takes vectors of "
                f"{shape[0]} numbers: give .npy, .npz or parquet features of its own backbone."
            )
        return
    width = listed.vectors.shape[1]
    if len(shape) != 1:
        size = "x".join(map(str, shape))
        raise DataError(
            f"{readable(listed.where)} holds vectors of {width} numbers, and {readable(model)} takes "
            f"images ({size}): give images."
        )
    if width != shape[0]:
        raise DataError(
            f"{readable(listed.where)} holds vectors of {width} numbers, and {readable(model)} takes "
            f"vectors of {shape[0]}: take features of the same backbone."
        )


def require_share(false_alarms: float) -> None:
    """Refuse what is no share of inputs (ConfigError).

    Args:
        false_alarms: share of known inputs that may be called unknown.
    """
    if not 0 < false_alarms < 1:
        raise ConfigError(f"false_alarms is a share between 0 and 1, not {false_alarms}.")


def share(counts: dict[str, tuple[int, int]]) -> float:
    """Accuracy over all inputs of a count by class; nan for none."""
    total = sum(n for _, n in counts.values())
    return sum(right for right, _ in counts.values()) / total if total else float("nan")
