"""Anchors as a step computes them, against twins fed with what its terms saw (sections 4, 6, 7)."""

import math

import pytest
import torch

import reference
from holdfast.anchor import PathIntegral, Quadratic, Rule, SynapticIntelligence
from holdfast.anchor.divergence import make_divergence
from holdfast.loss import CrossEntropy
from holdfast.recipes import make
from holdfast.recipes.method import Method
from wired import close, rows, wire

DIVERGENCES = {
    "forward_kl": 1.0, "reverse_kl": 1.0, "jensen_shannon": 0.25, "hellinger": 0.5, "balanced_kl": 1.0,
    "jeffreys": 2.0, "alpha": 1.0,
}  # fmt: skip
HSD = {"now": 0.3, "past": 0.15, "prototype_now": 0.45, "prototype_past": 0.25}


@pytest.mark.parametrize("name, curvature", DIVERGENCES.items())
@pytest.mark.parametrize("T", [0.7, 3.0])
def test_distillation_has_its_temperature_squared_and_its_norm(name, curvature, T):
    wired = wire("lwf", T=T, divergence=name, weight=0.7)
    out, past, _, _ = wired.batch
    old = [[row[c] for c in (0, 1)] for row in rows(past.logits)]
    now = [[row[c] for c in (0, 1)] for row in rows(out.logits)]
    twin = reference.distillation(old, now, T, name, curvature)
    assert twin > 1e-5  # the network has moved: nothing is compared where all is 0
    assert close(wired.records["distil"], twin)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_a_normalised_divergence_is_half_the_fisher_square_near_equality(name):
    """The constant itself, whatever a table of them says."""
    z = torch.tensor([[0.3, -0.2, 0.5]], dtype=torch.float64)
    d = 1e-4 * torch.tensor([[0.6, -1.0, 0.1]], dtype=torch.float64)
    p = torch.softmax(z, 1)[0]
    square = float(0.5 * d[0] @ (p.diag() - p[:, None] * p) @ d[0])
    value = float(make_divergence(name)(z, z + d, True))
    assert value == pytest.approx(square, rel=2e-3)


@pytest.mark.parametrize("support", ["seen", "old"])
@pytest.mark.parametrize("swap", [False, True])
def test_hardness_softness_distillation_has_four_temperatures_and_a_support(support, swap):
    """Every temperature its own value; swapped, the hotter one is the other network's."""
    given = HSD if not swap else dict(zip(HSD, (0.15, 0.3, 0.25, 0.45)))
    wired = wire("fnc2", dim=6, classes=6, support=support, alpha="constant:0.3", **given)
    out, past, _, _ = wired.batch
    z, z_past = rows(out.embedding), rows(past.embedding)
    seen = {"seen": (0, 1, 2, 3), "old": (0, 1)}[support]
    keys = [rows(wired.frame)[k] for k in seen]
    soft = reference.relation_distillation(z, z_past, given["now"], given["past"])
    hard = reference.relation_distillation(
        z, z_past, given["prototype_now"], given["prototype_past"], keys
    )
    assert close(wired.records["ird"], soft) and close(wired.records["s_prd"], hard)
    assert not close(soft, hard)


def test_relations_of_co2l_have_two_temperatures():
    wired = wire("co2l", dim=6, now=0.3, past=0.15)
    out, past, _, _ = wired.batch
    twin = reference.relation_distillation(rows(out.embedding), rows(past.embedding), 0.3, 0.15)
    assert close(wired.records["ird"], twin)


def test_indirect_alignment_asks_for_the_old_means():
    wired = wire("ida", T=7.0, weight=0.6)
    out, past, _, _ = wired.batch
    x, y = wired.first
    means = [rows(x[torch.tensor(y) == k].mean(0)) for k in (0, 1)]
    twin = reference.indirect_alignment(rows(past.features), rows(out.features), means, 7.0)
    assert close(wired.records["ida"], twin) and twin > 1e-7


def test_distilled_features_are_relative_to_the_first_tasks_spread():
    wired = wire("lwf_strict", features=0.8, T=3.0)
    out, past, _, _ = wired.batch
    now, old = rows(out.features), rows(past.features)
    gap = math.fsum((a - b) ** 2 for p, q in zip(now, old) for a, b in zip(p, q)) / len(now)
    assert close(wired.records["features"], gap / reference.spread(rows(wired.first[0])))


def test_noted_logits_are_matched():
    wired = wire("der", alpha=0.4)
    part = wired.step["memory"]
    noted = rows(part.rows.extra["logits"])
    now = [row[: len(noted[0])] for row in rows(part.out.logits)]
    assert close(wired.records["match"], reference.match_logits(noted, now))


@pytest.mark.parametrize("recipe", ["ewc", "online_ewc", "si", "mas"])
@pytest.mark.parametrize("weight", [0.25, 3.0])
def test_a_penalty_is_half_the_importance_about_the_old_weights(recipe, weight):
    """A curvature is a sum over the old images: divided by those of the new task, here 8."""
    wired = wire(recipe, weight=weight)
    (term,) = (term for term in wired.method.terms if term.penalty)
    (quadratic,) = term.prior.quadratics
    diagonal = rows(quadratic.H.times(torch.ones_like(quadratic.centre)))
    now, old = (rows(quadratic.layout.flat(w)) for w in (wired.weights, wired.centre))
    scale = weight / (1 if recipe in ("si", "mas") else 8)
    twin = scale * reference.weight_penalty(now, [(old, diagonal)])
    assert close(wired.records[term.label], twin) and twin > 0


class Watched(Rule):
    """What a path sees: the weights before each move, and the moves."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def observe(self, gradient, move, step):
        now = {n: w.detach() for n, w in step.learner.named_parameters()}
        self.seen.append((step.task, {n: now[n] - move[n] for n in move}, dict(move)))


def test_a_path_with_and_without_the_penalty_differ_by_what_the_penalty_pulled():
    """omega_loss - omega_objective = sum of the penalty's gradient times the moves, weight by weight."""
    whole, alone, watch = SynapticIntelligence(), SynapticIntelligence(), Watched()
    anchor = Quadratic(PathIntegral(whole, 0.3), weight=2.0)
    alone.without(anchor)
    method = Method(CrossEntropy(), [anchor, whole, alone, watch])
    wired = wire(method)
    anchor, whole, alone, watch = wired.method.anchors
    (quadratic,) = anchor.prior.quadratics
    h = quadratic.H.times(torch.ones_like(quadratic.centre))
    twin = torch.zeros_like(h)
    for task, before, move in watch.seen:
        if task == 1:
            pull = 2.0 * h * (quadratic.layout.flat(before) - quadratic.centre)
            twin += pull * quadratic.layout.flat(move)
    difference = quadratic.layout.flat(alone.omega) - quadratic.layout.flat(whole.omega)
    assert float(twin.abs().max()) > 1e-8
    torch.testing.assert_close(difference, twin, rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize("path", ["objective", "loss"])
def test_the_recipe_of_si_has_both_paths(path):
    method = make("si", path=path, weight=0.5)
    anchor, moves = method.anchors
    assert moves._less == ((anchor,) if path == "loss" else ())
    assert make("si", path=path, step="proximal").anchors[1]._less == ()
