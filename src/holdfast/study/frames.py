"""Do prototypes that move serve better than fixed ones, and does following the drift help."""

from __future__ import annotations

from holdfast.study.arms import arms_of
from holdfast.study.design import Effect, Study
from holdfast.study.designs import design
from holdfast.study.factors import Crossing, Factor
from holdfast.study.sizes import Size


@design("drift")
def drift(size: Size, sam: float = 0.0) -> Study:
    """Fixed, running and task-end prototypes, read by a Gaussian that follows the drift or does not.

    Where prototypes move and the drift is followed, the old ones follow it too.

    Args:
        size: of the study.
        sam: where it is not 0, every arm is also run with sharpness-aware steps of this length: twice the
            arms, and theirs cost twice as much.
    """
    ridge, stale = {"decide": "gaussian"}, {"decide": "gaussian:drift=none"}
    frames = {
        "fixed": {"prototypes": "fixed"},
        "running": {"prototypes": "running", "prototype_momentum": 0.99},
        "mean": {"prototypes": "mean"},
    }
    factors = [Factor("frame", frames), Factor("drift", {"stale": stale, "followed": ridge})]
    if sam:
        factors.append(Factor("steps", {"SGD": {}, "SAM": {"add": f"sam:rho={sam:g}"}}))
    crossing = Crossing(factors)
    arms = arms_of(crossing, "fnc2_strict")
    arms = [
        arm if "fixed" in arm.name or "stale" in arm.name else arm.with_(follow=True)
        for arm in arms
    ]
    return Study(
        "drift",
        "Do prototypes that move with their classes serve better, and does it help to follow the drift?",
        arms,
        "fixed, followed, SGD" if sam else "fixed, followed",
        [*_effects(crossing), *(_of_sam(crossing) if sam else ())],
        ("forgetting", "learned", "bank_nc2", "nc2", "separation"),
    )


def _effects(crossing: Crossing) -> list[Effect]:
    """Of frame and drift."""
    drifts = ("drift", "followed", "stale")
    return [
        crossing.main("frame", "running", "fixed"),
        crossing.main("frame", "mean", "fixed"),
        crossing.main("frame", "running", "mean"),
        crossing.main("drift", "followed", "stale"),
        crossing.interaction(("frame", "running", "fixed"), drifts, "running x drift"),
        crossing.interaction(("frame", "mean", "fixed"), drifts, "mean x drift"),
    ]


def _of_sam(crossing: Crossing) -> list[Effect]:
    """Of flat minima, and whether prototypes that move or drift that is followed change it."""
    steps = ("steps", "SAM", "SGD")
    return [
        crossing.main(*steps),
        crossing.interaction(steps, ("frame", "running", "fixed"), "SAM x running"),
        crossing.interaction(steps, ("frame", "mean", "fixed"), "SAM x mean"),
        crossing.interaction(steps, ("drift", "followed", "stale"), "SAM x drift"),
    ]
