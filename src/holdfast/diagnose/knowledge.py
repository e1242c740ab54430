"""What the representation still knows of old tasks, and how far it moved since it learned them."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from holdfast import metrics
from holdfast.diagnose.catalogue import KNOWS, MOVED
from holdfast.diagnose.moment import Moment, Values, all_missing, mean_of
from holdfast.metrics import Missing
from holdfast.statistics.drift import FEWEST, fit_drift
from holdfast.statistics.softmax import fit_softmax

DECAY, STEPS = 1e-3, 60  # of every probe
ASSIGNED = 500  # rows of an exact assignment
LAST_STEP = (
    "procrustes", "svcca", "aligned_cka", "aligned_retrieval", "distance_drift", "monge_gap",
)  # fmt: skip


def probe(
    x: Float[Tensor, "n f"],
    y: Int[Tensor, " n"],
    fold: Int[Tensor, " n"],
    decay: float = DECAY,
) -> Bool[Tensor, " n"]:
    """(N,) whether a fresh linear classifier, learned on the other half of the rows, is right.

    Softmax regression by L-BFGS from zero on features standardised by the half it learns on.

    Args:
        x: (N, f) features of rows of all classes seen.
        y: (N,) classes.
        fold: (N,) 0 or 1.
        decay: of its weights.
    """
    _, place = y.unique(return_inverse=True)
    right = torch.zeros(len(y), dtype=torch.bool)
    x, classes = x.double(), int(place.max()) + 1
    for half in (0, 1):
        fit, test = fold != half, fold == half
        if not bool(fit.any()) or not bool(test.any()):
            continue
        mean, spread = x[fit].mean(0), x[fit].std(0, correction=0)
        rows = (x - mean) / spread.clamp_min(1e-6 * float(spread.max()) + 1e-30)
        weight, bias = fit_softmax(rows[fit], place[fit], classes, decay, STEPS)
        right[test] = (rows[test] @ weight.T + bias).argmax(1) == place[test]
    return right


def knows(moment: Moment) -> Values:
    """(a) accuracy of the readout in use, (b) a probe of this network, (c) the same of that then.

    (b) and (c) learn and read the same rows with the same decay; each a mean over the old tasks that
    are compared.
    """
    if not moment.task:
        return all_missing(KNOWS, "it is the first task")
    seen = moment.seen
    y, tasks, fold = moment.y[seen], moment.tasks[seen], moment.watched.fold[seen]
    compared = moment.compared or list(range(moment.task))
    now = probe(moment.now.features[seen], y, fold)
    a = float(moment.class_il[-1, compared].double().mean())
    b = mean_of([float(now[tasks == j].double().mean()) for j in compared])
    values = {"accuracy_old": a, "probe_old": b, "readout_forgetting": b - a}
    if not moment.compared:
        missing = ["probe_then", "representation_forgetting"]
        return values | all_missing(missing, moment.lacks_past())
    then = [
        float(probe(moment.past[j].features[seen], y, fold)[tasks == j].double().mean())
        for j in compared
    ]
    c = mean_of(then)
    return values | {"probe_then": c, "representation_forgetting": c - b}


def moved(moment: Moment) -> Values:
    """How far old rows moved: since they were learned, and since the last task."""
    if moment.lacks_past():
        return all_missing(MOVED, moment.lacks_past())
    since: dict[str, list[float]] = {
        name: [] for name in ("mean_drift", "cka", "map_residual", "retrieval")
    }
    for j in moment.compared:
        mine = moment.tasks == j
        then, now = moment.past[j].features[mine], moment.now.features[mine]
        since["mean_drift"].append(metrics.mean_drift(then, now))
        since["cka"].append(metrics.cka(then, now))
        since["map_residual"].append(map_residual(then, now))
        since["retrieval"].append(metrics.retrieval(now, then))
    return {name: mean_of(values) for name, values in since.items()} | _last_step(moment)


def _last_step(moment: Moment) -> Values:
    """All old rows in this network and the last one."""
    if moment.before is None:
        return all_missing(LAST_STEP, "the network before this task is not kept")
    mine = moment.tasks < moment.task
    then, now = moment.before.features[mine], moment.now.features[mine]
    aligned = metrics.aligned_similarity(then, now)
    some = torch.arange(len(then)) % -(-len(then) // ASSIGNED) == 0
    return {
        "procrustes": metrics.procrustes(then, now),
        "svcca": metrics.cca(then, now, keep=0.99).mean,
        "aligned_cka": aligned.cka,
        "aligned_retrieval": aligned.retrieval,
        "distance_drift": metrics.distance_drift(then, now, most=500),
        "monge_gap": metrics.monge_gap(then[some], now[some], relative=True),
    }


def map_residual(then: Float[Tensor, "n f"], now: Float[Tensor, "n f"]) -> float:
    """Share of the variance now that the best linear map from then leaves, on rows that did not fit it.

    The map is ridge regression whose strength is chosen on held-out rows (`fit_drift`); every other
    row fits it, the rest are predicted.

    Args:
        then: (N, f) features by the network that learned the rows.
        now: (N, f) by this one.
    """
    then, now = then.double(), now.double()
    fit = torch.arange(len(then)) % 2 == 0
    if int(fit.sum()) < FEWEST:
        return Missing(f"{len(then)} rows are too few to fit a map and to test it")
    left = (now[~fit] - fit_drift(then[fit], now[fit])(then[~fit])).square().sum()
    total = (now[~fit] - now[~fit].mean(0)).square().sum()
    return float(left / total) if bool(total > 0) else Missing("all rows are equal now")
