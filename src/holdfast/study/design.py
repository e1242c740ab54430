"""What a study is: arms, the effects that were named beforehand, and what is measured; a value, no code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from holdfast.core.errors import ConfigError

if TYPE_CHECKING:
    from holdfast.study.analysis import Analysis

MOST = 10  # contrasts over which Holm corrects
Place = Literal["loss", "anchors"]  # where gradients are looked at


@dataclass(frozen=True)
class Match:
    """A parameter that is set so that an arm's gradient is as large as another arm's.

    Attributes:
        parameter: which is multiplied, such as ``scale``.
        to: the name of the other arm.
        of: ``loss``: the length of the loss's gradient at the first step of all; ``anchors``: the ratio
            of the anchors' gradient to the loss's, on average over the first epoch with a past network.
    """

    parameter: str
    to: str
    of: Place = "loss"


@dataclass(frozen=True)
class Arm:
    """One way of the method that is run in every block.

    Attributes:
        name: in tables.
        recipe: by name.
        parameters: of the recipe that it sets.
        match: what is set by a gradient's size, if anything.
    """

    name: str
    recipe: str = "fnc2"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    match: Match | None = None

    @property
    def text(self) -> str:
        """As a grid takes it.

        >>> Arm("a", "fnc2", {"alpha": "delayed:2,5", "pull": False}).text
        'fnc2:alpha=(delayed:2,5):pull=no'
        """
        words = {True: "yes", False: "no", None: "none"}
        values = [
            f"{k}=({words[v] if v is None or isinstance(v, bool) else v})"
            if ":" in str(v) or "," in str(v)
            else f"{k}={words[v] if v is None or isinstance(v, bool) else v}"
            for k, v in self.parameters.items()
        ]
        return ":".join([self.recipe, *values])

    def with_(self, **parameters: Any) -> Arm:
        """The same with more parameters."""
        return replace(self, parameters={**self.parameters, **parameters})


@dataclass(frozen=True)
class Effect:
    """A contrast of arms, sum_k w_k A_k with weights that add to 0.

    Attributes:
        name: in words.
        weights: by the name of the arm.
        asked: whether it was named beforehand, and so is tested; else it is only estimated.
    """

    name: str
    weights: Mapping[str, float]
    asked: bool = True


def pair(a: str, b: str, name: str = "", asked: bool = True) -> Effect:
    """The difference of two arms, a - b."""
    return Effect(name or f"{a} − {b}", {a: 1.0, b: -1.0}, asked)


Words = Callable[["Analysis"], Sequence[str]]


@dataclass(frozen=True)
class Study:
    """A question, and the runs that answer it.

    Attributes:
        name: of it.
        question: in a sentence.
        arms: all that is run.
        reference: the arm that the others' means are shown against.
        effects: what is tested and what is only estimated.
        outcomes: secondary ones, of `outcomes.OUTCOMES`; the primary is final Class-IL accuracy.
        words: sentences of its own, made from the figures.

    Raises:
        ConfigError: for arms or effects that do not fit together, or too many contrasts.
    """

    name: str
    question: str
    arms: Sequence[Arm]
    reference: str
    effects: Sequence[Effect]
    outcomes: Sequence[str] = ("learned", "forgetting", "task_il")
    words: Words = lambda analysis: ()

    def __post_init__(self):
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names):
            raise ConfigError(f"two arms of the study {self.name} have one name.")
        targets = {arm.match.to for arm in self.arms if arm.match}
        used = {name for effect in self.effects for name in effect.weights} | targets
        strange = sorted((used | {self.reference}) - set(names))
        if strange:
            raise ConfigError(f"the study {self.name} has no arm named {', '.join(strange)}.")
        for effect in self.effects:
            if abs(sum(effect.weights.values())) > 1e-9:
                raise ConfigError(f"the weights of the effect '{effect.name}' do not add to 0.")
        if sum(effect.asked for effect in self.effects) > MOST:
            raise ConfigError(f"a study tests at most {MOST} contrasts; {self.name} has more.")

    @property
    def asked(self) -> list[Effect]:
        """The effects that are tested."""
        return [effect for effect in self.effects if effect.asked]
