"""Checks of what the public losses are given: one sentence for an option, a shape or a label."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from holdfast.core.errors import ConfigError, DataError, unknown


def require_option(what: str, value: object, options: Sequence[str]) -> None:
    """Refuse a value that is none of the options (ConfigError)."""
    if value not in options:
        raise unknown(what, str(value), options)


def require_positive(T: float, name: str = "T") -> float:
    """A temperature itself, if it can be one.

    Raises:
        ConfigError: unless it is a positive finite number.
    """
    if not 0 < T < float("inf"):
        raise ConfigError(f"a temperature must be positive, not {name}={T}.")
    return T


def require_gamma(gamma: float) -> float:
    """A focal exponent itself, if it can be one.

    Raises:
        ConfigError: unless it is a finite number of at least 0.
    """
    if not 0 <= gamma < float("inf"):
        raise ConfigError(f"the focal exponent gamma must be at least 0, not {gamma}.")
    return gamma


def require_matrix(what: str, x: Tensor) -> None:
    """Refuse what is not (N, d) (DataError)."""
    if x.ndim != 2:
        raise DataError(
            f"the {what} must have shape (N, d), one row a sample, not {tuple(x.shape)}."
        )


def require_pair(what: str, now: Tensor, past: Tensor) -> None:
    """Refuse what is not twice the same (N, d) (DataError)."""
    require_matrix(what, now)
    if now.shape != past.shape:
        raise DataError(
            f"the {what} of both networks must have one shape, not {tuple(now.shape)} and "
            f"{tuple(past.shape)}."
        )


def require_labels(z: Tensor, y: Tensor, anchors: Tensor | None = None) -> None:
    """Refuse rows that are not (N, d) with labels (N,), and a mask (N,) if there is one (DataError)."""
    require_matrix("rows", z)
    for what, values in (("labels", y), ("anchors", anchors)):
        if values is not None and values.shape != z.shape[:1]:
            raise DataError(
                f"{len(z)} rows need {what} of shape ({len(z)},), not {tuple(values.shape)}."
            )


def require_below(what: str, y: Tensor, classes: int, there: str) -> None:
    """Refuse labels outside 0..classes-1 (DataError)."""
    if len(y) and not (int(y.min()) >= 0 and int(y.max()) < classes):
        raise DataError(
            f"the {what} must lie in 0..{classes - 1}, one for each of the {classes} {there}, "
            f"not in {int(y.min())}..{int(y.max())}."
        )
