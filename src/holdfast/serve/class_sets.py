"""Sets of classes that hold the true one as often as is asked."""

from __future__ import annotations

from holdfast.core.errors import ConfigError
from holdfast.readout.streaming import Streaming
from holdfast.serve.predictor import Predictions, Predictor


def sets_of(predictor: Predictor, answer: Predictions, cover: float = 0.9) -> list[list[str]]:
    """For each input the classes that hold the true one in such a share of inputs, likeliest first.

    Split conformal sets (docs/theory.md, section 9). The share holds for images like those held
    out when the model last measured; `nominal` says where it is a model's share alone.

    Args:
        predictor: of the model.
        answer: of that predictor.
        cover: share of inputs whose set is to hold their class.

    Raises:
        ConfigError: for a share that is not between 0 and 1, a readout that measures none, or
            where no image could be held out.
    """
    readout = predictor.readout
    if not isinstance(readout, Streaming):
        raise ConfigError(f"the readout {readout.name} measures no sets: use select.")
    inside = readout.sets(answer.probabilities, cover)
    order = answer.probabilities.argsort(dim=1, descending=True, stable=True)
    rows = zip(order.tolist(), inside.tolist())
    return [[predictor.classes[k] for k in ranks if row[k]] for ranks, row in rows]


def nominal(predictor: Predictor) -> bool:
    """Whether rows that were drawn, and not held out, had a say in `sets_of`."""
    readout = predictor.readout
    return isinstance(readout, Streaming) and readout.confidence.nominal
