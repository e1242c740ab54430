"""Learning from files that many processes read: rows at hand, and statistics of all others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from holdfast.core.errors import ConfigError
from holdfast.learner.embed import embed
from holdfast.learner.embedding import content_key
from holdfast.readout.streaming import Streaming
from holdfast.spread.gathered import Gathered, Read, Tree
from holdfast.spread.over_ray import Spread
from holdfast.spread.shards import Shard, require_files, shards_of, without_row
from holdfast.statistics.beside import Beside
from holdfast.statistics.class_statistics import Statistics
from holdfast.store.embedded import embeds
from holdfast.stream.levels import Levels
from holdfast.stream.listed import LabelledImages, Listed
from holdfast.stream.walk import Skipped, readable
from holdfast.train.continual import Continual

ROWS = 50_000  # kept of all classes together, to look at and to measure on
LEAST, MOST = 20, 1000  # of each class


@dataclass(frozen=True)
class ReadBy(Read):
    """What a readout of a learner reads.

    Attributes:
        core: whose network stands still.
        name: of the readout.
    """

    core: Continual
    name: str

    @property
    def readout(self) -> Streaming:
        """The readout."""
        readout = self.core.readouts[self.name]
        assert isinstance(readout, Streaming)
        return readout

    def rows(self, x: Tensor) -> Tensor:
        """By `Streaming.read`."""
        return self.readout.read(self.core.out(x)).cpu()

    def empty(self, width: int) -> Statistics:
        """Of the kind that it keeps."""
        return Statistics.empty(width, self.readout.structure, self.readout.rank)


@dataclass(frozen=True)
class Summarise:
    """The work on a shard: features of its images, of which some are kept and the rest become statistics.

    Attributes:
        core: the learner.
        names: of all classes, sorted.
        most: rows kept of a class.
        strict: whether a file that cannot be read is refused.
        levels: of greys of more than 8 bits.
    """

    core: Continual
    names: tuple[str, ...]
    most: int
    strict: bool
    levels: Levels | None

    def __call__(self, shard: Shard) -> Gathered:
        """What is known of its rows."""
        out = embed(self.core.learner, shard.files, levels=self.levels, strict=self.strict)
        if out.levels is not None and self.levels is None:
            raise ConfigError(
                "the images have greys of more than 8 bits, whose range is that of all images: learn the "
                "first ones without --engine ray."
            )
        rows = out.rows.tolist()
        number = {name: k for k, name in enumerate(self.names)}
        return Gathered.of(
            out.features,
            [number[shard.labels[i]] for i in rows],
            [content_key(shard.files[i]) for i in rows],
            [shard.first + i for i in rows],
            self.most,
            reads_of(self.core),
            without_row(shard, rows, out.skipped),
        )


def learn_spread(
    listed: Listed,
    core: Continual | None,
    spread: Spread,
    strict: bool = False,
    levels: Levels | None = None,
    progress: Callable[[int, int], object] | None = None,
    size: int = 0,
    most: int = 0,
) -> LabelledImages:
    """Image files as a model with a frozen backbone learns them, read by the processes of a cluster.

    Where no class has more than ``most`` images, what comes back is what one process reads. Of larger
    classes that many images are at hand, chosen by their content, and all others are known by exact
    statistics (`LabelledImages.beside`).

    Args:
        listed: the images.
        core: the learner; None for one that is made by its data.
        spread: the cluster.
        strict: refuse an image that cannot be read, in place of skipping it.
        levels: of greys of more than 8 bits, as the model was made with.
        progress: called with the images done and all images.
        size: images in a portion; 0 chooses.
        most: images of a class at hand; 0 takes 50,000 by the number of classes, 20 to 1,000.

    Raises:
        ConfigError: for a method that trains, or a readout that is no sum over rows.
        DataError: if no image can be read.
        DeviceError: if the cluster fails.
    """
    core = require_sums(core)
    listed = require_files(listed)
    names = tuple(sorted(set(listed.labels)))
    most = most or min(MOST, max(LEAST, ROWS // max(1, len(names))))
    work = Summarise(core, names, most, strict, levels)
    shards, reads = shards_of(listed, size), reads_of(core)
    tree, done = Tree(lambda a, b: a.join(b, reads)), 0
    for shard, portion in spread.results(shards, work):
        tree.add(portion)
        done += len(shard.files)
        if progress is not None:
            progress(done, len(listed.files))
    whole = tree.whole()
    assert whole is not None
    return _data(listed, whole, names, levels)


def reads_of(core: Continual) -> dict[str, Read]:
    """How each readout of a learner reads features."""
    return {name: ReadBy(core, name) for name in core.readouts}


def require_sums(core: Continual | None) -> Continual:
    """Refuse a learner that is more than sums over rows (ConfigError)."""
    if core is None or not embeds(core) or core.method.trains(core.progress.task):
        name = "a recipe that trains" if core is None else f"the recipe {core.method.name}"
        raise ConfigError(
            f"--engine ray learns statistics of a frozen pretrained backbone, and {name} trains or has "
            "none: leave --engine out, or take --recipe frozen with a --backbone."
        )
    if core.protocol.images:
        raise ConfigError(
            f"--engine ray learns by statistics alone, and {core.protocol} stores images: leave it out."
        )
    for name, readout in core.readouts.items():
        sums = isinstance(readout, Streaming) and type(readout).fit is Streaming.fit
        if not sums or readout.needs_past or readout.structure == "low_rank":
            raise ConfigError(
                f"--engine ray learns by statistics that add exactly, and the readout {name} is no "
                "function of such: use select, gaussian, ridge or mean without drift or low rank."
            )
    return core


def _data(
    listed: Listed, whole: Gathered, names: tuple[str, ...], levels: Levels | None
) -> LabelledImages:
    """What was gathered, as one process would have read it."""
    unread: Skipped = [(readable(listed.files[i]), why) for i, why in whole.unread]
    data = listed.labelled(whole.x, whole.place.tolist(), unread, levels, levels)
    if not whole.classes:
        return data
    labels = tuple(names[k] for k in whole.classes)
    kept = torch.bincount(whole.y, minlength=len(names)).tolist()
    counts = {names[k]: whole.count[k] - kept[k] for k in whole.classes}
    mark = f"{whole.mark:064x}"
    rows, total = len(whole.y), sum(whole.count.values())
    note = (
        f"{rows:,} of {total:,} images, at most {whole.most:,} of a class, are at hand to be checked and "
        "measured on; of all others exact statistics were taken"
    )
    beside = Beside(labels, whole.rest, counts, mark)
    return replace(data, notes=[*data.notes, note], beside=beside)
