"""Updates: a model from labelled data, or new classes for one that exists, published if it is fit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from holdfast.api.sources import labelled_source
from holdfast.cli.class_options import Merge
from holdfast.cli.learn import teaching_of
from holdfast.cli.merge import unite
from holdfast.cli.options import Learn
from holdfast.cli.reading import check_counts
from holdfast.core.errors import ConfigError, unknown
from holdfast.release.settle import settled
from holdfast.release.teaching import Teaching
from holdfast.store.lock import nothing_left
from holdfast.store.manifest import Manifest
from holdfast.store.model import ModelFolder

LOG = logging.getLogger("holdfast.api")
Watcher = Callable[[str, int, int], object]


@dataclass(frozen=True)
class Release:
    """How an update ended.

    Attributes:
        model: folder of the model.
        published: whether the new version is in use.
        version: the one in use afterwards; None if there is none.
        reasons: why it was not published, a sentence each; or what was overruled by ``yes``.
        findings: what the checks say of the data: ``kind``, ``severity``, ``text``, ``files``.
        before: by class, right answers of the version before, of how many images.
        after: the same of the new version.
        notes: what the version keeps about its update; empty where nothing was learned.
        stored: images, numbers and bytes about the data; empty where nothing was published.
        page: ``release.html`` of the version.
    """

    model: Path
    published: bool
    version: int | None
    reasons: list[str] = field(default_factory=list)
    findings: list[Mapping[str, Any]] = field(default_factory=list)
    before: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    after: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    stored: Mapping[str, Any] = field(default_factory=dict)
    page: Path | None = None

    @property
    def accuracy(self) -> float:
        """Share of the measured images, of all classes, that the new version has right; nan for none."""
        total = sum(n for _, n in self.after.values())
        return sum(right for right, _ in self.after.values()) / total if total else float("nan")


def learn(
    model: str | Path,
    data: Any,
    golden: Any = None,
    *,
    max_drop: float | None = None,
    max_class_drop: float | None = None,
    yes: bool = False,
    progress: Watcher | None = None,
    **options: Any,
) -> Release:
    """Make a model from labelled data, or teach an existing one new classes: ``holdfast learn``.

    Nothing is published that loses more of the old classes than it may; then, and where the checks
    refuse the data, the `Release` says why and the version in use stays.

        >>> import holdfast, tempfile, numpy as np
        >>> X, y = np.random.default_rng(0).normal(size=(60, 16)), np.repeat(["cat", "dog"], 30)
        >>> X[30:] += 5
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     release = holdfast.learn(folder + "/pets", (X, y))
        ...     holdfast.load(folder + "/pets").predict(X[:1])[0].label, release.version
        ('cat', 1)

    Args:
        model: folder of the model; made if it is not there.
        data: a source as for the command, or a pair (X, y) of images, pixels or vectors and labels.
        golden: labelled data that both versions are measured on; by default some of the new.
        max_drop: points that the images of old classes may lose together.
        max_class_drop: points that those of one class may lose.
        yes: learn and publish whatever the checks and the limits say.
        progress: called with what is going on (``"features"`` or ``"epochs"``), how many are done, and
            of how many.
        options: any other flag of ``holdfast learn`` by its name: ``recipe="fnc2_strict"``.

    Raises:
        ConfigError: for options that make no sense, or differ from those of the model.
        DataError: for data that cannot be read.
        StoreError: for a model that is damaged or written by another process.
    """
    source, judges = labelled_source(data), None
    if golden is not None:
        judges = labelled_source(golden, "golden")
    limits: dict[str, Any] = {"max_drop": max_drop, "max_class_drop": max_class_drop, "yes": yes}
    asked = _asked(Path(model), limits | options)
    folder = ModelFolder(asked.model)
    with nothing_left(folder.path), folder.lock():
        tell = None if progress is None else lambda done, count: progress("features", done, count)
        return _carried_out(teaching_of(folder, asked, tell, source, judges), progress)


def merge(one: str | Path, other: str | Path, out: str | Path) -> Mapping[str, Any]:
    """Make one model of two that share a frozen backbone: ``holdfast merge``.

    Args:
        one: folder of a model.
        other: folder of another.
        out: folder of the model that is made.

    Returns:
        ``version`` and ``classes`` of the new model, ``common_classes``, and what was ``merged``.

    Raises:
        ConfigError: for models that cannot be merged, or if ``out`` is a model already.
    """
    data = unite(Merge(Path(one), Path(other), Path(out)))
    data.pop("of_each")
    return data


def _asked(model: Path, options: Mapping[str, Any]) -> Learn:
    """The flags of the command."""
    names = [f.name for f in fields(Learn)]
    for name in options:
        if name not in names:
            raise unknown("option of learn", name, [n for n in names if n not in ("json", "quiet")])
    paths = {
        name: Path(value)
        for name, value in options.items()
        if name in ("labels", "cache") and value
    }
    asked = Learn(model=model, data=Path(), **{**options, **paths})
    check_counts(asked)
    if asked.resume and asked.anew:
        raise ConfigError("resume goes on with a stopped update and anew drops it: give one.")
    return asked


def _carried_out(teaching: Teaching, progress: Watcher | None) -> Release:
    """Learn, measure, and publish what may be published."""
    update = teaching.update
    if update.published and update.base:
        return _release(teaching, update.base, [])
    if teaching.refusals:
        return _release(teaching, None, [finding.text for finding in teaching.refusals])
    for finding in teaching.findings:
        LOG.warning("%s", finding.text) if finding.severity != "note" else None
    for epoch in teaching.learn():
        update.keep()
        if progress is not None:
            progress("epochs", epoch.epoch + 1, epoch.epochs)
    end = settled(teaching)
    if end.manifest is not None:
        LOG.info("version %d of %s is in use", end.manifest.version, teaching.folder.path)
    return _release(teaching, end.manifest, end.reasons, end.notes, end.page)


def _release(
    teaching: Teaching,
    manifest: Manifest | None,
    reasons: list[str],
    notes: Mapping[str, Any] | None = None,
    page: Path | None = None,
) -> Release:
    base, now, then = teaching.update.base, teaching.after, teaching.before
    return Release(
        model=teaching.folder.path,
        published=manifest is not None,
        version=manifest.version if manifest else base.version if base else None,
        reasons=reasons,
        findings=[asdict(finding) for finding in teaching.findings],
        before={} if then is None else then.counts(),
        after={} if now is None else now.counts(),
        notes=notes or {},
        stored=manifest.stored if manifest else {},
        page=page,
    )
