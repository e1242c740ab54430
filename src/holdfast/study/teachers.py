"""How much of what a distillation gains is memory, and how much is any anchor at all."""

from __future__ import annotations

from holdfast.study.design import Arm, Match, Study, pair
from holdfast.study.designs import design
from holdfast.study.share import memory_share
from holdfast.study.sizes import Size


@design("teacher")
def teacher(size: Size) -> Study:
    """Distillation from the past network, a random one, the past one's answers shuffled, and none.

    A random teacher's answers are larger or smaller than the past network's, so in one arm its weight
    is set so that its gradient is to the loss's as the past network's is, in the first epoch with one.
    """
    other = {name: {"teacher": name} for name in ("random", "shuffled")}
    return Study(
        "teacher",
        "Does the distillation remember, or does any teacher hold the network as well?",
        [
            Arm("none", parameters={"distill": 0.0}),
            Arm("past"),
            Arm("random", parameters=other["random"]),
            Arm("shuffled", parameters=other["shuffled"]),
            Arm(
                "random matched",
                parameters=other["random"],
                match=Match("distill", "past", "anchors"),
            ),
        ],
        "none",
        [
            pair("past", "none"),
            pair("random", "none"),
            pair("shuffled", "none"),
            pair("past", "random"),
            pair("past", "shuffled"),
            pair("random matched", "none"),
            pair("past", "random matched"),
        ],
        words=memory_share,
    )
