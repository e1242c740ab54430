"""The laws of a log: what takes the figures of a run while it learns."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from holdfast.log.sink import LOGS, About, Sink
from holdfast.testing.compare import expect, global_chance_untouched

STEPS = (
    (1, {"train/loss": 0.5, "train/lr": 1e-3}),
    (2, {"train/loss": float("nan"), "a name, of: anything": float("inf")}),
    (2, {"class_il/task_1": 1.0}),  # a task ends in the step of its last epoch
    (2, {}),
)


def check_sink(maker: str | Callable[..., Sink]) -> None:
    """Check a log.

    It can be made for a run, in whose folder it writes if it writes files; it takes figures of any name,
    finite or not, several times in a step, and none; it leaves the global generators alone; and made again
    in the same folder, as for a run that is resumed, it goes on.

    Args:
        maker: its text, or a function or class that takes ``about``.

    Raises:
        AssertionError: naming the law that does not hold.
    """
    with tempfile.TemporaryDirectory() as place, global_chance_untouched("a log"):
        settings = {
            "setup.training.lr": 0.1,
            "method.name": "lwf",
            "none": None,
            "long": "x" * 2000,
        }
        about = About("a run", Path(place) / "run", settings)
        for status, first in (("stopped: by hand", 0), ("complete", 2)):
            sink = LOGS.build(maker, about=about) if isinstance(maker, str) else maker(about=about)
            for name in ("scalars", "finish"):
                expect(callable(getattr(sink, name, None)), f"a log has no method {name}.")
            for step, values in STEPS:
                before = dict(values)
                sink.scalars(first + step, values)
                expect(str(values) == str(before), "a log changed the figures it was handed.")
            sink.finish(status)
