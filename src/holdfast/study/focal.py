"""Whether a focal weight had any chance to act."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from holdfast.compare.shown import number

if TYPE_CHECKING:
    from holdfast.study.analysis import Analysis

HARDLY = 0.95  # a mean weight above it changes next to nothing


def focal_words(analysis: Analysis) -> Sequence[str]:
    """A sentence on the mean focal weight where one was logged: below 0.95 it may do something.

    The least mean over the arms with an exponent counts, of the pairs' and the pull's weight.
    """
    sentences = []
    for outcome, what in (("focal_weight", "all pulls"), ("pull_weight", "the prototype's pull")):
        means = [
            (row.means[outcome].mean, row.name)
            for row in analysis.rows
            if outcome in row.means and row.means[outcome].mean < 1 - 1e-9
        ]
        if not means:
            continue
        least, name = min(means)
        weight = f"The mean focal weight of {what} is {number(least, 3)} at the least ({name})"
        if least > HARDLY:
            sentences.append(
                f"{weight}, above {HARDLY:g}: that this weight has no effect is arithmetic, not a finding."
            )
        else:
            sentences.append(f"{weight}: it changes the loss by more than a twentieth.")
    return sentences
