"""Random sequences of what can happen to a model, against a simple model of what must hold."""

import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from holdfast.core.errors import ConfigError, StoreError
from holdfast.store.model import ModelFolder

from .conftest import NAMES, answers, learn

CLASSES = st.sets(st.integers(0, 5), min_size=1, max_size=2).map(sorted)


class Life(RuleBasedStateMachine):
    """What must hold: a table of published versions that never change, and which is in use."""

    @initialize()
    def born(self):
        self.root = Path(tempfile.mkdtemp())
        self.path = self.root / "model"
        self.scores, self.names, self.current, self.stopped = {}, {}, 0, None
        self.published(learn(self.path, 0, 1), (0, 1))

    def published(self, manifest, classes):
        version = max(self.scores, default=0) + 1
        assert manifest.version == version and manifest.parent == self.current
        before = self.names.get(self.current, [])
        fresh = [
            NAMES[c] for c in sorted(classes, key=lambda c: NAMES[c]) if NAMES[c] not in before
        ]
        self.names[version] = before + fresh
        self.scores[version] = answers(self.path)
        self.current, self.stopped = version, None

    @precondition(lambda self: self.stopped is None)
    @rule(classes=CLASSES)
    def learns(self, classes):
        self.published(learn(self.path, *classes), classes)

    @precondition(lambda self: self.stopped is None)
    @rule(classes=CLASSES, epochs=st.integers(1, 2))
    def is_killed_while_it_learns(self, classes, epochs):
        learn(self.path, *classes, stop=epochs)
        self.stopped = (classes, self.current)

    @precondition(lambda self: self.stopped is not None)
    @rule()
    def resumes(self):
        classes, base = self.stopped
        if base != self.current:  # it was rolled back in between: that update has lost its ground
            with pytest.raises(ConfigError, match="version"):
                learn(self.path, *classes, resume=True)
            (self.path / "update.safetensors").unlink()
            self.stopped = None
            return
        self.published(learn(self.path, *classes, resume=True), classes)

    @precondition(lambda self: self.stopped is not None)
    @rule(classes=CLASSES)
    def forgets_that_it_was_stopped(self, classes):
        with pytest.raises(ConfigError, match="--resume"):
            learn(self.path, *classes)

    @rule(data=st.data())
    def rolls_back(self, data):
        self.current = data.draw(st.sampled_from(sorted(self.scores)))
        assert ModelFolder(self.path).rollback(self.current).version == self.current

    @precondition(lambda self: self.stopped is None)
    @rule(classes=CLASSES, step=st.integers(1, 3))
    def finds_the_disk_full(self, classes, step):
        with pytest.MonkeyPatch.context() as patch:
            honest, left = Path.write_text, [step]

            def full(*given, **named):
                left[0] -= 1
                if left[0] == 0:
                    raise OSError(28, "No space left on device")
                return honest(*given, **named)

            patch.setattr(Path, "write_text", full)
            if step < 3:  # an update of a model writes two texts: its manifest and the index
                with pytest.raises((StoreError, OSError), match="No space left"):
                    learn(self.path, *classes)
                (self.path / "update.safetensors").unlink()
                return
            made = learn(self.path, *classes)
        self.published(made, classes)

    @rule(where=st.floats(0, 0.999))
    def is_damaged_and_mended(self, where):
        file = self.path / "versions" / f"{self.current:04d}" / "state.safetensors"
        whole = file.read_bytes()
        place = int(where * len(whole))
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        with pytest.raises(StoreError, match=r"state\.safetensors is damaged"):
            answers(self.path)
        file.write_bytes(whole)

    @rule()
    def is_moved(self):
        self.root, old = Path(tempfile.mkdtemp()), self.root
        shutil.move(old / "model", self.root / "elsewhere")
        self.path = self.root / "elsewhere"
        (self.root / "elsewhere").rename(self.root / "model")
        self.path = self.root / "model"

    @invariant()
    def every_version_answers_as_when_it_was_published(self):
        folder = ModelFolder(self.path)
        assert folder.index().current == self.current
        for version, expected in self.scores.items():
            assert torch.equal(answers(self.path, version), expected)
            assert [c["name"] for c in folder.manifest(version).classes] == self.names[version]

    def teardown(self):
        shutil.rmtree(self.root)


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=4, stateful_step_count=7, deadline=None, derandomize=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
