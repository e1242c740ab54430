"""What is shown: progress while a run goes on, then tables and pictures of its result."""

from importlib import import_module
from typing import TYPE_CHECKING

from holdfast.report.progress import Watch, progress_mode
from holdfast.report.table import summary

if TYPE_CHECKING:
    from holdfast.report.grid import matrix_picture, retention_picture


def __getattr__(name: str) -> object:
    """The pictures on first use: they bring matplotlib."""
    if name in ("matrix_picture", "retention_picture"):
        return getattr(import_module("holdfast.report.grid"), name)
    raise AttributeError(f"module 'holdfast.report' has no attribute '{name}'")


__all__ = ["Watch", "matrix_picture", "progress_mode", "retention_picture", "summary"]
