"""Figures of the stages of a network."""

import math

import pytest
import torch

from holdfast import metrics
from holdfast.diagnose.catalogue import STAGES
from holdfast.diagnose.moment import Moment, look
from holdfast.diagnose.stages import stage_figures
from holdfast.diagnose.watched import watch
from holdfast.learner import Learner
from holdfast.metrics.missing import reason_of
from holdfast.testing import small_stream


def moment_of(stream, task=1):
    torch.manual_seed(0)
    learner = Learner(stream.shape, width=4, dim=8, classes=6)
    learner.normalise_by(stream[0].train.x)
    learner.eval()
    watched, device = watch(stream), torch.device("cpu")
    none = torch.zeros(2, 2)
    now = look(learner, watched, device)
    return Moment(task, watched, now, {}, None, learner, none, none, torch.ones(2))


@pytest.fixture(scope="module")
def stream():
    return small_stream()


def test_collapse_is_followed_from_stage_to_stage(stream):
    moment = moment_of(stream)
    values = stage_figures(moment, stream, 0)
    assert values.keys() == STAGES.keys() and all(v == v for v in values.values())
    y, seen = moment.y[moment.seen], moment.seen
    logs = [math.log(metrics.nc1_quotient(stage[seen], y)) for stage in moment.now.stages]
    assert values["collapse_gap_first"] == pytest.approx(math.exp(logs[0]) - math.exp(logs[-1]))
    assert values["collapse_slope"] == pytest.approx((logs[2] - logs[0]) / 2)


def test_the_funnel_compares_training_rows_with_watched_ones(stream):
    values = stage_figures(moment_of(stream), stream, 0)
    assert values["funnel"] in (1.0, 2.0, 3.0) and 0 < values["funnel_sure"] <= 1
    assert values["stage_gap_first"] > 0 and values["stage_gap_last"] > 0
    assert values == stage_figures(moment_of(stream), stream, 0)
    assert values != stage_figures(moment_of(stream, 0), stream, 0)


def test_a_network_without_stages_has_no_such_figure(stream):
    moment = moment_of(stream)
    bare = Moment(**(vars(moment) | {"now": moment.now._replace(stages=None)}))
    values = stage_figures(bare, stream, 0)
    assert {reason_of(value) for value in values.values()} == {"this backbone has no stages"}
