"""GhostNorm: batch norm takes small groups of a training batch by themselves, old and new rows apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from jaxtyping import Int
from torch import Tensor

from holdfast.anchor.rule import Rule
from holdfast.core.errors import ConfigError
from holdfast.core.rows import Rows
from holdfast.core.step import Forward
from holdfast.learner.ghost import ghosting
from holdfast.loss.checks import require_option

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner

By = Literal["part", "batch"]
Running = Literal["all", "new", "old"]


class GhostNorm(Rule):
    """Every batch norm of the learner normalises a training batch ghost by ghost (`ghost_norm`).

    Evaluation is as usual. It changes no gradient and no weight by itself. Where several devices learn
    together, each normalises its own share of the rows as one.

    Args:
        size: rows of a ghost, at least 2; 0 makes a part one ghost.
        by: ``part``, rows of the task and rows of a memory are in separate ghosts; ``batch``, they mix.
        running: whose rows running statistics are of: ``all``, the task's (``new``), a memory's (``old``).

    Raises:
        ConfigError: for a size of 1 or below 0, another way to cut, or ``running`` of parts that mix.

    Source: Hoffer, Hubara, Soudry, *Train longer, generalize better*, NeurIPS 2017 (code of another author
        read); cut by part: derived here
    """

    def __init__(self, size: int = 32, by: By = "part", running: Running = "all"):
        super().__init__()
        require_option("cut of ghosts", by, get_args(By))
        if size < 0 or size == 1:
            raise ConfigError(f"a ghost has at least 2 rows (0: a part is one ghost), not {size}.")
        require_option("part for running statistics", running, get_args(Running))
        if running != "all" and by != "part":
            raise ConfigError(f"running={running} needs by=part: otherwise old and new rows mix.")
        self.size, self.by, self.running = size, by, running

    def around(self, forward: Forward, learner: Learner, rows: Rows, task: int) -> Forward:
        """The forward pass of these rows by ghosts.

        Args:
            forward: of the batch.
            learner: whose norms they are.
            rows: of the batch.
            task: index of the one that is learned.
        """
        part: Int[Tensor, " n"] | None = None
        if self.by == "part":
            part = (rows.task == task).long()
        running = {"all": None, "new": 1, "old": 0}[self.running]
        return ghosting(forward, learner, self.size, part, running)  # type: ignore[return-value]
