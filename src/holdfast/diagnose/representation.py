"""Figures of one representation: collapse, old against new, dimensions."""

from __future__ import annotations

import torch
from torch import Tensor

from holdfast import metrics
from holdfast.diagnose.catalogue import BETWEEN
from holdfast.diagnose.moment import Moment, Values, all_missing, mean_of
from holdfast.metrics import Missing
from holdfast.metrics.class_means import ClassMeans

SHESHA_ROWS = 500


def collapse(moment: Moment) -> Values:
    """Neural collapse of the features, and how the classes lie to head or prototypes."""
    seen, y = moment.seen, moment.y
    x, z = moment.now.features[seen], moment.now.embedding[seen]
    classes = ClassMeans.of(x, y[seen])
    then = Missing(moment.lacks_past())
    if moment.compared:
        then = mean_of([
            _of_task(moment, j, moment.past[j].features) for j in moment.compared
        ])  # fmt: skip
    now = Missing(moment.lacks_past() if not moment.task else "there are no old tasks")
    if moment.task:
        tasks = moment.compared or range(moment.task)
        now = mean_of([_of_task(moment, j, moment.now.features) for j in tasks])
    values = {
        "nc1": metrics.nc1(x, y[seen]),
        "nc1_new": _of_task(moment, moment.task, moment.now.features),
        "nc1_old": now,
        "nc1_old_then": then,
        "cdnv": metrics.cdnv(x, y[seen]),
        "nc2": metrics.nc2(classes.means),
        "equinorm": metrics.equinorm(classes.means),
        "collapse_gap": metrics.collapse_gap(z, x, y[seen]),
    }
    return values | _targets(moment, classes)


def _of_task(moment: Moment, task: int, features: Tensor) -> float:
    """NC1 among the classes of one task."""
    mine = moment.tasks == task
    return metrics.nc1(features[mine], moment.y[mine])


def _targets(moment: Moment, classes: ClassMeans) -> Values:
    """How the classes lie to the head's rows, or to the prototypes."""
    method, labels, seen = moment.method, classes.labels, moment.seen
    names = ("nc3", "nc4", "alignment", "nc2_bank")
    if method is None:
        return all_missing(list(names), "the method is not known")
    values: Values = all_missing(
        list(names), "the method has neither a trained head nor prototypes"
    )
    if method.frame is not None:
        bank = method.frame.vectors.cpu()[: int(labels.max()) + 1]
        embedded = ClassMeans.of(moment.now.embedding[seen], moment.y[seen]).means
        scores = moment.now.embedding[seen] @ bank[labels].T.to(moment.now.embedding)
        values = {
            "nc3": metrics.nc3(bank[labels], embedded),
            "nc4": metrics.nc4(labels[scores.argmax(1)], classes.x, classes.means, labels),
            "alignment": metrics.prototype_alignment(embedded, bank[labels]),
            "nc2_bank": metrics.nc2(bank, centred=False),
        }
    elif method.trains_head:
        values |= all_missing(["alignment", "nc2_bank"], "the method has no prototypes")
        weight = moment.learner.head.weight.detach().cpu()
        best = labels[moment.now.logits[seen][:, labels].argmax(1)]
        values |= all_missing(["nc3"], "the classes of its head are planes")
        if method.head != "grassmann":
            values["nc3"] = metrics.nc3(weight[labels], classes.means)
        values["nc4"] = metrics.nc4(best, classes.x, classes.means, labels)
    return values


def between(moment: Moment) -> Values:
    """Whether old and new classes run into each other, and how well the classes are told apart."""
    seen, old, new = moment.seen, moment.old, moment.new
    x, y = moment.now.features[seen], moment.y[seen]
    values = {"silhouette": metrics.silhouette(x, y)}
    if not old or not new:
        reason = "the task brings no new class" if old else "it is the first task"
        missing = all_missing([name for name in BETWEEN if name != "silhouette"], reason)
        if not old and len(new) > 1:  # the new task alone is there already
            missing["confusion_new"] = _alone(x, y, new)
        return missing | values
    apart = metrics.separation(x, y, old, new)
    some, pairs = (metrics.invasion(x, y, old, new, pairwise=by) for by in (False, True))
    return values | {
        "separation": apart.least,
        "separation_median": apart.median,
        "new_into_old": some.new_into_old,
        "old_into_new": some.old_into_new,
        "invasion": pairs.across,
        "confusion_new": pairs.within_new,
    }


def _alone(x: Tensor, y: Tensor, new: tuple[int, ...]) -> float:
    some = ClassMeans.of(x, y)
    if some.lacks:
        return Missing(some.lacks)
    centres = some.means.new_full((int(some.labels.max()) + 1, x.shape[1]), torch.nan)
    centres[some.labels] = some.means
    scale = (some.counts / (some.counts - 1.0))[some.place]
    return float(metrics.nearer(x, y, centres, new, True, scale).mean())


def dimensions(moment: Moment) -> Values:
    """How many dimensions the features of the rows seen take, and whether halves of them agree."""
    x, y = moment.now.features[moment.seen], moment.y[moment.seen]
    rotated = metrics.rotated(x)
    return {
        "participation": metrics.participation_ratio(x),
        "effective_rank": metrics.effective_rank(x),
        "participation_means": metrics.participation_ratio(ClassMeans.of(x, y).means, True),
        "two_nn": metrics.two_nn(x).slope,
        "shesha": metrics.shesha(x, most=SHESHA_ROWS),
        "shesha_rotated": metrics.shesha(rotated, most=SHESHA_ROWS),
    }
