"""Does it matter how the share of IRD falls, or only how much of it there is on average."""

from __future__ import annotations

from holdfast.loss.schedule import make_schedule
from holdfast.study.design import Arm, Effect, Study, pair
from holdfast.study.designs import design
from holdfast.study.sizes import Size


@design("schedule")
def schedule(size: Size) -> Study:
    """Shares that fall, each against a constant share of the same mean; and the constants alone.

    ``delayed`` waits for 0.3 of a task's epochs and falls until 0.8 of them, as the source's does.
    """
    epochs = size.epochs
    delayed = f"delayed:{round(0.3 * epochs)},{round(0.8 * epochs)}"
    falling = {"linear": "linear", "delayed": delayed, "cosine": "cosine", "step": "step:0.5"}
    constants = {f"constant {v:g}": f"constant:{v:g}" for v in (0.0, 0.5, 1.0)}
    effects: list[Effect] = []
    for name, text in falling.items():
        control = f"constant {mean_share(text, epochs):.4g}"
        constants.setdefault(control, f"constant:{mean_share(text, epochs):.4g}")
        effects.append(pair(name, control))
    effects += [
        pair("constant 1", "constant 0"),
        pair("constant 1", "constant 0.5"),
        pair("delayed", "linear"),
    ]
    return Study(
        "schedule",
        "Does the way in which the share of IRD falls matter, beyond its mean?",
        [Arm(name, parameters={"alpha": text}) for name, text in (falling | constants).items()],
        "linear",
        effects,
        ("learned", "first_task", "last_task", "forgetting", "task_il"),
    )


def mean_share(text: str, epochs: int) -> float:
    """The mean of a schedule over a task.

    >>> mean_share("delayed:2,5", 6)
    0.8333
    """
    schedule = make_schedule(text)
    return round(sum(schedule.at(e, epochs) for e in range(epochs)) / epochs, 4)
