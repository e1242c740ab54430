"""Is it the temperature of the contrast that matters, or the size of its gradient."""

from __future__ import annotations

from holdfast.loss.contrast import TAU_BASE
from holdfast.study.design import Arm, Effect, Study, pair
from holdfast.study.designs import design
from holdfast.study.sizes import Size

TAUS = (0.07, 0.1, 0.2, 1.0)
REFERENCE = 0.5  # the source's


@design("temperature")
def temperature(size: Size) -> Study:
    """Temperatures from 0.07 to 1, plainly and with the loss scaled by tau / 0.5.

    The gradient of a contrast goes as scale / tau. With scale 1 a lower temperature is also a larger
    loss, beside an unchanged distillation; with scale tau / 0.5 that factor is the same throughout.
    The published scale, tau / 0.07, is asked for at the source's temperature.
    """
    arms = [Arm("tau 0.5", parameters={"tau": REFERENCE, "scale": 1.0})]
    effects: list[Effect] = []
    for tau in TAUS:
        arms.append(Arm(f"tau {tau:g}", parameters={"tau": tau, "scale": 1.0}))
        effects.append(pair(f"tau {tau:g}", "tau 0.5"))
    for tau in TAUS:
        scale = float(f"{tau / REFERENCE:.4g}")
        arms.append(Arm(f"tau {tau:g} scaled", parameters={"tau": tau, "scale": scale}))
        effects.append(pair(f"tau {tau:g} scaled", "tau 0.5"))
    published = float(f"{REFERENCE / TAU_BASE:.4g}")
    arms.append(Arm("tau 0.5 published", parameters={"tau": REFERENCE, "scale": published}))
    effects.append(pair("tau 0.5 published", "tau 0.5"))
    return Study(
        "temperature",
        "Does the temperature of the contrast matter, once its gradient is as large?",
        arms,
        "tau 0.5",
        effects,
        ("learned", "forgetting", "task_il", "focal_weight"),
    )
