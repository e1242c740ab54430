"""Rules: the ways to decide that one set of statistics serves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from jaxtyping import Int
from torch import Tensor
from torch.nn import functional

from holdfast.readout.decision import Cosine, Decision, Linear
from holdfast.readout.gaussian import solve_gaussian
from holdfast.readout.ridge import Gram, unit_columns
from holdfast.statistics.class_statistics import Statistics
from holdfast.statistics.covariance import SharedCovariance, Target

MEANS, FEATURES = "nearest class mean", "nearest class mean by feature"


@dataclass(frozen=True)
class Asked:
    """Statistics that several rules are solved from, and whose scores are asked for.

    Attributes:
        statistics: of all classes.
        classes: those whose scores are asked for; None is every class.
        solved: ridge regressions so far, by strength.
    """

    statistics: Statistics
    classes: Int[Tensor, " c"] | None = None
    solved: dict[float, Linear] = field(default_factory=dict)

    @cached_property
    def gram(self) -> Gram:
        """The balanced normal equations, the same for every strength."""
        return Gram.of(self.statistics, balance=True)

    def regression(self, strength: float) -> Linear:
        """The balanced ridge regression, solved once a strength."""
        if strength not in self.solved:
            self.solved[strength] = self.gram.solve(strength, classes=self.classes)
        return self.solved[strength]


@dataclass(frozen=True)
class Rule:
    """A way to decide from statistics.

    Attributes:
        name: for reports, and by which it is stored.
        of: the decision, whose columns are the classes that were asked for.
    """

    name: str
    of: Callable[[Asked], Decision]

    def solve(self, statistics: Statistics) -> Decision:
        """The decision among all classes."""
        return self.of(Asked(statistics))


def gaussian(name: str, shrinkage: float, target: Target = "scaled") -> Rule:
    """Linear discriminants with a covariance shrunk so far."""
    covariance = SharedCovariance(shrinkage, target)
    return Rule(name, lambda asked: solve_gaussian(asked.statistics, covariance, asked.classes))


def ridge(name: str, strength: float, unit: bool = False) -> Rule:
    """Balanced ridge regression, perhaps with columns of length 1 and no intercept."""
    return Rule(
        name, lambda a: unit_columns(a.regression(strength)) if unit else a.regression(strength)
    )


def cosine(asked: Asked) -> Decision:
    """cos(x, m_k)."""
    means, classes = asked.statistics.mean, asked.classes
    return Cosine(functional.normalize(means if classes is None else means[classes]))


def rules() -> dict[str, Rule]:
    """All rules by name; where they are equally good, an earlier one is taken.

    A stored model names its rule by the place in this list: a new rule goes to its end.
    """
    listed = [gaussian(f"gaussian, shrinkage {a:g}", a) for a in (0.5, 0.3, 0.1, 0.8)]
    listed += [
        gaussian(f"gaussian, shrinkage {a:g} by feature", a, "diagonal") for a in (0.3, 0.1, 0.01)
    ]
    listed += [ridge(f"balanced ridge, strength {s:g}", s) for s in (0.3, 1.0, 0.1, 0.01)]
    listed.append(gaussian(MEANS, 1.0))
    listed.append(gaussian(FEATURES, 1.0, "diagonal"))
    listed.append(Rule("cosine to class means", cosine))
    listed += [ridge(f"balanced ridge, strength {s:g}, unit columns", s, True) for s in UNIT]
    return {rule.name: rule for rule in listed}


UNIT = (0.3, 1.0, 0.1)
RULES = rules()
USUAL = next(iter(RULES))
COMPARED = tuple(
    name for name in RULES if "unit" not in name
)  # the others are there to be asked for
