"""What the public losses and anchors are given: options, shapes, labels, one row, no row."""

import pytest
import torch

from checker import unchecked
from holdfast.anchor import (
    FeatureDistillation,
    HeadSoftmax,
    LogitDistillation,
    RelationDistillation,
    distillation,
    feature_distillation,
    forward_kl,
    relation_distillation,
)
from holdfast.core.errors import ConfigError, DataError
from holdfast.learner import Frame, simplex_etf
from holdfast.loss import (
    CrossEntropy,
    FocalCollapse,
    SupCon,
    Uniformity,
    focal_collapse,
    sup_con,
    uniformity,
)

Z = torch.nn.functional.normalize(
    torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), dim=1
)
Y, Q = torch.tensor([0, 1, 1, 3]), simplex_etf(4, 3)
SUP, FOCAL = unchecked(sup_con), unchecked(focal_collapse)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: SUP(Z, Y, 0.07, average="row"), "unknown average 'row': did you mean 'rows'"),
        (lambda: SUP(Z, Y, 0.0), "temperature must be positive, not tau=0.0"),
        (lambda: SUP(Z, Y, float("nan")), "temperature must be positive, not tau=nan"),
        (lambda: SUP(Z, Y[:, None], 0.07), r"4 rows need labels of shape \(4,\), not \(4, 1\)"),
        (lambda: SUP(Z, Y[:3], 0.07), r"4 rows need labels of shape \(4,\), not \(3,\)"),
        (lambda: SUP(Z, Y, 0.07, Y[:2] > 0), r"need anchors of shape \(4,\), not \(2,\)"),
        (lambda: SUP(Z[0], Y[:1], 0.07), r"the rows must have shape \(N, d\)"),
        (lambda: FOCAL(Z, Y, Q, 0.07, 2.0, average="row"), "unknown average"),
        (lambda: FOCAL(Z, Y, Q, 0.07, 2.0, denominator="opened"), "unknown denominator 'opened'"),
        (lambda: FOCAL(Z, Y - 1, Q, 0.07, 2.0), r"labels must lie in 0\.\.3.*not in -1\.\.2"),
        (lambda: FOCAL(Z, Y, Q[:3], 0.07, 2.0), r"labels must lie in 0\.\.2.*not in 0\.\.3"),
        (lambda: FOCAL(Z, Y, Q, 0.07, 2.0, old=[7]), r"old classes must lie in 0\.\.3"),
        (lambda: FOCAL(Z, Y, Q, 0.07, -2.0), "gamma must be at least 0, not -2.0"),
        (lambda: FOCAL(Z, Y, Q, 0.07, float("nan")), "gamma must be at least 0, not nan"),
        (lambda: FOCAL(Z, Y[:, None], Q, 0.07, 2.0), "need labels of shape"),
        (lambda: unchecked(uniformity)(Z[0]), "the rows must have shape"),
        (lambda: unchecked(distillation)(Z, Z[:2]), "logits of both networks must have one shape"),
        (lambda: unchecked(relation_distillation)(Z, Z[:2], 1.0, 1.0), "rows of both networks"),
        (lambda: unchecked(relation_distillation)(Z, Z, 1.0, 0.0), "positive, not past=0.0"),
    ],
)
def test_functions_refuse_what_they_cannot_use(call, words):
    with pytest.raises((ConfigError, DataError), match=words):
        call()


@pytest.mark.parametrize(
    "part, options, words",
    [
        (CrossEntropy, {"classes": "old"}, "unknown set of classes 'old'"),
        (SupCon, {"average": "row"}, "unknown average"),
        (SupCon, {"tau": -1.0}, "temperature must be positive"),
        (FocalCollapse, {"frame": Frame(4), "denominator": "opened"}, "unknown denominator"),
        (FocalCollapse, {"frame": Frame(4), "gamma": -1.0}, "gamma must be at least 0"),
        (Uniformity, {"of": "logits"}, "unknown space 'logits'"),
        (FeatureDistillation, {"of": "logits"}, "unknown feature space 'logits'"),
        (RelationDistillation, {"support": "new"}, "unknown support 'new'"),
        (RelationDistillation, {"now": 0.0}, "temperature must be positive, not now=0.0"),
        (LogitDistillation, {"support": "new"}, "unknown support 'new'"),
        (HeadSoftmax, {"classes": "all"}, "unknown set of classes 'all'"),
    ],
)
def test_parts_refuse_options_that_do_not_exist(part, options, words):
    made = part.__new__(part)
    with pytest.raises(ConfigError, match=words):
        unchecked(part.__init__)(made, **options)


def scalars(z, y):
    """Every public loss of some rows against themselves."""
    old, frame = [0], Q.to(z)
    yield from (sup_con(z, y, 0.5, average=average) for average in ("anchors", "rows"))
    for denominator in ("closed", "open"):
        yield focal_collapse(z, y, frame, 0.5, 1.0, denominator=denominator)
        yield focal_collapse(z, y, frame, 0.5, 0.0, old, denominator=denominator, average="rows")
    yield from (uniformity(z), distillation(z, z), forward_kl(z, z).sum())
    yield from (relation_distillation(z, z, 1.0, 1.0), relation_distillation(z, z, 1.0, 1.0, frame))
    yield from (feature_distillation(z, z), feature_distillation(z, z, "cosine"))


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_rows_have_a_finite_loss_and_a_finite_gradient(n):
    for value in scalars(z := Z[:1].expand(n, -1).clone().requires_grad_(), Y[:1].expand(n)):
        (gradient,) = torch.autograd.grad(value, z, retain_graph=True, allow_unused=True)
        assert bool(value.isfinite())
        assert gradient is None or bool(gradient.isfinite().all())


def test_one_row_alone_is_contrasted_with_nothing():
    z, y = Z[:1], Y[:1]
    assert float(sup_con(z, y, 0.07)) == 0.0
    assert float(focal_collapse(z, y, Q, 0.07, 1.0, denominator="open")) == 0.0
    closed = focal_collapse(z, y, Q, 0.07, 0.0)  # its own prototype is all there is: r = 1
    assert float(closed) == pytest.approx(0.0, abs=1e-6)


def test_rows_of_no_length_are_left_out_of_the_uniformity():
    z = torch.cat([Z, torch.zeros(2, 3)]).requires_grad_()
    value = uniformity(z)
    value.backward()
    assert float(value.detach()) == pytest.approx(float(uniformity(Z)))
    assert bool(z.grad.isfinite().all()) and float(z.grad[4:].abs().max()) == 0.0
