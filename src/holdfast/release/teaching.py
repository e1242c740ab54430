"""Teaching: an update from checked data to a version that is measured, judged and published."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from holdfast.core.errors import ConfigError
from holdfast.release.aside import keep_aside
from holdfast.release.checks import Finding, Rows, audit
from holdfast.release.gate import Gate, Verdict
from holdfast.release.measured import Measured, measure
from holdfast.store.manifest import Manifest
from holdfast.store.model import ModelFolder
from holdfast.store.update import Update
from holdfast.stream.folder import LabelledImages
from holdfast.train.blueprint import Blueprint
from holdfast.train.continual import Continual
from holdfast.train.events import Epoch

GOLDEN, ASIDE = "golden images", "images kept aside"


@dataclass(frozen=True)
class Asked:
    """How an update is to go, beside what the model is.

    Attributes:
        gate: what it may take from the old classes.
        yes: learn and publish whatever the checks say.
        resume: go on with the update that was stopped.
        device: auto, cpu, cuda or mps.
        pictures: how many small pictures of each kind the page shows.
        source: what the data is called in the notes.
    """

    gate: Gate = field(default_factory=Gate)
    yes: bool = False
    resume: bool = False
    device: str = "auto"
    pictures: int = 12
    source: str = ""


class Teaching:
    """One update of a model, to be made and used with the folder's lock held.

    Without golden images, some of the new ones are kept aside and measured on: a group of similar
    images of each class where exact statistics learn them afterwards all the same, else a tenth that
    is not learned.

    Args:
        folder: of the model.
        data: what is to be learned.
        golden: what is measured on; None keeps some of the data aside.
        blueprint: of the model.
        core: its learner, where the caller has it.
        base: the version that the learner was loaded from.
        asked: how it is to go.

    Attributes:
        findings: what the checks of the data say, the most severe first.
        update: what learns.
        before: what the version in use said of the images that are measured on; None for none.
        after: what the new version says of them.

    Raises:
        ConfigError: for a limit on losses that cannot be measured, or an update that was stopped.
    """

    def __init__(
        self,
        folder: ModelFolder,
        data: LabelledImages,
        golden: LabelledImages | None,
        blueprint: Blueprint,
        core: Continual | None = None,
        base: Manifest | None = None,
        asked: Asked = Asked(),
    ):
        self.folder, self.data, self.golden, self.asked = folder, data, golden, asked
        self.before: Measured | None = None
        self.after: Measured | None = None
        features = data.x.ndim == 2
        looked_at = None if golden is None else rows_of(golden)
        self.findings: list[Finding] = audit(rows_of(data), looked_at, judge_labels=features)
        self.measured_on = GOLDEN if golden is not None else ASIDE
        self.learned_after = features and blueprint.method().freezes
        split = None if golden else keep_aside(data.x, data.labels, scenes=self.learned_after)
        self.aside = part(data, split.measure) if split and split.measure else None
        self.rest = part(data, split.learn) if split and self.aside else data
        self.learned = learned = data if self.learned_after else self.rest
        source = (learned.x, learned.labels, blueprint, asked.device, asked.resume)
        self.update = Update(folder, *source, core=core, base=base, beside=data.beside)
        self._require_old_classes()
        self._measure_before()

    @property
    def refusals(self) -> list[Finding]:
        """Why nothing should be learned from the data."""
        return [] if self.asked.yes else [f for f in self.findings if f.severity == "refusal"]

    @property
    def judges(self) -> LabelledImages | None:
        """The images that are measured on."""
        return self.golden if self.golden is not None else self.aside

    def learn(self) -> Iterator[Epoch]:
        """Learn, epoch by epoch, then measure."""
        if self.aside is not None and self.learned_after and not self.update.learned:
            trial = copy.deepcopy(self.update.core)
            trial.learn(trial.arrive(self.rest.x, self.rest.labels))
            self.after = measure(trial, self.aside.x, self.aside.labels)
        yield from self.update.learn()
        if self.after is None and self.judges is not None:
            self.after = measure(self.update.core, self.judges.x, self.judges.labels)

    def verdict(self) -> Verdict:
        """What the gate says of the versions before and after."""
        if self.before is None or self.after is None:
            return Verdict(None)
        return self.asked.gate.judge(self.before, self.after)

    def notes(self) -> dict[str, Any]:
        """What is worth keeping about it."""
        update, counts = self.update, self.learned.counts()
        note = update.core.progress.notes[-1]
        base = [] if update.base is None else [entry["name"] for entry in update.base.classes]
        readout = update.core.readouts[update.core.readout]
        notes = {
            "base": update.base.version if update.base else 0,
            "data": self.asked.source,
            "images": counts,
            "new_classes": [name for name in counts if name not in base],
            "merged_classes": [name for name in counts if name in base],
            "skipped": [list(entry) for entry in self.data.skipped[:1000]],
            "epochs": note.epochs,
            "seconds": note.seconds,
            "few": note.few,
            "drift_residual": update.residual(),
            "drift_forecast": update.forecast(),
            "rule": getattr(readout, "reason", ""),
            "calibrated": readout.calibrated,
            "findings": [asdict(f) | {"files": f.files[:20]} for f in self.findings],
        }
        return notes | ({} if self.after is None else {"golden": self._figures(self.after, base)})

    def _figures(self, after: Measured, base: list[str]) -> dict[str, Any]:
        """Accuracy by class before and after, and how far the answers can be believed."""
        new, old = after.counts(), {} if self.before is None else self.before.counts()
        verdict = self.verdict()
        calibration, earlier = after.calibration(), self._earlier()
        lost = verdict.lost
        return {
            "from": self.measured_on,
            "before": {name: old[name] for name in old if name in base},
            "after": {name: new[name] for name in new if name in after.classes},
            "not_in_the_model": [name for name in new if name not in after.classes],
            "lost": None if lost is None or math.isnan(lost) else lost,
            "refused": verdict.reasons,
            "calibration_error": None if calibration is None else calibration[0],
            "calibration_floor": None if calibration is None else calibration[1],
            "false_alarms": after.alarms(),
            "earlier": {name: entry for name, entry in earlier.items() if name not in new},
        }

    def _earlier(self) -> dict[str, Any]:
        """By class, the last figures of earlier versions: right, of how many, and which version."""
        base = self.update.base
        if base is None:
            return {}
        figures: Mapping[str, Any] = base.update.get("golden", {})
        last = {name: [*count, base.version] for name, count in figures.get("after", {}).items()}
        return dict(figures.get("earlier", {})) | last

    def _measure_before(self) -> None:
        """What the version in use says, on images of classes that it knows."""
        update, judges = self.update, self.judges
        if update.base is None or judges is None:
            return
        known = {str(entry["name"]) for entry in update.base.classes}
        if not known & set(judges.labels):
            return
        fresh = not update.resumed and not update.learned
        core = update.core if fresh else self.folder.load(device=self.asked.device)[0]
        self.before = measure(core, judges.x, judges.labels)

    def _require_old_classes(self) -> None:
        """A drop that is limited is measured on images of old classes, or not at all (ConfigError)."""
        gate, base = self.asked.gate, self.update.base
        if gate.max_drop is None and gate.max_class_drop is None:
            return
        flag = "--max-drop" if gate.max_drop is not None else "--max-class-drop"
        if self.golden is None:
            raise ConfigError(f"{flag} needs images to measure on: give --golden FOLDER.")
        known = [] if base is None else [str(entry["name"]) for entry in base.classes]
        if base is None or set(known) & set(self.golden.labels):
            return
        shown = ", ".join(known[:5]) + (", ..." if len(known) > 5 else "")
        raise ConfigError(
            f"{flag} cannot be measured: the golden images are of "
            f"{', '.join(sorted(set(self.golden.labels)))}, and none of the model's classes ({shown}) is "
            "among them: add images of old classes, in folders named exactly as the classes."
        )


def rows_of(data: LabelledImages) -> Rows:
    """What is looked at of labelled images."""
    return Rows(data.x, data.labels, [str(file) for file in data.files])


def part(data: LabelledImages, places: list[int]) -> LabelledImages:
    """Some of labelled images."""
    files: list[Path] = [data.files[i] for i in places] if data.files else []
    labels = [data.labels[i] for i in places]
    return LabelledImages(data.x[places], files, labels, levels=data.levels)
