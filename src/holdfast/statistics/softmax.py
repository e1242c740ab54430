"""Softmax regression in which every class weighs the same."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional


def balanced_shares(y: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Shares of the rows that sum to 1 and give every class the same.

    >>> balanced_shares(torch.tensor([0, 2, 2])).tolist()
    [0.5, 0.25, 0.25]
    """
    count = torch.bincount(y)
    return 1 / (count[y] * (count > 0).sum())


def fit_softmax(
    x: Float[Tensor, "n f"],
    y: Int[Tensor, " n"],
    classes: int,
    decay: float = 1e-3,
    steps: int = 100,
) -> tuple[Float[Tensor, "k f"], Float[Tensor, " k"]]:
    """Class-balanced softmax regression: every class weighs the same, however many rows it has.

    Minimises mean_k mean_{i in k} -log p_k(x_i) + decay/2 ||W||^2 by L-BFGS from zero, so the
    result does not depend on a seed.

    Args:
        x: rows, best standardised.
        y: their classes.
        classes: K.
        decay: of the weights, not of the bias.
        steps: of L-BFGS, at most.

    Returns:
        (K, f) weights and (K,) biases.
    """
    share = balanced_shares(y).to(x.dtype)
    weight = x.new_zeros(classes, x.shape[1], requires_grad=True)
    bias = x.new_zeros(classes, requires_grad=True)
    search = torch.optim.LBFGS([weight, bias], max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        log_p = functional.log_softmax(x @ weight.T + bias, 1)
        loss = -(share * log_p.gather(1, y[:, None])[:, 0]).sum()
        loss = loss + decay / 2 * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        search.step(closure)
    return weight.detach(), bias.detach()
