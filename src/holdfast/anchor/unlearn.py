"""Unlearning of evidence: features of given rows lose what speaks for their class alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.anchor.rule import Rule, edited
from holdfast.core.errors import ConfigError
from holdfast.core.numerics import at_least_float32, class_sums, to_float
from holdfast.core.output import outputs
from holdfast.core.rows import Rows
from holdfast.core.step import Part, Step
from holdfast.loss.term import Term

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task

MOST = 0.9  # overlap with the retained classes beyond which there is no evidence apart
TINY = 1e-6  # share of the largest singular value below which a direction is rounding


class Evidence(NamedTuple):
    """What speaks for classes to forget and for no retained one.

    Attributes:
        directions: (f, r) U, orthonormal columns outside the span of the retained means.
        overlap: ||Q^T A||_F^2 / min(r_Q, r_A) of the retained means' basis Q and the basis A of the means
            to forget: 1 where these lie among those.
    """

    directions: Float[Tensor, "f r"]
    overlap: float


def evidence(
    retained: Float[Tensor, "k f"], forgotten: Float[Tensor, "j f"], most: float = MOST
) -> Evidence:
    """U = the basis of (I - Q Q^T) m_F^T, Q an orthonormal basis of the retained class means.

    Args:
        retained: (K, f) means of the classes that stay.
        forgotten: (J, f) means of those to forget; or more rows of them, for more directions.
        most: overlap beyond which it is refused.

    Raises:
        ConfigError: for no retained mean, or classes that overlap with the retained ones.

    >>> kept, gone = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[1.0, 1.0, 0.0]])
    >>> apart = evidence(kept, gone)
    >>> apart.directions.abs().tolist(), round(apart.overlap, 3)
    ([[0.0], [1.0], [0.0]], 0.5)
    """
    if not len(retained) or not len(forgotten):
        raise ConfigError("evidence for classes is outside the means of retained ones: give both.")
    q, a = (_basis(means.double().T) for means in (retained, forgotten))
    overlap = float((q.T @ a).square().sum()) / max(min(q.shape[1], a.shape[1]), 1)
    if overlap > most:
        raise ConfigError(
            f"the classes to forget overlap with the retained ones by {overlap:.2f}, more than {most}: "
            "hardly anything speaks for them alone, so that taking it away would hurt the others and "
            "tell nothing. Train anew without them, or forget them in the readout."
        )
    rest = forgotten.double().T
    return Evidence(_basis(rest - q @ (q.T @ rest)), overlap)


def _basis(columns: Float[Tensor, "f n"]) -> Float[Tensor, "f r"]:
    """Orthonormal columns of the same span."""
    u, size, _ = torch.linalg.svd(columns, full_matrices=False)
    return u[:, size > TINY * size.max().clamp_min(1e-300)]


class ForgetEvidence(Term):
    """mean ||U^T h(x)||^2 over given rows F: they lose what speaks for their class and no other.

    U is that of `evidence`, taken when a task begins: from the means of F by the network as it is, and from
    those of the retained classes when they were learned. It removes evidence and not information: a probe
    finds the class again from other directions, which is the test of it (`holdfast.metrics.unlearning`).
    Beside it goes a `Rule` that keeps updates out of what retained inputs use. Until F's classes and
    another have been learned it is 0. K (1 + f) numbers are stored.

    Args:
        rows: F with its classes; they count as stored images, and need ``Protocol("buffer", k)``.
        most: overlap beyond which a task is refused.

    Raises:
        ConfigError: for no row.

    Source: in the manner of Wang et al., arXiv 2505.24428, without its sparse auto-encoder; formulas not
        verified against the source
    """

    on = "given"
    reads = ("features",)
    label = "forget"

    def __init__(self, rows: Rows, most: float = MOST):
        super().__init__()
        if not len(rows):
            raise ConfigError("there is nothing to forget: give the rows.")
        key = -1 - torch.arange(len(rows), device=rows.key.device)  # no samples of the stream
        self.extra_rows = replace(rows, key=key)
        self.most = most
        self.known: dict[str, Tensor] = {}
        self.directions: Tensor | None = None

    def begin(self, learner: Learner, task: Task) -> None:
        """Take U for the task (ConfigError where the classes overlap too much)."""
        self.directions = None
        if self.known:
            count = self.known["count"]
            means = self.known["sum"] / count.clamp_min(1)[:, None]
            self.prepare(learner, {k: means[k] for k in count.nonzero()[:, 0].tolist()})

    def prepare(self, learner: Learner, means: dict[int, Float[Tensor, " f"]]) -> None:
        """Take U from class means that somebody has, such as a readout's.

        Args:
            learner: the network.
            means: by class; those of F's classes are not used.
        """
        rows = self.extra_rows
        assert rows is not None
        gone = rows.y.unique().tolist()
        retained = [mean for k, mean in means.items() if k not in gone]
        if not retained or not set(gone) <= means.keys():
            return
        h = outputs(learner, rows).features
        fresh = torch.stack([h[rows.y.to(h.device) == k].mean(0) for k in gone])
        self.directions = evidence(torch.stack(retained).to(fresh), fresh, self.most).directions

    def value(self, part: Part, step: Step) -> Tensor:
        """The mean over F."""
        h = at_least_float32(part.out.features)
        if self.directions is None:
            return h.sum() * 0.0
        return (h @ self.directions.to(h)).square().sum(1).mean()

    def consolidate(self, learner: Learner, task: Task, past: Learner | None = None) -> None:
        """Add the task's features to their classes' sums and counts."""
        x, y = outputs(learner, task.train).features.double(), task.train.y
        before = self.known
        classes = max(int(y.max()) + 1, len(before["count"]) if before else 0)
        self.known = {
            "count": class_sums(before.get("count"), torch.ones_like(x[:, 0]), y, classes),
            "sum": class_sums(before.get("sum"), x, y, classes),
        }

    def get_extra_state(self) -> dict[str, Tensor]:
        """Counts and sums of the classes, and U."""
        return self.known | ({} if self.directions is None else {"directions": self.directions})

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take over counts, sums and U."""
        self.directions = state.get("directions")
        self.known = {name: state[name] for name in ("count", "sum") if name in state}


def unlearn_rows(
    learner: Learner,
    term: ForgetEvidence,
    means: dict[int, Float[Tensor, " f"]],
    steps: int = 100,
    lr: float = 0.01,
    rules: Sequence[Rule] = (),
) -> list[float]:
    """Steps of gradient descent on F alone, by a network that has learned; its norms stay as they are.

    Args:
        learner: the network, which is changed.
        term: what it is to lose.
        means: of the features of each class, those of F among them.
        steps: of gradient descent.
        lr: learning rate.
        rules: edit every step; one that keeps updates out of the retained inputs belongs here.

    Returns:
        the value of the term before each step.

    Raises:
        ConfigError: for classes that overlap with the retained ones, or of which no mean is there.
    """
    term.prepare(learner, means)
    rows = term.extra_rows
    if term.directions is None or rows is None:
        raise ConfigError(
            "a network unlearns classes that it learned beside others: give the means of both."
        )
    learner.eval()
    moving = [p for p in learner.parameters() if p.requires_grad]
    optimizer, values = torch.optim.SGD(moving, lr), []
    shown, gone = rows.with_x(to_float(rows.x)), tuple(rows.y.unique().tolist())
    place: Any = {"task": 1, "classes": gone, "seen": tuple(sorted(means))}  # past the first
    for _ in range(steps):
        step = Step({"batch": shown, "given": shown}, learner, learner=learner, lr=lr, **place)
        loss = term(step)
        values.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        with edited(rules, learner, step):
            optimizer.step()
    return values
