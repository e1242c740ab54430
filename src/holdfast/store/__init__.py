"""What is kept on disk."""

from importlib import import_module
from typing import TYPE_CHECKING

from holdfast.store.atomic import atomic_write

if TYPE_CHECKING:
    from holdfast.store.checkpoint import Checkpoint
    from holdfast.store.folder import RunFolder, fresh, make_folder, stopped

_HOME = {
    "Checkpoint": "checkpoint",
    "RunFolder": "folder",
    "fresh": "folder",
    "make_folder": "folder",
    "stopped": "folder",
}


def __getattr__(name: str) -> object:
    """On first use: who reads an index needs no learner."""
    if name not in _HOME:
        raise AttributeError(f"module 'holdfast.store' has no attribute '{name}'")
    return getattr(import_module(f"holdfast.store.{_HOME[name]}"), name)


__all__ = ["Checkpoint", "RunFolder", "atomic_write", "fresh", "make_folder", "stopped"]
