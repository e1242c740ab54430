"""What a readout said of all test rows seen so far, and how strange it took rows of later tasks for."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from holdfast.core.output import Output
from holdfast.metrics.calibration import calibration_figures
from holdfast.metrics.openset import openset_figures
from holdfast.readout.readout import Readout
from holdfast.stream.task import Stream

LATER = 1000  # rows of later tasks that are measured, at most


class Seen:
    """One readout over the test sets of the tasks seen, from which its figures of a task follow.

    Args:
        readout: as it is after the task.
    """

    def __init__(self, readout: Readout):
        self.readout = readout
        self._rows: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    @torch.no_grad()
    def take(self, out: Output, y: Tensor) -> Tensor:
        """Note a test set; its scores.

        Args:
            out: of the network.
            y: (N,) labels.
        """
        scores = self.readout.scores(out)
        p = self.readout.probabilities_of(scores)
        self._rows.append((p, y, scores.argmax(1) == y, self.readout.strange(out)))
        return scores

    @torch.no_grad()
    def figures(self, new: tuple[int, ...], later: Output | None) -> dict[str, float | None]:
        """Calibration over all rows noted, old and new apart, and the open-set figures; None where there
        are none.

        Args:
            new: classes of the task that was learned last.
            later: of rows whose classes have not come yet; None for none.
        """
        p, y, right, strange = (torch.cat(parts) for parts in zip(*self._rows, strict=True))
        fresh = torch.isin(y, torch.tensor(new, device=y.device))
        unknown = strange[:0] if later is None else self.readout.strange(later)
        figures = calibration_figures(p, y, fresh) | openset_figures(strange, right, unknown)
        return {name: value if math.isfinite(value) else None for name, value in figures.items()}


def later_rows(stream: Stream, task: int) -> Tensor:
    """Test inputs of classes that have not come by the end of a task, evenly taken from all later ones.

    Args:
        stream: the tasks.
        task: index of the one that has just ended.
    """
    seen, later = torch.tensor(stream.seen(task)), stream.tasks[task + 1 :]
    places = [(~torch.isin(other.test.y.cpu(), seen)).nonzero()[:, 0] for other in later]
    step = max(1, -(-sum(map(len, places)) // LATER))
    parts = [other.test.x[place[::step]] for other, place in zip(later, places)]
    return torch.cat(parts) if parts else stream[task].test.x[:0]
