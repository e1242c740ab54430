"""FNC2 taken apart: focal weight, prototype pull, old prototypes, and what is only a gradient's size."""

from __future__ import annotations

from dataclasses import replace

from holdfast.study.arms import arms_of
from holdfast.study.design import Arm, Effect, Match, Study, pair
from holdfast.study.designs import design
from holdfast.study.factors import Crossing, Factor
from holdfast.study.focal import focal_words
from holdfast.study.sizes import Size

FULL = "focal pairs, focal pull, old"
OLD = {"no old": {"old_prototypes": False}, "old": {"old_prototypes": True}}


@design("ablation")
def ablation(size: Size, gamma: float = 4.0, half: bool = False, matched: bool = True) -> Study:
    """12 cells of focal weight x prototype pull x old prototypes, and the pull alone with either.

    Taking a term out changes the size of the gradient too. In the ``matched`` arms the loss is scaled
    so that its gradient at the first step is as long as the whole loss's.

    Args:
        size: of the study.
        gamma: focal exponent where there is one; by default the source's largest, which gives it the
            best chance.
        half: only cells of even parity: half the runs, and no interactions.
        matched: whether the matched arms are run too.
    """
    crossing = Crossing(
        [
            Factor("pairs", {"plain pairs": {"gamma": 0.0}, "focal pairs": {"gamma": gamma}}),
            Factor(
                "pull",
                {
                    "no pull": {"pull": False},
                    "plain pull": {"pull_gamma": 0.0},
                    "focal pull": {"pull_gamma": gamma},
                },
            ),
            Factor("old", OLD),
        ],
        half,
    )
    alone = [
        Arm(f"pull alone, {name}", parameters={"pairs": False, "gamma": gamma, **values})
        for name, values in OLD.items()
    ]
    arms = [*arms_of(crossing), *([] if half else alone)]
    effects = [*_mains(crossing, asked=True), *([] if half else _rest(crossing))]
    if matched:
        match = Match("scale", FULL)
        arms += [replace(arm, name=f"matched: {arm.name}", match=match) for arm in arms]
        mains = _mains(replace(crossing, prefix="matched: "), asked=True)
        effects += [replace(effect, name=f"matched: {effect.name}") for effect in mains]
    return Study(
        "ablation",
        "Which part of FNC2 does the work: the focal weight, the pull to prototypes, or old prototypes?",
        arms,
        FULL,
        effects,
        ("learned", "forgetting", "focal_weight", "pull_weight", "separation", "new_into_old"),
        focal_words,
    )


def _mains(crossing: Crossing, asked: bool) -> list[Effect]:
    return [
        crossing.main("pairs", "focal pairs", "plain pairs", "focal weight on pairs", asked),
        crossing.main("pull", "plain pull", "no pull", "pull to the prototype", asked),
        crossing.main("pull", "focal pull", "plain pull", "focal weight on the pull", asked),
        crossing.main("old", "old", "no old", "old prototypes", asked),
    ]


def _rest(crossing: Crossing) -> list[Effect]:
    """What is asked of the full design beside main effects; two interactions are only estimated."""
    pairs, old = ("pairs", "focal pairs", "plain pairs"), ("old", "old", "no old")
    pull = ("pull", "plain pull", "no pull")
    return [
        crossing.interaction(pull, old, "pull x old prototypes"),
        pair("pull alone, old", FULL, "pull alone − the whole"),
        crossing.interaction(pairs, pull, "focal pairs x pull", asked=False),
        crossing.interaction(pairs, old, "focal pairs x old prototypes", asked=False),
    ]
