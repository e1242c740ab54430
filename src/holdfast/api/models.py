"""Models: one version of a model folder in memory, asked and changed from a program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from holdfast.api.answers import Answer, answer_of, batches_of
from holdfast.api.sources import labelled_source, unlabelled_source
from holdfast.cli.asking_options import Predict
from holdfast.cli.class_options import Remove, Rename
from holdfast.cli.forget import Forget, forget_in
from holdfast.cli.predict import answers
from holdfast.cli.remove import unlearn
from holdfast.cli.rename import rename_in
from holdfast.release.measured import Measured, measure
from holdfast.serve.predictor import Predictor, require_share
from holdfast.store.model import ModelFolder
from holdfast.train.blueprint import Blueprint

if TYPE_CHECKING:
    from holdfast.stream.listed import Listed


@dataclass(frozen=True)
class Evaluation:
    """A model measured on labelled data.

    Attributes:
        accuracy: share of all inputs that are right; those of classes it does not know are not.
        classes: by class, right ones and of how many.
        measured: every answer, with `Measured.calibration` and `Measured.alarms`.
        skipped: files that were left out, each with the reason.
    """

    accuracy: float
    classes: Mapping[str, tuple[int, int]]
    measured: Measured
    skipped: Sequence[tuple[str, str]] = ()


class Model:
    """A version of a model folder, loaded; see `load`.

    Attributes:
        path: of the folder.
        version: that is loaded.
        classes: names, in order of arrival.
        stored: what it keeps of its data: ``images``, ``floats``, ``bytes``.
        calibrated: whether a temperature was fitted.
    """

    def __init__(
        self,
        path: str | Path,
        version: int | None = None,
        readout: str | None = None,
        device: str = "auto",
    ):
        self.path, self._asked = Path(path), (readout, device)
        self._load(version)

    def _load(self, version: int | None = None) -> None:
        readout, device = self._asked
        core, manifest = ModelFolder(self.path).load(version, device)
        levels = Blueprint.from_data(manifest.blueprint).levels
        self._predictor = Predictor(core, readout, levels=levels)
        self.version, self.stored = manifest.version, manifest.stored
        self.classes, self.calibrated = self._predictor.classes, self._predictor.calibrated

    def __repr__(self) -> str:
        """Folder, version and number of classes."""
        return f"Model({str(self.path)!r}, version {self.version}, {len(self.classes)} classes)"

    def predict(
        self, inputs: Any, top_k: int = 0, false_alarms: float = 0.05, sets: float | None = None
    ) -> list[Answer]:
        """The class of each input, in their order: ``holdfast predict``.

        Args:
            inputs: a path, or a list of paths, of files, folders or tables; or images, pixels or
                vectors as for `learn`.
            top_k: so many of the likeliest classes of each.
            false_alarms: share of inputs of known classes that may be called unknown.
            sets: a share such as 0.9: also the classes that hold the true one in so many inputs.

        Raises:
            ConfigError: for a share that is none.
            DataError: for inputs that the model does not take.
        """
        return list(self.stream(inputs, top_k, false_alarms, sets))

    def stream(
        self, inputs: Any, top_k: int = 0, false_alarms: float = 0.05, sets: float | None = None
    ) -> Iterator[Answer]:
        """The same, batch by batch as they are read; arguments and errors are those of `predict`."""
        require_share(false_alarms)
        asked = Predict(self.path, (), top=top_k, false_alarms=false_alarms, sets=sets)
        for batch in batches_of(inputs):
            rows = answers(self._predictor, batch, asked, self.version)
            yield from map(answer_of, rows)
            yield from (Answer(name, error=why) for name, why in batch.skipped)

    def evaluate(self, data: Any) -> Evaluation:
        """Accuracy by class: ``holdfast evaluate``.

        Args:
            data: labelled, as for `learn`; of a source with parts, the test part.

        Raises:
            DataError: for data that cannot be read, or that the model does not take.
        """
        source = labelled_source(data)
        rows = self._predictor.labelled(source)
        measured = measure(self._predictor.core, rows.x, rows.labels)
        share = sum(measured.right) / len(rows.labels)
        return Evaluation(share, measured.counts(), measured, rows.skipped)

    def remove(
        self,
        name: str,
        data: Any = None,
        readout_only: bool = False,
        purge: bool = False,
    ) -> Mapping[str, Any]:
        """Publish a version that never learned a class, and take it: ``holdfast remove``.

        Args:
            name: of the class.
            data: what it was learned from, where the model needs that: a path, or inputs in memory.
            readout_only: remove it from the readout although weights were trained on it.
            purge: delete the versions that hold it.

        Returns:
            The certificate.

        Raises:
            ConfigError: for a class it does not have, or weights that remember it.
        """
        path = Path(data) if isinstance(data, (str, Path)) else None
        listed = None if data is None or path else unlabelled_source(data)
        asked = Remove(self.path, name, path, readout_only, purge, device=self._asked[1])
        paper = unlearn(asked, listed)
        self._load()
        return paper

    def forget(
        self,
        data: Any,
        name: str | None = None,
        readout_only: bool = False,
        choose_anew: bool = False,
        purge: bool = False,
    ) -> Mapping[str, Any]:
        """Publish a version that never learned some images, and take it: ``holdfast forget``.

        Args:
            data: the images with their classes, as for `learn`; with a name, images of that class alone.
            name: of the class.
            readout_only: take them out of the readout although weights were trained on their classes.
            choose_anew: choose the rule or strength that was chosen with them anew.
            purge: delete the versions that may hold them.

        Returns:
            The certificate.

        Raises:
            ConfigError: for weights that remember them, or a class that would keep fewer than two.
            DataError: for images that were not learned.
        """
        path = Path(data) if isinstance(data, (str, Path)) else None
        source = labelled_source if name is None else unlabelled_source
        listed = None if path else cast("Listed", source(data))
        asked = Forget(self.path, path or Path(), name, readout_only, choose_anew, purge)
        paper = forget_in(replace(asked, device=self._asked[1]), listed)
        self._load()
        return paper

    def rename(self, old: str, new: str, join: bool = False) -> None:
        """Publish a version in which a class has another name, and take it: ``holdfast rename``.

        Args:
            old: name of the class.
            new: its name from now on.
            join: the new name is a class already, and the two become one.

        Raises:
            ConfigError: for a name that it does not have, or has already.
        """
        rename_in(Rename(self.path, old, new, join))
        self._load()

    def rollback(self, version: int | None = None) -> None:
        """Put an earlier version in use, and take it: ``holdfast rollback``.

        Args:
            version: which; None is the one that the current one was learned from.

        Raises:
            ConfigError: if there is none.
        """
        self._load(ModelFolder(self.path).rollback(version).version)


def load(
    model: str | Path,
    version: int | None = None,
    readout: str | None = None,
    device: str = "auto",
) -> Model:
    """A stored model, to be asked.

    Args:
        model: its folder.
        version: which; None is the one in use.
        readout: which of its readouts decides; None is its own.
        device: auto, cpu, cuda or mps.

    Raises:
        StoreError: if there is none, or it is damaged.
        ConfigError: for a readout or a device that is not there.
    """
    return Model(model, version, readout, device)
