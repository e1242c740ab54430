"""Measuring a model on files that many processes read: right answers by class, which add."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from holdfast.core.errors import ConfigError
from holdfast.learner.embed import embed
from holdfast.serve.counted import Counted, Counts
from holdfast.serve.predictor import Predictor, require_fitting
from holdfast.spread.over_ray import Spread
from holdfast.spread.shards import Shard, require_files, shards_of, without_row
from holdfast.store.embedded import embeds
from holdfast.stream.folder import pictures_in
from holdfast.stream.levels import Levels
from holdfast.stream.listed import Listed, nothing_read
from holdfast.stream.pictures import decode
from holdfast.stream.walk import Skipped, readable
from holdfast.train.continual import Continual


@dataclass(frozen=True)
class Count:
    """The work on a shard: its images are read, and the model is asked.

    Attributes:
        core: the learner.
        readout: that decides, by its name.
        levels: by which greys of more than 8 bits are read.
    """

    core: Continual
    readout: str
    levels: Levels | None

    def __call__(self, shard: Shard) -> tuple[Counts, list[tuple[int, str]]]:
        """Right answers by class, and the places of files that could not be read."""
        predictor = Predictor(self.core, self.readout, levels=self.levels)
        x, rows, unread, levels = self._read(predictor, shard)
        if levels is not None and self.levels is None:
            raise ConfigError(
                "the images have greys of more than 8 bits, whose range is that of all images: measure "
                "them without --engine ray."
            )
        reasons = without_row(shard, rows, unread)
        counts = predictor.accuracies(x, [shard.labels[i] for i in rows]) if rows else {}
        return counts, reasons

    def _read(
        self, predictor: Predictor, shard: Shard
    ) -> tuple[Tensor, list[int], Skipped, Levels | None]:
        """What the model takes of the images, their places, why others have none, and the levels."""
        learner = self.core.learner
        if embeds(self.core):
            out = embed(learner, shard.files, levels=self.levels)
            return out.features, out.rows.tolist(), out.skipped, out.levels
        asked = pictures_in(shard.files), np.arange(len(shard.files))
        read = decode([asked], predictor.size, levels=self.levels, **learner.square)
        return read.x[0], read.rows[0].tolist(), read.skipped, read.levels


def evaluate_spread(listed: Listed, predictor: Predictor, spread: Spread, size: int = 0) -> Counted:
    """A model measured on image files by the processes of a cluster: what one process counts.

    Args:
        listed: the images, with labels.
        predictor: the model.
        spread: the cluster.
        size: images in a portion; 0 chooses.

    Raises:
        ConfigError: for anything but image files, or images of more than 8 bits that the model does not
            know how to read.
        DataError: if no image can be read, or the model takes none.
        DeviceError: if the cluster fails.
    """
    require_fitting(listed, predictor.core.learner.shape)
    readouts = predictor.core.readouts
    name = next(name for name, one in readouts.items() if one is predictor.readout)
    work = Count(predictor.core, name, predictor.levels)
    total: Counts = {}
    unread: Skipped = []
    for _, (counts, reasons) in spread.results(shards_of(require_files(listed), size), work):
        unread += [(readable(listed.files[i]), why) for i, why in reasons]
        for name, (right, count) in counts.items():
            before = total.get(name, (0, 0))
            total[name] = before[0] + right, before[1] + count
    if not total:
        raise nothing_read(listed.where, unread)
    return Counted(
        {name: total[name] for name in sorted(total)}, listed.skipped + unread, listed.notes
    )
