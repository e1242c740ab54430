"""Softmax regression of rows in memory: by L-BFGS to its minimum, or by normalised steps to no error."""

from __future__ import annotations

import logging
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from holdfast.loss.checks import require_option

LOG = logging.getLogger("holdfast")
Solver = Literal["lbfgs", "normalised"]
STEPS, PATIENCE = 2000, 200  # of the normalised solver


def balanced_shares(
    y: Int[Tensor, " n"], weight: Float[Tensor, " n"] | None = None
) -> Float[Tensor, " n"]:
    """Shares of the rows that sum to 1 and give every class the same.

    Args:
        y: classes of rows.
        weight: for how many rows each one stands; None is one.

    >>> balanced_shares(torch.tensor([0, 2, 2])).tolist()
    [0.5, 0.25, 0.25]
    >>> balanced_shares(torch.tensor([0, 2, 2]), torch.tensor([5.0, 3.0, 1.0])).tolist()
    [0.5, 0.375, 0.125]
    """
    if weight is None:
        count = torch.bincount(y)
        return 1 / (count[y] * (count > 0).sum())
    total = torch.bincount(y, weight)
    return weight / (total[y] * (total > 0).sum()).clamp_min(1e-30)


def fit_softmax(
    x: Float[Tensor, "n f"],
    y: Int[Tensor, " n"],
    classes: int,
    decay: float = 1e-3,
    steps: int = 100,
    weight: Float[Tensor, " n"] | None = None,
    solver: Solver = "lbfgs",
) -> tuple[Float[Tensor, "k f"], Float[Tensor, " k"]]:
    """Class-balanced softmax regression: every class weighs the same, however many rows it has.

    Minimises mean_k mean_{i in k} -log p_k(x_i) + decay/2 ||W||^2 by L-BFGS from zero, so the
    result does not depend on a seed. ``normalised`` is `separate`, which knows no decay.

    Args:
        x: rows, best standardised.
        y: their classes.
        classes: K.
        decay: of the weights, not of the bias; of L-BFGS alone.
        steps: of L-BFGS, at most.
        weight: for how many rows each one stands within its class; None is one.
        solver: ``lbfgs`` or ``normalised``.

    Returns:
        (K, f) weights and (K,) biases.

    Raises:
        ConfigError: for another solver.
    """
    require_option("solver", solver, get_args(Solver))
    share = balanced_shares(y, weight).to(x.dtype)
    if solver == "normalised":
        result = separate(x, y, classes, share=share)
        return result.weight, result.bias
    weights = x.new_zeros(classes, x.shape[1], requires_grad=True)
    bias = x.new_zeros(classes, requires_grad=True)
    search = torch.optim.LBFGS([weights, bias], max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        log_p = functional.log_softmax(x @ weights.T + bias, 1)
        loss = -(share * log_p.gather(1, y[:, None])[:, 0]).sum()
        loss = loss + decay / 2 * weights.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        search.step(closure)
    return weights.detach(), bias.detach()


class Separated(NamedTuple):
    """What `separate` came to.

    Attributes:
        weight: (K, f).
        bias: (K,).
        errors: rows that it decides wrongly.
        steps: that were taken to it.
    """

    weight: Float[Tensor, "k f"]
    bias: Float[Tensor, " k"]
    errors: int
    steps: int


def separate(
    x: Float[Tensor, "n f"],
    y: Int[Tensor, " n"],
    classes: int,
    rate: float = 1.0,
    share: Float[Tensor, " n"] | None = None,
    steps: int = STEPS,
    patience: int = PATIENCE,
) -> Separated:
    """Softmax regression by normalised gradient steps, a perceptron in batches: it stops at no error.

    W <- W - eta dL/dW / sum_i s_i (1 - p_{y_i}), eta = rate / sum_i s_i (||x_i||^2 + 1), s_i the share of
    row i in L. From zero the first step of two classes is eta mean(y x), y = 1 or -1. The factor in eta
    makes the answers free of the rows' scale. Where rows cannot be separated it does not converge: it gives
    the weights with the fewest errors that it met, and logs how many are left.

    Args:
        x: rows.
        y: their classes.
        classes: K.
        rate: of eta.
        share: (N,) s_i, which sum to 1; None is the same for all.
        steps: at most.
        patience: steps without fewer errors after which it ends.

    Source: arXiv 2412.08424, of which the abstract was read: the divisor is not verified against the source
    """
    share = torch.full_like(x[:, 0], 1 / len(x)) if share is None else share
    rows = torch.cat([x, x.new_ones(len(x), 1)], 1)
    eta = rate / ((rows**2).sum(1) @ share)
    target = functional.one_hot(y, classes).to(x)
    w = rows.new_zeros(classes, rows.shape[1])
    best, fewest, at, taken = w, len(y) + 1, 0, 0
    for taken in range(steps + 1):
        scores = rows @ w.T
        errors = int((scores.argmax(1) != y).sum())
        if taken and errors < fewest:
            best, fewest, at = w, errors, taken
        if taken and (not fewest or taken - at >= patience):
            break
        gap = target - torch.softmax(scores, 1)
        wrong = (share * gap.gather(1, y[:, None])[:, 0]).sum().clamp_min(1e-30)
        w = w + eta * ((share[:, None] * gap).T @ rows) / wrong
    if fewest:
        LOG.info(
            "the normalised solver leaves %d of %d rows wrong after %d steps: they may not be separable",
            fewest, len(y), taken,
        )  # fmt: skip
    return Separated(best[:, :-1], best[:, -1], fewest, at)
