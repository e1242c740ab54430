"""Do the prototypes of old classes keep room, and is it the right room (docs/theory.md, section 13)."""

from __future__ import annotations

from holdfast.study.design import Arm, Study, pair
from holdfast.study.designs import design
from holdfast.study.sizes import Size


@design("replay")
def replay(size: Size) -> Study:
    """Old prototypes as contrasts: off, on, and on in places that stand for no class.

    Misplaced prototypes repel as much and as many: what they gain is room as such, and what the right
    places gain over them is knowing where the old classes are.
    """
    return Study(
        "replay",
        "Do the prototypes of old classes keep room for what they stand for?",
        [
            Arm("off", parameters={"old_prototypes": False}),
            Arm("on"),
            Arm("misplaced", parameters={"misplaced": True}),
        ],
        "off",
        [pair("on", "off"), pair("misplaced", "off"), pair("on", "misplaced")],
        ("separation", "new_into_old", "old_into_new", "forgetting", "learned"),
    )
