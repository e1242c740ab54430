"""One Newton step by which a linear layer forgets rows: datamodel matching in its smallest form."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from holdfast.core.errors import ConfigError
from holdfast.core.numerics import solve_positive
from holdfast.loss.checks import require_option

LOSSES = ("ridge", "softmax")


def newton_unlearned(
    weight: Float[Tensor, "k f"],
    kept: tuple[Float[Tensor, "n f"], Int[Tensor, " n"]],
    gone: tuple[Float[Tensor, "m f"], Int[Tensor, " m"]],
    loss: str = "ridge",
    decay: float = 1.0,
) -> Float[Tensor, "k f"]:
    """W + H'^-1 sum_F grad l_i(W): weights of a linear layer fitted to all rows, without F = ``gone``.

    H' is the Hessian of the *kept* rows and the decay. For ``ridge``, l = 1/2 ||W x - e_y||^2, it is the
    fit without F to rounding (then `Statistics.remove` is better, and free); for ``softmax``,
    l = -log p_y, the error is O(|F|^2). With the Hessian of all rows in its place it would be the influence
    function, short by the factor 1 - leverage for one row. The predictions that are matched are
    f^(x) = W' x. No intercept: give a column of ones.

    Args:
        weight: W, the least of sum l_i + decay/2 ||W||^2 over all rows.
        kept: rows and classes that stay; in ``strict`` there are none, and it is refused.
        gone: rows and classes to forget; none changes nothing.
        loss: ``ridge`` or ``softmax``.
        decay: lambda, > 0.

    Raises:
        ConfigError: for no kept row, another loss, or a decay that is not positive.

    Source: Georgiev et al., *Attribute-to-delete: machine unlearning via datamodel matching*, ICLR 2025,
        for a linear layer; not verified against the source
    """
    require_option("loss", loss, LOSSES)
    if not decay > 0:
        raise ConfigError(f"the decay of a layer that forgets must be positive, not {decay}.")
    if not len(kept[0]):
        raise ConfigError(
            "a Newton step needs the rows that are kept, and there are none: where no row may be stored, "
            "take rows out of statistics (Readout.forget)."
        )
    if not len(gone[0]):
        return weight
    w, (x, y) = weight.double(), _double(gone)
    kept_x = kept[0].double()
    classes = len(w)
    target = functional.one_hot(y, classes).double()
    if loss == "ridge":
        matrix = kept_x.T @ kept_x
        matrix.diagonal().add_(decay)
        return (w + solve_positive(matrix, x.T @ (x @ w.T - target)).T).to(weight)
    gradient = ((x @ w.T).softmax(1) - target).T @ x
    matrix = _softmax_hessian(w, kept_x)
    matrix.diagonal().add_(decay)
    return (w + solve_positive(matrix, gradient.flatten()[:, None]).view_as(w)).to(weight)


def _double(rows: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return rows[0].double(), rows[1]


def _softmax_hessian(w: Float[Tensor, "k f"], x: Float[Tensor, "n f"]) -> Float[Tensor, "p p"]:
    """sum_i (diag p_i - p_i p_i^T) (x) x_i x_i^T: (K f)^2 numbers."""
    p = (x @ w.T).softmax(1)
    k, f = w.shape
    blocks = torch.zeros(k, f, k, f, dtype=x.dtype)
    for a in range(k):
        for b in range(k):
            share = p[:, a] * (float(a == b) - p[:, b])
            blocks[a, :, b] = (x * share[:, None]).T @ x
    return blocks.view(k * f, k * f)
