"""Hardness-softness distillation taken apart, at equal and at twice the weight."""

from __future__ import annotations

from holdfast.study.design import Arm, Study, pair
from holdfast.study.designs import design
from holdfast.study.sizes import Size

KINDS = {"IRD": "constant:1", "S-PRD": "constant:0", "half": "constant:0.5", "falling": "linear"}


@design("hsd")
def hsd(size: Size, distill: float = 1.0) -> Study:
    """No distillation, IRD, S-PRD, half of each, and a share that falls; each at one and two weights.

    A half of each at twice the weight is both at once: against IRD and S-PRD alone it says whether one
    adds to the other, so that "a mixture" is not "less of each".

    Args:
        size: of the study.
        distill: the weight that counts once.
    """
    arms = [Arm("none", parameters={"distill": 0.0})]
    for times, mark in ((1, ""), (2, " x2")):
        for name, alpha in KINDS.items():
            arms.append(Arm(name + mark, parameters={"distill": times * distill, "alpha": alpha}))
    return Study(
        "hsd",
        "What does the distillation of relations gain, and does the mixture gain more than its parts?",
        arms,
        "none",
        [
            pair("IRD", "none"),
            pair("S-PRD", "none"),
            pair("half", "IRD"),
            pair("half", "S-PRD"),
            pair("falling", "half"),
            pair("half x2", "IRD", "S-PRD added to IRD"),
            pair("half x2", "S-PRD", "IRD added to S-PRD"),
            pair("IRD x2", "IRD"),
            pair("S-PRD x2", "S-PRD"),
            pair("falling x2", "falling"),
        ],
    )
