"""What is kept on disk."""

from holdfast.store.checkpoint import Checkpoint
from holdfast.store.folder import RunFolder, fresh, make_folder, stopped
from holdfast.store.whole import whole

__all__ = ["Checkpoint", "RunFolder", "fresh", "make_folder", "stopped", "whole"]
