"""Whether a focal weight had any chance to act."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from holdfast.compare.shown import number

if TYPE_CHECKING:
    from holdfast.study.analysis import Analysis

HARDLY = 0.95  # a mean weight above it changes next to nothing
PLAIN, FOCAL = "plain pairs", "focal pairs"  # arms of the ablation that differ in the weight alone


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
                f"{weight}, above {HARDLY:g}: that it hardly changes the loss is arithmetic, not a finding."
            )
        else:
            sentences.append(f"{weight}: it changes the loss by more than a twentieth.")
    return [*sentences, *_slope(analysis)]


def _slope(analysis: Analysis) -> list[str]:
    """How much longer or shorter the focus makes the gradient: the weight has a slope of its own.

    With f(l) = (1 - e^l)^gamma l the slope is (1 - p)^gamma - gamma p (1 - p)^(gamma - 1) log p, whose
    second part is not small where p is.
    """
    lengths = analysis.gradients
    ratios = [
        lengths[name.replace(PLAIN, FOCAL)] / length
        for name, length in lengths.items()
        if PLAIN in name and lengths.get(name.replace(PLAIN, FOCAL)) and length
    ]
    if not ratios:
        return []
    change = 100 * (math.exp(sum(map(math.log, ratios)) / len(ratios)) - 1)
    word = "longer" if change > 0 else "shorter"
    return [
        "The weight is not held constant in the slope: on pairs it makes the gradient at the first step "
        f"{number(abs(change), 0)} % {word}, which the matched arms take away."
    ]
