"""Runs side by side: grids of runs, and what their differences can and cannot say."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.compare.comparison import Comparison, compare
    from holdfast.compare.plan import Grid
    from holdfast.compare.runs import read_runs
    from holdfast.compare.sweep import run_grid

_HOME = {
    "Comparison": "comparison",
    "Grid": "plan",
    "compare": "comparison",
    "read_runs": "runs",
    "run_grid": "sweep",
}


def __getattr__(name: str) -> object:
    """On first use: who reads results needs nothing that learns."""
    if name not in _HOME:
        raise AttributeError(f"module 'holdfast.compare' has no attribute '{name}'")
    return getattr(import_module(f"holdfast.compare.{_HOME[name]}"), name)


__all__ = ["Comparison", "Grid", "compare", "read_runs", "run_grid"]
