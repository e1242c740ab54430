"""Losses as a step computes them, against twins fed with what the step's terms saw (sections 3 and 5)."""

import pytest

import reference
from wired import close, rows, wire

SIZES = {"tau": 0.3, "scale": 1.7, "dim": 6}


@pytest.mark.parametrize("average", ["anchors", "rows"])
@pytest.mark.parametrize("scale", [0.4, 1.7])
def test_supervised_contrast_has_its_temperature_scale_and_average(average, scale):
    wired = wire("co2l", tau=0.3, scale=scale, dim=6, average=average)
    out, _, y, new = wired.batch
    twin = reference.sup_con(rows(out.embedding), y, 0.3, new, scale, average)
    assert close(wired.records["sup_con"], twin)


@pytest.mark.parametrize("average", ["anchors", "rows"])
@pytest.mark.parametrize("denominator", ["closed", "open"])
@pytest.mark.parametrize("old_prototypes", [True, False])
@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_focal_contrast_has_all_of_its_settings(average, denominator, old_prototypes, gamma):
    wired = wire(
        "fnc2", **SIZES, gamma=gamma, average=average, denominator=denominator,
        old_prototypes=old_prototypes, classes=6,
    )  # fmt: skip
    out, _, y, new = wired.batch
    old = wired.step.old_classes if old_prototypes else ()
    twin = reference.focal_collapse(
        rows(out.embedding), y, rows(wired.frame), 0.3, gamma, old, new, denominator, 1.7, average
    )
    assert close(wired.records["fnc2"], twin)
    assert wired.step.old_classes == (0, 1)


def test_average_over_rows_differs_where_rows_are_not_new():
    """With stored images in the batch: of the other tests' batches all rows are anchors."""
    from holdfast.loss import FocalCollapse, SupCon
    from holdfast.statistics.prototype_bank import build_frame

    wired = wire("er", forward="joint")
    out, _, y, new = wired.batch
    assert not all(new) and any(new)
    part, step = wired.step["batch"], wired.step
    z = rows(out.embedding)
    for average in ("anchors", "rows"):
        term = SupCon(0.3, 1.7, average)
        assert close(
            float(term.value(part, step).detach()), reference.sup_con(z, y, 0.3, new, 1.7, average)
        )
        frame = build_frame("fixed", len(z[0]), 6)
        term = FocalCollapse(frame, 0.3, 2.0, average=average, scale=1.7)
        twin = reference.focal_collapse(
            z, y, rows(frame.vectors), 0.3, 2.0, (0, 1), new, "closed", 1.7, average
        )
        assert close(float(term.value(part, step).detach()), twin)


@pytest.mark.parametrize("classes", ["new", "seen"])
def test_the_classes_that_compete_are_those_asked_for(classes):
    wired = wire("ewc", classes=classes, weight=0.0)
    out, _, y, _ = wired.batch
    compete = {"new": (2, 3), "seen": (0, 1, 2, 3)}[classes]
    twin = reference.cross_entropy(rows(out.logits), y, list(compete))
    assert close(wired.records["cross_entropy"], twin)
