"""Do prototypes that move serve better than fixed ones, and does following the drift help."""

from __future__ import annotations

from holdfast.study.arms import arms_of
from holdfast.study.design import Study
from holdfast.study.designs import design
from holdfast.study.factors import Crossing, Factor
from holdfast.study.sizes import Size


@design("drift")
def drift(size: Size) -> Study:
    """Fixed, running and task-end prototypes, read by a Gaussian that follows the drift or does not.

    Where prototypes move and the drift is followed, the old ones follow it too.
    """
    ridge, stale = {"decide": "gaussian"}, {"decide": "gaussian:drift=none"}
    frames = {
        "fixed": {"prototypes": "fixed"},
        "running": {"prototypes": "running", "prototype_momentum": 0.99},
        "mean": {"prototypes": "mean"},
    }
    crossing = Crossing(
        [Factor("frame", frames), Factor("drift", {"stale": stale, "followed": ridge})]
    )
    arms = arms_of(crossing, "fnc2_strict")
    arms = [
        arm if "fixed" in arm.name or "stale" in arm.name else arm.with_(follow=True)
        for arm in arms
    ]
    drifts = ("drift", "followed", "stale")
    return Study(
        "drift",
        "Do prototypes that move with their classes serve better, and does it help to follow the drift?",
        arms,
        "fixed, followed",
        [
            crossing.main("frame", "running", "fixed"),
            crossing.main("frame", "mean", "fixed"),
            crossing.main("frame", "running", "mean"),
            crossing.main("drift", "followed", "stale"),
            crossing.interaction(("frame", "running", "fixed"), drifts, "running x drift"),
            crossing.interaction(("frame", "mean", "fixed"), drifts, "mean x drift"),
        ],
        ("forgetting", "learned", "bank_nc2", "nc2", "separation"),
    )
