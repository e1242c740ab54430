"""A stored model with a state a task: it answers, goes on and resumes as the learner itself would."""

from dataclasses import replace

import pytest
import torch

from holdfast.serve.predictor import Predictor
from holdfast.store.model import ModelFolder

from .conftest import BLUEPRINT, NAMES, images, learn


@pytest.mark.parametrize(
    "recipe, parameters", [("sparse", {"every": 2, "reuse": False}), ("masks", {"rate": 1.0})]
)
def test_a_model_learned_in_parts_on_disk_is_the_learner_itself(tmp_path, recipe, parameters):
    blueprint = replace(BLUEPRINT, recipe=recipe, parameters=parameters)
    core = blueprint.build("cpu")
    for classes in ((0, 1), (2, 3), (1, 4)):
        core.learn(core.arrive(*images(*classes)))
        stop = 1 if classes == (2, 3) else None
        learn(tmp_path / "m", *classes, blueprint=blueprint, stop=stop)
        if stop:
            learn(tmp_path / "m", *classes, blueprint=blueprint, resume=True)
    stored, manifest = ModelFolder(tmp_path / "m").load(device="cpu")
    x = images(*range(5), each=5, seed=1)[0]
    assert len(stored.learner.states) == 3
    assert torch.equal(stored.scores(x), core.scores(x))
    says = Predictor(stored, batch=4)(x)
    assert torch.equal(says.label, core.scores(x).argmax(1))
    assert [c["name"] for c in manifest.classes] == core.labels == list(NAMES[:5])
    assert manifest.stored["floats"] > 0
