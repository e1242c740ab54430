"""Feature distillation of every stage: against its twin, and in a run."""

from dataclasses import replace

import pytest
import torch

import reference
from clouds import normal
from holdfast.anchor import FeatureDistillation, feature_distillation, stage_distillation, taught
from holdfast.core.errors import ConfigError, DataError
from holdfast.learner import Learner
from holdfast.loss import CrossEntropy
from holdfast.recipes import Method, make
from holdfast.testing import check_term, small_stream
from holdfast.testing.watched import QUICK, learned
from holdfast.train.runner import Run


def stages(seed):
    return [normal(seed, 6, 3).double(), normal(seed + 1, 6, 5).double()]


@pytest.mark.parametrize("distance", ["square", "cosine"])
@pytest.mark.parametrize("rising", [0.0, 1.5])
def test_it_is_the_weighted_sum_over_the_stages(distance, rising):
    now, past = stages(0), stages(2)
    twins = [
        reference.feature_distillation(a.tolist(), b.tolist(), distance) for a, b in zip(now, past)
    ]
    value = stage_distillation(now, past, distance, rising=rising)
    assert float(value) == pytest.approx(0.5**rising * twins[0] + twins[1], rel=1e-5)
    spreads = [0.3, 2.0]
    if distance == "square":
        with_spreads = stage_distillation(now, past, distance, spreads, rising)
        gaps = [float(((a - b) ** 2).sum(1).mean()) for a, b in zip(now, past)]
        expected = 0.5**rising * gaps[0] / 0.3 + gaps[1] / 2.0
        assert float(with_spreads) == pytest.approx(expected, rel=1e-5)


def test_at_the_past_network_value_and_gradient_are_0_and_a_scale_is_nothing():
    past = stages(0)
    now = [stage.clone().requires_grad_() for stage in past]
    value = stage_distillation(now, past)
    value.backward()
    assert float(value.detach()) == 0
    assert all(float(stage.grad.abs().max()) == 0 for stage in now)
    other, scaled = stages(5), [7 * stage for stage in past]
    torch.testing.assert_close(
        stage_distillation([7 * stage for stage in other], scaled),
        stage_distillation(other, past),
    )


def test_one_stage_is_the_features():
    now, past = stages(0)[1:], stages(2)[1:]
    assert float(stage_distillation(now, past)) == float(feature_distillation(now[0], past[0]))


def test_other_networks_have_other_stages():
    with pytest.raises(DataError, match="has 1 stages and the learner 2"):
        stage_distillation(stages(0), stages(2)[:1])
    with pytest.raises(ConfigError, match="rising must be a number from 0 on, not -1"):
        FeatureDistillation(of="stages", rising=-1.0)


@pytest.mark.parametrize("distance", ["square", "cosine"])
def test_the_term_obeys_the_laws(distance):
    check_term(FeatureDistillation(distance, "stages", rising=0.5), run=distance == "square")


def test_a_run_holds_the_stages_and_their_spreads_go_on():
    method = make("finetune", add="stage_distillation:weight=2:rising=0")
    free, held = (learned(m, small_stream()) for m in (make("finetune"), method))
    term = held.continual.method.terms[-1]
    assert len(term._spreads) == 3 and term.moments.shape == (8,)
    assert term.spread == term._spreads[-1]
    moved = [float((run.learner.backbone.layers[0].weight).detach().norm()) for run in (free, held)]
    assert moved[0] != moved[1]
    assert held.learner.shown == ()  # only while a task is learned


def test_a_frozen_backbone_has_no_stage_to_teach():
    method = Method(CrossEntropy(), [FeatureDistillation(of="stages")])
    run = Run(method, small_stream(), QUICK)
    run.learner.backbone.tuned = ()
    with pytest.raises(
        ConfigError, match="reads the backbone's stages, and nothing of this backbone"
    ):
        list(run.events())


def test_a_random_teacher_shows_its_stages_too():
    method = Method(CrossEntropy(), [taught(FeatureDistillation(of="stages"), "random")])
    assert learned(replace(method, name="random"), small_stream()).result.status == "complete"
    assert Learner((1, 8, 8), width=4).shown == ()
