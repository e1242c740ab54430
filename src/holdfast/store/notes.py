"""What a manifest notes beside the model: what is stored of data, what wrote it, and when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.train.continual import Continual


def stored(core: Continual) -> dict[str, int]:
    """What a learner keeps of its data, by every one of its readouts."""
    from holdfast.memory.meter import measure

    parts = [*core.method.objectives, *core.method.rules, *core.readouts.values(), core.memory]
    holdings = measure({"parts": parts}, core.past or core.past_eval)
    return {
        "images": holdings.images,
        "floats": holdings.floats,
        "bytes": holdings.bytes,
        "past_network_floats": holdings.past_floats,
    }


def libraries() -> dict[str, object]:
    """Versions of what writes a model."""
    from holdfast.train.result import environment

    return environment()


def now() -> str:
    """The time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
