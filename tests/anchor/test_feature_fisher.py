"""Features held by the softmax of all classes: against its twin, and what the matrix means."""

import pytest
import torch
from torch.nn.functional import kl_div
from torch.testing import assert_close

import reference_strict as reference
from checker import unchecked
from clouds import normal
from holdfast.anchor import (
    FeatureFisher,
    FrameSoftmax,
    HeadSoftmax,
    feature_matrix,
    fisher_distillation,
)
from holdfast.core.errors import ConfigError, DataError
from holdfast.core.output import outputs
from holdfast.curvature.likelihood import Likelihood
from holdfast.learner import Frame
from holdfast.testing.bench import Bench

LOGITS, WEIGHT = normal(0, 6, 3), normal(1, 3, 4)


def test_the_matrix_equals_its_twin_and_has_a_rank_below_the_number_of_classes():
    matrix = feature_matrix(LOGITS, WEIGHT)
    twin = torch.tensor(reference.feature_matrix(LOGITS.tolist(), WEIGHT.tolist()))
    assert_close(matrix, twin.double())
    values = torch.linalg.eigvalsh(matrix)
    assert float(values.min()) > -1e-12 and int((values > 1e-9).sum()) == 2


def test_the_distillation_equals_its_twin():
    now, past, matrix = normal(2, 5, 4), normal(3, 5, 4), feature_matrix(LOGITS, WEIGHT)
    twin = reference.fisher_distillation(now.tolist(), past.tolist(), matrix.tolist(), 3.0, 0.7)
    assert float(fisher_distillation(now, past, matrix, 3.0, 0.7)) == pytest.approx(twin)
    isotropic = 0.7 * (now - past).square().sum(1).mean()
    assert_close(fisher_distillation(now, past, matrix, 0.0, 0.7), isotropic)
    assert_close(fisher_distillation(now, past, None, 3.0, 0.7), isotropic)


def test_gradients_are_right_and_none_reaches_the_past():
    past, matrix = normal(3, 5, 4).requires_grad_(), feature_matrix(LOGITS, WEIGHT)
    now = normal(2, 5, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda h: fisher_distillation(h, past, matrix, 3.0, 0.7), now)
    fisher_distillation(now, past, matrix).backward()
    assert past.grad is None


def test_a_move_that_the_softmax_does_not_see_costs_nothing():
    matrix, past = feature_matrix(LOGITS, WEIGHT), normal(3, 5, 4)
    blind = torch.linalg.svd(WEIGHT)[2][-1]  # in the null space of W
    assert float(fisher_distillation(past + 2 * blind, past, matrix, 10.0, 0.0)) < 1e-12
    assert float(fisher_distillation(past + 2 * blind, past, matrix, 10.0, 0.1)) > 0.3


def test_half_of_it_is_the_divergence_of_the_answers_for_a_small_move():
    x, d = normal(4, 1, 4), 1e-3 * normal(5, 1, 4)
    then, now = ((h @ WEIGHT.T).log_softmax(1) for h in (x, x + d))
    divergence = kl_div(now, then, reduction="sum", log_target=True)
    half = 0.5 * fisher_distillation(x + d, x, feature_matrix(x @ WEIGHT.T, WEIGHT), 1.0, 0.0)
    assert float(half) == pytest.approx(float(divergence), rel=5e-3)


@pytest.mark.parametrize("kind", ["seen", "new", "frame"])
def test_the_term_takes_the_matrix_of_the_last_tasks_rows(kind):
    bench = Bench(16)
    frame = Frame(16)
    likelihood = FrameSoftmax(frame, 0.5) if kind == "frame" else HeadSoftmax(kind)
    term = FeatureFisher(4.0, 0.3, likelihood)
    term.consolidate(bench.past, bench.stream[0])
    out = outputs(bench.past, bench.stream[0].train)
    if kind == "frame":
        weight = frame.vectors[:6].double() / 0.5
        logits = out.embedding.double() @ weight.T
    else:
        columns = [0, 1, 2, 3, 4, 5] if kind == "seen" else list(bench.stream[0].classes)
        weight, logits = bench.past.head.weight.double()[columns], out.logits.double()[:, columns]
    matrix = feature_matrix(logits, weight)
    assert_close(term.matrix, matrix.float())
    step = bench.step()
    column = "embedding" if kind == "frame" else "features"
    now, past = getattr(step["batch"].out, column), getattr(step["batch"].past, column)
    assert_close(term(step), fisher_distillation(now, past, matrix, 4.0, 0.3))


def test_what_does_not_fit_is_named():
    with pytest.raises(ConfigError, match="at least 0, not strength=-1"):
        FeatureFisher(-1.0)
    with pytest.raises(DataError, match=r"width 4 need a matrix of that width, not \(3, 3\)"):
        unchecked(fisher_distillation)(torch.ones(2, 4), torch.ones(2, 4), torch.ones(3, 3))

    class Other(Likelihood):
        def logits(self, out, task):
            return out.logits

    with pytest.raises(ConfigError, match="HeadSoftmax or FrameSoftmax, not Other"):
        unchecked(FeatureFisher.__init__)(FeatureFisher(), likelihood=Other())
