"""Holding weights against holding answers: the statements of docs/theory.md, section 7, each measured."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from holdfast.anchor import Curvature, LogitDistillation, Quadratic, RelationDistillation
from holdfast.anchor.divergence import DIVERGENCES
from holdfast.curvature.matrix import Matrix
from holdfast.curvature.persample import weights_of
from holdfast.loss import CrossEntropy
from holdfast.loss.term import Objective, Term
from holdfast.store import atomic_write, make_folder
from holdfast.study.finding import Finding, above, below, near, save
from holdfast.study.picture import Curves, draw
from holdfast.study.taylor import resampled, residual_curvature, residual_sum, two_parabolas
from holdfast.study.world import OLD, World, build, logits_at, move

ETAS = torch.logspace(-6, -4, 7, dtype=torch.float64)
ROUNDING = 1e-10

FIRST = "1  Where training of the new task starts, neither penalty has a value or a slope"
SECOND = "2  The second steps part by eta^2 (H - weight F) g"
THIRD = "3  They agree to second order if and only if H = weight F"
FOURTH = "4  The loss on old data is a distillation plus what the labels say beyond it"
FIFTH = "5  With unequal temperatures a distillation of relations pulls from the start"
TEXT = "What the published derivation gets wrong"


def equivalence(out: Path | None = None, seed: int = 0) -> list[Finding]:
    """Check the statements on a small network at a stationary point, and a softmax regression.

    Everything is in double precision, with the parts of the library: `Quadratic` with a `Curvature`
    against `LogitDistillation` on the old inputs, beside the new task's cross-entropy.

    Args:
        out: a folder for equivalence.json and equivalence.png; it is made if need be.
        seed: of weights and labels.

    Raises:
        ConfigError: if the folder cannot be made.

    Source: docs/theory.md, section 7; the derivation it corrects is Yun (2020), after Liu et al. (2020).
    """
    if out is not None:
        make_folder(out, exist_ok=True)
    deep, flat = build(seed), build(seed, linear=True)
    curves = Curves(ETAS.tolist())
    findings = [
        *start(deep),
        *second_steps(deep, flat, curves),
        *agreement(deep, flat),
        *identity(deep, seed),
        *temperatures(deep),
        *corrections(deep, curves, seed),
    ]
    if out is not None:
        atomic_write(out / "equivalence.json", lambda to: save(findings, to))
        atomic_write(out / "equivalence.png", lambda to: draw(curves, to))
    return findings


@functools.cache
def prior(world: World, kind: str) -> Quadratic:
    """1/2 (w - w0)^T H (w - w0) / n, H the curvature of the summed old loss at w0."""
    anchor = Quadratic(Curvature(kind, "full", clip=True))
    anchor.consolidate(world.past, world.old)
    return anchor


def distil(divergence: str = "forward_kl", support: str = "old") -> Term:
    """E_{x of the old task} Div(p* || p)."""
    return LogitDistillation(divergence, 1.0, "given", support)  # type: ignore[arg-type]


def strength(world: World) -> float:
    """The weight of a mean distillation that is the summed old loss beside a mean new one: n_D / n."""
    return len(world.old.train) / len(world.new.train)


def start(world: World) -> Iterator[Finding]:
    """Statement 1."""
    priors = [weight * prior(world, kind) for kind in ("hessian", "fisher") for weight in (1, 100)]
    answers = [distil(name) for name in DIVERGENCES]
    for name, anchors in (("quadratics", priors), ("distillations", answers)):
        value = max(abs(float(anchor(world.step(world.learner)).detach())) for anchor in anchors)
        slope = max(float(world.slope([anchor], world.learner).norm()) for anchor in anchors)
        yield below(FIRST, f"largest value of {len(anchors)} {name} at w0", value, ROUNDING)
        yield below(FIRST, f"largest slope of {len(anchors)} {name} at w0", slope, ROUNDING)
    plain = world.descend([], 0.1, 1)
    apart = max(
        float((world.descend([anchor], 0.1, 1) - plain).norm()) for anchor in priors + answers
    )
    yield below(FIRST, "their first step against plain fine-tuning's", apart, ROUNDING)
    yield above(FIRST, "length of that step", float(plain.norm()), 1e-3)


def curvatures(world: World) -> tuple[Matrix, Matrix]:
    """H of the summed old loss, and the Fisher summed over the old inputs."""
    kinds = ("hessian", "fisher")
    H, F = (prior(world, kind).prior.quadratics[0].H for kind in kinds)
    return H, F


def parted(world: World, weight: float) -> tuple[list[float], Tensor]:
    """Distances of the two second steps over the etas, and the vector (H - weight F) g they share."""
    H, F = curvatures(world)
    n_new, n_old = len(world.new.train), len(world.old.train)
    g = world.slope([CrossEntropy("seen")], world.learner)
    shared = H.over(g, world.grown) / n_new - weight * F.over(g, world.grown) / n_old
    anchors, answers = [prior(world, "hessian")], [weight * distil()]
    gaps = [
        world.descend(anchors, eta, 2) - world.descend(answers, eta, 2) for eta in ETAS.tolist()
    ]
    return [float(gap.norm()) for gap in gaps], shared


def exponent(x: Tensor, y: list[float]) -> float:
    """The slope of log y against log x, by least squares."""
    X = torch.stack([x.log(), torch.ones_like(x)], 1)
    return float(torch.linalg.lstsq(X, torch.tensor(y).double().log()[:, None]).solution[0])


def second_steps(deep: World, flat: World, curves: Curves) -> Iterator[Finding]:
    """Statement 2, and what of 3 is seen in steps."""
    for weight, words in ((1.0, "weight 1"), (strength(deep), "weight n_D / n")):
        gaps, shared = parted(deep, weight)
        yield near(SECOND, f"exponent of eta, {words}", exponent(ETAS, gaps), 2, 0.02)
        ratio = gaps[0] / (float(ETAS[0]) ** 2 * float(shared.norm()))
        yield near(SECOND, f"distance over its prediction, {words}", ratio, 1, 0.01)
    curves.deep, curves.predicted = gaps, [float(e) ** 2 * float(shared.norm()) for e in ETAS]
    gaps, shared = parted(flat, strength(flat))
    curves.flat = gaps
    what = "a softmax regression: exponent of eta, weight n_D / n"
    yield near(THIRD, what, exponent(ETAS, gaps), 3, 0.05)
    yield below(THIRD, "a softmax regression: size of (H - weight F) g", float(shared.norm()), 1e-9)


def agreement(deep: World, flat: World) -> Iterator[Finding]:
    """Statement 3."""

    def apart(world: World) -> tuple[Tensor, Tensor]:
        H, F = curvatures(world)
        return H.dense(), F.dense()

    H, F = apart(flat)
    gap = float((H - F).norm() / H.norm())
    yield below(THIRD, "a softmax regression: |H - n_D F| / |H|", gap, 1e-9)
    H, F = apart(deep)
    yield above(THIRD, "a hidden layer: |H - n_D F| / |H|", float((H - F).norm() / H.norm()), 0.01)
    rest = residual_curvature(deep.past, deep.layout, deep.old.train)
    left = float((H - F - residual_sum(rest, deep.past, deep.old.train)).norm() / H.norm())
    what = "what is left of it without sum_i sum_c (p_c - 1[c = y]) Hess z_c"
    yield below(THIRD, what, left, 1e-9)
    counts, sizes = resampled(rest, deep.past, deep.old.train, F / len(deep.old.train))
    yield near(
        THIRD,
        "labels drawn from the model: exponent of n in |H - n F| / |n F|",
        exponent(counts, sizes),
        -0.5,
        0.1,
    )
    for name, size in zip(("|H| / n", "|F|"), _interpolated(deep)):
        yield below(THIRD, f"at interpolation, where both vanish: {name}", size, 1e-6)


def _interpolated(world: World, sharp: float = 30.0) -> tuple[float, float]:
    """|H| / n and |F| where every label is certain: a sharper head, on the clearer half of the inputs."""
    x = world.old.train.x
    w0 = world.layout.flat(weights_of(world.past))
    top = logits_at(world.past, world.layout, x)(w0).topk(2).values
    margin = top[:, 0] - top[:, 1]
    x = x[margin > margin.median()]
    logits = logits_at(world.past, world.layout, x)
    y = logits(w0).argmax(1)
    pieces = world.layout.split(w0)
    at = world.layout.flat(
        pieces | {name: sharp * v for name, v in pieces.items() if name.startswith("head")}
    )
    H = torch.func.hessian(lambda v: functional.cross_entropy(logits(v), y))(at)
    p, J = logits(at).softmax(1), torch.func.jacrev(logits)(at)
    F = torch.einsum("nkp,nkl,nlq->pq", J, torch.diag_embed(p) - p[:, :, None] * p[:, None], J)
    return float(H.norm()), float(F.norm() / len(x))


def identity(world: World, seed: int) -> Iterator[Finding]:
    """Statement 4, at weights far from w0."""
    x, y = world.old.train.x, world.old.train.y
    logits = logits_at(world.past, world.layout, x)
    w0 = world.layout.flat(weights_of(world.past))
    chance = torch.Generator().manual_seed(seed)
    worst = away = 0.0
    for _ in range(10):
        w = w0 + torch.randn(w0.shape, generator=chance, dtype=w0.dtype)
        past, now = logits(w0).log_softmax(1), logits(w).log_softmax(1)
        loss = lambda logs: -logs.gather(1, y[:, None]).sum()
        divergence = (past.exp() * (past - now)).sum()
        beyond = ((functional.one_hot(y, len(OLD)) - past.exp()) * (past - now)).sum()
        worst = max(worst, float(((loss(past) + divergence + beyond) / loss(now) - 1).abs()))
        away = max(away, float(beyond.abs() / loss(now)))
    yield below(FOURTH, "relative error of the identity, 10 random w", worst, 1e-12)
    yield above(FOURTH, "largest share of the labels' term", away, 1e-3)


def temperatures(world: World) -> Iterator[Finding]:
    """Statement 5."""
    for now, past in ((0.1, 0.1), (0.2, 0.01)):
        anchor = RelationDistillation(now, past)
        slope = float(world.slope([anchor], world.learner).norm())
        words = f"slope of instance relations at w0, temperatures {now:g} and {past:g}"
        yield (below if now == past else above)(FIFTH, words, slope, 1e-9 if now == past else 0.01)


def corrections(world: World, curves: Curves, seed: int) -> Iterator[Finding]:
    """The published text's errors, and the constants that its quadratic forms should have."""
    right, printed, twice = two_parabolas(seed)
    yield below(TEXT, "two quadratics with 1/2: distance from the joint minimum", right, 1e-9)
    yield above(TEXT, "the same without the 1/2, as printed", printed, 0.01)
    yield below(TEXT, "as printed, against old data counted twice", twice, 1e-9)
    padded = float(world.slope([distil(support="all_padded")], world.learner).norm())
    yield above(TEXT, "slope at w0 with one growing softmax (past padded by zeros)", padded, 0.01)
    gap = _inputs_gap(world)
    yield above(TEXT, "|F of the new inputs - F of the old| / |F of the old|: E over D", gap, 0.1)
    for name, constant in (("forward_kl", 1.0), ("jensen_shannon", 0.25)):
        lengths, ratios = _quadratic_form(world, name, constant)
        curves.forms[name], curves.lengths = ratios, lengths
        words = "KL" if constant == 1 else "Jensen-Shannon"
        yield near(TEXT, f"{words} over {constant:g} / 2 d^T F d, near w0", ratios[0], 1, 1e-3)


def _inputs_gap(world: World) -> float:
    """How far the Fisher of the current inputs is from the one that is meant."""
    F = {}
    for name, task in (("old", world.old), ("new", world.new)):
        matrix = Curvature("fisher", "full").measure(world.past, task, world.layout)
        F[name] = matrix.dense() / len(task.train)
    return float((F["new"] - F["old"]).norm() / F["old"].norm())


def _quadratic_form(world: World, name: str, constant: float) -> tuple[list[float], list[float]]:
    """Lengths of a move along the new task's slope, and E Div over constant / 2 d^T F d there."""
    F, grown = curvatures(world)[1], world.grown
    w0 = grown.flat(weights_of(world.learner))
    g = world.slope([CrossEntropy("seen")], world.learner)
    anchor: Objective = LogitDistillation(name, 1.0, "given", normalise=False)
    lengths, ratios = torch.logspace(-3, 0.5, 8).tolist(), []
    moved = copy.deepcopy(world.learner)
    for length in lengths:
        d = length * g / g.norm()
        move(moved, w0 + d, grown)
        value = float(anchor(world.step(moved)).detach())
        form = constant / 2 * float(d @ F.over(d, grown)) / len(world.old.train)
        ratios.append(value / form)
    return lengths, ratios
