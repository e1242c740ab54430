"""What is kept on disk."""

from holdfast.store.checkpoint import Checkpoint
from holdfast.store.folder import RunFolder, fresh, stopped
from holdfast.store.whole import whole

__all__ = ["Checkpoint", "RunFolder", "fresh", "stopped", "whole"]
